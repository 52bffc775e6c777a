# SPDX-License-Identifier: Apache-2.0
"""send(): the fast path, and the append that it shares with the path in Python.

A def on this path has three paragraphs: gather (the caller's objects become spans), move (one C call), report. What
was gathered is let go in report, on every exit.
"""

import sys

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_GetItemWithError
from cpython.object cimport PyCFunction, PyMethodDef
from cpython.pythread cimport PyThread_get_thread_ident
from cpython.ref cimport Py_DECREF, Py_INCREF, PyObject
from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t
from libc.stdlib cimport free, malloc

from pykafka_fast._core.accumulator cimport Accumulator, Topic, check_not_forked, serve_signals
from pykafka_fast._core.call cimport METH_FASTCALL, METH_KEYWORDS, Entry, call_anyhow, replace_method, take_arguments
from pykafka_fast._core.csrc cimport (
    PKF_E_BUSY,
    PKF_E_CLOSED,
    PKF_E_EXHAUSTED,
    PKF_E_TIMEOUT,
    PKF_E_TOO_LARGE,
    PKF_E_UNSUPPORTED,
    PKF_NEED_BUDGET,
    PKF_NEED_METADATA,
    PKF_NEED_SLAB,
    PKF_OK,
    pkf_accum,
    pkf_accum_append,
    pkf_accum_force,
    pkf_accum_forked,
    pkf_accum_wait_budget,
    pkf_accum_wake,
    pkf_append,
    pkf_ms_clock,
    pkf_ms_clock_read,
    pkf_pool,
    pkf_pool_release,
    pkf_pool_try,
    pkf_pool_wait_begin,
    pkf_pool_wait_cancel,
    pkf_pool_wait_take,
    pkf_topic_approach,
    pkf_waiter,
    pkf_workers_pool_wait,
)
from pykafka_fast._core.future cimport RecordFuture, expect_look, new_future
from pykafka_fast._core.gather cimport Gathered, gather_bytes, gather_headers, gather_number, let_go, pairs_of
from pykafka_fast._core.waiting cimport slice_until
from pykafka_fast.types import PARTITION_MAX, TIMESTAMP_MAX

cdef extern from "Python.h":
    bint PyCallable_Check(object o)

#: What append() answers instead of a future: the decision Python must take.
NEED_METADATA = PKF_NEED_METADATA
TOO_LARGE = PKF_E_TOO_LARGE
CLOSED = PKF_E_CLOSED
EXHAUSTED = PKF_E_TIMEOUT
NO_HEADERS = PKF_E_UNSUPPORTED

cdef size_t LARGE = 65536           # from here on a copy is worth giving the GIL up
cdef int64_t PARTITION_LAST = PARTITION_MAX
cdef int64_t TIMESTAMP_LAST = TIMESTAMP_MAX


# ---- move -----------------------------------------------------------------------------------------------------------

cdef inline int append_once(pkf_accum *accum, pkf_append *append) noexcept:
    """One append with the GIL; without it where the lock is busy or the copy is long."""
    cdef int status
    append.wait_lock = False
    if append.value.len < LARGE and append.key.len < LARGE:
        status = pkf_accum_append(accum, append)
        if status != PKF_E_BUSY:
            return status
    if pkf_accum_forked(accum):  # by what gathering the record ran: in the child the lock may be held for ever
        return PKF_E_CLOSED
    append.wait_lock = True
    with nogil:
        status = pkf_accum_append(accum, append)
    return status


cdef int try_slab(pkf_accum *accum, pkf_append *append) noexcept:
    """A slab of the size asked for, without waiting."""
    if append.slab != NULL:
        pkf_pool_release(accum.pool, append.slab)
        append.slab = NULL
    return pkf_pool_try(accum.pool, append.need, &append.slab)


cdef inline int append_now(pkf_accum *accum, pkf_append *append) noexcept:
    """Append, acquiring slabs as they are needed, without waiting: E_EXHAUSTED if there is none."""
    cdef int status
    append.may_grow = True
    while True:
        status = append_once(accum, append)
        if status != PKF_NEED_SLAB:
            return status
        status = try_slab(accum, append)
        if status == PKF_E_EXHAUSTED and append.may_grow:
            append.may_grow = False  # a batch that cannot grow is closed as it is
        elif status != PKF_OK:
            return status


cdef int append_patiently(pkf_accum *accum, pkf_append *append, double deadline) except? -99:
    """Append, waiting in turn and until the deadline for memory and for room among the undelivered callbacks."""
    cdef int status
    while True:
        status = append_now(accum, append)
        if status == PKF_E_EXHAUSTED:
            status = wait_for_slab(accum, append, deadline)
        elif status == PKF_NEED_BUDGET:
            status = wait_for_budget(accum, deadline)
        else:
            return status
        if status != PKF_OK:
            return status


cdef int wait_for_slab(pkf_accum *accum, pkf_append *append, double deadline) except? -99:
    cdef pkf_pool *pool = accum.pool
    cdef int64_t slice_ns
    cdef int status
    cdef pkf_waiter *waiter = <pkf_waiter *> malloc(sizeof(pkf_waiter))  # a greenlet's stack is moved when it rests
    if waiter == NULL:
        raise MemoryError
    try:
        status = pkf_pool_wait_begin(pool, waiter, append.need)
        if status != PKF_OK:
            return status
        pkf_accum_wake(accum)  # memory is short: what lingers leaves now
        while True:
            slice_ns = slice_until(deadline)
            with nogil:
                status = pkf_workers_pool_wait(accum, waiter, <uint64_t> max(slice_ns, 0))
            if status == PKF_OK:
                status = pkf_pool_wait_take(pool, waiter, &append.slab)
                break
            serve_signals(accum, status)
            if status != PKF_E_TIMEOUT or slice_ns == 0:
                break
    finally:
        if not pkf_accum_forked(accum):
            pkf_pool_wait_cancel(pool, waiter)
        free(waiter)
    return status


cdef int wait_for_budget(pkf_accum *accum, double deadline) except? -99:
    cdef int status = PKF_E_TIMEOUT
    cdef int64_t slice_ns = 1
    pkf_accum_force(accum, 1)  # they may be those of records that linger
    try:
        while status == PKF_E_TIMEOUT and slice_ns != 0:
            slice_ns = slice_until(deadline)
            with nogil:
                status = pkf_accum_wait_budget(accum, slice_ns)
            serve_signals(accum, status)
    finally:
        if not pkf_accum_forked(accum):
            pkf_accum_force(accum, -1)
    return status


# ---- the base class -------------------------------------------------------------------------------------------------

cdef class ProducerBase:
    """What KafkaProducer inherits: send(), whose fast path is one C call that appends and returns a future.

    The subclass calls _open() in its constructor and provides _send(), which takes over whenever the fast path does
    not apply: interceptors, serializers that see topic or headers, a partitioner of the user's, a transaction, a
    record object, or an answer of the C library that is a matter of policy.
    """

    cdef Accumulator _accumulator
    cdef dict _handles       # the accumulator's topics by name
    cdef str _last_name      # the topic of the last send, compared by identity before the dict is asked
    cdef Topic _last_topic
    cdef bint _direct
    cdef bint _serializes        # one of the next two is not None
    cdef object _serialize_key   # f(data)
    cdef object _serialize_value
    cdef pkf_ms_clock _clock     # under the GIL
    cdef object _start_delivery  # called before the first record with a callback, then None

    def _open(self, Accumulator accumulator not None, bint direct, start_delivery, serialize_key=None,
              serialize_value=None):
        """Append to this accumulator; `direct`: the fast path applies; start_delivery() starts the delivery thread."""
        self._serialize_key = serialize_key
        self._serialize_value = serialize_value
        self._serializes = serialize_key is not None or serialize_value is not None
        self._start_delivery = start_delivery
        self._last_name = None
        self._last_topic = None
        self._accumulator = accumulator
        self._handles = accumulator.by_name
        self._direct = direct

    def _set_direct(self, bint direct):
        """Switch the fast path: off when closed, fatal or forked."""
        self._direct = direct

    def send(
        self, topic, value=None, key=None, headers=None, partition=None, timestamp_ms=None, *, on_delivery=None,
    ):
        """Queue a record for sending; returns at once unless metadata or memory must be waited for.

        topic (str; or a ProducerRecord as the only positional argument), value and key (bytes-like or None, or what the
        serializers take), headers (list of (str, bytes or None)), partition (int >= 0; None: the partitioner chooses),
        timestamp_ms (int >= 0 since the epoch; None: now), on_delivery (called as on_delivery(metadata, exception), on
        the delivery thread, or before send() returns for a record that it refuses).

        Returns a RecordFuture. Time-outs, records too large, invalid or unauthorized topics and exhausted memory fail
        the future; a closed or broken producer, wrong types and errors of serializers and partitioners are raised.
        """
        return send_record(self, topic, value, key, headers, partition, timestamp_ms, on_delivery)

    def _append(self, Topic handle not None, value, key, headers, partition, timestamp_ms, on_delivery, bint notify,
                double deadline):
        """Append what is serialized, waiting for memory until `deadline` (time.monotonic()).

        notify: tell the delivery thread of this record although on_delivery may be None. Returns a future, or one of
        NEED_METADATA, TOO_LARGE, CLOSED, EXHAUSTED, NO_HEADERS.
        """
        cdef int32_t chosen
        check_not_forked(handle.accumulator)
        return append_record(
            self, handle, value, key, headers, partition, timestamp_ms, on_delivery, notify, deadline, &chosen)


cdef object send_record(producer, topic, value, key, headers, partition, timestamp_ms, on_delivery):
    """send() with its arguments sorted."""
    cdef ProducerBase self = <ProducerBase> producer
    cdef PyObject *found
    cdef Topic handle = self._last_topic
    if not self._direct or pkf_accum_forked(self._accumulator.c):
        return self._send(topic, value, key, headers, partition, timestamp_ms, on_delivery, -1)
    if topic is not self._last_name or handle is None:
        found = PyDict_GetItemWithError(self._handles, topic) if type(topic) is str else NULL
        if found == NULL:
            return self._send(topic, value, key, headers, partition, timestamp_ms, on_delivery, -1)
        handle = <Topic> <object> found
        self._last_topic = handle
        self._last_name = topic
    if self._serializes:
        return send_objects(self, handle, value, key, headers, partition, timestamp_ms, on_delivery)
    if (PyBytes_CheckExact(value) and (key is None or PyBytes_CheckExact(key)) and headers is None
            and partition is None and timestamp_ms is None and (on_delivery is None or self._start_delivery is None)):
        return send_bytes(self, handle, value, key, on_delivery)
    return send_anything(self, handle, value, key, headers, partition, timestamp_ms, on_delivery)


cdef inline void begin(pkf_append *append, Topic handle, RecordFuture future) noexcept:
    append.topic = handle.c
    append.slot = &future.slot
    append.headers = NULL
    append.header_count = 0
    append.callback = NULL
    append.slab = NULL
    append.expected = 0
    append.wake = False
    append.unbudgeted = False
    append.fetched = False


cdef inline void end(pkf_accum *accum, pkf_append *append) noexcept:
    """Give back what was not used, and wake the wire thread if it has something to do."""
    if append.slab != NULL and not pkf_accum_forked(accum):
        pkf_pool_release(accum.pool, append.slab)
    if append.wake and not pkf_accum_forked(accum):
        pkf_accum_wake(accum)


cdef object send_bytes(ProducerBase self, Topic handle, value, key, on_delivery):
    """The usual record: bytes, and nothing that could be wrong. No exception can arise between begin() and end()."""
    cdef pkf_append append
    cdef pkf_accum *accum = self._accumulator.c
    append.value.base = <const uint8_t *> PyBytes_AS_STRING(value)
    append.value.len = <size_t> PyBytes_GET_SIZE(value)
    append.key.base = NULL
    append.key.len = 0
    append.partition = -1
    if key is not None:
        append.key.base = <const uint8_t *> PyBytes_AS_STRING(key)
        append.key.len = <size_t> PyBytes_GET_SIZE(key)
        append.partition = pkf_topic_approach(handle.c, &append.key, append.value.len)
    cdef RecordFuture future = new_future()
    if on_delivery is not None:
        prepare_callback(self, on_delivery)
    begin(&append, handle, future)
    append.fetched = append.partition >= 0
    append.timestamp = pkf_ms_clock_read(&self._clock)
    if on_delivery is not None:
        take_callback(&append, on_delivery)
    cdef int status = append_now(accum, &append)
    end(accum, &append)
    if status == PKF_OK:
        if on_delivery is None:
            expect_look(future)
        return future
    drop_callback(&append)
    if status == PKF_NEED_METADATA:
        append.partition = -1  # the key decides anew when the number of partitions is known
    if self._serializes:
        return self._send_serialized(handle.name, value, key, on_delivery, append.partition)
    return self._send(handle.name, value, key, None, None, None, on_delivery, append.partition)


cdef object send_anything(
    ProducerBase self, Topic handle, value, key, headers, partition, timestamp_ms, on_delivery,
):
    cdef int32_t chosen = -1
    # What follows may run Python, in which the caller may let go of them.
    _value, _key, _headers, _callback = value, key, headers, on_delivery
    if on_delivery is not None:
        prepare_callback(self, on_delivery)
    outcome = append_record(
        self, handle, value, key, headers, partition, timestamp_ms, on_delivery, on_delivery is not None, -1.0, &chosen)
    if type(outcome) is RecordFuture:
        return outcome
    if self._serializes:
        return self._send_serialized(handle.name, value, key, on_delivery, chosen)
    return self._send(handle.name, value, key, headers, partition, timestamp_ms, on_delivery, chosen)


cdef object send_objects(
    ProducerBase self, Topic handle, value, key, headers, partition, timestamp_ms, on_delivery,
):
    """What serializers turn into bytes, each called once and not before the topic is known: key, then value."""
    if (headers is not None or partition is not None or timestamp_ms is not None or handle.c.partition_count == 0
            or (on_delivery is not None and not PyCallable_Check(on_delivery))):
        return self._send(handle.name, value, key, headers, partition, timestamp_ms, on_delivery, -1)
    _value, _key, _callback = value, key, on_delivery  # as in send_anything()
    serialized_key, serialized_value = key, value
    if self._serialize_key is not None:
        try:
            serialized_key = self._serialize_key(key)
        except BaseException as error:
            return self._not_serialized(handle.name, value, key, "key", error)
    if self._serialize_value is not None:
        try:
            serialized_value = self._serialize_value(value)
        except BaseException as error:
            return self._not_serialized(handle.name, value, key, "value", error)
    check_not_forked(handle.accumulator)
    if PyBytes_CheckExact(serialized_value) and (serialized_key is None or PyBytes_CheckExact(serialized_key)):
        return send_bytes(self, handle, serialized_value, serialized_key, on_delivery)
    return send_anything(self, handle, serialized_value, serialized_key, None, None, None, on_delivery)


cdef int prepare_callback(ProducerBase self, on_delivery) except -1:
    if not PyCallable_Check(on_delivery):
        raise TypeError(f"on_delivery must be callable, not {type(on_delivery).__name__}")
    if self._start_delivery is not None:
        self._start_delivery()
        self._start_delivery = None
    return 0


cdef object append_record(
    ProducerBase self, Topic handle, value, key, headers, partition, timestamp_ms, on_delivery, bint notify,
    double deadline, int32_t *chosen,
):
    """One record: a RecordFuture, or the status that Python must act on. A negative deadline: do not wait."""
    cdef Gathered g
    cdef int status
    cdef pkf_accum *accum = self._accumulator.c
    cdef RecordFuture future = new_future()
    if value is None and key is None:
        raise ValueError("Need at least one: key or value")
    g.headers = NULL
    g.key_viewed = g.value_viewed = False
    begin(&g.append, handle, future)
    try:
        g.append.partition = (
            -1 if partition is None else <int32_t> gather_number(partition, "partition", PARTITION_LAST))
        g.append.timestamp = (
            pkf_ms_clock_read(&self._clock) if timestamp_ms is None
            else gather_number(timestamp_ms, "timestamp_ms", TIMESTAMP_LAST))
        gather_bytes(key, "key", &g.append.key, &g.key_view, &g.key_viewed)
        gather_bytes(value, "value", &g.append.value, &g.value_view, &g.value_viewed)
        if headers is not None:
            pairs = pairs_of(headers)
            gather_headers(pairs, &g)
        if notify:
            take_callback(&g.append, on_delivery)
            g.append.unbudgeted = deadline >= 0 and <uint64_t> PyThread_get_thread_ident() == accum.delivery_thread
        status = append_now(accum, &g.append) if deadline < 0 else append_patiently(accum, &g.append, deadline)
    except BaseException:
        drop_callback(&g.append)
        raise
    finally:
        end(accum, &g.append)
        let_go(&g)
    if status == PKF_OK:
        if on_delivery is None:
            expect_look(future)
        return future
    drop_callback(&g.append)
    chosen[0] = g.append.partition
    return status


cdef inline void take_callback(pkf_append *append, object callback) noexcept:
    Py_INCREF(callback)
    append.callback = <void *> callback


cdef inline void drop_callback(pkf_append *append) noexcept:
    if append.callback == NULL:
        return
    Py_DECREF(<object> append.callback)
    append.callback = NULL


# ---- how send() is entered ------------------------------------------------------------------------------------------

cdef tuple _send_parameters = tuple(
    sys.intern(name) for name in ("topic", "value", "key", "headers", "partition", "timestamp_ms", "on_delivery"))
cdef bytes _send_doc = (
    "send($self, topic, value=None, key=None, headers=None, partition=None, timestamp_ms=None, *, on_delivery=None)\n"
    f"--\n\n{ProducerBase.send.__doc__}").encode()
cdef PyMethodDef _send_method
cdef object _send_as_declared  # the def in the class: for calls that are wrong
ctypedef object (*SendBorrowed)(
    PyObject *, PyObject *, PyObject *, PyObject *, PyObject *, PyObject *, PyObject *, PyObject *)


cdef object enter_send(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names):
    cdef PyObject *given[7]
    if not take_arguments(given, _send_parameters, 6, args, count, names):
        return call_anyhow(_send_as_declared, self, args, count, names)
    return (<SendBorrowed> send_record)(self, given[0], given[1], given[2], given[3], given[4], given[5], given[6])


_send_method.ml_name = b"send"
_send_method.ml_meth = <PyCFunction> <void *> <Entry> enter_send
_send_method.ml_flags = METH_FASTCALL | METH_KEYWORDS
_send_method.ml_doc = _send_doc
_send_as_declared = replace_method(ProducerBase, &_send_method)
