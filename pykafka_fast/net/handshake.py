# SPDX-License-Identifier: Apache-2.0
"""The exchange that opens a connection: which APIs does this broker speak, at which versions (KIP-35, KIP-511)?"""

from __future__ import annotations

import re

from ..errors import KafkaProtocolError, UnsupportedVersionError, for_code
from ..protocol.api import APIS, ApiKey
from ..protocol.api_versions import ApiVersionsRequest, ApiVersionsResponse

__all__ = ["ApiVersionsHandshake"]

_ERROR_CODE_SIZE = 2


class ApiVersionsHandshake:
    """Asks at our newest version and falls back when the broker does not know it.

    A broker that answers UNSUPPORTED_VERSION (35) sends a v0 body that should name the versions of ApiVersions itself;
    some send neither that nor anything else readable. So only the error code counts: the next attempt is at the newest
    version the body names, if it can be read, and else at v0.

    Args:
        software_name, software_version: told to the broker from v3 on; characters it would refuse are replaced.
        ask_oldest: begin at v0, with a broker that hung up on our newest.
    """

    def __init__(self, software_name: str, software_version: str, ask_oldest: bool = False) -> None:
        self.version = 0 if ask_oldest else APIS[ApiKey.API_VERSIONS].max_version
        """The version to ask at next."""
        self.request = ApiVersionsRequest(_permitted(software_name), _permitted(software_version))
        """What to ask."""

    def on_response(self, body: bytes) -> ApiVersionsResponse | None:
        """Take the answer to ``request`` at ``version``, without its header.

        Returns:
            The response that names the broker's versions, or None: ask again, at ``version``, which is lower now.

        Raises:
            KafkaProtocolError: the answer cannot be read.
            BrokerResponseError: the broker refuses.
        """
        error_code = int.from_bytes(body[:_ERROR_CODE_SIZE], "big", signed=True)
        if len(body) >= _ERROR_CODE_SIZE and error_code == UnsupportedVersionError.errno and self.version > 0:
            self.version = _fallback_version(body, self.version)
            return None
        response = ApiVersionsResponse.decode(body, self.version)
        if response.error_code:
            raise for_code(response.error_code)(f"ApiVersions v{self.version} was refused")
        return response


def _fallback_version(body: bytes, tried: int) -> int:
    try:
        listed = ApiVersionsResponse.decode(body, 0).api_versions.get(ApiKey.API_VERSIONS)
    except KafkaProtocolError:
        return 0
    return listed[1] if listed and listed[0] <= listed[1] and 0 <= listed[1] < tried else 0


def _permitted(text: str) -> str:
    """``text`` as brokers accept it: letters, digits, dots and hyphens, not at the ends."""
    return re.sub(r"[^a-zA-Z0-9.-]+", "-", text).strip(".-") or "unknown"
