# SPDX-License-Identifier: Apache-2.0
"""The running of callbacks: what the delivery thread does."""

from collections.abc import Callable

from .accumulator import Accumulator
from .metadata import RecordMetadata

class Deliveries:
    """The work of the delivery thread: wait for completed batches, run what is attached to their records."""

    def __init__(
        self,
        accumulator: Accumulator,
        acknowledged: Callable[[RecordMetadata, BaseException | None], None] | None = None,
    ) -> None: ...
    @property
    def calling(self) -> bool:
        """A callback or an interceptor runs; else it is a finalizer that does."""
    def adopt_thread(self) -> None:
        """This thread delivers: get(), flush() and close() on it do not wait for callbacks."""
    def deliver(self, timeout: float) -> bool:
        """Wait up to `timeout` seconds, then run all callbacks that are due. False once closed and nothing is left."""
