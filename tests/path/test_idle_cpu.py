# SPDX-License-Identifier: Apache-2.0
"""No busy loop in any state in which nothing can be done: the client uses under 2 % of a core.

What counts is the time of the processor, not the clock's, of a process of its own: neither the test's brokers nor a
slow machine are counted. All states are measured at the same time; each client has a few seconds to find out what is
wrong, then it is measured several times, and the least counts: who turns round and round does so each time, while a
shared processor may take several times as long for the same work.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from pykafka_fast.testing import EmbeddedBroker
from tests.path.peers import Behaviour, serving, silence
from tests.path.test_connections import advertise
from tools.brokers.processes import free_port
from tools.relay import Relay

SETTLE_S = 2.0
MEASURE_S = 2.0
MEASURES = 4
SHARE_MAX = 0.02
WAIT_S = 100.0

# Options come as JSON. "waits": threads that wait for metadata; "queued": records that wait; "worked": the same, but a
# record of each partition was delivered before, and a line on standard input says when to go on.
CLIENT = """
import contextlib, json, sys, threading, time
from pykafka_fast import KafkaProducer

given = json.loads(sys.argv[1])
producer = KafkaProducer(**given["options"])

def send():
    with contextlib.suppress(Exception):
        producer.send("t", b"waits for metadata")

if given["state"] == "worked":
    for partition in range(4):
        producer.send("t", b"before", partition=partition).get(60)
    print("worked", flush=True)
    sys.stdin.readline()
if given["state"] == "waits":
    waiting = [threading.Thread(target=send, daemon=True) for _ in range(4)]
    for thread in waiting:
        thread.start()
else:
    waiting = [producer.send("t", b"queued", partition=number % 4) for number in range(200)]
time.sleep(given["settle"])
shares = []
for _ in range(given["measures"]):
    used, began = time.process_time(), time.monotonic()
    time.sleep(given["measure"])
    shares.append((time.process_time() - used) / (time.monotonic() - began))
stuck = sum(it.is_alive() if given["state"] == "waits" else not it.is_done for it in waiting)
print(json.dumps({"shares": shares, "stuck": stuck, "of": len(waiting)}), flush=True)
producer.close(timeout=0)
"""


class Client:
    """A producer in a process of its own, and what it was up against."""

    def __init__(self, root: Path, address: str, state: str, **options: object) -> None:
        options = {"bootstrap_servers": address, "max_block_ms": 120_000, **options}
        times = {"settle": SETTLE_S, "measure": MEASURE_S, "measures": MEASURES}
        given = json.dumps({"state": state, "options": options, **times})
        self._process = subprocess.Popen(
            [sys.executable, "-c", CLIENT, given], cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        if state == "worked":
            assert self._process.stdout is not None
            assert self._process.stdout.readline() == "worked\n"

    def go_on(self) -> Client:
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return self

    def check(self) -> None:
        """All that waited still waits, and that costs next to nothing."""
        out, _ = self._process.communicate(timeout=WAIT_S)
        result = json.loads(out)
        print(*(f"{share:.2%}" for share in result["shares"]), "of a core")
        assert result["stuck"] == result["of"] > 0
        assert min(result["shares"]) < SHARE_MAX

    def end(self) -> None:
        with contextlib.suppress(OSError):
            self._process.kill()
        self._process.communicate()


class Scene:
    """Makes servers of any kind and clients of them; all end with the module."""

    def __init__(self, root: Path, stack: ExitStack) -> None:
        self._root = root
        self._stack = stack

    def client(self, address: str, state: str = "waits", **options: object) -> Client:
        client = Client(self._root, address, state, **options)
        self._stack.callback(client.end)
        return client

    def broker(self, nodes: int = 1) -> EmbeddedBroker:
        return self._stack.enter_context(EmbeddedBroker({"t": 4}, brokers=nodes))

    def relay(self) -> Relay:
        return self._stack.enter_context(Relay())

    def server(self, behave: Behaviour) -> str:
        return self._stack.enter_context(serving(behave))[0]

    def after_work(self, spoil: Callable[[EmbeddedBroker], object], nodes: int = 1, **options: object) -> Client:
        """A client that worked until its broker was spoilt, and has records queued."""
        broker = self.broker(nodes)
        client = self.client(broker.address, "worked", **options)
        spoil(broker)
        return client.go_on()

    def behind_relay(self, spoil: Callable[[Relay], object], **options: object) -> Client:
        """The same, with the way there spoilt."""
        broker, relay = self.broker(), self.relay()
        advertise(broker, relay)
        client = self.client(broker.address, "worked", **options)
        spoil(relay)
        return client.go_on()


def black_hole(scene: Scene) -> Client:
    relay = scene.relay()
    address = relay.open("127.0.0.1:9")
    relay.black_hole(1)
    return scene.client(address, socket_connection_setup_timeout_ms=200, socket_connection_setup_timeout_max_ms=400)


def no_producer_id(code: int) -> Callable[[Scene], Client]:
    def begin(scene: Scene) -> Client:
        broker = scene.broker()
        broker.fail("InitProducerId", code, times=None)
        return scene.client(broker.address, "queued")

    return begin


def stop_all(broker: EmbeddedBroker) -> None:
    for node in range(1, len(broker.addresses) + 1):
        broker.stop_node(node, elect=False)


def refuse_topic(code: int) -> Callable[[Scene], Client]:
    def spoil(broker: EmbeddedBroker) -> None:
        broker.leaderless("t")
        broker.fail("Metadata", code, topic="t", times=None)

    return lambda scene: scene.after_work(spoil, metadata_max_age_ms=500)


def answer_always(api: str, code: int) -> Callable[[Scene], Client]:
    return lambda scene: scene.after_work(lambda broker: broker.fail(api, code, times=None))


QUICK = {"request_timeout_ms": 400, "socket_connection_setup_timeout_ms": 200, "delivery_timeout_ms": 60_000}
STATES: dict[str, Callable[[Scene], Client]] = {
    "refused": lambda it: it.client(",".join(f"127.0.0.1:{free_port()}" for _ in range(3))),
    "names nobody knows": lambda it: it.client("no-such-host.invalid:9092,nor-this-one.invalid:9092"),
    "black hole": black_hole,
    "silent": lambda it: it.client(it.server(silence), **QUICK),
    "closes at once": lambda it: it.client(it.server(lambda _: None)),
    "talks nonsense": lambda it: it.client(it.server(lambda peer: peer.sendall(b"\x7f" * 100))),
    "the only broker down": lambda it: it.after_work(stop_all),
    "all three brokers down": lambda it: it.after_work(stop_all, nodes=3),
    "black hole after it worked": lambda it: it.behind_relay(lambda relay: relay.black_hole(1), **QUICK),
    "silent after it worked": lambda it: it.behind_relay(lambda relay: relay.silence(1), **QUICK),
    "no leader": lambda it: it.after_work(lambda broker: broker.leaderless("t")),
    "not the leader": answer_always("Produce", 6),
    "unknown topic": answer_always("Produce", 3),
    "request timed out": answer_always("Produce", 7),
    "not enough replicas": answer_always("Produce", 19),
    "answers that break the protocol": lambda it: it.after_work(
        lambda broker: broker.reply_bytes("Produce", b"\0\0\0\x04\0\0\0\0", times=None)
    ),
    "each request ends the connection": lambda it: it.after_work(
        lambda broker: broker.cut(when="before_append", api="Produce", times=1_000_000)
    ),
    "no authorization, says metadata": refuse_topic(29),
    "unknown, says metadata": refuse_topic(3),
    "no leader, says metadata": refuse_topic(5),
    "no producer id: coordinator not available": no_producer_id(15),
    "no producer id: not the coordinator": no_producer_id(16),
}


@pytest.fixture(scope="module")
def clients(root: Path) -> Iterator[dict[str, Client]]:
    """All of them, up and running."""
    with ExitStack() as stack:
        scene = Scene(root, stack)
        yield {name: begin(scene) for name, begin in STATES.items()}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("state", STATES)
def test_waiting_costs_next_to_nothing(state: str, clients: dict[str, Client]) -> None:
    clients[state].check()


def test_the_measure_can_fail() -> None:
    """Somebody who does turn round and round is seen to."""
    code = "import time\nend = time.monotonic() + 1\nwhile time.monotonic() < end: pass\nprint(time.process_time())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(done.stdout) > 5 * SHARE_MAX
