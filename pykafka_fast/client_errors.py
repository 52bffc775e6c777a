# SPDX-License-Identifier: Apache-2.0
"""Errors that arise in the client, not in a broker. Users import them from :mod:`pykafka_fast.errors`."""

from __future__ import annotations

from .kafka_error import InvalidMetadataError, KafkaError, RetriableError


class Cancelled(RetriableError):
    """The request was cancelled before it was sent."""


class KafkaTimeoutError(RetriableError, TimeoutError):
    """A deadline passed. It is the built-in ``TimeoutError`` too."""


class NoBrokersAvailable(KafkaTimeoutError):
    """None of the bootstrap servers answered in time."""


class BufferExhaustedError(KafkaTimeoutError):
    """No memory for the record within ``max_block_ms``: records come faster than the brokers take them.

    Raise ``buffer_memory`` or ``max_block_ms``, or send less.
    """


class MetadataEmptyBrokerList(RetriableError):
    """A metadata response named no broker."""


class NodeNotReadyError(RetriableError):
    """There is no usable connection to the broker yet."""


class TooManyInFlightRequests(RetriableError):
    """The connection already carries ``max_in_flight_requests_per_connection`` requests."""


class UnjoinedGroupException(RetriableError):
    """The consumer group has not been joined yet."""


class KafkaConnectionError(InvalidMetadataError):
    """The connection to a broker failed or was lost."""


class StaleMetadata(InvalidMetadataError):
    """The cached metadata does not describe the cluster any more."""


class KafkaProtocolError(KafkaError):
    """Bytes from the network that are not what the protocol says they should be."""


class CorrelationIdError(RetriableError, KafkaProtocolError):
    """A response that belongs to another request than the oldest one in flight."""


class InvalidReceiveError(KafkaProtocolError):
    """A frame whose size is negative or above ``receive_message_max_bytes``."""


class CommitFailedError(KafkaError):
    """Offsets could not be committed because the group has moved on."""


class IllegalArgumentError(KafkaError):
    """An argument outside what the operation takes."""


class IllegalStateError(KafkaError):
    """The object's state does not allow this call."""


class ProducerClosedError(IllegalStateError):
    """The producer has been closed."""


class ClosedForcefullyError(ProducerClosedError):
    """The producer was closed before this record could be delivered."""


class ProducerForkedError(IllegalStateError):
    """The record belongs to the parent process, which still delivers it."""


class SenderDiedError(IllegalStateError):
    """A defect ended the producer's sender thread; everything pending fails and the producer is closed."""


class KafkaConfigurationError(KafkaError):
    """An option, or a combination of options, that cannot work."""


class UnrecognizedConfigError(KafkaConfigurationError, ValueError):
    """An option nobody knows."""


class InvalidConfigError(KafkaConfigurationError, ValueError):
    """A value its option does not take; a ``ValueError`` too."""


class LogTruncationError(KafkaError):
    """The log was cut back below a position already read."""


class NoOffsetForPartitionError(KafkaError):
    """There is neither a committed offset nor a reset policy."""


class QuotaViolationError(KafkaError):
    """A metric went over its quota."""


class RecordTooLargeError(KafkaError):
    """A consumer met a record larger than its fetch size."""


class BatchRejectedError(KafkaError):
    """The broker refused the whole batch because of other records in it; this record was not at fault (KIP-467)."""


class SerializationError(KafkaError):
    """A serializer failed; its own exception is the ``__cause__``.

    Attributes:
        topic: the topic the record was meant for.
        field: ``'key'`` or ``'value'``.
        data_type: qualified name of the type of what was to be serialized.
    """

    def __init__(self, *args: object, topic: str | None = None, field: str | None = None,
                 data_type: str | None = None) -> None:
        super().__init__(*args)
        self.topic = topic
        self.field = field
        self.data_type = data_type


class TransactionAbortedError(KafkaError):
    """The record was dropped because its transaction was aborted."""

    message = "Failing batch since transaction was aborted"


class UnknownBrokerIdError(KafkaError):
    """No broker has this id."""


class UnrecognizedBrokerVersion(KafkaError):
    """The broker's versions match no known release."""


class UnsupportedCodecError(KafkaError):
    """A compression codec that is not available here."""
