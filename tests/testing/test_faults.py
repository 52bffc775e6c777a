# SPDX-License-Identifier: Apache-2.0
"""Every scripted fault, seen from a client made of bytes."""

from __future__ import annotations

import struct
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from pykafka_fast import errors
from pykafka_fast.testing import EmbeddedBroker
from tests.testing.wire import (
    API_VERSIONS,
    INIT_PRODUCER_ID,
    Answer,
    Wire,
    framed,
    header,
    outcomes_flexible,
    outcomes_v8,
    plain_batch,
    produce_flexible,
    produce_v8,
    text,
)

NOT_LEADER, STORAGE, INVALID = 6, 56, 87
ONE = produce_v8([("t", 0, plain_batch().encode())])


@pytest.fixture
def cluster() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker(topics={"t": 2}, brokers=3) as running:
        yield running


def errors_of(wire: Wire, request: bytes = ONE) -> list[int]:
    return [outcome.error for outcome in outcomes_v8(wire.ask(request))[0]]


def test_fail_counts_requests(broker: EmbeddedBroker, wire: Wire) -> None:
    rule = broker.fail("Produce", errors.NotLeaderForPartitionError, times=2)
    assert [errors_of(wire) for _ in range(3)] == [[NOT_LEADER], [NOT_LEADER], [0]]
    assert rule.applied == 2
    assert broker.record_count("t") == 1


def test_fail_one_partition(broker: EmbeddedBroker, wire: Wire) -> None:
    data = plain_batch().encode()
    both = produce_v8([("t", 0, data), ("t", 1, data)])
    broker.fail("Produce", STORAGE, topic="t", partition=1)
    assert errors_of(wire) == [0]
    assert errors_of(wire, both) == [0, STORAGE]
    assert errors_of(wire, both) == [0, 0]
    broker.fail("Produce", STORAGE, topic="other")
    assert errors_of(wire, both) == [0, 0]


def test_fail_for_ever_until_cancelled(broker: EmbeddedBroker, wire: Wire) -> None:
    rule = broker.fail("Produce", 19, times=None)
    assert [errors_of(wire) for _ in range(5)] == [[19]] * 5
    rule.cancel()
    assert errors_of(wire) == [0]
    broker.fail("Produce", 19, times=None)
    broker.clear()
    assert errors_of(wire) == [0]


def test_fail_does_not_hide_a_bad_batch(broker: EmbeddedBroker, wire: Wire) -> None:
    broker.fail("Produce", NOT_LEADER)
    assert wire.produce(plain_batch(crc=0)).error == 2
    assert len(broker.violations) == 1


def test_fail_with_a_message(broker: EmbeddedBroker, wire: Wire) -> None:
    broker.fail("Produce", 44, message="not today")
    outcome = wire.produce(plain_batch())
    assert (outcome.error, outcome.message) == (44, "not today")


def test_fail_other_apis(broker: EmbeddedBroker, wire: Wire) -> None:
    broker.fail("InitProducerId", 15)
    request = framed(header(INIT_PRODUCER_ID, 0, 7) + text(None) + struct.pack(">i", 1000))
    assert Answer(wire.ask(request)).take("iihqh") == (7, 0, 15, -1, -1)
    assert Answer(wire.ask(request)).take("iihqh") == (7, 0, 0, 1000, 0)
    broker.fail("ApiVersions", 35)
    assert Answer(wire.ask(framed(header(API_VERSIONS, 0, 1)))).take("ih") == (1, 35)


def test_fail_rejects_nonsense(broker: EmbeddedBroker) -> None:
    with pytest.raises(ValueError, match="no API 'Consume'"):
        broker.fail("Consume", 1)
    with pytest.raises(TypeError, match="error code"):
        broker.fail("Produce", "NOT_LEADER")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="times"):
        broker.fail("Produce", 6, times=0)
    with pytest.raises(ValueError, match="when"):
        broker.cut(when="tomorrow")


def test_record_errors(broker: EmbeddedBroker, wire: Wire) -> None:
    broker.record_errors("t", {1: "too blue", 0: "too red"}, message="bad colours")
    outcome = wire.produce(plain_batch(3))
    assert (outcome.error, outcome.message) == (INVALID, "bad colours")
    assert outcome.record_errors == [(0, "too red"), (1, "too blue")]
    assert wire.produce(plain_batch(3)).error == 0
    assert broker.violations == []


def test_delay_is_one_way_long(broker: EmbeddedBroker, wire: Wire) -> None:
    broker.delay("Produce", 1000)
    start = time.monotonic()
    wire.send(ONE * 4)
    for _ in range(4):
        wire.receive()
    assert 1 <= time.monotonic() - start < 3
    broker.delay("Produce", 0)
    start = time.monotonic()
    errors_of(wire)
    assert time.monotonic() - start < 0.9


def test_throttle(broker: EmbeddedBroker, wire: Wire) -> None:
    broker.throttle("Produce", 321, times=1)
    assert [outcomes_v8(wire.ask(ONE))[1] for _ in range(2)] == [321, 0]


def test_cut_now(broker: EmbeddedBroker, connect: Callable[[], Wire]) -> None:
    wires = [connect(), connect()]
    for wire in wires:
        errors_of(wire)
    broker.cut()
    assert all(wire.is_closed() for wire in wires)
    assert errors_of(connect()) == [0]


def test_cut_a_node(cluster: EmbeddedBroker) -> None:
    one, two = (Wire(cluster.node_address(node)) for node in (1, 2))
    api_versions = framed(header(API_VERSIONS, 0, 1))
    for wire in (one, two):
        wire.ask(api_versions)
    cluster.cut(2)
    assert two.is_closed()
    assert Answer(one.ask(api_versions)).take("ih") == (1, 0)
    for wire in (one, two):
        wire.close()


@pytest.mark.parametrize(("when", "written"), [("before_append", 0), ("after_append", 1), ("before_response", 1)])
def test_cut_around_the_append(broker: EmbeddedBroker, connect: Callable[[], Wire], when: str, written: int) -> None:
    wire = connect()
    broker.cut(when=when, api="Produce")
    wire.ask(framed(header(API_VERSIONS, 0, 1)))
    wire.send(ONE)
    assert wire.is_closed()
    assert broker.record_count("t") == written
    assert errors_of(connect()) == [0]


def test_cut_keeps_earlier_answers_and_drops_later_requests(broker: EmbeddedBroker, wire: Wire) -> None:
    wire.ask(ONE)
    broker.fail("Produce", 6)
    broker.delay("Produce", 30, times=1)
    broker.cut(when="after_append", api="Produce").cancel()
    broker.cut(when="before_append", api="ApiVersions")
    wire.send(ONE + framed(header(API_VERSIONS, 0, 1)) + ONE * 3)
    assert outcomes_v8(wire.receive())[0][0].error == 6
    assert wire.is_closed()
    assert broker.record_count("t") == 1


def test_cut_with_reset(broker: EmbeddedBroker, wire: Wire) -> None:
    broker.cut(when="after_append", api="Produce", reset=True)
    with pytest.raises(ConnectionResetError):
        wire.ask(ONE)


def test_cut_within_an_answer(broker: EmbeddedBroker, wire: Wire) -> None:
    broker.cut(when=9, api="Produce")
    wire.send(ONE)
    got = b""
    while part := wire.sock.recv(100):
        got += part
    assert len(got) == 9
    assert broker.record_count("t") == 1


def test_hold_and_release(broker: EmbeddedBroker, wire: Wire) -> None:
    broker.hold("Produce")
    wire.ask(framed(header(API_VERSIONS, 0, 1)))
    wire.send(ONE * 3)
    broker.wait_for_requests("Produce", 3)
    assert broker.record_count("t") == 3
    wire.sock.settimeout(0.05)
    with pytest.raises(TimeoutError):
        wire.sock.recv(1)
    wire.sock.settimeout(10)
    broker.release()
    assert [outcomes_v8(wire.receive())[0][0].offset for _ in range(3)] == [0, 1, 2]


def test_release_of_one_node(cluster: EmbeddedBroker) -> None:
    wires = {node: Wire(cluster.node_address(node)) for node in (1, 2)}
    for node, wire in wires.items():
        cluster.hold("ApiVersions", node=node)
        wire.send(framed(header(API_VERSIONS, 0, 1)))
    cluster.wait_for_requests("ApiVersions", 2)
    cluster.release(node=1)
    assert wires[1].receive()
    wires[2].sock.settimeout(0.05)
    with pytest.raises(TimeoutError):
        wires[2].sock.recv(1)
    wires[2].sock.settimeout(10)
    cluster.release()
    assert wires[2].receive()
    for wire in wires.values():
        wire.close()


def test_hold_without_reading(broker: EmbeddedBroker, wire: Wire) -> None:
    broker.configure_topic("t", max_message_bytes=50_000_000)
    broker.hold(read=False)
    request = produce_v8([("t", 0, plain_batch(50_000).encode())])
    sender = threading.Thread(target=wire.send, args=(request * 20,))
    sender.start()
    sender.join(0.2)
    assert sender.is_alive()
    assert broker.requests == []
    broker.release()
    sender.join(10)
    assert not sender.is_alive()
    assert [outcomes_v8(wire.receive())[0][0].error for _ in range(20)] == [0] * 20


def test_hostile_answers(broker: EmbeddedBroker, wire: Wire) -> None:
    broker.reply_bytes("Produce", b"\x7f\xff\xff\xffgarbage")
    wire.send(ONE)
    assert wire._exactly(11) == b"\x7f\xff\xff\xffgarbage"
    broker.reply_bytes("Produce", lambda correlation_id, reply: reply[:8] + bytes(len(reply) - 8))
    assert set(wire.ask(ONE)[4:]) == {0}
    broker.wrong_correlation_id("Produce", delta=-1)
    assert [struct.unpack(">i", wire.ask(ONE)[:4])[0] for _ in range(2)] == [0, 1]
    assert broker.record_count("t") == 4


def test_split_replies(broker: EmbeddedBroker, wire: Wire) -> None:
    broker.split_replies(1)
    assert errors_of(wire) == [0]
    broker.hold("Produce")
    broker.split_replies(7)
    wire.send(ONE * 50)
    broker.wait_for_requests("Produce", 51)
    broker.release()
    assert [outcomes_v8(wire.receive())[0][0].offset for _ in range(50)] == list(range(1, 51))
    with pytest.raises(ValueError):
        broker.split_replies(0)


def test_versions_may_be_capped_and_hidden(broker: EmbeddedBroker, wire: Wire) -> None:
    broker.set_api_version("Produce", 3, 7)
    broker.hide_api("InitProducerId")
    answer = Answer(wire.ask(framed(header(API_VERSIONS, 0, 7))))
    ranges = {key: (low, high) for key, low, high in (answer.take("hhh") for _ in range(answer.take("ihi")[2]))}
    assert ranges[0] == (3, 7)
    assert INIT_PRODUCER_ID not in ranges
    wire.send(ONE)
    assert wire.is_closed()
    assert "speaks versions 3-7" in broker.violations[0]
    broker.reset_api_versions()
    other = Wire(broker.address)
    assert errors_of(other) == [0]
    other.close()


def test_a_leader_moves(cluster: EmbeddedBroker) -> None:
    cluster.move_leader("t", 0, 2)
    cluster.move_leader("t", 1, 3, hint=False)
    batch = plain_batch().encode()
    one, two = (Wire(cluster.node_address(node)) for node in (1, 2))
    request = produce_flexible(cluster.topic_id("t"), [(0, batch), (1, batch)])
    outcomes, endpoints = outcomes_flexible(one.ask(request), 13)
    epoch = cluster.leader("t", 0)[1]
    assert [outcome.error for outcome in outcomes] == [NOT_LEADER, NOT_LEADER]
    assert [outcome.leader for outcome in outcomes] == [(2, epoch), None]
    host, port = cluster.node_address(2).split(":")
    assert endpoints == {2: (host, int(port))}
    outcomes, endpoints = outcomes_flexible(two.ask(request), 13)
    assert [outcome.error for outcome in outcomes] == [0, NOT_LEADER]
    assert endpoints == {}
    cluster.move_leader("t", 0, 1)
    assert cluster.leader("t", 0) == (1, epoch + 1)
    assert cluster.violations == []
    for wire in (one, two):
        wire.close()


def test_a_node_stops_and_starts(cluster: EmbeddedBroker) -> None:
    node, epoch = cluster.leader("t", 0)
    wire = Wire(cluster.node_address(node))
    assert errors_of(wire) == [0]
    cluster.stop_node(node)
    assert wire.is_closed()
    with pytest.raises(ConnectionRefusedError):
        Wire(cluster.node_address(node))
    successor, later = cluster.leader("t", 0)
    assert successor not in (node, -1)
    assert later == epoch + 1
    other = Wire(cluster.node_address(successor))
    assert other.produce(plain_batch()).offset == 1
    cluster.start_node(node)
    again = Wire(cluster.node_address(node))
    assert errors_of(again) == [NOT_LEADER]
    for client in (wire, other, again):
        client.close()


def test_a_lone_node_stops_and_leads_again(broker: EmbeddedBroker) -> None:
    broker.stop_node(1)
    assert broker.leader("t", 0) == (-1, 1)
    broker.start_node(1)
    assert broker.leader("t", 0) == (1, 2)
    wire = Wire(broker.address)
    assert errors_of(wire) == [0]
    wire.close()


def test_rules_for_one_node(cluster: EmbeddedBroker) -> None:
    cluster.fail("Produce", STORAGE, node=2, times=None)
    cluster.move_leader("t", 0, 1)
    wires = [Wire(cluster.node_address(1)), Wire(cluster.node_address(2))]
    assert errors_of(wires[0]) == [0]
    cluster.move_leader("t", 0, 2)
    assert errors_of(wires[1]) == [STORAGE]
    for wire in wires:
        wire.close()


def test_wait_times_out(broker: EmbeddedBroker) -> None:
    with pytest.raises(TimeoutError, match=r"0\.05 s"):
        broker.wait_for_requests("Produce", 1, timeout=0.05)


def test_scripting_while_clients_work(broker: EmbeddedBroker, connect: Callable[[], Wire]) -> None:
    """Rules made and ended from another thread: every request gets exactly one of the two answers."""
    wire = connect()
    seen: list[int] = []
    done = threading.Event()

    def work() -> None:
        while not done.is_set():
            seen.extend(errors_of(wire))

    worker = threading.Thread(target=work)
    worker.start()
    rules = []
    for _ in range(50):
        rule = broker.fail("Produce", STORAGE, times=None)
        broker.wait(lambda b, rule=rule: rule.applied > 0)
        rule.cancel()
        rules.append(rule)
    done.set()
    worker.join(10)
    assert seen.count(STORAGE) == sum(rule.applied for rule in rules)
    assert seen.count(0) == broker.record_count("t")


def test_close_ends_everything() -> None:
    broker = EmbeddedBroker(topics={"t": 1}, brokers=2)
    wire = Wire(broker.address)
    errors_of(wire)
    before = threading.active_count()
    broker.close()
    broker.close()
    assert wire.is_closed()
    assert threading.active_count() == before - 1
    for address in broker.addresses:
        with pytest.raises(ConnectionRefusedError):
            Wire(address)
    assert broker.record_count("t") == 1
    wire.close()


def test_a_port_in_use() -> None:
    with EmbeddedBroker() as broker:
        port = int(broker.address.rpartition(":")[2])
        with pytest.raises(OSError, match="use"):
            EmbeddedBroker(port=port)


def test_bad_arguments() -> None:
    with pytest.raises(ValueError, match="brokers"):
        EmbeddedBroker(brokers=0)
    with pytest.raises(ValueError, match="no legal topic name"):
        EmbeddedBroker(topics={"a b": 1})
    with pytest.raises(ValueError, match="partitions"):
        EmbeddedBroker(topics={"t": 0})
