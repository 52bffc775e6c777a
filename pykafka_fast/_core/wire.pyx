# SPDX-License-Identifier: Apache-2.0
"""Door to the wire thread (csrc/pkf_round.h): start it, read its events, give it commands."""

from enum import IntEnum

from cpython.ref cimport Py_INCREF
from libc.stdint cimport int32_t
from libc.stdlib cimport calloc, malloc
from libc.string cimport memcpy, strdup, strncpy

from pykafka_fast._core.accumulator cimport Accumulator, Topic
from pykafka_fast._core.csrc cimport (
    PKF_COMMAND_ABORT,
    PKF_COMMAND_CLOSE,
    PKF_COMMAND_COMPLETE,
    PKF_COMMAND_CONNECT,
    PKF_COMMAND_EXPLAIN,
    PKF_COMMAND_FAIL,
    PKF_COMMAND_FORGET,
    PKF_COMMAND_LEADER,
    PKF_COMMAND_LEADERS,
    PKF_COMMAND_PLAIN,
    PKF_COMMAND_PRODUCER,
    PKF_COMMAND_REQUEUE,
    PKF_COMMAND_RESTART,
    PKF_COMMAND_SPLIT,
    PKF_COMMAND_STOP,
    PKF_COMMAND_THROTTLE,
    PKF_NEVER,
    pkf_accum_wake,
    pkf_batch,
    pkf_batch_ref,
    pkf_batch_unref,
    pkf_command,
    pkf_command_kind,
    pkf_command_new,
    pkf_event,
    pkf_event_free,
    pkf_events_take,
    pkf_monotonic_ns,
    pkf_node_report,
    pkf_record_error,
    pkf_wire,
    pkf_wire_command,
    pkf_wire_config,
    pkf_wire_free,
    pkf_wire_join,
    pkf_wire_maxima,
    pkf_wire_new,
    pkf_wire_orphan,
    pkf_wire_report_node,
    pkf_wire_start,
    pkf_wire_take_maxima,
)
from pykafka_fast._core.status cimport check


class EventKind(IntEnum):
    """What an event says; csrc/pkf_event.h has the fields of each."""

    NEED_CONNECTION = 1
    CONNECTION_LOST = 2
    PARKED = 3
    NEED_PRODUCER_ID = 4
    GAP = 5
    UNKNOWN_LEADER = 6
    NODE = 7
    UNSEEN = 8
    DRAINED = 9


KINDS = {int(kind): kind for kind in EventKind}


cdef class ParkedBatch:
    """A batch that waits for the sender thread's decision. Settle it exactly once, with one of Wire's methods."""

    cdef pkf_batch *c  # a reference of ours
    cdef readonly bint settled

    def __init__(self):
        raise TypeError("parked batches come from Wire.events()")

    def __dealloc__(self):
        if self.c != NULL:
            pkf_batch_unref(self.c)

    @property
    def topic(self):
        return self.c.partition.topic.name.decode("utf-8")

    @property
    def partition(self):
        return self.c.partition.index

    @property
    def count(self):
        """Records."""
        return self.c.count

    @property
    def size(self):
        """Bytes, header included."""
        return self.c.used

    @property
    def attempts(self):
        """Times it was given back for another try."""
        return self.c.attempts

    @property
    def sequence(self):
        """Base sequence, -1 without idempotence."""
        return self.c.sequence

    @property
    def producer_id(self):
        return self.c.producer_id

    @property
    def producer_epoch(self):
        return self.c.producer_epoch

    @property
    def age_ms(self):
        """Since its first record was appended."""
        return (pkf_monotonic_ns() - self.c.created_ns) // 1_000_000

    @property
    def is_split(self):
        """It is a product of a split."""
        return self.c.split

    def __repr__(self):
        return f"<ParkedBatch {self.topic}-{self.partition} of {self.count} records, sequence {self.sequence}>"


cdef class Event:
    """What happened. Fields that a kind does not use are -1 or None."""

    cdef readonly object kind, text, topic, batch, record_errors
    cdef readonly int node, code, partition, leader, leader_epoch
    cdef readonly long long offset, log_start, log_append_time
    cdef readonly bint in_doubt, answered, first

    def __repr__(self):
        where = "" if self.topic is None else f" {self.topic}-{self.partition}"
        return f"<Event {self.kind.name}{where} node={self.node} code={self.code} {self.text or ''}>"


cdef str text_of(const char *text):
    return None if text == NULL else text.decode("utf-8", "replace")


cdef Event event_of(pkf_event *c):
    cdef Event event = Event.__new__(Event)
    cdef ParkedBatch batch
    event.kind = KINDS[<int> c.kind]
    event.text = text_of(c.text)
    event.topic = None if c.topic == NULL else c.topic.name.decode("utf-8")
    event.node = c.node
    event.code = c.code
    event.partition = c.partition
    event.leader = c.leader
    event.leader_epoch = c.leader_epoch
    event.offset = c.offset
    event.log_start = c.log_start
    event.log_append_time = c.log_append_time
    event.in_doubt = c.in_doubt
    event.answered = c.answered
    event.first = c.first
    event.record_errors = [
        (c.record_errors[i].index, text_of(c.record_errors[i].message)) for i in range(c.record_error_count)]
    if c.batch != NULL:
        batch = ParkedBatch.__new__(ParkedBatch)
        batch.c = c.batch
        pkf_batch_ref(c.batch)
        event.batch = batch
        event.topic = batch.topic
        event.partition = batch.partition
    return event


cdef class Wire:
    """The wire thread of one producer."""

    cdef pkf_wire *c
    cdef Accumulator accumulator
    cdef bint started, stopped

    def __cinit__(
        self, Accumulator accumulator not None, *, str client_id not None, acks, idempotent, max_in_flight,
        request_timeout_ms, idle_timeout_ms, patience_ms, receive_max, pace_ms=0, workers=0,
    ):
        cdef pkf_wire_config config
        encoded = client_id.encode("utf-8")
        if len(encoded) > 255:
            raise ValueError(f"client_id has {len(encoded)} bytes; at most 255 are possible")
        strncpy(config.client_id, <const char *> encoded, sizeof(config.client_id))
        config.acks = acks
        config.idempotent = idempotent
        config.max_in_flight = max_in_flight
        config.workers = workers
        config.request_timeout_ns = request_timeout_ms * 1_000_000
        config.idle_timeout_ns = idle_timeout_ms * 1_000_000 if idle_timeout_ms > 0 else PKF_NEVER
        config.patience_ns = <long long> (patience_ms * 1_000_000)
        config.pace_ns = <long long> (pace_ms * 1_000_000)
        config.receive_max = receive_max
        self.accumulator = accumulator
        self.c = pkf_wire_new(accumulator.c, &config)
        if self.c == NULL:
            raise MemoryError("no memory, or no file descriptor left, for a new producer")

    def __dealloc__(self):
        # A thread that still runs holds the wire: then it is left to it (stop() was not called, the process is ending).
        if self.c != NULL and (self.stopped or not self.started or not pkf_wire_join(self.c, 0)):
            pkf_wire_free(self.c)

    def start(self):
        """Start the thread."""
        if not self.started:
            check(pkf_wire_start(self.c))
            self.started = True

    def fileno(self):
        """Readable while there may be events."""
        return self.c.events.wakeup.read_fd

    def events(self):
        """All events so far, oldest first; never blocks."""
        cdef pkf_event *event = pkf_events_take(&self.c.events)
        cdef pkf_event *following
        events = []
        while event != NULL:
            following = event.next
            events.append(event_of(event))
            pkf_event_free(event)
            event = following
        return events

    def connect(self, int node, int fd, int version, int correlation):
        """Hand over a connected, non-blocking socket: the descriptor is the wire's from now on."""
        cdef pkf_command *command = new_command(PKF_COMMAND_CONNECT)
        command.node = node
        command.fd = fd
        command.version = version
        command.correlation = correlation
        pkf_wire_command(self.c, command)

    def forget_connection(self, int node, str reason=None):
        """Nobody is connecting to the node any more: report NEED_CONNECTION again; with a reason, disconnect too."""
        cdef pkf_command *command = new_command(PKF_COMMAND_FORGET)
        command.node, command.text = node, copied(reason)
        pkf_wire_command(self.c, command)

    def explain(self, int node, str text not None, Topic topic=None):
        """Why there is no connection to the node or, with -1, no leader of the topic or, without one, no producer id.

        Batches that expire say so.
        """
        cdef pkf_command *command = new_command(PKF_COMMAND_EXPLAIN)
        command.node = node
        command.topic = NULL if topic is None else topic.c
        command.text = copied(text)
        pkf_wire_command(self.c, command)

    def throttle(self, int node, long long ms):
        """Send nothing to the node for so long: it asked for that before its connection is handed over (KIP-219)."""
        cdef pkf_command *command = new_command(PKF_COMMAND_THROTTLE)
        command.node = node
        command.delay_ns = ms * 1_000_000
        pkf_wire_command(self.c, command)

    def set_leaders(self, Topic topic not None, leaders, epochs, bytes topic_id not None):
        """Metadata has spoken: node ids (-1 none) and leader epochs by partition; 16 bytes of id, zeros if unknown."""
        cdef int32_t count = <int32_t> len(leaders), i
        if len(epochs) != count or len(topic_id) != 16 or count > topic.c.partition_count:
            raise ValueError("one leader and one epoch for each known partition, and 16 bytes of topic id")
        cdef pkf_command *command = new_command(PKF_COMMAND_LEADERS)
        command.topic = topic.c
        command.leaders = <int32_t *> malloc(max(1, count) * sizeof(int32_t))
        command.epochs = <int32_t *> malloc(max(1, count) * sizeof(int32_t))
        if command.leaders != NULL and command.epochs != NULL:
            command.count = count
        for i in range(command.count):
            command.leaders[i] = leaders[i]
            command.epochs[i] = epochs[i]
        memcpy(command.id, <const char *> topic_id, 16)
        pkf_wire_command(self.c, command)

    def set_leader(self, Topic topic not None, int partition, int node, int epoch):
        """KIP-951: a newer leader of one partition."""
        if not 0 <= partition < topic.c.partition_count:
            raise ValueError(f"{topic.name} has no partition {partition}")
        cdef pkf_command *command = new_command(PKF_COMMAND_LEADER)
        command.topic = topic.c
        command.partition = partition
        command.node = node
        command.epoch = epoch
        pkf_wire_command(self.c, command)

    def set_producer(self, long long producer_id, int epoch):
        """The id and epoch under which batches are sent from now on."""
        cdef pkf_command *command = new_command(PKF_COMMAND_PRODUCER)
        command.producer_id = producer_id
        command.epoch = epoch
        pkf_wire_command(self.c, command)

    def disable_idempotence(self):
        """The cluster gives no producer ids: send without, and without sequences. Only before there was one."""
        pkf_wire_command(self.c, new_command(PKF_COMMAND_PLAIN))

    def requeue(self, ParkedBatch batch not None, delay_ms=0, bint in_doubt=False, bint refused=False, text=None):
        """For another try, not before the delay is over."""
        cdef pkf_command *command = settling(PKF_COMMAND_REQUEUE, batch)
        command.delay_ns = <long long> (delay_ms * 1_000_000)
        command.in_doubt = in_doubt
        command.refused = refused
        command.text = copied(text)
        pkf_wire_command(self.c, command)

    def fail(self, ParkedBatch batch not None, int code, text=None, bint in_doubt=False, record_errors=()):
        """Its records fail; with record_errors only those named with `code`, the others as rejected with them."""
        cdef pkf_command *command = settling(PKF_COMMAND_FAIL, batch)
        command.code = code
        command.text = copied(text)
        command.in_doubt = in_doubt
        put_record_errors(command, list(record_errors))
        pkf_wire_command(self.c, command)

    def complete(self, ParkedBatch batch not None, long long offset=-1):
        """Its records are known to be written (a duplicate)."""
        cdef pkf_command *command = settling(PKF_COMMAND_COMPLETE, batch)
        command.offset = offset
        pkf_wire_command(self.c, command)

    def split(self, ParkedBatch batch not None, int size, int code, text=None):
        """Into batches of at most `size` bytes; fails with code and text if that is impossible."""
        cdef pkf_command *command = settling(PKF_COMMAND_SPLIT, batch)
        command.size = size
        command.code = code
        command.text = copied(text)
        pkf_wire_command(self.c, command)

    def restart(self, Topic topic not None, int partition):
        """Answer to GAP: sequences of the partition start anew under the producer id set last."""
        cdef pkf_command *command = new_command(PKF_COMMAND_RESTART)
        command.topic = topic.c
        command.partition = partition
        pkf_wire_command(self.c, command)

    def close(self):
        """Send what is left, then report DRAINED. Appends are refused from now on."""
        self.accumulator.close()
        pkf_wire_command(self.c, new_command(PKF_COMMAND_CLOSE))

    def abort(self, int code, text):
        """Fail everything that is not done and close the connections."""
        cdef pkf_command *command = new_command(PKF_COMMAND_ABORT)
        command.code = code
        command.text = copied(text)
        pkf_wire_command(self.c, command)

    def stop(self, double timeout=1e6):
        """End the thread; whether it has within so many seconds. Everything must be done (abort does that)."""
        if not self.started or self.stopped or self.accumulator.is_inherited:
            return True
        pkf_wire_command(self.c, new_command(PKF_COMMAND_STOP))
        with nogil:
            self.stopped = not pkf_wire_join(self.c, <long long> (timeout * 1e9))
        return self.stopped

    def orphan(self):
        """In a forked child: close our copies of the descriptors and leave all else to the parent."""
        pkf_wire_orphan(self.c)
        Py_INCREF(self)  # never freed here: the parent's threads may have held any lock

    def kick(self):
        """Make the wire thread look around now."""
        pkf_accum_wake(self.accumulator.c)

    def live_count(self):
        """Batches that are not done."""
        return self.accumulator.c.live_count

    def in_flight(self):
        """Requests that wait for an answer, on all connections."""
        return self.c.counters.in_flight

    def counters(self):
        """Totals since the start; the *_max since the last call, which takes them."""
        cdef pkf_wire_maxima maxima
        pkf_wire_take_maxima(self.c, &maxima)
        return dict(self.c.counters) | {
            "record_size_max": maxima.record_size,
            "batch_size_max": maxima.batch_size,
            "request_size_max": maxima.request_size,
            "request_latency_ns_max": maxima.request_latency_ns,
            "queue_time_ns_max": maxima.queue_time_ns,
            "throttle_ms_max": maxima.throttle_ms,
        }

    def node_counters(self):
        """The same by broker."""
        cdef pkf_node_report report
        cdef int32_t index = 0
        nodes = {}
        while pkf_wire_report_node(self.c, index, &report) == 0:
            nodes[report.id] = report
            index += 1
        return nodes


cdef pkf_command *new_command(pkf_command_kind kind) except NULL:
    cdef pkf_command *command = pkf_command_new(kind)
    if command == NULL:
        raise MemoryError
    return command


cdef pkf_command *settling(pkf_command_kind kind, ParkedBatch batch) except NULL:
    if batch.settled:
        raise ValueError(f"{batch!r} has been settled already")
    cdef pkf_command *command = new_command(kind)
    batch.settled = True
    pkf_batch_ref(batch.c)
    command.batch = batch.c
    return command


cdef char *copied(text) except? NULL:
    if text is None:
        return NULL
    encoded = text.encode("utf-8", "replace")
    return strdup(<const char *> encoded)


cdef int put_record_errors(pkf_command *command, list record_errors) except -1:
    cdef Py_ssize_t i
    if not record_errors:
        return 0
    command.record_errors = <pkf_record_error *> calloc(len(record_errors), sizeof(pkf_record_error))
    if command.record_errors == NULL:
        return 0  # all of them fail alike then
    for i in range(len(record_errors)):
        index, message = record_errors[i]
        command.record_errors[i].index = index
        command.record_errors[i].message = copied(message)
    command.record_error_count = <int32_t> len(record_errors)
    return 0
