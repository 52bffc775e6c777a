# SPDX-License-Identifier: Apache-2.0
"""What a caller holds of a record: its future, and what is attached to it.

A future is a (batch, index) pair without anything the garbage collector must know. Nothing is written into it at the
acknowledgement: metadata and exceptions are made from the batch when somebody asks.
"""

import sys
import time
from numbers import Real

cimport cython
from cpython.exc cimport PyErr_Fetch, PyErr_Restore
from cpython.object cimport PyObject, PyTypeObject, destructor
from cpython.pythread cimport PyThread_get_thread_ident
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t, uintptr_t

from pykafka_fast._core.accumulator cimport Accumulator, is_news
from pykafka_fast._core.csrc cimport (
    PKF_CODE_CLOSED_FORCEFULLY, PKF_CODE_FORKED, PKF_DELIVERED, PKF_DONE, PKF_E_CLOSED, PKF_E_TIMEOUT, PKF_OK,
    PKF_UNSEEN, PKF_WANTED,
    pkf_accum,
    pkf_accum_forked,
    pkf_accum_hurry,
    pkf_accum_let_go,
    pkf_accum_listen,
    pkf_accum_post,
    pkf_accum_wait_batch,
    pkf_batch,
    pkf_batch_inherited,
    pkf_batch_leave_unseen,
    pkf_batch_new_failed,
    pkf_batch_state,
    pkf_slot,
)
from pykafka_fast._core.metadata cimport (
    batch_of,
    metadata_of,
    settled_at,
    slot_done,
    slot_exception,
    slot_failed,
    slot_partition,
    slot_topic,
    undecided_at,
)
from pykafka_fast._core.outside cimport complain, unraisable, wake_loop
from pykafka_fast._core.status cimport check
from pykafka_fast._core.waiting cimport between_slices, deadline_after, slice_until
from pykafka_fast.errors import KafkaTimeoutError, RetriableError, exception_for
from pykafka_fast.log import get_logger
from pykafka_fast.types import TopicPartition

logger = get_logger("pykafka_fast.delivery")

cdef object is_finalizing = sys.is_finalizing  # futures may outlive the names of this module


# Who starts a producer's delivery thread, by the address of its accumulator: futures know no more than that.
cdef dict starters = {}


def set_starter(Accumulator accumulator not None, start):
    """Call `start` whenever something is attached to a record of this accumulator."""
    starters[<uintptr_t> accumulator.c] = start


def forget_starter(Accumulator accumulator not None):
    """The opposite of set_starter()."""
    starters.pop(<uintptr_t> accumulator.c, None)


# ---- futures --------------------------------------------------------------------------------------------------------

cdef RecordFuture new_future():
    return RecordFuture.__new__(RecordFuture)


def failed_future(
    str topic not None, int32_t partition, int32_t code, str message, bint in_doubt=False, Accumulator unseen_of=None,
):
    """A future that has failed from birth: nothing was appended. partition -1 when none was chosen.

    unseen_of: whose failure it is, which is told to the log if nobody looks.
    """
    encoded = topic.replace("\0", "\\0").encode("utf-8", "backslashreplace")
    text = message.encode("utf-8", "replace")
    cdef RecordFuture future = new_future()
    future.slot.batch = pkf_batch_new_failed(
        <const char *> encoded, len(encoded), partition, code, <const char *> text, in_doubt)
    if future.slot.batch == NULL:
        raise MemoryError
    if unseen_of is not None:
        expect_look(future)
        future.slot.batch.refused_by = <uintptr_t> unseen_of.c
    future.slot.timestamp = -1
    future.slot.key_size = future.slot.value_size = future.slot.header_size = -1
    return future


def metadata_without_offset(RecordFuture future not None):
    """What a callback is told of a record that failed: topic and partition."""
    return metadata_of(&future.slot)


@cython.final
@cython.freelist(8192)
cdef class RecordFuture:
    """The outcome of one send(): pending, then a RecordMetadata or an exception.

    Methods and attributes are those of kafka-python's FutureRecordMetadata; it can be awaited in asyncio too.
    """

    def __init__(self):
        raise TypeError("futures come from send()")

    @property
    def is_done(self):
        """Whether the outcome is known."""
        return slot_done(&self.slot)

    @property
    def value(self):
        """The RecordMetadata once delivered, else None."""
        return metadata_of(&self.slot) if slot_done(&self.slot) and not slot_failed(&self.slot) else None

    @property
    def exception(self):
        """The exception once failed, else None. Every look makes a new one."""
        look(self)
        return slot_exception(&self.slot)

    @property
    def _refused(self):
        """It failed before anything was appended."""
        return self.slot.batch.accum == NULL

    def succeeded(self):
        """Done, and delivered."""
        look(self)
        return slot_done(&self.slot) and not slot_failed(&self.slot)

    def failed(self):
        """Done, and not delivered."""
        look(self)
        return slot_failed(&self.slot)

    def retriable(self):
        """Failed with an error that is `retriable`: the same request, sent again as it was, may succeed."""
        look(self)
        return isinstance(slot_exception(&self.slot), RetriableError)

    def get(self, timeout=None):
        """Wait for the outcome; its batch does not linger meanwhile.

        timeout: seconds, None without end, 0 or less for a look. Returns RecordMetadata; raises the delivery's
        exception, or KafkaTimeoutError, which does not affect the record. Returns after its callbacks have run.
        ValueError: NaN.
        """
        if not wait_slot(&self.slot, timeout):
            raise KafkaTimeoutError(f"Timeout after waiting for {timeout} secs.")
        look(self)
        if slot_failed(&self.slot):
            raise slot_exception(&self.slot)
        return metadata_of(&self.slot)

    def add_callback(self, f, *args, **kwargs):
        """Call f(*args, metadata, **kwargs) when delivered; at once if that is so already. Returns self."""
        return listen(self, Listener(CALLBACK, self, f, args, kwargs))

    def add_errback(self, f, *args, **kwargs):
        """Call f(*args, exception, **kwargs) when failed; at once if that is so already. Returns self."""
        return listen(self, Listener(ERRBACK, self, f, args, kwargs))

    def add_both(self, f, *args, **kwargs):
        """Call f(*args, metadata or exception, **kwargs) when done. Returns self."""
        return listen(self, Listener(BOTH, self, f, args, kwargs))

    def chain(self, other):
        """Pass the outcome on to another future with success() and failure(). Returns self."""
        return self.add_callback(other.success).add_errback(other.failure)

    @property
    def _produce_future(self):  # tracers read _produce_future.topic_partition right after send()
        return self

    @property
    def topic_partition(self):
        """Where the record was put; partition -1 if it failed before one was chosen."""
        return TopicPartition(slot_topic(&self.slot), slot_partition(&self.slot))

    def __await__(self):
        return awaited(self).__await__()

    def __reduce__(self):
        raise TypeError("a RecordFuture cannot be pickled or copied: hand on what its get() returns")

    def __repr__(self):
        state = "failed" if slot_failed(&self.slot) else "done" if slot_done(&self.slot) else "pending"
        return f"<RecordFuture {slot_topic(&self.slot)}-{slot_partition(&self.slot)} {state}>"


# ---- the end of a future --------------------------------------------------------------------------------------------

cdef void end_future(PyObject *future) noexcept:
    """Instead of a __dealloc__, around which an exception would be saved and restored for every record sent."""
    cdef pkf_slot *slot = &(<RecordFuture> future).slot
    cdef uint32_t state
    if slot.batch != NULL:
        state = pkf_batch_state(slot.batch)
        # Most futures go at once, and an earlier one of the batch has said so already.
        if slot.index < 0 and state & (PKF_DONE | PKF_UNSEEN) != PKF_UNSEEN:
            leave_unseen(slot)
        pkf_accum_let_go(slot.batch, state)
        slot.batch = NULL
    free_future(future)


cdef destructor free_future = (<PyTypeObject *> RecordFuture).tp_dealloc
(<PyTypeObject *> RecordFuture).tp_dealloc = end_future


# ---- failures nobody looked at --------------------------------------------------------------------------------------

cdef inline void look(RecordFuture future) noexcept:
    """Somebody asks for the outcome; if there is one, he knows it now."""
    if future.slot.index < 0 and slot_done(&future.slot):
        no_look(future)


cdef inline void no_look(RecordFuture future) noexcept:
    future.slot.index &= 0x7fffffff


cdef void leave_unseen(const pkf_slot *slot) noexcept:
    """The future goes and nobody has looked. Before the outcome: the wire will say it, should it be a failure."""
    cdef int32_t index
    cdef pkf_batch *batch
    if pkf_batch_inherited(slot.batch):
        return
    while True:
        batch = settled_at(slot, &index)
        if not pkf_batch_leave_unseen(batch) & PKF_DONE:
            return
        if batch.fork_count == 0:  # else it was split in this moment
            break
    cdef PyObject *kind
    cdef PyObject *error
    cdef PyObject *trace
    if batch.code != 0 and slot_failed(slot):
        PyErr_Fetch(&kind, &error, &trace)  # a future may go while an exception is on its way
        try:
            if not is_finalizing():
                tell_unseen(<uintptr_t> batch.accum or batch.refused_by, slot_topic(slot), batch.code,
                            slot_exception(slot))
        except BaseException as failure:
            unraisable(failure)
        PyErr_Restore(kind, error, trace)


cdef object tell_unseen(uintptr_t accum, str topic, int32_t code, failure):
    if code == PKF_CODE_CLOSED_FORCEFULLY or code == PKF_CODE_FORKED:
        return None  # close() has said how many; the parent process knows what became of its own
    if is_news(accum, topic, code):
        logger.error("A record for topic %r was not delivered and nobody looked at its future: %r. Further failures of "
                     "this kind are not told", topic, failure)


def report_unseen(Accumulator accumulator not None, str topic not None, int32_t code, text, bint in_doubt):
    """Records of the topic failed, and nobody has their futures any more."""
    tell_unseen(<uintptr_t> accumulator.c, topic, code, exception_for(code, text, in_doubt))


cdef bint wait_slot(const pkf_slot *slot, timeout) except -1:
    cdef int32_t index
    cdef int64_t slice_ns
    cdef int status
    cdef bint delivered
    cdef pkf_batch *batch
    cdef pkf_accum *accum = batch_of(slot).accum
    cdef double deadline = check_timeout(timeout)
    if accum == NULL:
        return True
    delivered = <uint64_t> PyThread_get_thread_ident() != accum.delivery_thread
    while True:
        batch = settled_at(slot, &index)
        if pkf_batch_state(batch) & PKF_DONE and not (delivered and undelivered(batch)):
            return True
        pkf_accum_hurry(accum, batch)
        check_thread(accum)
        slice_ns = slice_until(deadline)
        with nogil:
            status = pkf_accum_wait_batch(accum, batch, delivered, slice_ns)
        between_slices(status)
        if status == PKF_E_TIMEOUT and deadline >= 0 and <double> time.monotonic() >= deadline:
            return False


cdef int check_thread(pkf_accum *accum) except -1:
    """The sender cannot wait for itself."""
    if <uint64_t> PyThread_get_thread_ident() == accum.sender_thread:
        raise KafkaTimeoutError("get() cannot wait on the producer's own thread, on which the garbage collector runs a "
                                "finalizer that calls it")
    return 0


cdef double check_timeout(timeout) except? -1:
    """When a wait of so many seconds from now ends, in monotonic time; -1: never."""
    if timeout is None:
        return -1
    if not isinstance(timeout, (int, float, Real)):
        raise TypeError(f"timeout must be a number of seconds or None, not {type(timeout).__name__}")
    if timeout != timeout:
        raise ValueError(f"timeout={timeout!r} must be a number of seconds")
    return deadline_after(timeout if timeout > 0 else 0)


cdef bint undelivered(const pkf_batch *batch) noexcept:
    cdef uint32_t state = pkf_batch_state(batch)
    return (state & PKF_WANTED) != 0 and (state & PKF_DELIVERED) == 0


# ---- listeners: callbacks attached to a future ----------------------------------------------------------------------

cdef class Listener:
    """A callback, or an awaiting task, and the record it waits for."""

    def __init__(self, kind, future, f, args, kwargs):
        self.kind = kind
        self.future = future
        self.f = f
        self.args = args
        self.kwargs = kwargs

    cdef pkf_batch *attach_to(self) noexcept:
        cdef int32_t index
        return settled_at(&self.future.slot, &index)

    cdef pkf_batch *undecided(self) noexcept:
        return undecided_at(&self.future.slot)

    cdef bint holds_up(self) noexcept:
        return True

    cdef object failure(self):
        return slot_exception(&self.future.slot)

    cdef object metadata(self):
        return metadata_of(&self.future.slot)

    cdef Listener following(self):
        return None


cdef RecordFuture listen(RecordFuture future, Listener listener):
    """Attach, or run now if the record is done and its callbacks have run."""
    if listener.kind != LOOP and not callable(listener.f):
        raise TypeError(f"a callback must be callable, not {type(listener.f).__name__}")
    if listener.kind != CALLBACK:
        no_look(future)
    if not attach(listener):
        run_listener(listener, True)
    return future


cdef bint attach(Listener listener) except -1:
    cdef pkf_batch *batch
    cdef int status
    while True:
        batch = listener.attach_to()
        if batch == NULL or pkf_batch_inherited(batch) or batch.accum == NULL:  # the last: failed from birth
            return False
        start = starters.get(<uintptr_t> batch.accum)
        if start is not None:
            start()
        Py_INCREF(listener)
        status = pkf_accum_listen(batch.accum, batch, <void *> listener)
        if status == 0:
            return True
        Py_DECREF(listener)
        if status != PKF_E_CLOSED:
            check(status)
        if listener.undecided() == NULL:  # else the batch was done in this moment, or split, and another is not
            return False


cdef uint64_t post(Accumulator accumulator, Listener listener) except? 0:
    """Hand it to the delivery thread, behind all that is done: it is called before so many are delivered. 0: never."""
    cdef uint64_t pushed = 0
    start = starters.get(<uintptr_t> accumulator.c)
    if start is None or pkf_accum_forked(accumulator.c):
        return 0
    start()
    Py_INCREF(listener)
    cdef int status = pkf_accum_post(accumulator.c, <void *> listener, &pushed)
    if status == PKF_OK:
        return pushed
    Py_DECREF(listener)
    if status != PKF_E_CLOSED:
        check(status)
    return 0


cdef object run_listener(Listener listener, bint here):
    """here: in a call of the user's, to whom Ctrl-C and sys.exit() go on, once all have run."""
    ending = None
    while listener is not None:
        ended = run_one(listener, here)
        ending = ended if ending is None else ending
        listener = listener.following()
    if ending is not None:
        raise ending


cdef object run_one(Listener listener, bint here):
    """The exception that is the caller's, or None."""
    if listener.kind == LOOP:
        wake_loop(listener.f, [listener.args])
        return None
    try:  # around all of it: somebody may have thrown an exception at this thread, or memory is short
        failure = listener.failure()
        if (listener.kind == CALLBACK and failure is not None) or (listener.kind == ERRBACK and failure is None):
            return None
        outcome = listener.metadata() if failure is None else failure
        listener.f(*listener.args, outcome, **listener.kwargs)
    except BaseException as error:
        if here and not isinstance(error, Exception):
            return error
        complain()
    return None


async def awaited(RecordFuture future):
    """Wait in asyncio: one wake-up of the loop for all that a round of deliveries completed."""
    asyncio = sys.modules["asyncio"]  # whoever awaits has imported it
    no_look(future)
    if not slot_done(&future.slot):
        loop = asyncio.get_running_loop()
        done = loop.create_future()
        listener = Listener(LOOP, future, loop, done, None)
        if attach(<Listener> listener):
            pkf_accum_hurry(future.slot.batch.accum, future.slot.batch)
            await done
    failure = slot_exception(&future.slot)
    if failure is not None:
        raise failure
    return metadata_of(&future.slot)
