# SPDX-License-Identifier: Apache-2.0
"""What one client process is asked to do. Travels to it as JSON."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from benchmarks.compare.load import Load

# A number, or None where a client cannot be measured that way.
Figures = dict[str, float]


@dataclass(frozen=True)
class Job:
    """One run of one client.

    Attributes:
        client: "module.Class" of `clients`, or "replay" / "java" for the external programs.
        workload: key of `child.WORKLOADS`.
        topic: the topic, or what the names of several begin with.
        options: what the client's constructor gets, in the client's own spelling.
        params: what the workload gets.
        broker_pids: whose CPU time counts as the broker's; none when the broker runs elsewhere.
        mock: the broker is librdkafka's mock cluster.
        quick: as little as shows that it works.
    """

    client: str
    workload: str
    address: str
    topic: str
    load: Load
    seconds: float
    warmup_seconds: float
    options: Mapping[str, object] = field(default_factory=dict)
    params: Mapping[str, float] = field(default_factory=dict)
    broker_pids: tuple[int, ...] = ()
    mock: bool = False
    quick: bool = False

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @staticmethod
    def from_json(text: str) -> "Job":
        raw = json.loads(text)
        return Job(**{**raw, "load": Load(**raw["load"]), "broker_pids": tuple(raw["broker_pids"])})
