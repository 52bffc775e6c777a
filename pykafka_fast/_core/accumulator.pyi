# SPDX-License-Identifier: Apache-2.0
"""Door to the record accumulator (csrc/pkf_accum.h)."""

from collections.abc import Callable, Sequence

class Accumulator:
    """Buffers of one producer: topics, partitions, batches, and the pool of memory behind them."""

    def __init__(
        self,
        *,
        buffer_memory: int,
        batch_size: int,
        batch_max_size: int,
        max_request_size: int,
        linger_ms: float,
        delivery_timeout_ms: float,
        partitioner: str = "sticky",
        ignore_keys: bool = False,
        adaptive: bool = True,
        max_callbacks: int = 262_144,
        codec_of: Callable[[str], tuple[int, int]] | None = None,
    ) -> None: ...
    def topic(self, name: str) -> Topic:
        """The handle of a topic, made on first use."""
    def known_topic(self, name: str) -> Topic | None:
        """The handle of a topic, None if nobody has made it."""
    def topics(self) -> list[str]: ...
    def set_sender(self, ident: int) -> None:
        """The sender's thread, 0 when there is none: on it get() does not wait."""
    def flush(self, timeout: float | None) -> bool:
        """As wait_live(), and everything is sendable meanwhile."""
    def wait_live(self, timeout: float | None) -> bool:
        """Wait for all that is not done at this moment, callbacks included. False: the time ran out. Serves signals."""
    def last_used_ns(self, name: str) -> int | None:
        """When a batch of the topic was last sent, in monotonic nanoseconds; None if never."""
    def allow_headers(self, allowed: bool) -> None:
        """Whether every broker that is known takes record headers; while not, appends with headers are refused."""
    def close_delivery(self) -> None: ...
    def close(self) -> None:
        """No more appends; who waits for memory is woken and refused."""
    @property
    def is_inherited(self) -> bool:
        """Whether this process is a child of the one it was made in."""
    def orphan(self) -> None:
        """In a forked child: leave all to the parent. Futures of its records fail; call nothing else any more."""
    def pool_stats(self) -> dict[str, int]: ...
    def topic_counters(self) -> dict[str, dict[str, int]]: ...
    def pending_callbacks(self) -> int: ...
    def callbacks_full(self) -> bool:
        """So many callbacks wait that send() waits too."""
    def lost(self) -> dict[str, int]:
        """Records by topic that are not done."""

class Topic:
    """Handle of one topic in one accumulator."""

    @property
    def name(self) -> str: ...
    @property
    def partition_count(self) -> int:
        """0 while unknown."""
    def set_route(self, leaders: Sequence[int]) -> None:
        """Partitions known from now on (one entry each), -1 where no leader is known."""
    def place(self, key: object, value: object) -> int:
        """Where this record goes, which will name its partition when it is appended; -1 while the topic is unknown.

        Raises TypeError for a key or value that could not be appended.
        """
    def has_room(self, partition: int, value: object, headers: Sequence[object]) -> bool:
        """Whether a record would join a batch there, rather than begin one."""
    def set_batch_ceiling(self, size: int) -> None:
        """Bytes a batch of this topic may have: lowered after MESSAGE_TOO_LARGE."""
    def forget(self) -> None:
        """The next send waits for metadata."""
