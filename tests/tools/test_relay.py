# SPDX-License-Identifier: Apache-2.0
"""The relay does what its name for a fault says, and changes no byte."""

import contextlib
import random
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from tools.brokers.processes import wait_for
from tools.relay import Relay

WAIT = 20


class Echo:
    """Sends back what it gets, and says goodbye to who says goodbye."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self._serve, args=self._listener.accept()[:1], daemon=True).start()

    def _serve(self, peer: socket.socket) -> None:
        with peer, contextlib.suppress(OSError):
            while data := peer.recv(65536):
                peer.sendall(data)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)  # who waits in accept() keeps it open otherwise
        self._listener.close()


@pytest.fixture
def relay() -> Iterator[Relay]:
    with Relay() as running:
        yield running


@pytest.fixture
def port(relay: Relay) -> Iterator[int]:
    """Of a link to an echo."""
    echo = Echo()
    yield int(relay.open(echo.address).rpartition(":")[2])
    echo.close()


@pytest.fixture
def client(port: int) -> Iterator[socket.socket]:
    with connect(port) as connected:
        assert exchange(connected, b"hello") == b"hello"
        yield connected


def connect(port: int, timeout: float = WAIT) -> socket.socket:
    connected = socket.create_connection(("127.0.0.1", port), timeout)
    connected.settimeout(timeout)
    return connected


def receive(client: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count and (part := client.recv(count - len(data))):
        data += part
    return data


def exchange(client: socket.socket, data: bytes) -> bytes:
    threading.Thread(target=client.sendall, args=(data,), daemon=True).start()
    return receive(client, len(data))


def test_every_byte_comes_through(client: socket.socket) -> None:
    data = random.randbytes(3_000_000)
    assert exchange(client, data) == data


def test_end_of_stream_comes_through(relay: Relay, client: socket.socket) -> None:
    client.shutdown(socket.SHUT_WR)
    assert client.recv(1) == b""
    wait_for(lambda: relay.connections() == 0, "the end of the pair", WAIT)


def test_delay(relay: Relay, client: socket.socket) -> None:
    relay.delay(1, 0.15)
    began = time.monotonic()
    assert exchange(client, b"late") == b"late"
    assert time.monotonic() - began >= 0.3
    relay.heal()
    assert exchange(client, b"soon") == b"soon"


def test_rate(relay: Relay, client: socket.socket) -> None:
    relay.limit(1, 100_000)
    began = time.monotonic()
    assert exchange(client, bytes(50_000)) == bytes(50_000)
    assert time.monotonic() - began >= 0.4


def test_reset(relay: Relay, client: socket.socket) -> None:
    relay.reset(1)
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    assert relay.cuts == 1


def test_reset_after_so_many_bytes(relay: Relay, client: socket.socket, port: int) -> None:
    passed = relay.passed
    relay.reset_after(1, 1_000)
    client.sendall(bytes(999))
    assert receive(client, 999) == bytes(999)
    client.sendall(bytes(2))
    with pytest.raises(ConnectionResetError):
        receive(client, 2)
    assert relay.passed - passed == 1_000
    with connect(port) as another:
        assert exchange(another, b"again") == b"again"


def test_silence_and_then_everything(relay: Relay, client: socket.socket, port: int) -> None:
    relay.silence(1)
    client.settimeout(0.2)
    client.sendall(b"kept")
    with pytest.raises(TimeoutError):
        client.recv(1)
    with connect(port) as another:
        another.sendall(b"too")
        client.settimeout(WAIT)
        relay.heal()
        assert receive(client, 4) == b"kept"
        assert receive(another, 3) == b"too"


def test_one_way(relay: Relay, client: socket.socket) -> None:
    passed = relay.passed
    relay.one_way(1)
    client.settimeout(0.2)
    client.sendall(b"heard")
    with pytest.raises(TimeoutError):
        client.recv(1)
    assert relay.passed - passed == 5
    client.settimeout(WAIT)
    relay.heal()
    assert receive(client, 5) == b"heard"


def test_black_hole(relay: Relay, client: socket.socket, port: int) -> None:
    relay.black_hole(1)
    with pytest.raises(TimeoutError):
        connect(port, 0.5)
    relay.heal()
    assert exchange(client, b"open still") == b"open still"
    with connect(port) as another:
        assert exchange(another, b"new") == b"new"


def test_half_close_towards_the_client(relay: Relay, client: socket.socket) -> None:
    passed = relay.passed
    relay.half_close(1)
    assert client.recv(1) == b""
    client.sendall(bytes(100))
    wait_for(lambda: relay.passed == passed + 100, "what the client still sends", WAIT)


def test_half_close_towards_the_broker(relay: Relay, client: socket.socket) -> None:
    relay.half_close(1, upward=True)
    assert client.recv(1) == b""


def test_a_dead_target_closes(relay: Relay) -> None:
    echo = Echo()
    port = int(relay.open(echo.address).rpartition(":")[2])
    echo.close()
    with connect(port) as client:
        assert client.recv(1) == b""


def test_links_are_told_apart(relay: Relay, client: socket.socket) -> None:
    second = Echo()
    with connect(int(relay.open(second.address).rpartition(":")[2])) as other:
        assert exchange(other, b"two") == b"two"
        relay.reset(2)
        with pytest.raises(ConnectionResetError):
            other.recv(1)
    assert exchange(client, b"one") == b"one"
    second.close()


def test_its_thread_may_obey_before_it_is_woken(monkeypatch: pytest.MonkeyPatch) -> None:
    """The order to end among others: whoever gives it still wakes the thread, which is no more."""
    relay = Relay()

    class LateWake:
        def send(self, data: bytes) -> None:
            wake.send(data)
            relay._thread.join(WAIT)
            wake.send(data)

        def close(self) -> None:
            wake.close()

    wake = relay._wake
    monkeypatch.setattr(relay, "_wake", LateWake())
    relay.close()
    assert wake.fileno() == -1
