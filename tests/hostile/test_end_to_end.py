# SPDX-License-Identifier: Apache-2.0
"""One producer lives through thousands of damaged answers: nothing is lost, doubled, out of order or left behind.

``HOSTILE_ANSWERS`` makes it longer.
"""

from __future__ import annotations

import logging
import os
import random
import re
import time
from collections import Counter
from collections.abc import Callable
from functools import partial

import pytest

from pykafka_fast import KafkaProducer
from pykafka_fast.errors import KafkaTimeoutError, NetworkExceptionError
from pykafka_fast.protocol.api import APIS, ApiKey, api_name
from pykafka_fast.testing import EmbeddedBroker
from tests.hostile.answers import DECODERS, has_to_be_believed, is_whole
from tests.hostile.memory import resident_kb
from tests.hostile.mutation import Mutator, fresh_seed
from tests.path.conftest import Make, StartBroker, check_balance

ANSWERS = int(os.environ.get("HOSTILE_ANSWERS", "2200"))
PARTITIONS = 6
OLDEST = {ApiKey.PRODUCE: 3, ApiKey.METADATA: 1, ApiKey.INIT_PRODUCER_ID: 0, ApiKey.API_VERSIONS: 0}
WAIT_S = 60.0
GROWTH_MAX_KB = 16 << 10
FAST = {
    "reconnect_backoff_ms": 1, "reconnect_backoff_max_ms": 4, "retry_backoff_ms": 1, "retry_backoff_max_ms": 4,
    "request_timeout_ms": 150, "socket_connection_setup_timeout_ms": 1000, "metadata_max_age_ms": 50,
    "max_block_ms": 60_000,
}  # fmt: skip


class Liar:
    """Damages answers of an embedded broker, some of each kind, until told to stop.

    Attributes:
        sent: damaged answers, by API.
        share: how many of the answers are damaged.
    """

    def __init__(self, broker: EmbeddedBroker, rng: random.Random) -> None:
        self.sent: Counter[str] = Counter()
        self.share = {ApiKey.PRODUCE: 0.4, ApiKey.METADATA: 0.5, ApiKey.API_VERSIONS: 0.2, ApiKey.INIT_PRODUCER_ID: 1.0}
        self._rng = rng
        for api in DECODERS:
            broker.reply_bytes(api_name(api), partial(self._answer, api), times=None)

    def stop(self) -> None:
        self.share = dict.fromkeys(self.share, 0.0)

    def _answer(self, api: ApiKey, correlation_id: int, answer: bytes) -> bytes:
        rng = self._rng
        if rng.random() >= self.share[api] or (api is ApiKey.INIT_PRODUCER_ID and self.sent[api_name(api)] >= 3):
            return answer
        mutator = Mutator(rng, [answer])
        for _ in range(50):
            damaged = mutator.damage(answer)
            if rng.random() < 0.8 and len(damaged) >= 8:  # most get past frame and header
                damaged = (len(damaged) - 4).to_bytes(4, "big") + answer[4:8] + damaged[8:]
            if not damaged or damaged == answer or (not is_whole(damaged) and rng.random() < 0.9):
                continue  # one that keeps the client waiting takes request_timeout_ms
            if api is ApiKey.PRODUCE and not is_whole(damaged):
                continue  # the answer behind it, of which there may be one, would complete it: with an hour's throttle
            if not has_to_be_believed(api, damaged, correlation_id):
                self.sent[api_name(api)] += 1
                return damaged
        return answer


class Numbered:
    """Sends numbered records to all partitions and knows what has to be in the log."""

    def __init__(self, producer: KafkaProducer) -> None:
        self._producer = producer
        self._counts = [0] * PARTITIONS

    def send(self, each: int) -> None:
        """``each`` records for each partition, all of which must be written."""
        futures = []
        for _ in range(each):
            for index in range(PARTITIONS):
                futures.append(self._producer.send("t", b"%d" % self._counts[index], partition=index))
                self._counts[index] += 1
        for future in futures:
            future.get(WAIT_S)

    def check(self, broker: EmbeddedBroker) -> None:
        """Each once and in order."""
        for index, count in enumerate(self._counts):
            assert [int(record.value) for record in broker.records("t", index)] == list(range(count))


@pytest.mark.timeout(max(300, ANSWERS // 4))
def test_one_producer_lives_through_thousands_of_damaged_answers(start_broker: StartBroker, make: Make) -> None:
    rng = random.Random(fresh_seed())
    broker = start_broker(brokers=3, topics={"t": PARTITIONS})
    for api, oldest in OLDEST.items():  # other versions in each run
        broker.set_api_version(api_name(api), oldest, rng.randrange(oldest, APIS[api].max_version + 1))
    liar = Liar(broker, rng)
    producer = make(broker, **FAST)
    records, before, began = Numbered(producer), 0, time.monotonic()
    while liar.sent.total() < ANSWERS:
        records.send(each=2)
        if not before and liar.sent.total() > ANSWERS // 5:
            before = resident_kb()
    grown = resident_kb() - before
    print(f"{dict(liar.sent)} damaged answers in {time.monotonic() - began:.1f} s, {grown} KiB more")
    liar.stop()
    records.send(each=200)
    records.check(broker)
    check_balance(producer)
    assert grown < GROWTH_MAX_KB
    assert set(liar.sent) == {api_name(api) for api in DECODERS}


Damage = Callable[[int, bytes], bytes]
BAD_ANSWERS: dict[str, tuple[Damage, str]] = {
    "cut short": (lambda _, it: (len(it) - 14).to_bytes(4, "big") + it[4:-10], r"offset \d+ of \d+ bytes"),
    "too long": (lambda _, it: (len(it) + 2).to_bytes(4, "big") + it[4:] + b"rest.."[:6], r"offset \d+ of \d+ bytes"),
    "negative size": (lambda _, it: b"\xff\xff\xff\xfe" + it[4:], "-2 bytes"),
    "2 GB announced": (lambda _, it: b"\x7f\xff\xff\xff" + it[4:], "2147483647 bytes"),
    "another correlation id": (lambda n, it: it[:4] + (n + 1).to_bytes(4, "big") + it[8:], "correlation id"),
    "twice": (lambda _, it: it + it, "never sent|correlation id"),
}


@pytest.mark.parametrize("kind", BAD_ANSWERS)
def test_the_error_names_peer_api_and_offset(
    kind: str, start_broker: StartBroker, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    """In the log, and in what the records fail with when their time is up."""
    caplog.set_level(logging.DEBUG, "pykafka_fast")
    damage, said = BAD_ANSWERS[kind]
    broker = start_broker()
    producer = make(broker, **(FAST | {"delivery_timeout_ms": 1000, "metadata_max_age_ms": 300_000}))
    producer.send("t", b"good", partition=0).get(WAIT_S)
    broker.reply_bytes("Produce", damage, times=None)
    future = producer.send("t", b"bad", partition=0)
    if kind != "twice":  # the first of the two is a good answer
        with pytest.raises((KafkaTimeoutError, NetworkExceptionError)) as failure:
            future.get(WAIT_S)
        assert re.search(rf"node 1: Produce.*({said})", str(failure.value)), str(failure.value)
        assert failure.value.in_doubt
    told = re.compile(rf"{re.escape(broker.address)} \(node 1\): Produce.*({said})")
    deadline = time.monotonic() + WAIT_S
    while not any(told.search(record.getMessage()) for record in caplog.records):
        assert time.monotonic() < deadline, caplog.messages
        time.sleep(0.01)
    broker.clear()
    assert producer.send("t", b"afterwards", partition=0).get(WAIT_S).partition == 0


@pytest.mark.parametrize("handshake", [1, 2], ids=["control", "records"])
def test_bytes_behind_a_handshake_end_that_connection_only(
    handshake: int, start_broker: StartBroker, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    broker = start_broker()
    seen = 0

    def twice(_: int, answer: bytes) -> bytes:
        nonlocal seen
        seen += 1
        return answer + answer if seen == handshake else answer

    broker.reply_bytes("ApiVersions", twice, times=None)
    producer = make(broker, **FAST)
    assert producer.send("t", b"first", partition=0).get(WAIT_S).offset == 0
    assert producer.send("t", b"second", partition=0).get(WAIT_S).offset == 1
    assert seen > 2  # the one that ended was made anew
    assert "bytes that nobody asked for" in caplog.text


def test_metadata_that_contradicts_itself_is_asked_for_elsewhere(
    start_broker: StartBroker, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    """Node 1 numbers partitions from 1 on: its connection is closed, the others' answers count."""
    broker = start_broker(brokers=3, topics={"t": 2})
    broker.set_api_version("Metadata", 0, 4)

    def renumber(_: int, answer: bytes) -> bytes:
        first, second = (b"\0\0" + index.to_bytes(4, "big") for index in (0, 1))  # no error, then the index
        assert second in answer
        return answer.replace(second, first)

    broker.reply_bytes("Metadata", renumber, node=1, times=None)
    producer = make(broker.addresses[0], **(FAST | {"max_block_ms": 300}))
    told = re.compile(rf"{broker.addresses[0]}: Metadata: .*not numbered from 0 on")
    deadline = time.monotonic() + WAIT_S
    while not any(told.search(record.getMessage()) for record in caplog.records):
        assert time.monotonic() < deadline
        assert isinstance(producer.send("t", b"v").exception, KafkaTimeoutError)
    for _ in range(5):
        assert make(broker, **FAST).send("t", b"v").get(WAIT_S).topic == "t"


def test_a_broker_that_throttles_for_ever_is_not_the_only_one_to_ask(start_broker: StartBroker, make: Make) -> None:
    broker = start_broker(brokers=2, topics={"t": 2, "u": 2})
    broker.throttle("Metadata", 2**31 - 1, node=1)
    producer = make(broker.addresses[0], max_block_ms=15_000)
    assert len(producer.partitions_for("t")) == 2
    assert len(producer.partitions_for("u")) == 2


def test_addresses_nobody_needs_are_not_kept(start_broker: StartBroker, make: Make) -> None:
    """A Produce answer may name new leaders' addresses (KIP-951): no more than it has partitions."""
    count = 50_000
    endpoints = b"".join(
        node.to_bytes(4, "big") + b"\x0a127.0.0.1" + (9092).to_bytes(4, "big") + b"\0\0" for node in range(count)
    )
    body = varint(count + 1) + endpoints
    tags = b"\x01\0" + varint(len(body)) + body

    def add(_: int, answer: bytes) -> bytes:
        assert answer.endswith(b"\0\0\0\0\0")  # no throttle, no tags
        longer = answer[4:-1] + tags
        return len(longer).to_bytes(4, "big") + longer

    broker = start_broker()
    producer = make(broker)
    broker.reply_bytes("Produce", add, times=3)
    before = resident_kb()
    for _ in range(3):
        assert producer.send("t", b"v", partition=0).get(WAIT_S).partition == 0
    settlement = producer._lifecycle._sender._settlement
    deadline = time.monotonic() + WAIT_S
    while not settlement._endpoints:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    producer.flush()
    time.sleep(0.1)  # the other events, if there are any
    assert len(settlement._endpoints) <= 3
    assert resident_kb() - before < GROWTH_MAX_KB


def varint(value: int) -> bytes:
    data = bytearray()
    while value > 0x7F:
        data.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*data, value])
