# SPDX-License-Identifier: Apache-2.0
"""Brokers of other versions: what they offer decides what they are sent."""

import logging
import re
from collections.abc import Callable

import pytest

import pykafka_fast
from pykafka_fast import KafkaProducer
from pykafka_fast.errors import KafkaTimeoutError, UnsupportedVersionError
from tests.ledger import Ledger, check
from tools.brokers.mock import API_VERSIONS, INIT_PRODUCER_ID, METADATA, PRODUCE, MockCluster
from tools.readback import Record

NewProducer = Callable[..., KafkaProducer]
ReadBack = Callable[[str, str], list[Record]]


@pytest.fixture
def versions(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], list[int]]:
    """versions(api) → the versions of this API that were sent, as the wire dump and the log tell."""
    monkeypatch.setenv("PYKAFKA_FAST_WIRE_DUMP", "1")
    caplog.set_level(logging.DEBUG, "pykafka_fast")

    def sent(api: str) -> list[int]:
        pattern = r"records go there as Produce v(\d+)" if api == "Produce" else rf" > {api} v(\d+) "
        return [int(version) for version in re.findall(pattern, caplog.text)]

    return sent


def test_an_odd_answer_to_api_versions(
    mock: MockCluster,
    new_producer: NewProducer,
    versions: Callable[[str], list[int]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The mock answers version 4 with error 35 and a body of no version: the code alone counts, v0 comes next."""
    mock.create_topic("t", 1)
    new_producer(mock.bootstrap).send("t", b"v").get(timeout=10)
    assert versions("ApiVersions")[:2] == [4, 0]
    assert versions("Produce") == [10]
    assert versions("Metadata")[0] == 13
    assert versions("InitProducerId") == [4]
    assert f"client_software_version='{pykafka_fast.__version__}'" in caplog.text


# The mock leaves the log start offset out of its answers of version 5, in which it is new.
@pytest.mark.parametrize("newest", [3, 4, 6, 7, 8, 9, 10])
def test_produce_versions(
    mock: MockCluster,
    new_producer: NewProducer,
    read_back: ReadBack,
    versions: Callable[[str], list[int]],
    newest: int,
) -> None:
    mock.create_topic("t", 3)
    mock.set_api_version(PRODUCE, 0, newest)
    producer = new_producer(mock.bootstrap)
    ledger = Ledger(producer, "t")
    for number in range(300):
        ledger.send(key=b"%d" % (number % 7))
    producer.flush(timeout=10)
    assert versions("Produce") == [newest]
    assert not ledger.failures()
    check(read_back(mock.bootstrap, "t"), ledger)


@pytest.mark.parametrize(("api", "newest"), [(METADATA, n) for n in (1, 2, 4, 5, 8, 9, 10, 12)] + [
    (INIT_PRODUCER_ID, n) for n in range(4)])  # fmt: skip
def test_older_control_messages(
    mock: MockCluster, new_producer: NewProducer, versions: Callable[[str], list[int]], api: int, newest: int
) -> None:
    mock.create_topic("t", 1)
    mock.set_api_version(api, 0, newest)
    assert new_producer(mock.bootstrap).send("t", b"v").get(timeout=10).offset == 0
    assert set(versions("Metadata" if api == METADATA else "InitProducerId")) == {newest}


def test_answers_that_break_the_protocol(mock: MockCluster, new_producer: NewProducer) -> None:
    """The mock's version 5: the connection is given up and made anew, until the records' time is over."""
    mock.create_topic("t", 1)
    mock.set_api_version(PRODUCE, 0, 5)
    producer = new_producer(mock.bootstrap, delivery_timeout_ms=5000, request_timeout_ms=4000)
    with pytest.raises(KafkaTimeoutError, match="breaks the protocol") as failure:
        producer.send("t", b"v").get(timeout=20)
    assert failure.value.in_doubt
    assert 2 <= mock.request_counts()[PRODUCE] <= 30
    mock.set_api_version(PRODUCE, 0, 10)


@pytest.mark.parametrize(("lowest", "highest"), [(14, 20), (-1, -1)])
def test_no_produce_version_in_common(
    mock: MockCluster, new_producer: NewProducer, lowest: int, highest: int
) -> None:
    mock.create_topic("t", 1)
    mock.set_api_version(PRODUCE, lowest, highest)
    with pytest.raises(UnsupportedVersionError, match="Produce"):
        new_producer(mock.bootstrap).send("t", b"v").get(timeout=10)


def test_no_idempotence_at_the_broker(
    mock: MockCluster, new_producer: NewProducer, caplog: pytest.LogCaptureFixture
) -> None:
    """A default gives way, with a warning; what was asked for does not."""
    mock.create_topic("t", 1)
    mock.set_api_version(INIT_PRODUCER_ID, -1, -1)
    with pytest.raises(UnsupportedVersionError, match="enable_idempotence"):
        new_producer(mock.bootstrap, enable_idempotence=True).send("t", b"v").get(timeout=10)
    assert new_producer(mock.bootstrap).send("t", b"v").get(timeout=10).offset == 0
    assert "Idempotence is turned off" in caplog.text
    assert new_producer(mock.bootstrap, enable_idempotence=False).send("t", b"v").get(timeout=10).offset == 1


def test_api_versions_is_asked_once_per_connection(mock: MockCluster, new_producer: NewProducer) -> None:
    mock.create_topic("t", 1)
    producer = new_producer(mock.bootstrap)
    for _ in range(20):
        producer.send("t", b"v").get(timeout=10)
    connections = producer.metrics()["producer-metrics"]["connection-count"]  # type: ignore[index]
    assert mock.request_counts()[API_VERSIONS] <= 2 * (connections + 1)
