# SPDX-License-Identifier: Apache-2.0
"""send(): the fast path, and the append that it shares with the path in Python."""

from collections.abc import Callable
from typing import Any

from ..errors import KafkaError
from ..types import AnyHeaders, ProducerRecord
from .accumulator import Accumulator, Topic
from .future import RecordFuture
from .metadata import RecordMetadata

NEED_METADATA: int
TOO_LARGE: int
CLOSED: int
EXHAUSTED: int
NO_HEADERS: int

class ProducerBase:
    """What KafkaProducer inherits: send(), whose fast path is one C call that appends and returns a future."""

    def _open(
        self,
        accumulator: Accumulator,
        direct: bool,
        start_delivery: Callable[[], None],
        serialize_key: Callable[[Any], Any] | None = None,
        serialize_value: Callable[[Any], Any] | None = None,
    ) -> None:
        """Append to this accumulator; `direct`: the fast path applies; start_delivery() starts the delivery thread."""
    def _set_direct(self, direct: bool) -> None:
        """Switch the fast path: off when closed, fatal or forked."""
    def send(
        self,
        topic: str | ProducerRecord,
        value: Any = None,
        key: Any = None,
        headers: AnyHeaders | None = None,
        partition: int | None = None,
        timestamp_ms: int | None = None,
        *,
        on_delivery: Callable[[RecordMetadata, KafkaError | None], object] | None = None,
    ) -> RecordFuture:
        """Queue a record for sending; returns at once unless metadata or memory must be waited for.

        topic (str; or a ProducerRecord as the only positional argument), value and key (bytes-like or None, or what the
        serializers take), headers (list of (str, bytes or None)), partition (int >= 0; None: the partitioner chooses),
        timestamp_ms (int >= 0 since the epoch; None: now), on_delivery (called as on_delivery(metadata, exception), on
        the delivery thread, or before send() returns for a record that it refuses).

        Returns a RecordFuture. Time-outs, records too large, invalid or unauthorized topics and exhausted memory fail
        the future; a closed or broken producer, wrong types and errors of serializers and partitioners are raised.
        """
    def _append(
        self,
        handle: Topic,
        value: Any,
        key: Any,
        headers: list[Any] | None,
        partition: int | None,
        timestamp_ms: int | None,
        on_delivery: Callable[..., object] | None,
        notify: bool,
        deadline: float,
    ) -> RecordFuture | int:
        """Append what is serialized, waiting for memory until `deadline` (time.monotonic()).

        notify: tell the delivery thread of this record although on_delivery may be None. Returns a future, or one of
        NEED_METADATA, TOO_LARGE, CLOSED, EXHAUSTED, NO_HEADERS.
        """
