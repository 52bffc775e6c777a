# SPDX-License-Identifier: Apache-2.0
"""The one place where a status of the C library becomes an exception."""

from pykafka_fast._core.csrc cimport pkf_status_name, pkf_status_text
from pykafka_fast.errors import (
    BufferExhaustedError,
    IllegalArgumentError,
    KafkaConnectionError,
    KafkaProtocolError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    ProducerClosedError,
    StaleMetadata,
    UnsupportedVersionError,
)

#: Every refusal of csrc/pkf_status.h and what it is raised as; a test compares the two tables.
STATUS_CLASSES = {
    "E_NOMEM": MemoryError,
    "E_TOO_LARGE": MessageSizeTooLargeError,
    "E_EXHAUSTED": BufferExhaustedError,
    "E_TIMEOUT": KafkaTimeoutError,
    "E_CLOSED": ProducerClosedError,
    "E_MALFORMED": KafkaProtocolError,
    "E_PARTIAL": KafkaProtocolError,
    "E_INVALID": IllegalArgumentError,
    "E_BUSY": BufferExhaustedError,
    "E_SYSTEM": KafkaConnectionError,
    "E_UNSUPPORTED": UnsupportedVersionError,
    "NEED_METADATA": StaleMetadata,
    "NEED_SLAB": BufferExhaustedError,
    "NEED_BUDGET": BufferExhaustedError,
}


def status_names():
    """Name by number of every status the C library has."""
    names = {}
    for status in range(-100, 1):
        name = pkf_status_name(status).decode("ascii")
        if name != "UNKNOWN":
            names[status] = name
    return names


cdef int check(int status) except -1:
    if status == 0:
        return 0
    name = pkf_status_name(status).decode("ascii")
    raise STATUS_CLASSES.get(name, SystemError)(pkf_status_text(status).decode("utf-8"))
