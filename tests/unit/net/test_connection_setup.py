# SPDX-License-Identifier: Apache-2.0
"""Connecting, the exchange of versions, and everything that can be at the other end instead of a broker."""

from __future__ import annotations

import socket
from collections.abc import Callable

import pytest

from pykafka_fast.errors import IllegalStateError
from pykafka_fast.net.connection import ConnectionState
from pykafka_fast.net.dialer import is_connected
from pykafka_fast.net.options import ConnectionOptions
from pykafka_fast.net.resolver import Address
from pykafka_fast.protocol.api import ApiKey
from pykafka_fast.protocol.api_versions import ApiVersionsRequest, ApiVersionsResponse
from pykafka_fast.protocol.init_producer_id import InitProducerIdRequest, InitProducerIdResponse
from pykafka_fast.protocol.metadata import MetadataRequest, MetadataResponse
from tests.unit.net.peer import DEADLINE_S, MS, RANGES, Client, Listener, Peer

Ends = tuple[Client, Peer]
Listen = Callable[..., Listener]
Connect = Callable[..., Ends]


def closed_port(listen: Listen) -> Address:
    """An address where nobody listens."""
    listener = listen()
    listener.close()
    return listener.address


def test_the_way_to_ready(listen: Listen) -> None:
    listener = listen()
    client = Client([listener.address], ConnectionOptions(client_id="me", software_version="1.2"))
    assert (client.state, client.connection.fileno(), client.connection.wants()) == (ConnectionState.CONNECTING, -1, 0)
    client.connection.start()
    with pytest.raises(IllegalStateError, match="started twice"):
        client.connection.start()
    assert client.connection.wants() == 2
    assert client.connection.deadline() == client.clock.now_ns + 10_000 * MS
    client.run_until(lambda: client.state is ConnectionState.CHECKING_API_VERSIONS)
    assert client.connection.tcp_connected
    assert client.connection.deadline() == client.clock.now_ns + 30_000 * MS
    with pytest.raises(IllegalStateError, match="checking API versions"):
        client.connection.submit(
            ApiKey.INIT_PRODUCER_ID, InitProducerIdRequest(), InitProducerIdResponse.decode, client.on_result
        )
    with pytest.raises(IllegalStateError, match="checking API versions"):
        client.connection.detach()
    peer = listener.accept()
    header, body = peer.request()
    assert (header.api, header.version, header.correlation_id, header.client_id) == (ApiKey.API_VERSIONS, 4, 1, "me")
    assert ApiVersionsRequest.decode(body, 4) == ApiVersionsRequest("pykafka-fast", "1.2")
    client.clock.advance_ms(5)
    peer.answer(header, ApiVersionsResponse(0, RANGES, 400).encode(4))
    client.run_until(lambda: client.ready == 1)
    assert client.connection.api_versions == RANGES
    assert client.connection.throttled_until_ns == client.clock.now_ns + 400 * MS
    assert client.connection.last_activity_ns == client.clock.now_ns
    client.connection.close()
    peer.close()


@pytest.mark.parametrize(
    "refusal",
    [
        pytest.param(ApiVersionsResponse(35, {18: (0, 2)}).encode(0), id="as a real broker"),
        pytest.param(bytes.fromhex("0023 02 0012 0000 0002 00"), id="as librdkafka's mock"),
        pytest.param(bytes.fromhex("0023"), id="the code alone"),
    ],
)
def test_a_broker_that_does_not_know_our_version(listen: Listen, connect: Connect, refusal: bytes) -> None:
    client, peer = connect(listen())
    header, _ = peer.request()
    peer.answer(header, refusal)
    client.run_until(lambda: client.connection.in_flight_count == 1 and client.turn(0.1) is False)
    header, body = peer.request()
    assert header.version == (2 if len(refusal) > 10 and refusal[2] == 0 else 0)
    assert body == b""
    peer.answer(header, ApiVersionsResponse(0, {0: (3, 7)}).encode(header.version))
    client.run_until(lambda: client.ready == 1)
    assert client.connection.api_versions == {0: (3, 7)}


def test_ipv6(listen: Listen, connect: Connect) -> None:
    client, peer = connect(listen(socket.AF_INET6))
    peer.shake_hands()
    client.run_until(lambda: client.ready == 1)


def test_addresses_are_tried_in_turn(listen: Listen) -> None:
    dead, alive = closed_port(listen), listen()
    client = Client([dead, dead, alive.address])
    client.connection.start()
    client.run_until(lambda: client.state is ConnectionState.CHECKING_API_VERSIONS)
    alive.accept().close()
    client.connection.close()
    assert len(client.closed) == 1


def test_nobody_listens_anywhere(listen: Listen) -> None:
    first, second = closed_port(listen), closed_port(listen)
    client = Client([first, second])
    client.connection.start()
    text = client.run_until_closed()
    assert f"localhost:{first.sockaddr[1]} (node 1): could not connect" in text
    for address in (first, second):
        assert f"127.0.0.1:{address.sockaddr[1]}: Connection refused" in text
    assert not client.connection.tcp_connected


def test_without_addresses() -> None:
    client = Client([])
    client.connection.start()
    assert "no address" in str(client.closed[0])


def test_an_address_this_machine_cannot_use(listen: Listen) -> None:
    """An address family the system refuses counts as a failed address, not as a bug."""
    alive = listen()
    client = Client([Address(socket.AF_INET, ("255.255.255.255", 1), "x"), alive.address])
    client.connection.start()
    client.run_until(lambda: client.state is ConnectionState.CHECKING_API_VERSIONS)
    alive.accept().close()
    client.connection.close()


def test_set_up_takes_too_long(listen: Listen) -> None:
    """Each address has the whole time; a socket's number is forgotten before it is closed, and never used twice."""
    listener, other = listen(), listen()
    client = Client([listener.address, other.address], setup_timeout_ms=250)
    client.connection.start()
    first = client.connection.fileno()
    client.connection.on_deadline(client.clock.advance_ms(249))
    assert client.connection.fileno() == first
    client.connection.on_deadline(client.clock.advance_ms(1))
    second = client.connection.fileno()
    assert second not in (-1, first)
    assert client.forgotten == [first]
    assert client.connection.deadline() == client.clock.now_ns + 250 * MS
    client.connection.on_deadline(client.clock.advance_ms(250))
    assert client.forgotten == [first, second]
    text = str(client.closed[0])
    for port in (listener.port, other.port):
        assert f"127.0.0.1:{port}: no connection within 250 ms" in text


def test_closing_while_connecting(listen: Listen) -> None:
    client = Client([listen().address])
    client.connection.start()
    client.connection.close("the producer was closed")
    assert "the producer was closed" in str(client.closed[0])


def test_a_bootstrap_server_has_no_node_id(listen: Listen) -> None:
    client = Client([closed_port(listen)])
    client.connection.node_id = -1
    client.connection.start()
    assert "node" not in client.run_until_closed()


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        pytest.param(bytes.fromhex("15030300020246"), "TLS alert", id="TLS alert"),
        pytest.param(bytes.fromhex("1603030031") + b"\2" * 49, "TLS handshake", id="TLS handshake"),
        pytest.param(b"HTTP/1.1 400 Bad Request\r\n\r\n", "this is a web server", id="HTTP"),
        pytest.param(b"SSH-2.0-OpenSSH_9.2\r\n", "not a Kafka broker", id="SSH"),
        pytest.param(b"\x9a\xff\x13\x07garbage", "not Kafka's", id="garbage"),
        pytest.param(b"\x7f\xff\xff\xff", "not Kafka's", id="2 GB"),
        pytest.param(b"\0\0\0\x06\0\0\0\x09\0\0", "correlation id 9", id="another id"),
        pytest.param(b"\0\0\0\x07\0\0\0\x01\0\0\x05", "malformed ApiVersions response v4", id="cut short"),
        pytest.param(b"\0\0\0\x04\0\0\0\x01", "malformed ApiVersions response v4", id="empty"),
        pytest.param(b"\0\0\0\x0c\0\0\0\x01\0\x1f\x01\0\0\0\0\0", "CLUSTER_AUTHORIZATION_FAILED", id="refused"),
    ],
)
def test_it_is_not_a_broker_we_can_talk_to(listen: Listen, connect: Connect, answer: bytes, said: str) -> None:
    client, peer = connect(listen())
    peer.request()
    peer.send(answer)
    text = client.run_until_closed()
    assert f"localhost:{client.connection.port} (node 1): ApiVersions: " in text
    assert said in text
    assert client.connection.tcp_connected


def test_it_closes_at_once(listen: Listen, connect: Connect) -> None:
    client, peer = connect(listen())
    peer.request()
    peer.close()
    text = client.run_until_closed()
    assert "closed the connection instead of answering" in text
    assert "TLS or SASL listener" in text


def test_it_closes_at_the_first_question(listen: Listen, connect: Connect) -> None:
    client, peer = connect(listen())
    peer.shake_hands()
    client.run_until(lambda: client.ready == 1)
    client.connection.submit(ApiKey.METADATA, MetadataRequest(()), MetadataResponse.decode, client.on_result)
    peer.request()
    peer.close()
    assert "is this a SASL listener?" in client.run_until_closed()


def test_it_closes_later(listen: Listen, connect: Connect) -> None:
    client, peer = connect(listen())
    peer.shake_hands()
    client.run_until(lambda: client.ready == 1)
    peer.close()
    assert "SASL" not in client.run_until_closed()


def test_it_resets_at_once(listen: Listen, connect: Connect) -> None:
    client, peer = connect(listen())
    peer.close()  # with our request unread, which makes it a reset
    assert "TLS or SASL listener" in client.run_until_closed()


def test_it_says_something_and_resets(listen: Listen, connect: Connect) -> None:
    client, peer = connect(listen())
    peer.request()
    peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    peer.close()
    assert "web server" in client.run_until_closed()


def test_it_keeps_silent(listen: Listen, connect: Connect) -> None:
    client, _ = connect(listen(), ConnectionOptions(request_timeout_ms=700))
    client.connection.on_deadline(client.clock.advance_ms(699))
    assert client.state is ConnectionState.CHECKING_API_VERSIONS
    client.connection.on_deadline(client.clock.advance_ms(1))
    text = str(client.closed[0])
    assert "ApiVersions: no response within 700 ms" in text
    assert "is this a Kafka broker?" in text


def test_a_socket_connected_to_itself_is_not_connected() -> None:
    """TCP does that when nobody listens on a port of the range from which the system picks ours."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(DEADLINE_S)
        sock.connect(sock.getsockname())
        with pytest.raises(OSError, match="refused"):
            is_connected(sock)


def test_a_socket_that_is_not_connected_yet() -> None:
    with socket.socket() as sock:
        assert not is_connected(sock)
