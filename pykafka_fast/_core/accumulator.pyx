# SPDX-License-Identifier: Apache-2.0
"""Door to the record accumulator (csrc/pkf_accum.h)."""

from cpython.pythread cimport PyThread_get_thread_ident
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t, uintptr_t
from libc.stdlib cimport free, malloc

from pykafka_fast._core.csrc cimport (
    PKF_DONE,
    PKF_E_TIMEOUT,
    PKF_NONE,
    pkf_accum,
    pkf_accum_close,
    pkf_accum_close_delivery,
    pkf_accum_config,
    pkf_accum_delivered,
    pkf_accum_end_owing,
    pkf_accum_force,
    pkf_accum_forked,
    pkf_accum_hurry,
    pkf_accum_live,
    pkf_accum_new,
    pkf_accum_orphan,
    pkf_accum_pushed,
    pkf_accum_take_listeners,
    pkf_accum_unref,
    pkf_accum_wait_batch,
    pkf_accum_wait_delivered,
    pkf_accum_wait_done,
    pkf_batch,
    pkf_batch_fork,
    pkf_batch_state,
    pkf_batch_unref,
    pkf_cookie,
    pkf_listener,
    pkf_pool_get_stats,
    pkf_pool_stats,
    pkf_record_upper_bound,
    pkf_span,
    pkf_topic_forget,
    pkf_topic_has_room,
    pkf_topic_new,
    pkf_topic_place,
    pkf_topic_set_ceiling,
    pkf_topic_set_codec,
    pkf_topic_set_route,
)
from pykafka_fast._core.gather cimport Gathered, gather_bytes, gather_headers, let_go, pairs_of
from pykafka_fast._core.status cimport check
from pykafka_fast._core.waiting cimport between_slices, deadline_after, slice_until
from pykafka_fast.errors import ProducerForkedError
from pykafka_fast.native import Lock

PARTITIONERS = ("sticky", "round_robin", "random")  # in the order of pkf_partitioner

cdef Py_ssize_t MOST_SAID = 10_000  # then it begins anew: whoever sends may make up names of topics


# What was said of failures nobody looked at, as (topic, code), by the address of the accumulator; 0: of closed ones.
cdef dict said = {0: set()}


cdef bint is_news(uintptr_t accum, str topic, int code) except -1:
    """Whether such a failure is to be said; from now on it is not. Once per producer, topic and class of error."""
    known = said.get(accum)
    if known is None:
        known = said[0]
    if (topic, code) in known:
        return False
    if len(known) >= MOST_SAID:
        known.clear()
    known.add((topic, code))
    return True


cdef class Accumulator:
    """Buffers of one producer: topics, partitions, batches, and the pool of memory behind them."""

    def __cinit__(
        self, *, buffer_memory, batch_size, batch_max_size, max_request_size, linger_ms, delivery_timeout_ms,
        partitioner="sticky", ignore_keys=False, adaptive=True, max_callbacks=262_144,
        codec_of=None,
    ):
        cdef pkf_accum_config config
        config.buffer_memory = buffer_memory
        config.batch_size = max(1, batch_size)
        config.batch_max_size = max(1, batch_max_size)
        config.max_request_size = max_request_size
        config.linger_ns = <int64_t> (linger_ms * 1_000_000)
        config.delivery_timeout_ns = <int64_t> (delivery_timeout_ms * 1_000_000)
        config.partitioner = PARTITIONERS.index(partitioner)
        config.ignore_keys = ignore_keys
        config.adaptive = adaptive
        config.max_cookies = max_callbacks
        config.codec = PKF_NONE
        config.codec_level = 0
        self.c = pkf_accum_new(&config)
        if self.c == NULL:
            raise MemoryError("no memory, or no file descriptor left, for a new producer")
        said[<uintptr_t> self.c] = set()
        self.by_name = {}
        self.codec_of = codec_of
        self.lock = Lock()

    def __dealloc__(self):
        if self.c != NULL:
            drop_undelivered(self.c)
            pkf_accum_end_owing(self.c)
            said.pop(<uintptr_t> self.c, None)
            pkf_accum_unref(self.c)

    def topic(self, str name not None):
        """The handle of a topic, made on first use."""
        found = self.by_name.get(name)
        if found is not None:
            return found
        encoded = name.encode("utf-8")
        codec, level = (PKF_NONE, 0) if self.codec_of is None else self.codec_of(name)
        cdef Topic new = Topic.__new__(Topic)
        new.accumulator = self
        new.name = name
        with self.lock:  # nothing in here runs a signal handler or a finalizer: they may be in need of a topic, too
            found = self.by_name.get(name)
            if found is None:
                new.c = pkf_topic_new(self.c, <const char *> encoded, len(encoded))
                if new.c == NULL:
                    raise MemoryError
                pkf_topic_set_codec(new.c, codec, level)
                self.by_name[name] = found = new
        return found

    def known_topic(self, str name not None):
        """The handle of a topic, None if nobody has made it."""
        return self.by_name.get(name)

    def topics(self):
        """Names of the topics with a handle."""
        return list(self.by_name)

    def set_sender(self, uint64_t ident):
        """The sender's thread, 0 when there is none: on it get() does not wait."""
        self.c.sender_thread = ident

    def flush(self, timeout):
        """As wait_live(), and everything is sendable meanwhile."""
        pkf_accum_force(self.c, 1)
        try:
            return self.wait_live(timeout)
        finally:
            if not pkf_accum_forked(self.c):
                pkf_accum_force(self.c, -1)

    def wait_live(self, timeout):
        """Wait for all that is not done at this moment, callbacks included; False when the time (seconds) ran out."""
        cdef size_t count = 0, i
        cdef double deadline = deadline_after(timeout)
        cdef pkf_batch **live = live_batches(self.c, &count)
        cdef uint64_t pushed = pkf_accum_pushed(self.c)  # after the look at what is live: see pkf_accum_complete()
        delivered = <uint64_t> PyThread_get_thread_ident() != self.c.delivery_thread
        done = True
        try:
            for i in range(count):
                pkf_accum_hurry(self.c, live[i])
            for i in range(count):
                done = wait_tree(self.c, live[i], delivered, deadline)
                if not done:
                    break
        finally:
            for i in range(count):
                pkf_batch_unref(live[i])
            free(live)
        return done and (not delivered or wait_delivered(self.c, pushed, deadline))

    def last_used_ns(self, str name not None):
        """When a batch of the topic was last sent, in monotonic nanoseconds; None if never."""
        topic = self.by_name.get(name)
        return (<Topic> topic).c.last_used_ns or None if topic is not None else None

    def allow_headers(self, bint allowed):
        """Whether every broker that is known takes record headers; while not, appends with headers are refused."""
        self.c.no_headers = not allowed

    def close_delivery(self):
        """Let the delivery thread end once it has delivered what is done."""
        pkf_accum_close_delivery(self.c)

    def close(self):
        """No more appends; who waits for memory is woken and refused."""
        pkf_accum_close(self.c)
        pkf_accum_end_owing(self.c)

    @property
    def is_inherited(self):
        """Whether this process is a child of the one it was made in."""
        return pkf_accum_forked(self.c)

    def orphan(self):
        """In a forked child: leave all to the parent. Futures of its records fail; call nothing else any more."""
        pkf_accum_orphan(self.c)
        Py_INCREF(self)  # never freed here: the parent's threads may have held any lock

    def pool_stats(self):
        """The figures of the pool, by the names of csrc/pkf_slab.h."""
        cdef pkf_pool_stats stats
        pkf_pool_get_stats(self.c.pool, &stats)
        return stats

    def topic_counters(self):
        """Records and bytes by topic."""
        return {name: topic_counters(<Topic> topic) for name, topic in list(self.by_name.items())}

    def pending_callbacks(self):
        """Callbacks that wait to be run."""
        return self.c.cookies

    def callbacks_full(self):
        """So many callbacks wait that send() waits too."""
        return self.c.cookies >= self.c.config.max_cookies

    def lost(self):
        """Records by topic that are not done."""
        cdef size_t count = 0, i
        cdef pkf_batch **live = live_batches(self.c, &count)
        records = {}
        for i in range(count):
            if not pkf_batch_state(live[i]) & PKF_DONE:  # else it was published a moment ago and is about to go
                name = live[i].partition.topic.name.decode("utf-8", "replace")
                records[name] = records.get(name, 0) + live[i].count
            pkf_batch_unref(live[i])
        free(live)
        return records


cdef object drop_undelivered(pkf_accum *accum):
    """Nobody is left to deliver: let go of the callbacks of what is done. A batch on the list holds all of them."""
    cdef pkf_batch *batch = NULL
    cdef pkf_batch *following
    if pkf_accum_wait_done(accum, 0, &batch) != 0:
        return None
    while batch != NULL:
        following = batch.completed_next
        drop_callbacks(accum, batch)
        batch = following


cdef object drop_callbacks(pkf_accum *accum, pkf_batch *batch):
    cdef uint32_t count = batch.cookie_count, i
    cdef pkf_cookie *cookies = batch.cookies
    cdef pkf_listener *listener
    cdef pkf_listener *following
    batch.cookies = NULL
    batch.cookie_count = 0
    for i in range(count):
        Py_DECREF(<object> cookies[i].callback)
    free(cookies)
    listener = pkf_accum_take_listeners(accum, batch)
    while listener != NULL:
        following = listener.next
        Py_DECREF(<object> listener.object)
        free(listener)
        listener = following if following != NULL else pkf_accum_take_listeners(accum, batch)
    pkf_accum_delivered(accum, batch, count)


cdef pkf_batch **live_batches(pkf_accum *accum, size_t *count) except? NULL:
    cdef pkf_batch **live = pkf_accum_live(accum, count)
    if live == NULL and count[0] > 0:
        raise MemoryError  # a flush must not take "no memory to look" for "nothing to wait for"
    return live


cdef int serve_signals(pkf_accum *accum, int status) except -1:
    """Between two slices of a wait. A handler may have forked: in the child nothing of this will ever come."""
    between_slices(status)
    if pkf_accum_forked(accum):
        raise ProducerForkedError("the process was forked during this call; the records are those of its parent")
    return 0


cdef bint wait_delivered(pkf_accum *accum, uint64_t pushed, double deadline) except -1:
    """Wait for the callbacks of batches that were done before the wait began."""
    cdef int64_t slice_ns = 1
    cdef int status = PKF_E_TIMEOUT
    while status == PKF_E_TIMEOUT and slice_ns != 0:
        slice_ns = slice_until(deadline)
        with nogil:
            status = pkf_accum_wait_delivered(accum, pushed, slice_ns)
        serve_signals(accum, status)
    return status == 0


cdef bint wait_tree(pkf_accum *accum, pkf_batch *batch, bint delivered, double deadline) except -1:
    """Wait for a batch and, after a split, for its pieces."""
    cdef int64_t slice_ns = 1
    cdef int status = PKF_E_TIMEOUT
    cdef int32_t i
    while status == PKF_E_TIMEOUT and slice_ns != 0:
        slice_ns = slice_until(deadline)
        with nogil:
            status = pkf_accum_wait_batch(accum, batch, delivered, slice_ns)
        serve_signals(accum, status)
    if status != 0:
        return False
    for i in range(batch.fork_count):
        if not wait_tree(accum, pkf_batch_fork(batch, i), delivered, deadline):
            return False
    return True


cdef dict topic_counters(Topic topic):
    return {
        "records_sent": topic.c.counters.records_sent,
        "bytes_sent": topic.c.counters.bytes_sent,
        "records_retried": topic.c.counters.records_retried,
        "records_failed": topic.c.counters.records_failed,
        "raw_bytes": topic.c.counters.raw_bytes,
        "packed_bytes": topic.c.counters.packed_bytes,
    }


cdef int check_not_forked(Accumulator accumulator) except -1:
    """By the user's code, in the midst of a send(): in the child a lock of the partition may be held for ever."""
    if pkf_accum_forked(accumulator.c):
        raise ProducerForkedError("the process was forked while this record was being sent; send it again")
    return 0


cdef class Topic:
    """Handle of one topic in one accumulator; only Accumulator.topic() makes them."""

    def __init__(self):
        raise TypeError("topics come from Accumulator.topic()")

    @property
    def partition_count(self):
        """0 while unknown."""
        return self.c.partition_count

    def set_route(self, leaders):
        """Partitions known from now on (one entry each), -1 where no leader is known."""
        cdef Py_ssize_t count = len(leaders), i
        cdef int32_t *array = <int32_t *> malloc(max(1, count) * sizeof(int32_t))
        if array == NULL:
            raise MemoryError
        try:
            for i in range(count):
                array[i] = leaders[i]
            check(pkf_topic_set_route(self.c, <int32_t> count, array))
        finally:
            free(array)

    def place(self, key, value):
        """Where this record goes, which will name its partition when it is appended; -1 while the topic is unknown."""
        cdef Gathered g
        cdef pkf_span key_span, value_span
        g.headers = NULL
        g.key_viewed = g.value_viewed = False
        try:
            gather_bytes(key, "key", &key_span, &g.key_view, &g.key_viewed)
            gather_bytes(value, "value", &value_span, &g.value_view, &g.value_viewed)
            check_not_forked(self.accumulator)
            return pkf_topic_place(self.c, &key_span, key_span.len + value_span.len)
        finally:
            let_go(&g)

    def has_room(self, int32_t partition, value, headers):
        """Whether a record without a key would join a batch there, rather than begin one."""
        cdef Gathered g
        cdef uint64_t size
        cdef bint has_room
        g.headers = NULL
        g.key_viewed = g.value_viewed = False
        g.append.key.base = NULL
        g.append.header_count = 0
        try:
            gather_bytes(value, "value", &g.append.value, &g.value_view, &g.value_viewed)
            pairs = pairs_of(headers)
            gather_headers(pairs, &g)
            size = pkf_record_upper_bound(&g.append.key, &g.append.value, g.headers, g.append.header_count)
        finally:
            let_go(&g)
        check_not_forked(self.accumulator)
        with nogil:  # it waits for the partition's lock
            has_room = pkf_topic_has_room(self.c, partition, size)
        return has_room

    def set_batch_ceiling(self, size):
        """Bytes a batch of this topic may have: lowered after MESSAGE_TOO_LARGE."""
        pkf_topic_set_ceiling(self.c, size)

    def forget(self):
        """The next send waits for metadata."""
        pkf_topic_forget(self.c)
