# SPDX-License-Identifier: Apache-2.0
"""Fixtures for every suite."""

import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pykafka_fast import KafkaProducer
from pykafka_fast.log import LogThread
from tools import readback
from tools.brokers.processes import wait_for

log_threads: weakref.WeakSet[LogThread] = weakref.WeakSet()


class NotedLogThread(LogThread):
    def __init__(self, name: str) -> None:
        super().__init__(name)
        log_threads.add(self)


class SettledCapture(pytest.LogCaptureFixture):  # type: ignore[misc]  # final, for all we know of it
    """First waits for the lines that producers have had to say and that their log threads have still to emit."""

    @property
    def handler(self):  # type: ignore[no-untyped-def]  # its class is pytest's own
        waiting = list(log_threads)
        wait_for(lambda: not any(log_thread.unfinished for log_thread in waiting), "all lines", 20)
        return super().handler


@pytest.fixture
def caplog(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> pytest.LogCaptureFixture:
    """pytest's own, for lines that come from another thread than what the test has waited for."""
    monkeypatch.setattr("pykafka_fast.lifecycle.LogThread", NotedLogThread)
    caplog.__class__ = SettledCapture
    return caplog


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return Path(__file__).parent.parent


@pytest.fixture(scope="session")
def read_back() -> Callable[..., list[readback.Record]]:
    """read_back(bootstrap, topic) → every record there, read by confluent-kafka's consumer."""
    return readback.read_topic


@pytest.fixture
def new_producer() -> Iterator[Callable[..., KafkaProducer]]:
    """new_producer(bootstrap, **options); closed when the test ends, and no slab may be missing then."""
    producers = []

    def make(bootstrap: str, **options: object) -> KafkaProducer:
        producer = KafkaProducer(bootstrap_servers=bootstrap, **options)  # type: ignore[arg-type]
        producers.append(producer)
        return producer

    yield make
    for producer in producers:
        producer.close(timeout=10)
        assert producer._lifecycle.accumulator.pool_stats()["acquired"] == 0
