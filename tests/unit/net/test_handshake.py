# SPDX-License-Identifier: Apache-2.0
"""The exchange of versions."""

from __future__ import annotations

import pytest
from kafka.protocol.metadata import ApiVersionsResponse as Peer

from pykafka_fast.errors import BrokerResponseError, ClusterAuthorizationFailedError, KafkaProtocolError
from pykafka_fast.net.handshake import ApiVersionsHandshake
from pykafka_fast.protocol.api_versions import ApiVersionsResponse

RANGES = {0: (0, 13), 3: (0, 13), 18: (0, 4)}


def make() -> ApiVersionsHandshake:
    return ApiVersionsHandshake("name", "1.0")


def peer_body(version: int, error_code: int = 0, ranges: dict[int, tuple[int, int]] = RANGES) -> bytes:
    """The answer as kafka-python writes it."""
    response = Peer(version=version, error_code=error_code)
    response.api_keys = [Peer.ApiVersion(api_key=k, min_version=a, max_version=b) for k, (a, b) in ranges.items()]
    return bytes(response.encode(version=version))


def test_a_modern_broker_needs_one_question() -> None:
    handshake = make()
    assert handshake.version == 4
    response = handshake.on_response(peer_body(4))
    assert response is not None
    assert response.api_versions == RANGES


@pytest.mark.parametrize(
    ("body", "version"),
    [
        pytest.param(peer_body(0, 35, {18: (0, 3)}), 3, id="lists v3, as Kafka 2.4 to 3.x"),
        pytest.param(peer_body(0, 35, {18: (0, 0)}), 0, id="lists v0"),
        pytest.param(peer_body(0, 35, {}), 0, id="lists nothing, as Kafka 0.10 to 2.3"),
        pytest.param(peer_body(0, 35, {18: (0, 4)}), 0, id="lists the version it refuses"),
        pytest.param(peer_body(0, 35, {18: (-3, -1)}), 0, id="lists nonsense"),
        pytest.param(bytes.fromhex("0023 02 0012 0000 0002 00"), 0, id="as librdkafka's mock: one-byte count"),
        pytest.param(bytes.fromhex("0023"), 0, id="nothing but the code"),
        pytest.param(bytes.fromhex("0023") + b"\xff" * 50, 0, id="garbage"),
    ],
)
def test_error_35_asks_again_lower_whatever_follows(body: bytes, version: int) -> None:
    handshake = make()
    assert handshake.on_response(body) is None
    assert handshake.version == version
    response = handshake.on_response(peer_body(version))
    assert response is not None
    assert response.api_versions == RANGES


def test_versions_fall_until_v0_and_then_it_is_over() -> None:
    handshake = make()
    assert handshake.on_response(peer_body(0, 35, {18: (0, 3)})) is None
    assert handshake.on_response(peer_body(0, 35, {18: (0, 3)})) is None
    assert handshake.version == 0
    with pytest.raises(BrokerResponseError, match="35"):
        handshake.on_response(peer_body(0, 35))


def test_other_errors_are_raised() -> None:
    with pytest.raises(ClusterAuthorizationFailedError):
        make().on_response(ApiVersionsResponse(31).encode(4))


@pytest.mark.parametrize("body", [b"", b"\0", peer_body(4)[:-5]])
def test_unreadable_answers(body: bytes) -> None:
    with pytest.raises(KafkaProtocolError):
        make().on_response(body)


@pytest.mark.parametrize(
    ("given", "sent"),
    [("pykafka-fast", "pykafka-fast"), ("1.0.dev3+g12/x y", "1.0.dev3-g12-x-y"), ("-.", "unknown"), ("", "unknown")],
)
def test_software_names_are_as_brokers_accept_them(given: str, sent: str) -> None:
    request = ApiVersionsHandshake(given, given).request
    assert (request.client_software_name, request.client_software_version) == (sent, sent)
