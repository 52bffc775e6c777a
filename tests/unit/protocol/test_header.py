# SPDX-License-Identifier: Apache-2.0
"""Frames and headers, against kafka-python's."""

from __future__ import annotations

import pytest
from kafka.protocol.metadata import ApiVersionsResponse, MetadataRequest, MetadataResponse

from pykafka_fast.errors import KafkaProtocolError
from pykafka_fast.protocol.api import ApiKey
from pykafka_fast.protocol.header import RequestHeader, decode_response_header, encode_request, encode_response
from pykafka_fast.protocol.metadata import MetadataRequest as OurMetadataRequest


@pytest.mark.parametrize("version", [0, 8, 9, 13])
@pytest.mark.parametrize("client_id", ["me", "größe"])
def test_request_frames(version: int, client_id: str) -> None:
    peer = MetadataRequest(topics=[], version=version)
    peer.with_header(correlation_id=77, client_id=client_id)
    frame = bytes(peer.encode(header=True, framed=True))
    if version < 4:  # kafka-python's body for the same question
        body = OurMetadataRequest.for_topics([]).encode(version)
    else:
        body = bytes(peer.encode())
    assert encode_request(ApiKey.METADATA, version, 77, client_id, body) == frame
    header, offset = RequestHeader.decode(frame[4:])
    assert header == RequestHeader(ApiKey.METADATA, version, 77, client_id)
    assert frame[4 + offset :] == body


def test_request_headers_without_client_id_and_of_unknown_apis() -> None:
    for api, version in ((ApiKey.METADATA, 12), (999, 5)):
        data = RequestHeader(api, version, -5, None).encode()
        assert RequestHeader.decode(data + b"rest") == (RequestHeader(api, version, -5, None), len(data))


@pytest.mark.parametrize(
    ("api", "message", "version"),
    [
        (ApiKey.METADATA, MetadataResponse, 8),
        (ApiKey.METADATA, MetadataResponse, 12),
        (ApiKey.API_VERSIONS, ApiVersionsResponse, 0),
        (ApiKey.API_VERSIONS, ApiVersionsResponse, 4),
    ],
)
def test_response_frames(api: ApiKey, message: type, version: int) -> None:
    peer = message(version=version)
    peer.with_header(correlation_id=1234)
    frame = bytes(peer.encode(header=True, framed=True))
    body = bytes(message(version=version).encode())
    assert encode_response(api, version, 1234, body) == frame
    correlation_id, offset = decode_response_header(api, version, frame[4:])
    assert correlation_id == 1234
    assert frame[4 + offset :] == body


def test_headers_cut_short() -> None:
    data = RequestHeader(ApiKey.METADATA, 12, 1, "client").encode()
    for size in range(len(data)):
        with pytest.raises(KafkaProtocolError, match="request header"):
            RequestHeader.decode(data[:size])
    with pytest.raises(KafkaProtocolError, match="response header"):
        decode_response_header(ApiKey.METADATA, 12, b"\0\0\0\1")
