# SPDX-License-Identifier: Apache-2.0
"""Door to the wire thread (csrc/pkf_round.h): start it, read its events, give it commands."""

from collections.abc import Sequence
from enum import IntEnum

from .accumulator import Accumulator, Topic

class EventKind(IntEnum):
    NEED_CONNECTION = 1
    CONNECTION_LOST = 2
    PARKED = 3
    NEED_PRODUCER_ID = 4
    GAP = 5
    UNKNOWN_LEADER = 6
    NODE = 7
    UNSEEN = 8
    DRAINED = 9

class ParkedBatch:
    """A batch that waits for the sender thread's decision. Settle it exactly once, with one of Wire's methods."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def count(self) -> int:
        """Records."""
    @property
    def size(self) -> int:
        """Bytes, header included."""
    @property
    def attempts(self) -> int:
        """Times it was given back for another try."""
    @property
    def sequence(self) -> int:
        """Base sequence, -1 without idempotence."""
    @property
    def producer_id(self) -> int: ...
    @property
    def producer_epoch(self) -> int: ...
    @property
    def age_ms(self) -> int:
        """Since its first record was appended."""
    @property
    def is_split(self) -> bool:
        """It is a product of a split."""
    @property
    def settled(self) -> bool: ...

class Event:
    """What happened. Fields that a kind does not use are -1 or None (see csrc/pkf_event.h)."""

    kind: EventKind
    node: int
    code: int
    text: str | None
    topic: str | None
    partition: int
    batch: ParkedBatch | None
    leader: int
    leader_epoch: int
    offset: int
    log_start: int
    log_append_time: int
    in_doubt: bool
    answered: bool
    first: bool
    record_errors: list[tuple[int, str | None]]

class Wire:
    """The wire thread of one producer."""

    def __init__(
        self,
        accumulator: Accumulator,
        *,
        client_id: str,
        acks: int,
        idempotent: bool,
        max_in_flight: int,
        request_timeout_ms: int,
        idle_timeout_ms: int,
        patience_ms: float,
        receive_max: int,
        pace_ms: float = 0,
        workers: int = 0,
    ) -> None: ...
    def start(self) -> None: ...
    def fileno(self) -> int:
        """Readable while there may be events."""
    def events(self) -> list[Event]:
        """All events so far, oldest first; never blocks."""
    def connect(self, node: int, fd: int, version: int, correlation: int) -> None:
        """Hand over a connected, non-blocking socket (the descriptor is the wire's from now on)."""
    def forget_connection(self, node: int, reason: str | None = None) -> None:
        """Nobody is connecting to the node any more: report NEED_CONNECTION again; with a reason, disconnect too."""
    def explain(self, node: int, text: str, topic: Topic | None = None) -> None:
        """Why there is no connection to the node or, with -1, no leader of the topic or, without one, no producer id.

        Batches that expire say so.
        """
    def throttle(self, node: int, ms: int) -> None:
        """Send nothing to the node for so long: it asked for that before its connection is handed over (KIP-219)."""
    def set_leaders(self, topic: Topic, leaders: Sequence[int], epochs: Sequence[int], topic_id: bytes) -> None:
        """Metadata has spoken: node ids (-1 none) and leader epochs by partition; 16 bytes of id, zeros if unknown."""
    def set_leader(self, topic: Topic, partition: int, node: int, epoch: int) -> None:
        """KIP-951: a newer leader of one partition."""
    def set_producer(self, producer_id: int, epoch: int) -> None: ...
    def disable_idempotence(self) -> None:
        """The cluster gives no producer ids: send without, and without sequences. Only before there was one."""

    def requeue(
        self,
        batch: ParkedBatch,
        delay_ms: float = 0,
        in_doubt: bool = False,
        refused: bool = False,
        text: str | None = None,
    ) -> None:
        """For another try, not before the delay is over.

        Args:
            in_doubt: this try may have been written.
            refused: the broker does not take its sequence: it waits until the batches behind it have shown that it is
                written, or for a restart; GAP is reported when nothing of the partition is under way.
            text: why the try failed; said again if the batch expires.
        """
    def fail(
        self,
        batch: ParkedBatch,
        code: int,
        text: str | None = None,
        in_doubt: bool = False,
        record_errors: Sequence[tuple[int, str | None]] = (),
    ) -> None:
        """Its records fail; with record_errors only those named with `code`, the others as rejected with them."""
    def complete(self, batch: ParkedBatch, offset: int = -1) -> None:
        """Its records are known to be written (a duplicate)."""
    def split(self, batch: ParkedBatch, size: int, code: int, text: str | None = None) -> None:
        """Into batches of at most `size` bytes; fails with code and text if that is impossible."""
    def restart(self, topic: Topic, partition: int) -> None:
        """Answer to GAP: sequences of the partition start anew under the producer id set last."""
    def close(self) -> None:
        """Send what is left, then report DRAINED. Appends are refused from now on."""
    def abort(self, code: int, text: str) -> None:
        """Fail everything that is not done and close the connections."""
    def stop(self, timeout: float = 1e6) -> bool:
        """End the thread; whether it has within so many seconds. Everything must be done (abort does that)."""
    def orphan(self) -> None:
        """In a forked child: close our copies of the descriptors and leave all else to the parent."""
    def kick(self) -> None:
        """Make the wire thread look around now."""
    def live_count(self) -> int:
        """Batches that are not done."""
    def in_flight(self) -> int:
        """Requests that wait for an answer, on all connections."""
    def counters(self) -> dict[str, int]:
        """Totals since the start; the *_max since the last call, which they are taken by."""
    def node_counters(self) -> dict[int, dict[str, int]]: ...
