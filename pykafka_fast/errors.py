# SPDX-License-Identifier: Apache-2.0
"""All errors, under the names kafka-python gives them, and the tables between numbers and classes.

An error travels through the C library as a number and a text. A number from -1 upwards is the broker's; numbers of
:class:`ClientCode`, all at or below -1000, are our own. :func:`exception_for` makes the exception from both,
:func:`code_of` and :func:`message_of` lead back.
"""

from __future__ import annotations

from enum import IntEnum, unique

# "X as X": type checkers take what is imported otherwise, and only used here, for private.
from .admin_errors import *  # noqa: F403
from .broker_errors import *  # noqa: F403
from .broker_errors import (
    CorruptRecordError as CorruptRecordError,
    InvalidTopicError as InvalidTopicError,
    MessageSizeTooLargeError as MessageSizeTooLargeError,
    RequestTimedOutError as RequestTimedOutError,
    UnknownError as UnknownError,
    UnsupportedVersionError as UnsupportedVersionError,
)
from .client_errors import *  # noqa: F403
from .client_errors import (
    BatchRejectedError as BatchRejectedError,
    BufferExhaustedError as BufferExhaustedError,
    Cancelled as Cancelled,
    ClosedForcefullyError as ClosedForcefullyError,
    IllegalArgumentError as IllegalArgumentError,
    IllegalStateError as IllegalStateError,
    KafkaConfigurationError as KafkaConfigurationError,
    KafkaConnectionError as KafkaConnectionError,
    KafkaProtocolError as KafkaProtocolError,
    KafkaTimeoutError as KafkaTimeoutError,
    NoBrokersAvailable as NoBrokersAvailable,
    NodeNotReadyError as NodeNotReadyError,
    ProducerClosedError as ProducerClosedError,
    ProducerForkedError as ProducerForkedError,
    SenderDiedError as SenderDiedError,
    SerializationError as SerializationError,
    TransactionAbortedError as TransactionAbortedError,
    UnsupportedCodecError as UnsupportedCodecError,
)
from .kafka_error import *  # noqa: F403
from .kafka_error import (
    BrokerResponseError as BrokerResponseError,
    KafkaError as KafkaError,
    kafka_errors as kafka_errors,
)
from .log import get_logger

logger = get_logger(__name__)

#: The name kafka-python 2.x used.
CorruptRecordException = CorruptRecordError


@unique
class ClientCode(IntEnum):
    """Numbers of the failures that no broker reports. The C library uses the same values."""

    TIMEOUT = -1000
    """``delivery_timeout_ms`` passed before the record was acknowledged."""
    METADATA_TIMEOUT = -1001
    """``max_block_ms`` passed before the topic, or the partition asked for, became known."""
    BUFFER_EXHAUSTED = -1002
    """``max_block_ms`` passed before there was memory for the record."""
    RECORD_TOO_LARGE = -1003
    """The record exceeds ``max_request_size`` or ``buffer_memory``."""
    INVALID_TOPIC = -1004
    """A topic name Kafka does not allow."""
    CLOSED_FORCEFULLY = -1005
    """``close()`` ran out of time, or was told not to wait."""
    CLOSED = -1006
    """The producer was closed before or while the record was sent."""
    FORKED = -1007
    """A record of the parent process, seen from the child."""
    CONNECTION_LOST = -1008
    """The connection broke before the answer came."""
    REQUEST_TIMED_OUT_LOCAL = -1009
    """No answer within ``request_timeout_ms``."""
    UNSUPPORTED = -1010
    """The broker is too old for what the record needs."""
    SENDER_DIED = -1011
    """The sender thread ended with an unexpected exception."""
    BATCH_REJECTED = -1012
    """Other records of the batch were invalid (KIP-467)."""
    NODE_NOT_READY = -1013
    """No connection to the partition's leader could be made."""
    BOOTSTRAP_FAILED = -1014
    """None of the bootstrap servers answered."""
    PROTOCOL = -1015
    """The peer sent bytes that are not Kafka's protocol."""
    TRANSACTION_ABORTED = -1016
    """Dropped because the transaction was aborted."""
    UNSUPPORTED_CODEC = -1017
    """The compression codec is not available."""
    CANCELLED = -1018
    """Cancelled before it was sent."""
    ILLEGAL_STATE = -1019
    """The call does not fit the producer's state."""
    ILLEGAL_ARGUMENT = -1020
    """An argument the call does not take."""
    CONFIGURATION = -1021
    """Options that cannot work with this cluster."""
    SERIALIZATION = -1022
    """A serializer failed."""
    TIMED_OUT = -1023
    """Any other deadline."""
    UNKNOWN = -1999
    """Something else; the message says what."""


#: Every client-side code: the class it is raised as and what is said when nobody says it better.
client_errors: dict[ClientCode, tuple[type[KafkaError], str]] = {
    ClientCode.TIMEOUT: (
        KafkaTimeoutError,
        "delivery_timeout_ms passed before the record was acknowledged; look for unreachable brokers, or raise it"),
    ClientCode.METADATA_TIMEOUT: (
        KafkaTimeoutError,
        "no metadata for the topic within max_block_ms; check that it exists and that the brokers can be reached"),
    ClientCode.BUFFER_EXHAUSTED: (
        BufferExhaustedError, "no memory for the record within max_block_ms; raise buffer_memory, or send less"),
    ClientCode.RECORD_TOO_LARGE: (
        MessageSizeTooLargeError, "the record exceeds max_request_size or buffer_memory"),
    ClientCode.INVALID_TOPIC: (
        InvalidTopicError, "a topic name has 1 to 249 of a-z A-Z 0-9 . _ - and is neither '.' nor '..'"),
    ClientCode.CLOSED_FORCEFULLY: (ClosedForcefullyError, "Producer is closed forcefully."),
    ClientCode.CLOSED: (ProducerClosedError, "the producer is closed"),
    ClientCode.FORKED: (
        ProducerForkedError, "this record belongs to the parent process; a forked child must send its own"),
    ClientCode.CONNECTION_LOST: (KafkaConnectionError, "the connection broke before the broker answered"),
    ClientCode.REQUEST_TIMED_OUT_LOCAL: (
        RequestTimedOutError, "no answer within request_timeout_ms"),
    ClientCode.UNSUPPORTED: (UnsupportedVersionError, "the broker is too old for what the record needs"),
    ClientCode.SENDER_DIED: (
        SenderDiedError, "the sender thread ended with an unexpected error, which is in the log; make a new producer"),
    ClientCode.BATCH_REJECTED: (
        BatchRejectedError, "the broker refused the batch because of other records in it; send this one again"),
    ClientCode.NODE_NOT_READY: (NodeNotReadyError, "no connection to the partition's leader could be made"),
    ClientCode.BOOTSTRAP_FAILED: (NoBrokersAvailable, "none of the bootstrap servers answered"),
    ClientCode.PROTOCOL: (
        KafkaProtocolError, "the peer does not speak Kafka's protocol; check host, port and security_protocol"),
    ClientCode.TRANSACTION_ABORTED: (TransactionAbortedError, "dropped because the transaction was aborted"),
    ClientCode.UNSUPPORTED_CODEC: (UnsupportedCodecError, "the compression codec is not available"),
    ClientCode.CANCELLED: (Cancelled, "cancelled before it was sent"),
    ClientCode.ILLEGAL_STATE: (IllegalStateError, "the producer's state does not allow this"),
    ClientCode.ILLEGAL_ARGUMENT: (IllegalArgumentError, "an argument is not valid"),
    ClientCode.CONFIGURATION: (KafkaConfigurationError, "the options cannot work with this cluster"),
    ClientCode.SERIALIZATION: (SerializationError, "a serializer failed"),
    ClientCode.TIMED_OUT: (KafkaTimeoutError, "a deadline passed"),
    ClientCode.UNKNOWN: (KafkaError, "the record could not be delivered"),
}

# A class that several codes share leads back to the first of them.
_CODE_OF_CLASS: dict[type[BaseException], int] = {cls: code for code, (cls, _) in reversed(client_errors.items())}
_CODE_OF_CLASS.update((cls, code) for code, cls in kafka_errors.items())

_unknown_told: set[int] = set()


def for_code(error_code: int) -> type[BrokerResponseError]:
    """Class of a broker's error number; :class:`UnknownError`, with one warning in the log, if it has none."""
    try:
        return kafka_errors[error_code]
    except KeyError:
        if error_code not in _unknown_told:
            _unknown_told.add(error_code)
            logger.warning("Unknown Kafka error code %d; treated as UnknownError", error_code)
        return UnknownError


def exception_for(code: int, message: str | None = None, in_doubt: bool = False) -> KafkaError:
    """A new exception for a broker's or a client's code.

    Args:
        code: a broker's error number, or a :class:`ClientCode`.
        message: what happened; the code's own description if None or empty.
        in_doubt: whether the record may have been written nevertheless.
    """
    if code in _CLIENT_CODES:
        cls, text = client_errors[ClientCode(code)]
        error: KafkaError = cls(message or text)
    elif code in kafka_errors:
        broker_error = kafka_errors[code]
        error = broker_error(message or " ".join(filter(None, (broker_error.description, broker_error.remedy))))
    else:
        unknown = for_code(code)(message or f"the broker answered with error {code}, which this version does not know")
        unknown.errno = code
        error = unknown
    if in_doubt:
        error.in_doubt = True
    return error


_CLIENT_CODES = frozenset(int(code) for code in ClientCode)


def code_of(exc: BaseException) -> int:
    """The code from which :func:`exception_for` makes an exception of the same class.

    A class without a code of its own has that of its nearest ancestor with one; what is not Kafka's has
    ``ClientCode.UNKNOWN``.
    """
    if isinstance(exc, BrokerResponseError) and exc.errno is not None:
        return exc.errno
    for cls in type(exc).__mro__:
        if cls in _CODE_OF_CLASS:
            return int(_CODE_OF_CLASS[cls])
    return int(ClientCode.UNKNOWN)


def message_of(exc: BaseException) -> str:
    """What the exception says, without its class; the whole of it for exceptions that are not Kafka's."""
    if isinstance(exc, KafkaError):
        return ", ".join(str(arg) for arg in exc.args)
    text = str(exc)
    return f"{type(exc).__qualname__}: {text}" if text else type(exc).__qualname__


def _adopt() -> None:
    """Show and pickle every class under this module's name, wherever it is written down."""
    for value in list(globals().values()):
        if isinstance(value, type) and issubclass(value, KafkaError):
            value.__module__ = __name__


_adopt()
