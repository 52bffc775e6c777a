# SPDX-License-Identifier: Apache-2.0
"""Delays between attempts."""

from __future__ import annotations

import pytest

from pykafka_fast.net.backoff import ExponentialBackoff, ReconnectState

MS = 1_000_000


def backoff(initial_ms: int, max_ms: int, random: float = 0.5) -> ExponentialBackoff:
    return ExponentialBackoff(initial_ms, max_ms, rng=lambda: random)


def test_delays_double_up_to_the_maximum() -> None:
    assert [backoff(100, 1000).delay_ms(n) for n in range(7)] == [100, 200, 400, 800, 1000, 1000, 1000]
    assert backoff(100, 1000).delay_ns(1) == 200 * MS


@pytest.mark.parametrize(("random", "delays"), [(0.0, [80, 160, 320, 640, 800, 800]), (0.999999, [119, 239, 479, 959])])
def test_jitter_is_a_fifth_either_way(random: float, delays: list[int]) -> None:
    assert [backoff(100, 1000, random).delay_ms(n) for n in range(len(delays))] == delays


def test_no_delay_exceeds_the_maximum_with_jitter() -> None:
    assert [backoff(100, 1000, 0.999999).delay_ms(n) for n in range(4, 100, 19)] == [1000] * 6


@pytest.mark.parametrize(("initial_ms", "max_ms", "expected"), [(100, 100, 100), (500, 9, 9), (0, 0, 0), (50, 0, 0)])
def test_without_room_to_grow_the_delay_is_constant_and_exact(initial_ms: int, max_ms: int, expected: int) -> None:
    assert [ExponentialBackoff(initial_ms, max_ms).delay_ms(n) for n in (0, 1, 50)] == [expected] * 3


def test_initial_zero_never_waits() -> None:
    assert [backoff(0, 1000).delay_ms(n) for n in (0, 5, 50)] == [0, 0, 0]


def test_many_failures_do_not_overflow() -> None:
    assert backoff(1, 1 << 40).delay_ms(1 << 31) == 1 << 40


class TestReconnectState:
    def make(self) -> ReconnectState:
        return ReconnectState(backoff(50, 1000), backoff(10_000, 30_000))

    def test_a_new_node_may_be_tried_at_once(self) -> None:
        state = self.make()
        assert state.can_connect(0)
        assert state.delay_ns(0) == 0
        assert state.last_attempt_ns is None

    def test_the_delay_counts_from_the_failure_and_grows(self) -> None:
        state = self.make()
        now, delays = 0, []
        for _ in range(6):
            state.on_attempt(now)
            now += 7 * MS
            state.on_closed(now, tcp_connected=False)
            delays.append(state.delay_ns(now) // MS)
            assert not state.can_connect(now + state.delay_ns(now) - 1)
            now += state.delay_ns(now)
            assert state.can_connect(now)
        assert delays == [50, 100, 200, 400, 800, 1000]

    def test_ready_starts_over(self) -> None:
        state = self.make()
        for _ in range(5):
            state.on_closed(0, tcp_connected=True)
        state.on_ready()
        state.on_closed(0, tcp_connected=True)
        assert state.delay_ns(0) == 50 * MS

    def test_set_up_time_grows_only_while_tcp_fails(self) -> None:
        state = self.make()
        times = []
        for _ in range(4):
            times.append(state.setup_timeout_ms())
            state.on_closed(0, tcp_connected=False)
        assert times == [10_000, 20_000, 30_000, 30_000]
        state.on_closed(0, tcp_connected=True)
        assert state.setup_timeout_ms() == 10_000
