# SPDX-License-Identifier: Apache-2.0
"""What a network does to three connections, drawn from a seed, through the relay."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable

from tools.relay import ALL, Relay

LINKS = 3


class RelayFaults:
    """Lets a relay of three links misbehave.

    Args:
        relay: between client and brokers.
        seed: what is drawn depends on it alone.
        say: is told each fault.

    Attributes:
        done: how many of each kind.
    """

    def __init__(self, relay: Relay, seed: int, say: Callable[[str], None]):
        self.done: Counter[str] = Counter()
        self._relay = relay
        self._rng = random.Random(seed)
        self._say = say

    def run(self, stop: threading.Event) -> None:
        """Fault after fault until `stop`, with undisturbed moments between."""
        began = time.monotonic()
        while not stop.is_set():
            kind, link, hold, act = self._draw()
            self._say(f"{time.monotonic() - began:8.3f} relay: {kind} at {link or 'all'} for {hold:.3f} s")
            act()
            stop.wait(hold)
            if kind.endswith("reset"):
                self._relay.reset(link)
            self._relay.heal()
            self.done[kind.partition(" ")[0]] += 1
            stop.wait(self._rng.uniform(0.05, 1.0))

    def _draw(self) -> tuple[str, int, float, Callable[[], None]]:
        relay, rng = self._relay, self._rng
        link = rng.choice([ALL, *range(1, LINKS + 1), *range(1, LINKS + 1)])
        delay, rate, count = rng.uniform(0.001, 0.5), rng.randint(5_000, 300_000), rng.randint(1, 30_000)
        # With the delay there are requests on their way when the connection goes, and answers that never arrive.
        kinds: list[tuple[str, float, Callable[[], None]]] = [
            (f"late {delay:.3f} s, then reset", 2.0, lambda: relay.delay(link, delay)),
            (f"late {delay:.3f} s, then reset", 2.0, lambda: relay.delay(link, delay)),
            (f"delay {delay:.3f} s", 3.0, lambda: relay.delay(link, delay)),
            (f"limit {rate} B/s", 3.0, lambda: relay.limit(link, rate)),
            ("reset", 0.0, lambda: None),
            (f"reset-after {count} B", 2.0, lambda: relay.reset_after(link, count)),
            ("silence", 6.0, lambda: relay.silence(link)),
            ("black-hole", 6.0, lambda: relay.black_hole(link)),
            ("one-way", 6.0, lambda: relay.one_way(link)),
            ("half-close", 0.5, lambda: relay.half_close(link)),
            ("half-close upward", 0.5, lambda: relay.half_close(link, upward=True)),
        ]
        kind, longest, act = rng.choice(kinds)
        return kind, link, rng.uniform(0, longest), act
