# SPDX-License-Identifier: Apache-2.0
"""Door to ranges (csrc/pkf_range.h): the future of all rows of one send_many(), and what is made of it when asked."""

import sys

cimport cython
from cpython.pythread cimport PyThread_get_thread_ident
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t
from libc.stdlib cimport malloc

from pykafka_fast._core.accumulator cimport Accumulator, wait_delivered
from pykafka_fast._core.csrc cimport (
    PKF_DONE, PKF_E_TIMEOUT, PKF_UNSEEN, pkf_accum, pkf_accum_hurry, pkf_accum_wait_batch, pkf_batch,
    pkf_batch_inherited, pkf_batch_orphan, pkf_batch_record_code, pkf_batch_ref, pkf_batch_state, pkf_slot,
)
from pykafka_fast._core.csrc_bulk cimport (
    pkf_place, pkf_range_clear, pkf_range_init, pkf_range_place, pkf_range_reserve, pkf_range_add, pkf_range_run,
    pkf_run, pkf_sizes_at, pkf_sizes_note,
)
from pykafka_fast._core.future cimport (
    BOTH, CALLBACK, ERRBACK, LOOP, Listener, RecordFuture, attach, check_thread, check_timeout, expect_look, new_future,
    post, run_listener, undelivered,
)
from pykafka_fast._core.metadata cimport metadata_of
from pykafka_fast._core.range_outcome import RangeFailures, RangeMetadata
from pykafka_fast._core.status cimport check
from pykafka_fast._core.waiting cimport between_slices, slice_until
from pykafka_fast.errors import KafkaTimeoutError, RetriableError, exception_for


cdef RangeFuture new_range():
    return RangeFuture.__new__(RangeFuture)


def empty_range(int32_t row_count):
    """A range without rows, to which up to row_count records can be added."""
    cdef RangeFuture future = new_range()
    pkf_range_init(&future.c, row_count, -1)
    future.c.timestamps = <int64_t *> malloc(max(1, row_count) * sizeof(int64_t))
    if future.c.timestamps == NULL:
        raise MemoryError
    return future


@cython.final
cdef class RangeFuture:
    """The outcome of one send_many(): pending until every record is done, then their metadata, or what failed.

    Its methods are those of RecordFuture, for all records together; it can be awaited in asyncio too. len() is the
    number of records.
    """

    def __init__(self):
        raise TypeError("ranges come from send_many()")

    def __dealloc__(self):
        if not self.seen:
            leave_unseen(self)
        pkf_range_clear(&self.c)

    def __len__(self):
        return self.c.count

    @property
    def is_done(self):
        """Whether the outcome of every record is known."""
        return pending(self) == NULL

    @property
    def value(self):
        """The RangeMetadata once all are delivered, else None."""
        return RangeMetadata(self) if self.succeeded() else None

    @property
    def exception(self):
        """Once done, the exception of the first record that failed, else None; its attribute `row` is the index."""
        return first_failure(self)

    @property
    def failures(self):
        """What has failed until now: a mapping of index to exception, in order, made when it is asked for."""
        self.seen = self.seen or pending(self) == NULL
        return RangeFailures(self)

    def succeeded(self):
        """Done, and all delivered."""
        return pending(self) == NULL and first_failure(self) is None

    def failed(self):
        """Done, and not all delivered."""
        return first_failure(self) is not None

    def retriable(self):
        """Done, and the first failure is `retriable`: the same request, sent again as it was, may succeed."""
        return isinstance(first_failure(self), RetriableError)

    def get(self, timeout=None):
        """Wait for the outcome of every record; their batches do not linger meanwhile.

        timeout: seconds for all (ValueError: NaN), None without end; a look if 0 or less. Returns, after the records'
        callbacks have run, RangeMetadata, a sequence of RecordMetadata; raises the exception of the first record that
        failed, which knows it as `row` (all of them: `failures`), or KafkaTimeoutError, which does not affect them.
        """
        if not wait_range(self, timeout):
            raise KafkaTimeoutError(f"Timeout after waiting for {timeout} secs.")
        failure = first_failure(self)
        if failure is not None:
            raise failure
        return RangeMetadata(self)

    def add_callback(self, f, *args, **kwargs):
        """Call f(*args, metadata, **kwargs), with RangeMetadata, when all are delivered. Returns self."""
        return listen(self, CALLBACK, f, args, kwargs)

    def add_errback(self, f, *args, **kwargs):
        """Call f(*args, exception, **kwargs), with that of the first that failed, when all are done. Returns self."""
        return listen(self, ERRBACK, f, args, kwargs)

    def add_both(self, f, *args, **kwargs):
        """Call f(*args, RangeMetadata or exception, **kwargs) when all are done. Returns self."""
        return listen(self, BOTH, f, args, kwargs)

    def __await__(self):
        return awaited(self).__await__()

    def __repr__(self):
        state = "pending" if pending(self) != NULL else "done" if next_failed(self, 0) < 0 else "failed"
        return f"<RangeFuture of {self.c.count} records, {state}>"

    def _tell(self, Accumulator accumulator not None, f):
        """As add_both(), but f is always called on the delivery thread, behind all that is due there."""
        cdef RangeListener listener = new_listener(self, BOTH, f, (), {})
        self.seen = True
        if not attach(listener):
            listener.accumulator = accumulator
            listener.posted = post(accumulator, listener)
            if listener.posted == 0:
                run_listener(listener, True)
                return
        self.last = listener  # not before: one that an interrupt kept from being attached would hold up all others

    def _append(self, append, *args):
        """Call append(*args) and add the record, if it was appended, before a signal can be served."""
        outcome = append(*args)
        if type(outcome) is RecordFuture:
            self._add(outcome)
        return outcome

    def _add(self, RecordFuture future not None):
        """One more row: the record of this future, which was sent by itself."""
        cdef pkf_slot *slot = &future.slot
        cdef int32_t row = self.c.count
        check(pkf_range_reserve(&self.c))
        check(pkf_sizes_note(&self.c.key_sizes, self.c.row_count, row, slot.key_size))
        check(pkf_sizes_note(&self.c.value_sizes, self.c.row_count, row, slot.value_size))
        check(pkf_sizes_note(&self.c.header_sizes, self.c.row_count, row, slot.header_size))
        if self.c.timestamps != NULL:
            self.c.timestamps[row] = slot.timestamp
        slot.index &= 0x7fffffff  # from now on it is looked at here
        if pkf_range_add(&self.c, slot.batch, slot.index, 1):
            pkf_batch_ref(slot.batch)

    def __reduce__(self):
        raise TypeError("a RangeFuture cannot be pickled or copied: hand on list(future.get()), the records' metadata")

    def _metadata(self, int32_t row):
        cdef pkf_slot slot
        cdef const pkf_run *run = pkf_range_run(&self.c, row)
        slot.batch = run.batch
        slot.index = run.first + (row - run.row)
        slot.timestamp = self.c.timestamps[row] if self.c.timestamps != NULL else self.c.timestamp
        slot.key_size = pkf_sizes_at(&self.c.key_sizes, row)
        slot.value_size = pkf_sizes_at(&self.c.value_sizes, row)
        slot.header_size = pkf_sizes_at(&self.c.header_sizes, row)
        return metadata_of(&slot)

    def _next_failed(self, int32_t row):
        return next_failed(self, row)

    def _failure(self, int32_t row):
        return failure_at(self, row, None)

    def _failed_count(self):
        return failed_count(self)


# ---- where rows are -------------------------------------------------------------------------------------------------

cdef void place_at(RangeFuture self, int32_t row, pkf_place *place) noexcept:
    pkf_range_place(&self.c, row, place)
    if pkf_batch_inherited(place.batch):
        pkf_batch_orphan(place.batch)


cdef bint inherited(RangeFuture self) noexcept:
    """This is a child of the process that sent it."""
    return self.c.count and pkf_batch_inherited(pkf_range_run(&self.c, 0).batch)


cdef pkf_batch *pending(RangeFuture self) noexcept:
    """The batch of the first row that is not done; NULL: all are."""
    cdef pkf_place place
    while self.settled < self.c.count:
        place_at(self, self.settled, &place)
        if not pkf_batch_state(place.batch) & PKF_DONE:
            return place.batch
        self.settled += place.count
    return NULL


cdef int32_t next_failed(RangeFuture self, int32_t row) noexcept:
    """The first row from `row` on that has failed, or -1."""
    cdef pkf_place place
    while row < self.c.count:
        place_at(self, row, &place)
        if pkf_batch_state(place.batch) & PKF_DONE and place.batch.code != 0:
            return row
        row += place.count
    return -1


cdef int32_t failed_count(RangeFuture self) noexcept:
    cdef pkf_place place
    cdef int32_t row = 0, count = 0
    while row < self.c.count:
        place_at(self, row, &place)
        if pkf_batch_state(place.batch) & PKF_DONE and place.batch.code != 0:
            count += place.count
        row += place.count
    return count


cdef object failure_at(RangeFuture self, int32_t row, str prefix):
    """A new exception for a row that failed; None for one that did not, or not yet."""
    cdef pkf_place place
    cdef const char *message = NULL
    place_at(self, row, &place)
    if not pkf_batch_state(place.batch) & PKF_DONE or place.batch.code == 0:
        return None
    cdef int32_t code = pkf_batch_record_code(place.batch, place.index, &message)
    text = message.decode("utf-8", "replace") if message != NULL else None
    if prefix is not None:
        text = prefix if text is None else f"{prefix}: {text}"
    failure = exception_for(code, text, place.batch.in_doubt)
    failure.row = row
    return failure


cdef object first_failure(RangeFuture self):
    """Once all are done."""
    if pending(self) != NULL:
        return None
    self.seen = True
    cdef int32_t row = next_failed(self, 0)
    if row < 0:
        return None
    return failure_at(self, row, f"{failed_count(self)} of {self.c.count} records failed, first of them row {row}")


# ---- waiting --------------------------------------------------------------------------------------------------------

cdef void hurry_all(RangeFuture self) noexcept:
    cdef pkf_place place
    cdef int32_t row = self.settled
    while row < self.c.count:
        place_at(self, row, &place)
        if place.batch.accum != NULL:
            pkf_accum_hurry(place.batch.accum, place.batch)
        row += place.count


cdef bint wait_range(RangeFuture self, timeout) except -1:
    cdef pkf_place place
    cdef int32_t row = 0
    cdef double deadline = check_timeout(timeout)
    pending(self)
    hurry_all(self)
    while row < self.c.count:
        place_at(self, row, &place)
        if place.batch.accum != NULL and not wait_place(place.batch, deadline):
            return False
        if place.batch.fork_count == 0:  # else it was split meanwhile
            row += place.count
    cdef RangeListener last = self.last
    if last is None or last.posted == 0 or <uint64_t> PyThread_get_thread_ident() == last.accumulator.c.delivery_thread:
        return True
    check_thread(last.accumulator.c)
    return wait_delivered(last.accumulator.c, last.posted, deadline)


cdef bint wait_place(pkf_batch *batch, double deadline) except -1:
    """Wait for one batch, and for its callbacks unless this is the thread that runs them."""
    cdef pkf_accum *accum = batch.accum
    cdef bint delivered = <uint64_t> PyThread_get_thread_ident() != accum.delivery_thread
    cdef int64_t slice_ns
    cdef int status = PKF_E_TIMEOUT
    while not pkf_batch_state(batch) & PKF_DONE or (delivered and undelivered(batch)):
        if pkf_batch_inherited(batch):
            pkf_batch_orphan(batch)
            return True
        pkf_accum_hurry(accum, batch)
        check_thread(accum)
        slice_ns = slice_until(deadline)
        with nogil:
            status = pkf_accum_wait_batch(accum, batch, delivered, slice_ns)
        between_slices(status)
        if status == PKF_E_TIMEOUT and slice_ns == 0:
            return False
    return True


# ---- callbacks ------------------------------------------------------------------------------------------------------

cdef class RangeListener(Listener):
    """A callback, or an awaiting task, that waits for one batch of the range after the other."""

    cdef RangeFuture range
    cdef RangeListener after  # added while this one waited: callbacks run in the order in which they were added
    cdef Accumulator accumulator
    cdef uint64_t posted      # 0, or run before the accumulator has delivered so many: this, or that for which it waits

    cdef pkf_batch *attach_to(self) noexcept:
        cdef pkf_place place
        cdef pkf_batch *batch = pending(self.range)
        if batch != NULL or self.range.c.count == 0:
            return batch
        place_at(self.range, self.range.c.count - 1, &place)
        return place.batch

    cdef pkf_batch *undecided(self) noexcept:
        return pending(self.range)

    cdef bint holds_up(self) noexcept:
        return False

    cdef object failure(self):
        return first_failure(self.range)

    cdef object metadata(self):
        return RangeMetadata(self.range)

    cdef Listener following(self):
        if self.range.last is self:
            self.range.last = None
        after, self.after = self.after, None
        return None if inherited(self.range) else after  # in a child nothing is to be delivered


cdef RangeListener new_listener(RangeFuture range, int kind, f, args, kwargs):
    cdef RangeListener listener = RangeListener(kind, None, f, args, kwargs)
    listener.range = range
    return listener


cdef RangeFuture listen(RangeFuture self, int kind, f, args, kwargs):
    if not callable(f):
        raise TypeError(f"a callback must be callable, not {type(f).__name__}")
    if kind != CALLBACK:
        self.seen = True
    cdef RangeListener previous = self.last, listener = new_listener(self, kind, f, args, kwargs)
    if previous is not None and outstanding(self, previous):
        previous.after = self.last = listener
        listener.accumulator, listener.posted = previous.accumulator, previous.posted
    elif attach(listener):
        self.last = listener
    else:
        run_listener(listener, True)
    return self


cdef bint outstanding(RangeFuture self, RangeListener last) noexcept:
    """Callbacks may wait to be run, or run just now."""
    cdef pkf_place place
    cdef int32_t row = 0
    if pending(self) != NULL or (last.posted and not inherited(self)):
        return True
    while row < self.c.count:
        place_at(self, row, &place)
        if undelivered(place.batch) and not pkf_batch_inherited(place.batch):
            return True
        row += place.count
    return False


async def awaited(RangeFuture range):
    """Wait in asyncio for all records."""
    asyncio = sys.modules["asyncio"]  # whoever awaits has imported it
    range.seen = True
    if pending(range) != NULL:
        loop = asyncio.get_running_loop()
        done = loop.create_future()
        if attach(new_listener(range, LOOP, loop, done, None)):
            hurry_all(range)
            await done
    failure = first_failure(range)
    if failure is not None:
        raise failure
    return RangeMetadata(range)


# ---- failures nobody looked at --------------------------------------------------------------------------------------

cdef object leave_unseen(RangeFuture self):
    """The range goes and nobody has looked: whoever learns of a failure of one of its batches is to tell the log."""
    cdef pkf_batch *batch
    cdef uint32_t state
    cdef int32_t i, end
    for i in range(self.c.run_count):
        batch = self.c.runs[i].batch
        state = pkf_batch_state(batch)
        if state & PKF_UNSEEN or (state & PKF_DONE and batch.code == 0 and batch.fork_count == 0):
            continue
        end = self.c.runs[i + 1].row if i + 1 < self.c.run_count else self.c.count
        leave_rows_unseen(self, self.c.runs[i].row, end)


cdef object leave_rows_unseen(RangeFuture self, int32_t row, int32_t end):
    """As with single records, one of each batch in which they are now."""
    cdef pkf_place place
    cdef RecordFuture future
    while row < end:
        pkf_range_place(&self.c, row, &place)
        row += place.count
        future = new_future()
        future.slot.batch = place.batch
        future.slot.index = place.index
        pkf_batch_ref(place.batch)
        expect_look(future)
        future = None  # which does what is to be done
