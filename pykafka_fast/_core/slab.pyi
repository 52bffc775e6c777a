# SPDX-License-Identifier: Apache-2.0
"""Door to the pool of slabs (csrc/pkf_slab.h): memory of batches under a hard budget."""

from typing import final

from typing_extensions import Buffer

def round_size(size: int) -> int:
    """The bytes that a slab for ``size`` bytes has and is charged for; 0 if there is no such number."""

@final
class Slab:
    """A piece of the pool's memory, from ``acquire`` to ``release``. Released when it is forgotten, at the latest.

    ``memoryview(slab)`` is a read-only view; while there is one the slab cannot be released.
    """

    def __len__(self) -> int:
        """Its rounded size in bytes."""
    def __buffer__(self, flags: int, /) -> memoryview: ...
    @property
    def address(self) -> int: ...
    @property
    def released(self) -> bool: ...
    def write(self, data: Buffer, offset: int = 0) -> None:
        """Copy bytes in.

        Raises:
            ValueError: they do not fit, or the slab was released.
        """
    def release(self) -> None:
        """Give it back to the pool.

        Raises:
            BufferError: views of it are in use.
            ValueError: it was released before.
        """

@final
class SlabPool:
    """A pool of slabs under a budget of bytes; first come, first served."""

    def __init__(self, budget: int) -> None:
        """Raises ValueError for a budget below 4096."""
    def acquire(self, size: int, timeout: float = 0.0) -> Slab:
        """A slab of at least ``size`` bytes, waited for at most ``timeout`` seconds; signals are served meanwhile.

        Raises:
            BufferExhaustedError: not enough memory is free, or others wait for it, and the time ran out.
            MessageSizeTooLargeError: the rounded size is above the budget.
            ProducerClosedError: the pool is closed, or was closed meanwhile.
        """
    def ready(self, size: int) -> Slab:
        """A free slab of that class that was used before, else BufferExhaustedError. Makes no system call."""
    def overdraft(self, size: int) -> Slab:
        """A slab even beyond the budget, before everybody who waits, and after close."""
    def close(self) -> None:
        """Wake and refuse all who wait, and refuse whoever comes later. Slabs can still be released."""
    @property
    def waiting(self) -> bool:
        """Whether anybody waits for memory."""
    def stats(self) -> dict[str, int]:
        """budget, available, acquired, resident and mapped in bytes; slabs_acquired, waiting; waits, exhausted, wait_ns
        and given_back since the beginning."""
