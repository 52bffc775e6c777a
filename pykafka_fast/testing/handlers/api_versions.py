# SPDX-License-Identifier: Apache-2.0
"""ApiVersions: what this broker speaks."""

from __future__ import annotations

import re

from ...protocol.api import ApiKey
from ...protocol.api_versions import ApiVersionsRequest, ApiVersionsResponse
from ..codes import Code
from .context import Context

__all__ = ["answer", "unsupported"]

_LEGAL_SOFTWARE = re.compile(r"[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?\Z")


def answer(context: Context) -> bytes:
    """The ranges of all APIs, or of none with an error."""
    request = ApiVersionsRequest.decode(context.body, context.version, context.offset)
    fault = context.fault()
    if fault is not None and fault.error == Code.UNSUPPORTED_VERSION:
        return unsupported(context)
    error = fault.error if fault is not None else int(_check_software(context, request))
    versions = {} if error else context.versions
    return ApiVersionsResponse(error, versions, context.throttle_ms).encode(context.version)


def _check_software(context: Context, request: ApiVersionsRequest) -> Code:
    if context.version < 3:
        return Code.NONE
    for name in (request.client_software_name, request.client_software_version):
        if not _LEGAL_SOFTWARE.match(name):
            context.violation(f"client software name or version {name!r} has characters that are not allowed")
            return Code.INVALID_REQUEST
    return Code.NONE


def unsupported(context: Context) -> bytes:
    """The answer at a version this broker does not know: error 35, body v0, with the range that it knows."""
    known = {int(ApiKey.API_VERSIONS): context.versions.get(ApiKey.API_VERSIONS, (0, 0))}
    return ApiVersionsResponse(Code.UNSUPPORTED_VERSION, known).encode(0)
