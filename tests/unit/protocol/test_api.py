# SPDX-License-Identifier: Apache-2.0
"""The table of APIs and the choice of versions."""

from __future__ import annotations

import pytest
from kafka.protocol.consumer import FetchRequest, ListOffsetsRequest
from kafka.protocol.metadata import ApiVersionsRequest, FindCoordinatorRequest, MetadataRequest
from kafka.protocol.producer import InitProducerIdRequest, ProduceRequest

from pykafka_fast.errors import UnsupportedVersionError
from pykafka_fast.protocol.api import APIS, ApiKey, api_name, is_flexible, negotiate, response_header_is_flexible

PEERS = [
    ApiVersionsRequest,
    FetchRequest,
    FindCoordinatorRequest,
    InitProducerIdRequest,
    ListOffsetsRequest,
    MetadataRequest,
    ProduceRequest,
]


@pytest.mark.parametrize("message", PEERS, ids=lambda message: message.__name__)
def test_numbers_and_flexible_versions_are_those_of_kafka(message: type) -> None:
    spec = APIS[message.API_KEY]
    assert spec.name + "Request" == message.__name__
    for version in range(spec.max_version + 1):
        assert is_flexible(spec.key, version) == message.flexible_version_q(version)


def test_every_api_has_a_row() -> None:
    assert set(APIS) == set(ApiKey) == {message.API_KEY for message in PEERS}
    assert api_name(ApiKey.METADATA) == "Metadata"
    assert api_name(999) == "API 999"
    assert not is_flexible(999, 99)


def test_api_versions_responses_have_a_plain_header() -> None:
    assert not response_header_is_flexible(ApiKey.API_VERSIONS, 4)
    assert response_header_is_flexible(ApiKey.METADATA, 9)
    assert not response_header_is_flexible(ApiKey.METADATA, 8)


@pytest.mark.parametrize(
    ("broker", "limit", "version"),
    [
        ((0, 2), None, 2),
        ((0, 13), None, 13),
        ((0, 99), None, 13),
        ((12, 13), None, 13),
        ((0, 99), 9, 9),
        ((9, 9), 9, 9),
    ],
)
def test_the_newest_common_version_is_chosen(broker: tuple[int, int], limit: int | None, version: int) -> None:
    assert negotiate(ApiKey.METADATA, broker, limit) == version


@pytest.mark.parametrize(
    ("api", "broker", "limit", "ranges"),
    [
        (ApiKey.FETCH, (0, 3), None, ("0-3", "4-13")),
        (ApiKey.PRODUCE, (14, 20), None, ("14-20", "0-13")),
        (ApiKey.PRODUCE, (13, 13), 12, ("13-13", "0-12")),
        (ApiKey.INIT_PRODUCER_ID, None, None, ("0-5",)),
    ],
)
def test_without_a_common_version_both_ranges_are_named(
    api: ApiKey, broker: tuple[int, int] | None, limit: int | None, ranges: tuple[str, ...]
) -> None:
    with pytest.raises(UnsupportedVersionError) as caught:
        negotiate(api, broker, limit)
    assert all(text in str(caught.value) for text in (api_name(api), *ranges))
