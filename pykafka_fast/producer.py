# SPDX-License-Identifier: Apache-2.0
"""KafkaProducer: the story of send(), flush(), close() and the look-ups, and nothing else."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from numbers import Real
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NoReturn, overload

from ._core.future import RecordFuture, failed_future, metadata_without_offset
from ._core.producer_base import CLOSED, NEED_METADATA, ProducerBase
from .bulk import rows_of, send_rows
from .config import resolve
from .errors import (
    AuthorizationError,
    InvalidTopicError,
    KafkaConnectionError,
    KafkaError,
    KafkaProtocolError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    ProducerClosedError,
    SerializationError,
    UnsupportedVersionError,
    code_of,
    message_of,
)
from .lifecycle import Lifecycle, begin_anew
from .log import get_logger
from .metrics import raw_metrics
from .options import Defaults
from .partitioner import adapt as adapt_partitioner
from .refusal import refusal, size_of
from .serializer import adapt as adapt_serializer
from .serializer import failure, plain
from .transactions import TransactionCalls
from .types import ProducerRecord, TopicPartition, check_topic

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

    from ._core.accumulator import Topic
    from ._core.range import RangeFuture
    from .cluster import ClusterSnapshot
    from .metrics import KafkaMetric, MetricName, Metrics
    from .producer_options import ProducerOptions
    from .types import DeliveryCallback, HeaderList

logger = get_logger(__name__)

#: What fails the future; whatever else happens in send() is raised.
_FAIL_THE_FUTURE = (KafkaTimeoutError, MessageSizeTooLargeError, InvalidTopicError, AuthorizationError,
                    UnsupportedVersionError, KafkaConnectionError, KafkaProtocolError)


def _check_close_timeout(timeout: float | None) -> None:
    """Raise TypeError or ValueError unless it is None or a number of seconds that can be waited for."""
    if timeout is not None and not isinstance(timeout, Real):
        raise TypeError(f"timeout must be a number of seconds or None, not {type(timeout).__name__}")
    if timeout is not None and not 0 <= timeout <= threading.TIMEOUT_MAX:
        raise ValueError(f"close timeout={timeout!r} must be a number of seconds from 0 to {threading.TIMEOUT_MAX:.0f}")


class KafkaProducer(ProducerBase, TransactionCalls):
    """Sends records to Kafka: synchronous, thread-safe, batching, idempotent by default.

    Options are keyword arguments; :func:`pykafka_fast.config.describe` renders the table of all of them. The
    constructor does no network I/O and no name look-up: the first send() does, within ``max_block_ms``.

    After ``os.fork()`` the parent goes on undisturbed. In the child the same object begins anew with its first send:
    connections, producer id and buffers of its own; futures of the parent's records fail there with
    :class:`~pykafka_fast.errors.ProducerForkedError`.

    Raises:
        UnrecognizedConfigError: an option nobody knows.
        KafkaConfigurationError: a value an option does not take, or options that contradict each other.
    """

    #: Every option with the value it has unless it is given (kafka-python's name).
    DEFAULT_CONFIG: ClassVar[Defaults] = Defaults()

    def __init__(self, **configs: Unpack[ProducerOptions]) -> None:
        config = resolve(configs)
        self.config: dict[str, Any] = config.as_dict()
        self._max_block_s = config.max_block_ms / 1000
        self._key_serializer = None if config.key_serializer is None else adapt_serializer(config.key_serializer, "key")
        self._value_serializer = (
            None if config.value_serializer is None else adapt_serializer(config.value_serializer, "value"))
        self._plain = (None if config.key_serializer is None else plain(config.key_serializer),
                       None if config.value_serializer is None else plain(config.value_serializer))
        self._partition = None if isinstance(config.partitioner, str) else adapt_partitioner(config.partitioner)
        self._on_new_batch = getattr(config.partitioner, "on_new_batch", None)
        self._transactions: Any = None
        self._resolved = config
        self._closed = False
        self._begin(Lifecycle(config))

    def _begin(self, parts: Lifecycle) -> None:
        self._parts = parts
        self._interceptors = parts.interceptors
        self._open(parts.accumulator, not self._closed and self._send_is_direct(), parts.delivery.ensure_started,
                   *self._plain)
        if self._closed:
            parts.discard()
        else:
            parts.delivery.begin()
            parts.guard(self)

    @property
    def _lifecycle(self) -> Lifecycle:
        """The parts; in a forked child connections, producer id and buffers of its own, from their first use on."""
        if self._parts.is_inherited:
            begin_anew(self)
        return self._parts

    def _fast_path_applies(self) -> bool:
        """The extension type does it all: nothing of the user's runs, nothing has to be told."""
        return self._send_is_direct() and not (self._key_serializer or self._value_serializer)

    def _send_is_direct(self) -> bool:
        """The same, or the extension type's send() can call the serializers."""
        key, value = self._plain
        return not (self._interceptors or self._partition or self._transactions
                    or (self._key_serializer and not key) or (self._value_serializer and not value))

    @property
    def _transaction_manager(self) -> Any:
        """What is told of every partition before a record goes there; None without transactions."""
        return self._transactions

    @_transaction_manager.setter
    def _transaction_manager(self, manager: Any) -> None:
        self._transactions = manager
        self._set_direct(not self._closed and self._send_is_direct())

    def __reduce__(self) -> NoReturn:
        raise TypeError("a KafkaProducer cannot be pickled or copied, because its connections and buffers belong to "
                        "this process: make the producer in the process that uses it")

    def __repr__(self) -> str:
        config = self.config
        return f"<KafkaProducer client_id={config['client_id']} transactional_id={config['transactional_id']}>"

    @property
    def _metadata(self) -> ClusterSnapshot:  # tracers read its controller
        return self._lifecycle.metadata.snapshot

    # ---- send ------------------------------------------------------------------------------------------------------

    def _send(self, topic: str | ProducerRecord, value: Any, key: Any, headers: HeaderList | None,
              partition: int | None, timestamp_ms: int | None, on_delivery: Callable[..., object] | None,
              chosen: int, taken: RangeFuture | None = None) -> RecordFuture:
        """send() where the fast path does not apply: interceptors, then the eight steps. `taken`: of a send_many()."""
        if on_delivery is not None and not callable(on_delivery):
            raise TypeError(f"on_delivery must be callable, not {type(on_delivery).__name__}")
        if isinstance(topic, ProducerRecord):
            if any(it is not None for it in (value, key, headers, partition, timestamp_ms)):
                raise TypeError("a ProducerRecord is sent alone: value, key, headers, partition, timestamp are in it")
            record = topic
        else:
            if headers is not None and not isinstance(headers, list):
                raise TypeError(f"headers must be a list of (str, bytes) pairs, not {type(headers).__name__}")
            record = ProducerRecord(topic, partition, headers, key, value, timestamp_ms)
        if self._interceptors:
            record = self._interceptors.on_send(record)
        return self._do_send(record, on_delivery, chosen, taken=taken)

    def _send_serialized(self, topic: str, value: Any, key: Any, on_delivery: Callable[..., object] | None,
                         chosen: int) -> RecordFuture:
        """send() where the fast path has called the serializers, and C named a decision."""
        return self._do_send(ProducerRecord(topic, None, None, key, value), on_delivery, chosen, serialized=True)

    def _not_serialized(self, topic: str, value: Any, key: Any, field: Literal["key", "value"],
                        error: BaseException) -> RecordFuture:
        """send() where a serializer raised in the fast path."""
        if isinstance(error, Exception) and not isinstance(error, SerializationError):
            cause, error = error, failure(topic, field, key if field == "key" else value, error)
            error.__cause__ = cause
        return self._refuse(ProducerRecord(topic, None, None, key, value), None, None, error)

    def _do_send(self, record: ProducerRecord, on_delivery: Callable[..., object] | None,
                 chosen: int = -1, serialized: bool = False, taken: RangeFuture | None = None) -> RecordFuture:
        """The eight steps of the specification. `chosen`: a partition that a first try of the fast path settled on."""
        deadline = time.monotonic() + (self._max_block_s if self._lifecycle.may_wait() else 0)
        partition = record.partition
        try:
            self._check_usable()
            # 1. Wait for the topic's metadata, and for the partition if one is named.
            handle = self._wait_for_partition(record.topic, partition, deadline)
            cluster = self._wait_for_cluster(record.topic, deadline) if self._partition and partition is None else None
            began = time.monotonic()
            # 2. Serialize key and value; serializers may add headers.
            key, value = (record.key, record.value) if serialized else self._serialize(record)
            # 3. Choose a partition: the record's, the user's partitioner's, or None for one of the built-in ones.
            partition = self._choose_partition(record, key, value, handle, chosen, cluster)
            record.freeze()
            deadline += time.monotonic() - began  # what the user's own code takes is not waiting
            # 4. Its size against max_request_size and buffer_memory: checked by the append, before anything else.
            # 5. Put callback and interceptors together.
            notify = on_delivery is not None or self._interceptors.acknowledges
            # 6. Tell the transaction manager, before the append, so that a refusal leaves nothing behind.
            if self._transactions is not None:
                partition = self._place(record.topic, partition, handle, key, value, deadline)
                self._transactions.maybe_add_partition(TopicPartition(record.topic, partition))
            # 7. Append to the accumulator, waiting for memory. 8. Wake the sender, if need be: the append does.
            return self._append_until(record, handle, value, key, partition, on_delivery, notify, deadline, taken)
        except BaseException as error:
            return self._refuse(record, partition, on_delivery, error)

    def _check_usable(self) -> None:
        if self._closed:
            raise ProducerClosedError("the producer is closed")
        if (fatal := self._lifecycle.fatal) is not None:
            raise fatal

    def _wait_for_partition(self, topic: str, partition: int | None, deadline: float) -> Topic:
        check_topic(topic)
        topic = str.__str__(topic)
        handle = self._lifecycle.accumulator.known_topic(topic)
        if handle is not None and handle.partition_count > (partition or 0):
            return handle
        self._lifecycle.wait_for_topic(topic, partition, deadline, self._check_usable)
        return self._lifecycle.accumulator.topic(topic)

    def _wait_for_cluster(self, topic: str, deadline: float) -> ClusterSnapshot:
        """What a partitioner of the user's is shown: one answer, in which the topic is."""
        while (cluster := self._lifecycle.metadata.snapshot).topic(topic) is None:
            self._lifecycle.wait_for_topic(topic, None, deadline, self._check_usable)
        return cluster

    def _serialize(self, record: ProducerRecord) -> tuple[Any, Any]:
        key, value = record.key, record.value
        if self._key_serializer is not None:
            key = self._key_serializer(record.topic, record.headers, key)
        if self._value_serializer is not None:
            value = self._value_serializer(record.topic, record.headers, value)
        return key, value

    def _choose_partition(self, record: ProducerRecord, key: Any, value: Any, handle: Topic, chosen: int,
                          cluster: ClusterSnapshot | None) -> int | None:
        if record.partition is not None:
            return record.partition
        if self._partition is None or cluster is None:
            return None if chosen < 0 else chosen
        topic, count = record.topic, cluster.partition_count(record.topic)
        partition = self._partition(topic, record.key, key, record.value, value, cluster)
        if (self._on_new_batch is not None and key is None and partition < count
                and not handle.has_room(partition, value, record.headers)):  # KIP-480
            self._on_new_batch(topic, cluster, partition)
            partition = self._partition(topic, record.key, key, record.value, value, cluster)
        if partition >= count:
            raise ValueError(f"the partitioner chose partition {partition} of topic {topic!r}, which has {count}")
        return partition

    def _place(self, topic: str, partition: int | None, handle: Topic, key: Any, value: Any, deadline: float) -> int:
        """The partition the append will be told, so that it is known before."""
        while partition is None:
            partition = handle.place(key, value)
            if partition < 0:  # forgotten since step 1
                partition = None
                self._lifecycle.wait_for_topic(topic, None, deadline, self._check_usable)
        return partition

    def _append_until(self, record: ProducerRecord, handle: Topic, value: Any, key: Any, partition: int | None,
                      on_delivery: Callable[..., object] | None, notify: bool, deadline: float,
                      taken: RangeFuture | None) -> RecordFuture:
        """Append; on an answer that is a decision of ours, take it and append again."""
        if notify:
            self._lifecycle.delivery.ensure_started()
        headers = record.headers or None
        append = self._append if taken is None else partial(taken._append, self._append)
        while True:
            outcome = append(
                handle, value, key, headers, partition, record.timestamp, on_delivery, notify, deadline)
            if isinstance(outcome, RecordFuture):
                return outcome
            if outcome != NEED_METADATA:
                raise self._refusal(outcome, record.topic, size_of(key) + size_of(value))
            self._lifecycle.wait_for_topic(record.topic, partition, deadline, self._check_usable)  # forgotten meanwhile

    def _refusal(self, outcome: int, topic: str, size: int | None = None) -> KafkaError | MemoryError:
        if outcome == CLOSED:
            self._check_usable()  # by close(), or by what nothing can be sent after
        return refusal(outcome, topic, size, self.config, self._lifecycle.accumulator)

    def _refuse(self, record: ProducerRecord, partition: int | None, on_delivery: Callable[..., object] | None,
                error: BaseException) -> RecordFuture:
        """Nothing was appended. Errors that Kafka or time caused fail the future; all others are raised."""
        where = TopicPartition(record.topic, -1 if partition is None else partition)
        in_future = isinstance(error, _FAIL_THE_FUTURE) and error != self._lifecycle.fatal
        if isinstance(error, (KafkaError, KeyboardInterrupt)):
            self._lifecycle.count_send_error(record.topic)
        if not in_future:
            self._interceptors.on_send_error(record, where, error)
            raise error
        future = failed_future(where.topic, where.partition, code_of(error), message_of(error),
                               unseen_of=self._lifecycle.accumulator if on_delivery is None else None)
        if on_delivery is not None:
            try:
                on_delivery(metadata_without_offset(future), error)
            except Exception:
                logger.exception("Error processing callback")
        self._interceptors.on_send_error(record, where, error)
        return future

    def send_many(self, topic: str, values: Any, keys: Any = None, headers: Any = None, partition: Any = None,
                  timestamps_ms: Any = None, *, on_delivery: DeliveryCallback | None = None) -> RangeFuture:
        """Queue many records; waits for memory as ``send()`` does, up to ``max_block_ms`` each time.

        Columns are sequences with an element for each record, or Arrow columns: any object with ``__arrow_c_array__``
        or ``__arrow_c_stream__`` (an array of pyarrow, a Series of polars or pandas; of a duckdb relation
        ``to_arrow_table()["v"]``), which are read where they lie. With interceptors, serializers, a partitioner of
        one's own or a transaction each record is sent by itself, and slower.

        Args:
            topic: where to send them.
            values: bytes-like objects, or what the value serializer takes; None, or null, is a tombstone. An Arrow
                column of binary, string, their large and view kinds, or fixed-size binary.
            keys: the same; None: no record has a key.
            headers: one list of (str, bytes or None) pairs for all records, or a sequence of such lists.
            partition: one for all (int >= 0), or a column of int; None, as a whole or for a record: the partitioner
                chooses.
            timestamps_ms: a column of int >= 0, or of Arrow timestamps; None: the time of this call.
            on_delivery: called once, as ``on_delivery(RangeMetadata, exception of the first that failed or None)``, on
                the delivery thread, when all have an outcome. Not called when this call raises.

        Returns:
            The future of all of them.

        Raises:
            TypeError, ValueError, MessageSizeTooLargeError: a row that cannot be sent, which the exception names in its
                text and as ``row``. Rows are looked at first, so none was taken, serializers' work excepted: behind
                those the rows before it are ``taken``, and one that is too large fails in the future.
            KafkaError, KeyboardInterrupt and whatever else ends the call early: rows before ``row`` were taken, and
                ``taken`` is their future; None if there are none.
        """
        if on_delivery is not None and not callable(on_delivery):
            raise TypeError(f"on_delivery must be callable, not {type(on_delivery).__name__}")
        self._check_usable()
        rows = rows_of(topic, values, keys, headers, partition, timestamps_ms)
        return send_rows(self, rows, on_delivery)

    # ---- the rest --------------------------------------------------------------------------------------------------

    def flush(self, timeout: float | None = None) -> None:
        """Send at once all that was sent before this call, and wait for its outcome, callbacks included.

        Records that fail do not raise here; their futures and callbacks know. In a callback it waits for outcomes only.

        Args:
            timeout: seconds for the whole call; None waits as long as it takes (``delivery_timeout_ms`` bounds that).

        Raises:
            KafkaTimeoutError: the time ran out, or there is none: called by a finalizer on the producer's own thread.
                The records are not affected.
            TypeError: not a number of seconds.
            ValueError: negative, or NaN.
        """
        if timeout is not None and not isinstance(timeout, Real):
            raise TypeError(f"flush timeout must be a number of seconds or None, not {type(timeout).__name__}")
        if timeout is not None and not timeout >= 0:
            raise ValueError(f"flush timeout={timeout!r} must be a number of seconds, 0 or above")
        if not self._lifecycle.flush(timeout):
            raise KafkaTimeoutError(f"{self._lifecycle.describe_live()} not completed by flush() within {timeout} s")

    def close(self, timeout: float | None = None) -> None:
        """Deliver what can be delivered, fail the rest, end the threads. Can be called again; from any thread.

        Args:
            timeout: seconds; None waits for every record (``delivery_timeout_ms`` bounds that); 0 drops them at once.
                In a callback it counts as 0, because the callback's own thread cannot be waited for. What a codec is
                compressing then is waited for half a second; its thread, and memory, go when it is done. By a
                finalizer on a thread of the producer's own it is left to another thread, and not waited for.

        Raises:
            TypeError: not a number.
            ValueError: negative, or not a number of seconds that can be waited for.
        """
        _check_close_timeout(timeout)
        self._closed = True
        self._set_direct(False)
        self._lifecycle.close(timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __del__(self) -> None:
        parts = getattr(self, "_parts", None)
        if parts is not None and not parts.is_left:  # a close() may have been interrupted
            parts.abandon(repr(self))

    def partitions_for(self, topic: str) -> set[int]:
        """The topic's partitions, waiting up to ``max_block_ms`` for its metadata (KIP-526: only it is asked for).

        Raises:
            KafkaTimeoutError: not known in time; says what was wrong with each broker.
            InvalidTopicError, TopicAuthorizationFailedError: waiting would not help.
            TypeError: not a str.
        """
        if not isinstance(topic, str):
            raise TypeError(f"topic must be a str, not {type(topic).__name__}")
        self._check_usable()
        return set(range(self._wait_for_partition(topic, None, time.monotonic() + self._max_block_s).partition_count))

    def bootstrap_connected(self) -> bool:
        """Whether a broker is connected now; False before the first send, which begins to connect."""
        return not self._closed and self._lifecycle.bootstrap_connected()

    @classmethod
    def max_usable_produce_magic(cls, api_version: tuple[int, ...] | None) -> int:
        """The newest message format that brokers of a version take, of kafka-python: 0, 1 or 2; None: any version."""
        return 2 if api_version is None or api_version >= (0, 11) else 1 if api_version >= (0, 10) else 0

    @overload
    def metrics(self, raw: Literal[False] = False) -> Metrics | None: ...

    @overload
    def metrics(self, raw: Literal[True]) -> dict[MetricName, KafkaMetric] | None: ...

    def metrics(self, raw: bool = False) -> Metrics | dict[MetricName, KafkaMetric] | None:
        """``{group: {name: value}}`` with kafka-python's names, and the pool's, batches' and retries' beside them.

        Times are in milliseconds, sizes in bytes, rates per second, ``metadata-age`` in seconds. None with
        ``metrics_enabled=False``, empty after close().

        Figures of connections, requests, responses and throttling are of the connections that carry records, not of
        those over which metadata and the producer id are asked for.

        Args:
            raw: one flat mapping of :class:`~pykafka_fast.metrics.MetricName` to
                :class:`~pykafka_fast.metrics.KafkaMetric`, whose ``value()`` stays what it was at this call.
        """
        if not self.config["metrics_enabled"]:
            return None
        metrics = {} if self._closed else self._lifecycle.metrics()
        return raw_metrics(metrics, self.config["client_id"]) if raw else metrics
