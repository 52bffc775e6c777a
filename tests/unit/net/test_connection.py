# SPDX-License-Identifier: Apache-2.0
"""A ready connection: requests, responses, time, hand-over. Set-up and its failures are in test_connection_setup."""

from __future__ import annotations

import errno
import logging
import os
import select
import socket
import struct
from collections.abc import Callable

import pytest

from pykafka_fast.errors import CorrelationIdError, IllegalStateError, KafkaConnectionError, UnsupportedVersionError
from pykafka_fast.net.connection import ConnectionState
from pykafka_fast.net.options import ConnectionOptions
from pykafka_fast.net.resolver import Address
from pykafka_fast.net.wiredump import WireDump
from pykafka_fast.protocol.api import ApiKey
from pykafka_fast.protocol.header import RequestHeader, encode_response
from pykafka_fast.protocol.init_producer_id import InitProducerIdRequest, InitProducerIdResponse
from pykafka_fast.protocol.metadata import MetadataBroker, MetadataRequest, MetadataResponse
from tests.unit.net.peer import DEADLINE_S, MS, RANGES, Client, Listener, Peer

Ends = tuple[Client, Peer]
LOOPBACK = Address(socket.AF_INET, ("127.0.0.1", 9092), "localhost")


def ask(client: Client, **kwargs: int) -> int:
    return client.connection.submit(
        ApiKey.INIT_PRODUCER_ID, InitProducerIdRequest(), InitProducerIdResponse.decode, client.on_result, **kwargs
    )


def answer(peer: Peer, header: RequestHeader, producer_id: int, throttle_ms: int = 0) -> None:
    peer.answer(header, InitProducerIdResponse(0, producer_id, 0, throttle_ms).encode(header.version))


def test_a_request_and_its_response(ready: Ends) -> None:
    client, peer = ready
    request = MetadataRequest.for_topics(["events"])
    version = client.connection.submit(ApiKey.METADATA, request, MetadataResponse.decode, client.on_result)
    header, body = peer.request()
    assert header == RequestHeader(ApiKey.METADATA, version, 2, "me")
    assert version == 13
    assert MetadataRequest.decode(body, version) == request
    assert client.connection.in_flight_count == 1
    response = MetadataResponse((MetadataBroker(1, "localhost", 9092),), (), "cluster", 1)
    peer.answer(header, response.encode(version))
    client.run_until(lambda: bool(client.results))
    assert client.results == [(response, None)]
    assert client.connection.in_flight_count == 0
    assert client.connection.deadline() is None


def test_responses_split_at_every_byte(ready: Ends) -> None:
    client, peer = ready
    ask(client)
    ask(client)
    data = b""
    for producer_id in (7, 8):
        header, _ = peer.request()
        body = InitProducerIdResponse(0, producer_id, 0).encode(header.version)
        data += encode_response(header.api, header.version, header.correlation_id, body)
    for byte in data:
        peer.send(bytes([byte]))
        assert client.turn(DEADLINE_S)
    assert [response.producer_id for response, _ in client.results] == [7, 8]


def test_many_responses_in_one_piece(ready: Ends) -> None:
    client, peer = ready
    for _ in range(50):
        ask(client)
    data = b""
    for number in range(50):
        header, _ = peer.request()
        body = InitProducerIdResponse(0, number, 0).encode(header.version)
        data += encode_response(header.api, header.version, header.correlation_id, body)
    peer.send(data)
    client.run_until(lambda: len(client.results) == 50)
    assert [response.producer_id for response, _ in client.results] == list(range(50))


def test_versions_follow_the_broker_and_the_caller(
    listen: Callable[..., Listener], connect: Callable[..., Ends]
) -> None:
    client, peer = connect(listen())
    peer.shake_hands({**RANGES, ApiKey.INIT_PRODUCER_ID: (0, 1), ApiKey.METADATA: (14, 20)})
    client.run_until(lambda: client.ready == 1)
    assert ask(client) == 1
    assert peer.request()[0].version == 1
    assert ask(client, max_version=0) == 0
    with pytest.raises(UnsupportedVersionError, match="14-20"):
        client.connection.submit(ApiKey.METADATA, MetadataRequest(()), MetadataResponse.decode, client.on_result)
    assert client.state is ConnectionState.READY
    assert client.connection.in_flight_count == 2


def fails_all(client: Client, *parts: str) -> KafkaConnectionError:
    text = client.run_until_closed()
    assert all(part in text for part in (f"localhost:{client.connection.port}", *parts)), text
    assert client.results == [(None, client.closed[0])] * len(client.results)
    with pytest.raises(IllegalStateError, match="closed"):
        ask(client)
    return client.closed[0]


def test_a_wrong_correlation_id(ready: Ends) -> None:
    client, peer = ready
    ask(client)
    ask(client)
    header, _ = peer.request()
    peer.send(encode_response(header.api, header.version, header.correlation_id + 1, b"\0" * 20))
    error = fails_all(client, "(node 1)", "InitProducerId", f"correlation id {header.correlation_id + 1}")
    assert isinstance(error.__cause__, CorrelationIdError)
    assert len(client.results) == 2


def test_a_response_nobody_asked_for(ready: Ends) -> None:
    client, peer = ready
    peer.send(struct.pack(">ii", 4, 9))
    fails_all(client, "nobody asked for")


@pytest.mark.parametrize("size", [0x7FFFFFFF, 100_000_001, -1])
def test_an_impossible_size(ready: Ends, size: int) -> None:
    client, peer = ready
    ask(client)
    peer.send(struct.pack(">i", size))
    fails_all(client, "InitProducerId", str(size))
    assert len(client.results) == 1


def test_a_response_that_cannot_be_read(ready: Ends) -> None:
    client, peer = ready
    ask(client)
    header, _ = peer.request()
    peer.answer(header, b"\0\0")
    fails_all(client, "InitProducerId response v5", "at offset")


def test_the_broker_goes_away(ready: Ends) -> None:
    client, peer = ready
    ask(client)
    ask(client)
    peer.request()
    peer.request()
    peer.close()
    fails_all(client, "InitProducerId", "the broker closed the connection")
    assert len(client.results) == 2


def test_the_broker_goes_away_while_idle(ready: Ends) -> None:
    client, peer = ready
    peer.close()
    fails_all(client, "idle")


def test_a_reset_is_told_later_not_from_submit(ready: Ends) -> None:
    client, peer = ready
    peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()
    select.select([client.connection.fileno()], [], [], DEADLINE_S)
    ask(client)
    ask(client)
    assert client.results == []
    fails_all(client, "InitProducerId")
    assert len(client.results) == 2


def test_no_response_in_time(ready: Ends) -> None:
    client, _ = ready
    ask(client)
    client.clock.advance_ms(10)
    ask(client, timeout_ms=29_989)
    assert client.connection.deadline() == client.clock.now_ns + 29_989 * MS
    client.connection.on_deadline(client.clock.advance_ms(29_988))
    assert client.results == []
    client.connection.on_deadline(client.clock.advance_ms(1))
    fails_all(client, "InitProducerId", "no response within 29989 ms")
    assert len(client.results) == 2


def test_a_response_that_has_arrived_is_in_time(ready: Ends) -> None:
    client, peer = ready
    ask(client)
    answer(peer, peer.request()[0], 5)
    select.select([client.connection.fileno()], [], [], DEADLINE_S)
    client.connection.on_deadline(client.clock.advance_ms(60_000))
    assert client.results[0][0].producer_id == 5
    assert client.state is ConnectionState.READY


def test_throttling_extends_deadlines(ready: Ends) -> None:
    client, peer = ready
    ask(client)
    ask(client)
    before = client.connection.deadline()
    answer(peer, peer.request()[0], 5, throttle_ms=700)
    client.run_until(lambda: len(client.results) == 1)
    assert before is not None
    assert client.connection.deadline() == before + 700 * MS
    assert client.connection.throttled_until_ns == client.clock.now_ns + 700 * MS


def test_old_versions_are_throttled_by_the_broker_itself(ready: Ends) -> None:
    client, peer = ready
    ask(client, max_version=0)
    answer(peer, peer.request()[0], 5, throttle_ms=700)
    client.run_until(lambda: len(client.results) == 1)
    assert client.connection.throttled_until_ns == 0


class Huge:
    """A request that no socket buffer takes at once."""

    size = 8_000_000

    def encode(self, version: int) -> bytes:
        return b"\0" * self.size


def test_a_request_larger_than_the_socket_buffer(ready: Ends) -> None:
    client, peer = ready
    assert client.connection.wants() == 1
    client.connection.submit(ApiKey.METADATA, Huge(), MetadataResponse.decode, client.on_result)
    assert client.connection.wants() == 3
    received = 0
    while received < Huge.size:
        client.turn(0.01)
        received += len(peer.socket.recv(1 << 20))
    assert client.connection.wants() == 1


def test_what_was_said_before_a_reset_is_heard_although_writing_fails_first(ready: Ends) -> None:
    client, peer = ready
    ask(client)
    header, _ = peer.request()
    client.connection.submit(ApiKey.METADATA, Huge(), MetadataResponse.decode, client.on_result)
    answer(peer, header, 5)
    peer.close()  # with most of the second request unread, which makes it a reset
    select.select([client.connection.fileno()], [], [], DEADLINE_S)
    while client.state is ConnectionState.READY:
        client.connection.on_writable()
    assert client.results[0][0].producer_id == 5
    assert client.results[1] == (None, client.closed[0])
    assert "Metadata" in str(client.closed[0])


def test_closing(ready: Ends) -> None:
    client, peer = ready
    fd = client.connection.fileno()
    ask(client)
    client.connection.close()
    client.connection.close("again")
    fails_all(client, "closed by the client")
    assert client.forgotten == [fd]
    peer.request()
    assert peer.socket.recv(10) == b""


def test_closing_with_a_reason(ready: Ends) -> None:
    client, _ = ready
    reason = KafkaConnectionError("because")
    client.connection.close(reason)
    assert client.closed == [reason]


def test_closing_from_a_callback(ready: Ends) -> None:
    client, peer = ready

    def close(response: object, error: object) -> None:
        client.on_result(response, error)
        client.connection.close("enough")

    for _ in range(3):
        client.connection.submit(
            ApiKey.INIT_PRODUCER_ID,
            InitProducerIdRequest(),
            InitProducerIdResponse.decode,
            close,
        )
    for number in range(3):
        answer(peer, peer.request()[0], number)
    client.run_until(lambda: client.state is ConnectionState.CLOSED)
    assert client.results[0][0].producer_id == 0
    assert [error for _, error in client.results[1:]] == client.closed * 2


def test_detaching(ready: Ends) -> None:
    client, peer = ready
    fd = client.connection.fileno()
    ask(client)
    with pytest.raises(IllegalStateError, match="in use"):
        client.connection.detach()
    answer(peer, peer.request()[0], 1)
    client.run_until(lambda: len(client.results) == 1)
    detached = client.connection.detach()
    with socket.socket(fileno=detached.fd) as sock:
        assert (detached.fd, detached.next_correlation_id, detached.api_versions) == (fd, 3, RANGES)
        assert client.forgotten == [fd]
        assert (client.state, client.connection.fileno(), client.connection.wants()) == (
            ConnectionState.DETACHED,
            -1,
            0,
        )
        client.connection.close()
        assert client.closed == []
        assert not os.get_blocking(detached.fd)
        sock.send(b"still open")
        assert peer.read(10) == b"still open"
    with pytest.raises(IllegalStateError, match="detached"):
        client.connection.detach()


def test_detaching_with_unread_bytes_is_refused(ready: Ends) -> None:
    client, peer = ready
    peer.send(b"\0\0")
    client.turn(DEADLINE_S)
    with pytest.raises(IllegalStateError, match="in use"):
        client.connection.detach()


def test_detaching_when_ready(listen: Callable[..., Listener], connect: Callable[..., Ends]) -> None:
    fds: list[int] = []
    client, peer = connect(listen(), on_ready=lambda connection: fds.append(connection.detach().fd))
    peer.shake_hands()
    client.run_until(lambda: bool(fds))
    socket.close(fds[0])


def test_socket_options(listen: Callable[..., Listener], connect: Callable[..., Ends]) -> None:
    options = ConnectionOptions(
        send_buffer_bytes=20_000,
        receive_buffer_bytes=30_000,
        socket_options=[(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 0)],
    )
    client, peer = connect(listen(), options)
    assert peer.shake_hands().client_id is None
    client.run_until(lambda: client.ready == 1)
    with socket.socket(fileno=client.connection.detach().fd) as sock:
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert not sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)  # the user's options come last
        for name, size in ((socket.SO_SNDBUF, 20_000), (socket.SO_RCVBUF, 30_000)):
            assert sock.getsockopt(socket.SOL_SOCKET, name) in (size, 2 * size)  # Linux doubles


def send_buffer(address: Address, options: ConnectionOptions) -> int:
    with socket.socket() as sock:
        options.apply(sock, address)
        return sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)


def test_what_is_under_way_to_a_loopback_address_is_little() -> None:
    """Elsewhere the system decides, or the user."""
    user = (socket.SOL_SOCKET, socket.SO_SNDBUF, 20_000)
    with socket.socket() as sock:
        systems = sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 256 * 1024)
        little = sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
        sock.setsockopt(*user)
        users = sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
    assert len({systems, little, users}) == 3
    here = [LOOPBACK, Address(socket.AF_INET, ("127.1.2.3", 9), "a"), Address(socket.AF_INET6, ("::1", 9, 0, 0), "b")]
    there = [Address(socket.AF_INET, ("192.0.2.1", 9092), "c"), Address(socket.AF_INET6, ("fe80::1%lo", 9, 0, 1), "d")]
    for address in here:
        assert send_buffer(address, ConnectionOptions()) == little
        assert send_buffer(address, ConnectionOptions(send_buffer_bytes=-1)) == systems
        assert send_buffer(address, ConnectionOptions(socket_options=[user])) == users
    for address in here + there:
        assert send_buffer(address, ConnectionOptions(send_buffer_bytes=20_000)) == users
    for address in there:
        assert send_buffer(address, ConnectionOptions()) == systems


def test_a_socket_option_the_system_refuses_is_named() -> None:
    options = ConnectionOptions(socket_options=[(socket.SOL_SOCKET, 9999, 1)])
    with socket.socket() as sock, pytest.raises(OSError, match="Protocol not available") as caught:
        options.apply(sock, LOOPBACK)
    assert caught.value.errno == errno.ENOPROTOOPT
    assert f"socket_options holds ({int(socket.SOL_SOCKET)}, 9999, 1)" in caught.value.strerror


def test_keep_alive_is_on(ready: Ends) -> None:
    with socket.socket(fileno=ready[0].connection.detach().fd) as sock:
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


def test_options_come_from_the_configuration() -> None:
    config = {
        "client_id": "me",
        "request_timeout_ms": 1,
        "receive_message_max_bytes": 2,
        "send_buffer_bytes": 3,
        "receive_buffer_bytes": None,
        "socket_options": None,
    }
    assert ConnectionOptions.from_config(config, "9.9") == ConnectionOptions(
        "me", 1, 2, 3, None, (), software_version="9.9"
    )


def test_the_wire_dump_shows_both_directions(
    listen: Callable[..., Listener], connect: Callable[..., Ends], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, "pykafka_fast.wire"):
        client, peer = connect(listen(), wire_dump=WireDump(True))
        peer.shake_hands()
        client.run_until(lambda: client.ready == 1)
        ask(client)
        answer(peer, peer.request()[0], 77)
        client.run_until(lambda: bool(client.results))
    lines = [record.getMessage() for record in caplog.records]
    assert any("> ApiVersions v4 #1" in line for line in lines)
    assert any("> InitProducerId v5 #2" in line and "InitProducerIdRequest(" in line for line in lines)
    assert any("< InitProducerId v5 #2" in line and "producer_id=77" in line for line in lines)
