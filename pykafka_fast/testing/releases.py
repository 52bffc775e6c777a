# SPDX-License-Identifier: Apache-2.0
"""The versions that releases of Apache Kafka say they speak, of the APIs that are known here."""

from __future__ import annotations

from ..protocol.api import APIS, ApiKey

__all__ = ["RELEASES", "versions_of"]

_K = ApiKey
RELEASES: dict[str, dict[int, tuple[int, int]]] = {
    "0.10.2": {
        _K.PRODUCE: (0, 2), _K.FETCH: (0, 3), _K.LIST_OFFSETS: (0, 1), _K.METADATA: (0, 2),
        _K.FIND_COORDINATOR: (0, 0), _K.API_VERSIONS: (0, 0),
    },
    "2.8": {
        _K.PRODUCE: (0, 9), _K.FETCH: (0, 12), _K.LIST_OFFSETS: (0, 6), _K.METADATA: (0, 11),
        _K.FIND_COORDINATOR: (0, 3), _K.API_VERSIONS: (0, 3), _K.INIT_PRODUCER_ID: (0, 4),
    },
    "3.9": {
        _K.PRODUCE: (0, 11), _K.FETCH: (0, 17), _K.LIST_OFFSETS: (0, 9), _K.METADATA: (0, 12),
        _K.FIND_COORDINATOR: (0, 6), _K.API_VERSIONS: (0, 4), _K.INIT_PRODUCER_ID: (0, 5),
    },
}  # fmt: skip
"""What their brokers answer to ApiVersions, by release and API: the oldest and the newest version."""


def versions_of(release: str) -> dict[int, tuple[int, int]]:
    """The versions of that release that are implemented here.

    Raises:
        ValueError: a release that is not in RELEASES.
    """
    if release not in RELEASES:
        raise ValueError(f"release {release!r} is not known here; {', '.join(RELEASES)} are")
    offered = {}
    for api, (oldest, newest) in RELEASES[release].items():
        spec = APIS[api]
        if oldest <= spec.max_version and newest >= spec.min_version:
            offered[int(api)] = (max(oldest, spec.min_version), min(newest, spec.max_version))
    return offered
