# SPDX-License-Identifier: Apache-2.0
"""The running of callbacks: what the delivery thread does."""

from cpython.pythread cimport PyThread_get_thread_ident
from cpython.ref cimport Py_DECREF
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport free

from pykafka_fast._core.accumulator cimport Accumulator
from pykafka_fast._core.csrc cimport (
    PKF_E_CLOSED,
    PKF_OK,
    pkf_accum,
    pkf_accum_delivered,
    pkf_accum_forked,
    pkf_accum_keep_cookies,
    pkf_accum_listen,
    pkf_accum_take_listeners,
    pkf_accum_wait_done,
    pkf_batch,
    pkf_cookie,
    pkf_listener,
)
from pykafka_fast._core.future cimport LOOP, Listener, run_listener
from pykafka_fast._core.metadata cimport RecordMetadata, metadata_in, slot_exception
from pykafka_fast._core.outside cimport complain, wake_loop

cdef extern from "Python.h":
    Py_ssize_t Py_REFCNT(object o)


cdef class Deliveries:
    """The work of the delivery thread: wait for completed batches, run what is attached to their records."""

    cdef Accumulator accumulator
    cdef object acknowledged  # called as (metadata, exception) for every record that has a cookie, before its callback
    cdef dict loops           # asyncio loop -> futures to resolve there, for one round
    cdef readonly bint calling  # a callback or an interceptor runs; else it is a finalizer that does

    def __init__(self, Accumulator accumulator not None, acknowledged=None):
        self.accumulator = accumulator
        self.acknowledged = acknowledged
        self.loops = {}

    def adopt_thread(self):
        """This thread delivers: get(), flush() and close() on it do not wait for callbacks."""
        self.accumulator.c.delivery_thread = <uint64_t> PyThread_get_thread_ident()

    def deliver(self, timeout):
        """Wait up to `timeout` seconds, then run all callbacks that are due. False once closed and nothing is left."""
        cdef pkf_batch *batch = NULL
        cdef pkf_batch *following
        cdef int64_t slice_ns = <int64_t> (timeout * 1e9)
        cdef pkf_accum *accum = self.accumulator.c
        cdef int status
        with nogil:
            status = pkf_accum_wait_done(accum, slice_ns, &batch)
        if status == PKF_E_CLOSED:
            return False
        while batch != NULL:
            following = batch.completed_next
            deliver_batch(self, accum, batch)
            if pkf_accum_forked(accum):
                return False  # a callback forked: this is the child, where nothing is to be delivered
            batch = following
        for loop, futures in self.loops.items():
            wake_loop(loop, futures)
        self.loops.clear()
        return True


cdef void deliver_batch(Deliveries self, pkf_accum *accum, pkf_batch *batch) noexcept:
    """No exception leaves this and what it calls: flush(), get() and all that follows would wait for ever."""
    cdef uint32_t count = batch.cookie_count
    cdef pkf_cookie *cookies = batch.cookies
    batch.cookies = NULL  # from here on they are ours, and the batch owns nothing of Python
    batch.cookie_count = 0
    deliver_cookies(self, accum, batch, cookies, count)
    if pkf_accum_forked(accum):
        return
    pkf_accum_keep_cookies(accum, cookies, batch.cookie_capacity)
    cdef pkf_listener *listener = pkf_accum_take_listeners(accum, batch)
    while listener != NULL:
        deliver_listeners(self, accum, listener)
        if pkf_accum_forked(accum):
            return
        listener = pkf_accum_take_listeners(accum, batch)
    pkf_accum_delivered(accum, batch, count)


cdef void deliver_cookies(
    Deliveries self, pkf_accum *accum, pkf_batch *batch, pkf_cookie *cookies, uint32_t count,
) noexcept:
    """One guard around many callbacks: setting it up for each would cost more than the rest of the work for it."""
    cdef uint32_t i = 0
    cdef RecordMetadata metadata = None
    while i < count and not pkf_accum_forked(accum):
        try:
            while i < count and not pkf_accum_forked(accum):
                if metadata is None or Py_REFCNT(metadata) != 1:  # the last callback kept its own
                    metadata = metadata_in(batch)
                i += 1
                deliver_cookie(self, batch, &cookies[i - 1], metadata)
        except BaseException:
            self.calling = False
            complain()


cdef inline object deliver_cookie(Deliveries self, pkf_batch *batch, pkf_cookie *cookie, RecordMetadata metadata):
    callback = <object> cookie.callback
    Py_DECREF(callback)  # ours now: the name above holds it
    metadata.slot.timestamp = cookie.timestamp
    metadata.slot.index = cookie.index
    metadata.slot.key_size = cookie.key_size
    metadata.slot.value_size = cookie.value_size
    metadata.slot.header_size = cookie.header_size
    failure = slot_exception(&metadata.slot) if batch.code != 0 else None
    self.calling = True
    if self.acknowledged is not None:
        self.acknowledged(metadata, failure)
    if callback is not None:
        callback(metadata, failure)
    self.calling = False


cdef void deliver_listeners(Deliveries self, pkf_accum *accum, pkf_listener *attached) noexcept:
    """All listeners of a batch, in order. After a split those of a piece that is not done wait there, and with them all
    that follow, whatever became of their own: otherwise they would overtake."""
    cdef pkf_batch *held = NULL
    cdef pkf_batch *waiting
    cdef pkf_listener *following
    cdef Listener listener
    cdef int status
    while attached != NULL:
        following = attached.next
        listener = <Listener> attached.object
        free(attached)
        waiting = held if held != NULL and listener.holds_up() else listener.undecided()
        status = PKF_E_CLOSED
        while waiting != NULL and status == PKF_E_CLOSED:
            status = pkf_accum_listen(accum, waiting, <void *> listener)
            if status == PKF_E_CLOSED:  # done in this moment; another may not be
                waiting = listener.undecided()
        if status != PKF_OK:
            Py_DECREF(listener)
            waiting = NULL
            deliver_listener(self, listener)
            if pkf_accum_forked(accum):
                return
        if listener.holds_up():
            held = waiting
        attached = following


cdef void deliver_listener(Deliveries self, Listener listener) noexcept:
    try:
        if listener.kind == LOOP:
            gather_for_loop(self, listener)
        else:
            self.calling = True
            run_listener(listener, False)
    except BaseException:
        complain()
    self.calling = False


cdef object gather_for_loop(Deliveries self, Listener listener):
    try:
        self.loops.setdefault(listener.f, []).append(listener.args)
    except BaseException:  # memory is short, or the loop cannot be hashed: it is woken for this one alone
        wake_loop(listener.f, [listener.args])
