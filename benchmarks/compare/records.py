# SPDX-License-Identifier: Apache-2.0
"""The records of a run: made before the client starts, handed out in lists, the same for every client."""

import json
import random
from collections.abc import Callable
from typing import Any

from benchmarks.compare.job import Job
from tools.demo import flights

# More than a batch holds, so that none holds the same record twice.
POOL_BYTES = 2 * 2**20
KEYED = 50_000
QUICK_RECORDS = 2_000
SEED = 5
EVENTS = ("page_view", "add_to_cart", "checkout", "search", "login", "logout", "purchase", "refund")
WORDS = (
    "red green blue black white small large light dark warm cotton leather steel glass paper wooden classic modern "
    "summer winter shirt jacket table lamp chair bottle wallet clock carpet mirror basket folder pencil camera"
).split()

Pairs = list[tuple[bytes | None, Any]]


class Records:
    """An endless supply.

    Attributes:
        keyed: items are (topic, key, value) instead of values.
        headers: what each record carries, None for nothing.
    """

    def __init__(self, items: list[Any], keyed: bool, headers: list[tuple[str, Any]] | None):
        self.keyed = keyed
        self.headers = headers
        self._items = items
        self._at = 0

    @property
    def value(self) -> Any:
        """The first record's."""
        return self._items[0][2] if self.keyed else self._items[0]

    @property
    def size(self) -> int:
        """Records until they begin anew."""
        return len(self._items)

    @property
    def mean_value_bytes(self) -> float:
        """0 for objects."""
        values = [item[2] for item in self._items] if self.keyed else self._items
        return sum(map(len, values)) / len(values) if isinstance(self.value, bytes) else 0.0

    def take(self, count: int) -> list[Any]:
        """The next `count`; behind the last one comes the first."""
        taken = self._items[self._at : self._at + count]
        while len(taken) < count:
            taken += self._items[: count - len(taken)]
        self._at = (self._at + count) % len(self._items)
        return taken


def make(job: Job) -> Records:
    """A deterministic function of the load."""
    load, chance = job.load, random.Random(SEED)
    pairs = PAYLOADS[load.payload](job, chance)
    headers: list[tuple[str, Any]] = [(f"header-{number}", b"some value") for number in range(load.headers)]
    if not load.key_size and load.topics == 1:
        return Records([value for _, value in pairs], False, headers or None)
    topics = load.topic_names(job.topic)
    return Records([(chance.choice(topics), key, value) for key, value in pairs], True, headers or None)


def same(job: Job, chance: random.Random) -> Pairs:
    """One value; with keys many of these."""
    value, size = b"x" * job.load.value_size, job.load.key_size
    if not size:
        return [(None, value)] * 1_000
    return [(random_key(chance, size), value) for _ in range(QUICK_RECORDS if job.quick else KEYED)]


def json_texts(job: Job, chance: random.Random) -> Pairs:
    """Events as JSON, all of one size, about four times compressible."""
    size = job.load.value_size
    return [(None, json_text(chance, size).encode()) for _ in range(QUICK_RECORDS if job.quick else POOL_BYTES // size)]


def strings(job: Job, chance: random.Random) -> Pairs:
    return [(None, json_text(chance, job.load.value_size)) for _ in range(QUICK_RECORDS)]


def objects(job: Job, chance: random.Random) -> Pairs:
    return [(None, event(chance, job.load.value_size)) for _ in range(QUICK_RECORDS)]


def flight_records(job: Job, chance: random.Random) -> Pairs:
    return [(flight.key, flight.value) for flight in flights.load(QUICK_RECORDS if job.quick else None)]


def weather_records(job: Job, chance: random.Random) -> Pairs:
    return [(row.key, row.value) for row in flights.load_weather(QUICK_RECORDS if job.quick else None)]


def random_key(chance: random.Random, size: int) -> bytes:
    return chance.randbytes((size + 1) // 2).hex()[:size].encode()


def event(chance: random.Random, size: int) -> dict[str, Any]:
    """What a shop would send, of `size` characters as compact JSON; 100 at least."""
    items: list[dict[str, Any]] = []
    made: dict[str, Any] = {
        "id": chance.randrange(10**8, 10**9),
        "event": chance.choice(EVENTS),
        "user": chance.randrange(10**5, 10**6),
        "items": items,
        "note": "",
    }
    while len(compact(made)) < size - 80:
        name = f"{chance.choice(WORDS)} {chance.choice(WORDS)}"
        items.append({"name": name, "article": chance.randbytes(4).hex(), "price": chance.randrange(100, 10_000) / 100})
    note = " ".join(chance.choices(WORDS, k=size // 4))
    made["note"] = note[: size - len(compact(made))]
    return made


def json_text(chance: random.Random, size: int) -> str:
    return compact(event(chance, size))


def compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


PAYLOADS: dict[str, Callable[[Job, random.Random], Pairs]] = {
    "same": same,
    "json": json_texts,
    "strings": strings,
    "objects": objects,
    "flights": flight_records,
    "weather": weather_records,
}
