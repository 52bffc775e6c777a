# SPDX-License-Identifier: Apache-2.0
"""ApiVersions (18), v0-4: which APIs the broker speaks, at which versions.

=========  =====================================================================================
request    v3+: client software name, client software version (KIP-511); before: empty
response   int16 error; array of {int16 API, int16 min, int16 max}; v1+: int32 throttle ms;
           v3+ flexible; its tagged fields (features) are not used here
=========  =====================================================================================

The response header is v0 at every version, and a broker that does not know the version asked for
answers error 35 with a v0 body.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from .api import ApiKey, is_flexible
from .message import MessageReader, MessageWriter

__all__ = ["ApiVersionsRequest", "ApiVersionsResponse"]

_API = ApiKey.API_VERSIONS


@dataclass(frozen=True, slots=True)
class ApiVersionsRequest:
    """Asks for the broker's versions and tells it who asks."""

    client_software_name: str = ""
    client_software_version: str = ""

    def encode(self, version: int) -> bytes:
        """The body at ``version``."""
        writer = MessageWriter(is_flexible(_API, version))
        if version >= 3:
            writer.text(self.client_software_name)
            writer.text(self.client_software_version)
        writer.end()
        return writer.getvalue()

    @classmethod
    def decode(cls, data: bytes | memoryview, version: int, offset: int = 0) -> ApiVersionsRequest:
        """Reads a body at ``version`` that starts at ``offset``."""
        if version < 3:
            return cls()
        reader = MessageReader(data, offset, f"ApiVersions request v{version}", is_flexible(_API, version))
        request = cls(reader.text(), reader.text())
        reader.end()
        return request


@dataclass(frozen=True, slots=True)
class ApiVersionsResponse:
    """``api_versions`` maps API number to its inclusive range."""

    error_code: int = 0
    api_versions: dict[int, tuple[int, int]] = field(default_factory=dict)
    throttle_time_ms: int = 0

    def encode(self, version: int) -> bytes:
        """The body at ``version``."""
        writer = MessageWriter(is_flexible(_API, version))
        writer.int16(self.error_code)
        writer.count(len(self.api_versions))
        for api, (oldest, newest) in self.api_versions.items():
            writer.int16(api)
            writer.int16(oldest)
            writer.int16(newest)
            writer.end()
        if version >= 1:
            writer.int32(self.throttle_time_ms)
        writer.end()
        return writer.getvalue()

    @classmethod
    def decode(cls, data: bytes | memoryview, version: int, offset: int = 0) -> ApiVersionsResponse:
        """Reads a body at ``version`` that starts at ``offset``."""
        reader = MessageReader(data, offset, f"ApiVersions response v{version}", is_flexible(_API, version))
        error_code = reader.int16()
        api_versions = {}
        for _ in range(reader.count(6)):
            api = reader.int16()
            api_versions[api] = (reader.int16(), reader.int16())
            reader.end()
        throttle_time_ms = reader.int32() if version >= 1 else 0
        reader.end()
        return cls(error_code, api_versions, throttle_time_ms)
