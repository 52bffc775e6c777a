# SPDX-License-Identifier: Apache-2.0
"""Kafka's error codes, as far as the embedded broker gives them of its own accord."""

from __future__ import annotations

from enum import IntEnum

from ..errors import BrokerResponseError, for_code

__all__ = ["Code", "code_name", "code_number"]


class Code(IntEnum):
    """Error codes of Kafka's protocol."""

    UNKNOWN_SERVER_ERROR = -1
    NONE = 0
    OFFSET_OUT_OF_RANGE = 1
    CORRUPT_MESSAGE = 2
    UNKNOWN_TOPIC_OR_PARTITION = 3
    LEADER_NOT_AVAILABLE = 5
    NOT_LEADER_OR_FOLLOWER = 6
    MESSAGE_TOO_LARGE = 10
    INVALID_TOPIC_EXCEPTION = 17
    INVALID_REQUIRED_ACKS = 21
    INVALID_TIMESTAMP = 32
    UNSUPPORTED_VERSION = 35
    INVALID_REQUEST = 42
    OUT_OF_ORDER_SEQUENCE_NUMBER = 45
    INVALID_PRODUCER_EPOCH = 47
    INVALID_TXN_STATE = 48
    UNKNOWN_PRODUCER_ID = 59
    FENCED_LEADER_EPOCH = 74
    UNKNOWN_LEADER_EPOCH = 75
    UNSUPPORTED_COMPRESSION_TYPE = 76
    INVALID_RECORD = 87
    PRODUCER_FENCED = 90
    UNKNOWN_TOPIC_ID = 100
    REBOOTSTRAP_REQUIRED = 129


def code_number(error: int | type[BrokerResponseError]) -> int:
    """The number of ``error``, given as a number or as one of the classes of :mod:`pykafka_fast.errors`.

    Raises:
        TypeError: it is neither, or a class without a number.
    """
    if isinstance(error, int) and not isinstance(error, bool):
        return int(error)
    number = getattr(error, "errno", None)
    if not isinstance(error, type) or number is None:
        raise TypeError(f"error must be a Kafka error code or an error class that has one, not {error!r}")
    return int(number)


def code_name(code: int) -> str:
    """Kafka's name of ``code`` with the number, for example ``CORRUPT_MESSAGE (2)``."""
    name = getattr(for_code(code), "message", None)
    return f"{name or 'error'} ({int(code)})"
