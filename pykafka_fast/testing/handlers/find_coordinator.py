# SPDX-License-Identifier: Apache-2.0
"""FindCoordinator: the first running node coordinates everything."""

from __future__ import annotations

from ...protocol.find_coordinator import Coordinator, FindCoordinatorRequest, FindCoordinatorResponse
from .context import Context

__all__ = ["answer"]


def answer(context: Context) -> bytes:
    """The same coordinator for every key."""
    request = FindCoordinatorRequest.decode(context.body, context.version, context.offset)
    fault = context.fault()
    if fault is not None:
        found = tuple(Coordinator(key, -1, "", -1, fault.error, fault.message) for key in request.keys)
    else:
        node = min((node for node in context.cluster.nodes.values() if node.running), key=lambda node: node.node_id)
        found = tuple(Coordinator(key, node.node_id, node.host, node.port) for key in request.keys)
    return FindCoordinatorResponse(found, context.throttle_ms).encode(context.version)
