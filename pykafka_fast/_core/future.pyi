# SPDX-License-Identifier: Apache-2.0
"""What a caller holds of a record: its future, and what is attached to it."""

from collections.abc import Callable, Generator
from typing import Any, final

from ..errors import KafkaError
from ..types import TopicPartition
from .accumulator import Accumulator
from .metadata import RecordMetadata

@final
class RecordFuture:
    """The outcome of one send(): pending, then a RecordMetadata or an exception.

    Methods and attributes are those of kafka-python's FutureRecordMetadata; it can be awaited in asyncio too.
    """

    @property
    def is_done(self) -> bool:
        """Whether the outcome is known."""
    @property
    def value(self) -> RecordMetadata | None:
        """The RecordMetadata once delivered, else None."""
    @property
    def exception(self) -> KafkaError | None:
        """The exception once failed, else None. Every look makes a new one."""
    @property
    def _refused(self) -> bool: ...
    def succeeded(self) -> bool:
        """Done, and delivered."""
    def failed(self) -> bool:
        """Done, and not delivered."""
    def retriable(self) -> bool:
        """Failed with an error after which the same send may succeed."""
    def get(self, timeout: float | None = None) -> RecordMetadata:
        """Wait for the outcome; its batch does not linger meanwhile.

        timeout: seconds, None without end, 0 or less for a look. Returns RecordMetadata; raises the delivery's
        exception, or KafkaTimeoutError, which does not affect the record. Returns after its callbacks have run.
        """
    def add_callback(self, f: Callable[..., object], *args: Any, **kwargs: Any) -> RecordFuture:
        """Call f(*args, metadata, **kwargs) when delivered; at once if that is so already. Returns self."""
    def add_errback(self, f: Callable[..., object], *args: Any, **kwargs: Any) -> RecordFuture:
        """Call f(*args, exception, **kwargs) when failed; at once if that is so already. Returns self."""
    def add_both(self, f: Callable[..., object], *args: Any, **kwargs: Any) -> RecordFuture:
        """Call f(*args, metadata or exception, **kwargs) when done. Returns self."""
    def chain(self, other: Any) -> RecordFuture:
        """Pass the outcome on to another future with success() and failure(). Returns self."""
    @property
    def _produce_future(self) -> RecordFuture: ...
    @property
    def topic_partition(self) -> TopicPartition:
        """Where the record was put; partition -1 if it failed before one was chosen."""
    def __await__(self) -> Generator[Any, None, RecordMetadata]: ...

def report_unseen(accumulator: Accumulator, topic: str, code: int, text: str | None, in_doubt: bool) -> None:
    """Records of the topic failed, and nobody has their futures any more."""

def failed_future(
    topic: str,
    partition: int,
    code: int,
    message: str,
    in_doubt: bool = False,
    unseen_of: Accumulator | None = None,
) -> RecordFuture:
    """A future that has failed from birth: nothing was appended. partition -1 when none was chosen."""

def metadata_without_offset(future: RecordFuture) -> RecordMetadata:
    """What a callback is told of a record that failed: topic and partition."""

def set_starter(accumulator: Accumulator, start: Callable[[], None]) -> None:
    """Call `start` whenever something is attached to a record of this accumulator."""

def forget_starter(accumulator: Accumulator) -> None:
    """The opposite of set_starter()."""
