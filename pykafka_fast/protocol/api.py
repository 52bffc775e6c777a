# SPDX-License-Identifier: Apache-2.0
"""The APIs spoken here and the versions of each.

A version is chosen per request: the newest in both the broker's range (from ApiVersions) and ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from ..errors import UnsupportedVersionError

__all__ = ["APIS", "ApiKey", "ApiSpec", "api_name", "is_flexible", "negotiate", "response_header_is_flexible"]


class ApiKey(IntEnum):
    """Kafka's number for each request type."""

    PRODUCE = 0
    FETCH = 1
    LIST_OFFSETS = 2
    METADATA = 3
    FIND_COORDINATOR = 10
    API_VERSIONS = 18
    INIT_PRODUCER_ID = 22


@dataclass(frozen=True, slots=True)
class ApiSpec:
    """What this client knows about one API.

    Attributes:
        key: the API.
        name: its name in error messages.
        min_version, max_version: the versions implemented here, inclusive.
        flexible_version: the first version in flexible encoding (KIP-482).
        throttle_version: the first version whose throttle time the client itself must honour (KIP-219),
            None where it never has to.
    """

    key: ApiKey
    name: str
    min_version: int
    max_version: int
    flexible_version: int
    throttle_version: int | None = None


APIS: dict[int, ApiSpec] = {
    spec.key: spec
    for spec in (
        ApiSpec(ApiKey.PRODUCE, "Produce", 0, 13, 9, 6),
        ApiSpec(ApiKey.FETCH, "Fetch", 4, 13, 12),
        ApiSpec(ApiKey.LIST_OFFSETS, "ListOffsets", 1, 8, 6),
        ApiSpec(ApiKey.METADATA, "Metadata", 0, 13, 9, 6),
        ApiSpec(ApiKey.FIND_COORDINATOR, "FindCoordinator", 0, 4, 3, 2),
        ApiSpec(ApiKey.API_VERSIONS, "ApiVersions", 0, 4, 3, 2),
        ApiSpec(ApiKey.INIT_PRODUCER_ID, "InitProducerId", 0, 5, 2, 1),
    )
}


def api_name(api: int) -> str:
    """The name of ``api`` for messages; unknown ones by number."""
    spec = APIS.get(api)
    return spec.name if spec else f"API {api}"


def is_flexible(api: int, version: int) -> bool:
    """Whether requests and responses of ``api`` are in flexible encoding at ``version``; False for unknown APIs."""
    spec = APIS.get(api)
    return spec is not None and version >= spec.flexible_version


def response_header_is_flexible(api: int, version: int) -> bool:
    """Whether the response header carries tagged fields. ApiVersions never does, so that any client can read it."""
    return api != ApiKey.API_VERSIONS and is_flexible(api, version)


def negotiate(api: int, broker_range: tuple[int, int] | None, max_version: int | None = None) -> int:
    """The version to use for ``api``.

    Args:
        api: the API, one of ours.
        broker_range: what the broker supports, inclusive; None if it does not list the API.
        max_version: an upper limit below our own maximum, if a caller has reason for one.

    Raises:
        UnsupportedVersionError: no version is supported by both; the message names both ranges.
    """
    spec = APIS[api]
    newest = spec.max_version if max_version is None else min(spec.max_version, max_version)
    if broker_range is None:
        raise UnsupportedVersionError(
            f"{spec.name}: the broker does not offer this API, of which this client speaks versions "
            f"{spec.min_version}-{newest}"
        )
    version = min(newest, broker_range[1])
    if version < max(spec.min_version, broker_range[0]):
        raise UnsupportedVersionError(
            f"{spec.name}: the broker supports versions {broker_range[0]}-{broker_range[1]}, "
            f"this client {spec.min_version}-{newest}"
        )
    return version
