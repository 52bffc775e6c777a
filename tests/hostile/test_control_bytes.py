# SPDX-License-Identifier: Apache-2.0
"""Hostile answers over a control connection, parser by parser and through everything that acts on them.

Whatever the bytes are, they are read, or refused with an error that says which API, which version and at which offset.
``HOSTILE_CASES`` makes it longer (``make fuzz``).
"""

from __future__ import annotations

import os
import random
import re
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from pykafka_fast._core.wire import Wire
from pykafka_fast.config import parse_bootstrap
from pykafka_fast.errors import CorrelationIdError, KafkaError, KafkaProtocolError
from pykafka_fast.idempotence import MAX_EPOCH, ProducerIdentity, Verdict
from pykafka_fast.metadata import MetadataCache
from pykafka_fast.net.frames import FrameBuffer
from pykafka_fast.net.handshake import ApiVersionsHandshake
from pykafka_fast.net.in_flight import InFlightRequest, InFlightRequests
from pykafka_fast.protocol.api import APIS, ApiKey, api_name, negotiate
from pykafka_fast.protocol.api_versions import ApiVersionsResponse
from pykafka_fast.protocol.find_coordinator import Coordinator, FindCoordinatorResponse
from pykafka_fast.protocol.header import encode_response
from pykafka_fast.protocol.init_producer_id import InitProducerIdResponse
from pykafka_fast.protocol.metadata import MetadataBroker, MetadataPartition, MetadataResponse, MetadataTopic
from pykafka_fast.routes import Routes
from tests.core.stage import accumulator
from tests.hostile.memory import resident_kb
from tests.hostile.mutation import Mutator, fresh_seed

CASES = int(os.environ.get("HOSTILE_CASES", "105000"))
MAX_SIZE = 1 << 20
GROWTH_MAX_KB = 16 << 10
CASE_SECONDS = 5.0
ID = bytes(range(16))


def metadata(version: int) -> MetadataResponse:
    partitions = tuple(MetadataPartition(index, 1 + index % 2, 3, 0, (1, 2), (1, 2), (2,)) for index in range(4))
    topics = (MetadataTopic("t", partitions, 0, ID), MetadataTopic("gone", (), 3), MetadataTopic("u", partitions[:1]))
    brokers = (MetadataBroker(1, "localhost", 9092, "rack"), MetadataBroker(2, "::1", 65_535))
    return MetadataResponse(brokers, topics, "cluster", 1, 0, 0, version)


ANSWERS: tuple[tuple[ApiKey, Callable[[int], Any]], ...] = (
    (ApiKey.API_VERSIONS, lambda _: ApiVersionsResponse(0, {int(key): (0, 9) for key in APIS}, 0)),
    (ApiKey.API_VERSIONS, lambda _: ApiVersionsResponse(35, {18: (0, 2)}, 0)),
    (ApiKey.METADATA, metadata),
    (ApiKey.METADATA, metadata),
    (ApiKey.INIT_PRODUCER_ID, lambda _: InitProducerIdResponse(0, 4711, 3, 0)),
    (ApiKey.FIND_COORDINATOR, lambda v: FindCoordinatorResponse((Coordinator("k" * (v >= 4), 1, "host", 9092),))),
)


@dataclass
class Case:
    """One request in flight and a frame that may be its answer."""

    api: ApiKey
    version: int
    decode: Callable[[bytes, int, int], Any]
    frame: bytes

    @property
    def request(self) -> InFlightRequest:
        return InFlightRequest(self.api, self.version, 7, self.decode, lambda *_: None, 0, 0)


def whole_cases() -> list[Case]:
    return [
        Case(key, version, type(make(version)).decode, encode_response(key, version, 7, make(version).encode(version)))
        for key, make in ANSWERS
        for version in range(APIS[key].min_version, APIS[key].max_version + 1)
    ]


@dataclass
class Receiver:
    """Everything that acts on answers, down to the tables in C."""

    clock_ns: int = 1_000_000_000
    counts: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.accumulator = accumulator()
        self.wire = Wire(self.accumulator, client_id="hostile", acks=-1, idempotent=True, max_in_flight=5,
                         request_timeout_ms=30_000, idle_timeout_ms=540_000, patience_ms=5.0, receive_max=1 << 20)
        self.begin_anew()

    def begin_anew(self) -> None:
        self.routes = Routes(self.accumulator, self.wire)
        self.identity = ProducerIdentity(lambda _: 1_000_000)
        self.cache = MetadataCache(
            parse_bootstrap("localhost:9092"), backoff_ns=lambda _: 0, max_age_ms=1, max_idle_ms=1 << 40,
            rebootstrap_enabled=True, rebootstrap_trigger_ms=1 << 40, clock=lambda: self.clock_ns, wake=lambda: None,
            last_used_ns=lambda _: None, publish=self.routes.publish,
        )  # fmt: skip
        self.cache.add_topic("t", self.clock_ns)

    def receive(self, data: bytes, case: Case) -> str:
        """What a connection does with the bytes; what came of it."""
        frames, in_flight = FrameBuffer(MAX_SIZE), InFlightRequests()
        in_flight.add(case.request)
        try:
            frames.feed(data)
            frame = frames.next_frame()
            if frame is None:
                return "waits for more"
            _, response = in_flight.match(frame)
        except CorrelationIdError:
            return "another correlation id"
        except KafkaProtocolError as error:
            self.check_text(error, case)
            return "refused"
        self.act_on(case, response, frame)
        return "read"

    def check_text(self, error: KafkaProtocolError, case: Case) -> None:
        text = str(error.args[0])
        if text.startswith("malformed response header") or not text.startswith("malformed"):
            return  # said of the frame as a whole
        name = f"malformed {api_name(case.api)} response v{case.version}: "
        assert text.startswith(name), text
        assert re.search(r" at offset \d+ of \d+ bytes$", text), text

    def act_on(self, case: Case, response: Any, frame: bytes) -> None:
        self.clock_ns += 10_000_000
        if isinstance(response, MetadataResponse):
            self.take_metadata(response)
        elif isinstance(response, InitProducerIdResponse):
            if self.identity.on_response(response, self.clock_ns) is Verdict.KNOWN:
                assert self.identity.producer_id >= 0
                assert 0 <= self.identity.epoch <= MAX_EPOCH
        elif isinstance(response, ApiVersionsResponse):
            self.take_versions(case, frame[4:])

    def take_metadata(self, response: MetadataResponse) -> None:
        self.cache.build_request(self.clock_ns)
        changes = self.cache.on_response(response, self.clock_ns)
        snapshot = self.cache.snapshot
        assert snapshot.topics(exclude_internal_topics=False) <= {"t"}  # nobody asked for others
        for leader in snapshot.reachable_leaders("t") or ():
            assert leader == -1 or snapshot.broker_metadata(leader) is not None
        self.counts["metadata refused" if changes.error else "metadata taken"] += 1

    def take_versions(self, case: Case, body: bytes) -> None:
        handshake = ApiVersionsHandshake("x", "1")
        handshake.version = case.version
        try:
            response = handshake.on_response(body)
        except KafkaError:
            return
        if response is None:
            assert 0 <= handshake.version < case.version
            return
        for key in APIS:
            try:
                version = negotiate(key, response.api_versions.get(key))
            except KafkaError:
                continue
            assert APIS[key].min_version <= version <= APIS[key].max_version


@pytest.mark.timeout(max(300, CASES // 500))
def test_hostile_answers_are_read_or_refused_and_nothing_grows() -> None:
    cases = whole_cases()
    rng = random.Random(fresh_seed())
    mutator = Mutator(rng, [case.frame for case in cases])
    receiver, outcomes, before, began = Receiver(), Counter[str](), 0, time.monotonic()
    for number in range(CASES):
        if number == CASES // 10:
            before = resident_kb()
        if number % 1000 == 0:
            receiver.begin_anew()
        case = rng.choice(cases)
        started = time.monotonic()
        damaged = mutator.damage(case.frame)
        if rng.random() < 0.7 and len(damaged) >= 8:  # most get past the frame, or little behind it would be tried
            damaged = (len(damaged) - 4).to_bytes(4, "big") + b"\0\0\0\7" + damaged[8:]
        outcomes[receiver.receive(damaged, case)] += 1
        assert time.monotonic() - started < CASE_SECONDS
    print(f"{CASES} answers in {time.monotonic() - began:.1f} s: {dict(outcomes)}, {dict(receiver.counts)}")
    assert resident_kb() - before < GROWTH_MAX_KB
    assert min(outcomes[it] for it in ("read", "refused", "waits for more")) > CASES // 100
    assert min(receiver.counts.values()) > CASES // 1000


def test_whole_answers_are_read() -> None:
    """Or the test above would try nothing."""
    receiver = Receiver()
    assert {receiver.receive(case.frame, case) for case in whole_cases()} == {"read"}
    assert receiver.cache.snapshot.partition_count("t") == 4
    assert receiver.identity.producer_id == 4711
