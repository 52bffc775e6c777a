# SPDX-License-Identifier: Apache-2.0
"""How long to wait before trying again (KIP-144, KIP-580, KIP-601)."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

__all__ = ["ExponentialBackoff", "ReconnectState"]

_NS_PER_MS = 1_000_000


class ExponentialBackoff:
    """Delays that double from ``initial_ms`` to ``max_ms``, each changed at random by up to ``jitter``.

    Args:
        initial_ms: delay after the first failure.
        max_ms: no delay is longer; if it is not above ``initial_ms`` every delay is ``max_ms`` exactly.
        multiplier: factor from one delay to the next.
        jitter: 0.2 means 80 % to 120 %.
        rng: returns random numbers in [0, 1).
    """

    __slots__ = ("_initial_ms", "_jitter", "_max_exponent", "_max_ms", "_multiplier", "_rng")

    def __init__(
        self,
        initial_ms: int,
        max_ms: int,
        multiplier: int = 2,
        jitter: float = 0.2,
        rng: Callable[[], float] = random.random,
    ) -> None:
        self._initial_ms = min(initial_ms, max_ms)
        self._max_ms = max_ms
        self._multiplier = multiplier
        self._jitter = jitter
        self._rng = rng
        grows = max_ms > self._initial_ms
        self._max_exponent = math.log(max_ms / max(self._initial_ms, 1), multiplier) if grows else 0.0

    def delay_ms(self, failures: int) -> int:
        """The delay after ``failures`` earlier failures in a row; 0 gives the first delay."""
        if self._max_exponent == 0.0:
            return self._initial_ms
        factor = 1.0 - self._jitter + 2.0 * self._jitter * self._rng()
        delay = factor * self._initial_ms * self._multiplier ** min(failures, self._max_exponent)
        return min(self._max_ms, int(delay))

    def delay_ns(self, failures: int) -> int:
        """The same in nanoseconds."""
        return self.delay_ms(failures) * _NS_PER_MS


class ReconnectState:
    """When one node may be tried again, and how long its next attempt may take.

    The reconnect delay grows with every attempt that does not end in a ready connection and with every loss of one; the
    set-up time-out grows with every attempt that TCP did not complete (KIP-601).

    Args:
        reconnect: ``reconnect_backoff_ms`` to ``reconnect_backoff_max_ms``.
        setup_timeout: ``socket_connection_setup_timeout_ms`` to ``socket_connection_setup_timeout_max_ms``.
    """

    __slots__ = ("_failures", "_reconnect", "_setup_failures", "_setup_timeout", "last_attempt_ns", "retry_at_ns")

    def __init__(self, reconnect: ExponentialBackoff, setup_timeout: ExponentialBackoff) -> None:
        self._reconnect = reconnect
        self._setup_timeout = setup_timeout
        self._failures = 0
        self._setup_failures = 0
        self.last_attempt_ns: int | None = None
        """When the last attempt began; None before the first."""
        self.retry_at_ns = 0
        """The earliest time of the next attempt; in the past if it may begin at once."""

    def can_connect(self, now_ns: int) -> bool:
        """Whether an attempt may begin."""
        return self.delay_ns(now_ns) == 0

    def delay_ns(self, now_ns: int) -> int:
        """How long an attempt has to wait."""
        return 0 if self.last_attempt_ns is None else max(0, self.retry_at_ns - now_ns)

    def setup_timeout_ms(self) -> int:
        """How long TCP may take to connect in the next attempt."""
        return self._setup_timeout.delay_ms(self._setup_failures)

    def on_attempt(self, now_ns: int) -> None:
        """An attempt begins."""
        self.last_attempt_ns = now_ns

    def on_ready(self) -> None:
        """The connection is ready: the next loss starts with the shortest delay again."""
        self._failures = 0
        self._setup_failures = 0

    def on_closed(self, now_ns: int, tcp_connected: bool) -> None:
        """The attempt failed or the connection was lost; ``tcp_connected`` if TCP had come up."""
        self._setup_failures = 0 if tcp_connected else self._setup_failures + 1
        self.last_attempt_ns = now_ns
        self.retry_at_ns = now_ns + self._reconnect.delay_ns(self._failures)
        self._failures += 1
