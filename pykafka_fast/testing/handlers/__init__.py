# SPDX-License-Identifier: Apache-2.0
"""The requests the embedded broker serves, one module per API."""

from __future__ import annotations

from collections.abc import Callable

from ...protocol.api import ApiKey
from . import api_versions, fetch, find_coordinator, init_producer_id, list_offsets, metadata, produce
from .context import Context, Waiting

__all__ = ["HANDLERS", "Context", "Handler", "Waiting"]

#: Gives the body of the answer, a :class:`Waiting`, or None for no answer.
Handler = Callable[[Context], "bytes | Waiting | None"]

HANDLERS: dict[int, Handler] = {
    ApiKey.PRODUCE: produce.answer,
    ApiKey.FETCH: fetch.answer,
    ApiKey.LIST_OFFSETS: list_offsets.answer,
    ApiKey.METADATA: metadata.answer,
    ApiKey.FIND_COORDINATOR: find_coordinator.answer,
    ApiKey.API_VERSIONS: api_versions.answer,
    ApiKey.INIT_PRODUCER_ID: init_producer_id.answer,
}
