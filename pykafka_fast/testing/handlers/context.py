# SPDX-License-Identifier: Apache-2.0
"""What a request handler is given, and what it may return instead of an answer."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from ...protocol.header import RequestHeader
from ..batch import BatchHeader
from ..cluster import Cluster, Node
from ..script import Fault, Script

__all__ = ["Context", "Waiting"]

Targets = list[tuple[str, "int | None"]]


@dataclass(frozen=True, slots=True)
class Waiting:
    """An answer that waits for records: ``retry(last_chance)`` gives the body or, while there is none, None."""

    retry: Callable[[bool], bytes | None]
    deadline: float


@dataclass
class Context:
    """One request: what it is about, the state it works on, and what is noted about it.

    Attributes:
        header: API, version, correlation id, client id.
        body: the whole frame without its size; the body starts at ``offset``.
        connection: number of the connection.
        node: the node that was asked.
        versions: what that node says it speaks, API to (oldest, newest).
        throttle_ms: throttle time to answer with.
        violation: notes, in plain words, something the client must not do.
        partitions: (topic, partition) of everything the request is about, for ``broker.requests``.
        batches: headers of the batches of a Produce request, for ``broker.requests``.
        record_count: records in the request, for ``broker.requests``.
        acks: of a Produce request, for ``broker.requests``.
        close: close the connection; an answer, if there is one, is sent before.
    """

    header: RequestHeader
    body: memoryview
    offset: int
    connection: int
    node: Node
    cluster: Cluster
    script: Script
    versions: dict[int, tuple[int, int]]
    throttle_ms: int
    violation: Callable[[str], None]
    received: float = field(default_factory=time.monotonic)
    partitions: Targets = field(default_factory=list)
    batches: list[BatchHeader | None] = field(default_factory=list)
    record_count: int = 0
    acks: int | None = None
    close: bool = False

    @property
    def version(self) -> int:
        """Version of the request."""
        return self.header.version

    def faults(self) -> dict[tuple[str, int | None], Fault]:
        """The scripted faults of :attr:`partitions`, to be asked for once per request."""
        return self.script.faults(self.header.api, self.node.node_id, self.partitions)

    def fault(self) -> Fault | None:
        """The scripted fault of a request that is not about partitions, to be asked for once."""
        return self.script.faults(self.header.api, self.node.node_id, [("", None)]).get(("", None))
