# SPDX-License-Identifier: Apache-2.0
"""What one client process is asked to do. Travels to it as JSON."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

# A number, or None where a client cannot be measured that way.
Figures = dict[str, float]


@dataclass(frozen=True)
class Job:
    """One run of one client.

    Attributes:
        client: key of `clients.registry.CLIENTS`, or "replay" / "java" for the external programs.
        workload: key of `child.WORKLOADS`.
        options: what the client's constructor gets, in the client's own spelling.
        params: what the workload gets.
        broker_pid: whose CPU time counts as the broker's; 0 when the broker runs elsewhere.
        mock: the broker is librdkafka's mock cluster.
    """

    client: str
    workload: str
    address: str
    topic: str
    value_size: int
    seconds: float
    warmup_seconds: float
    options: Mapping[str, object] = field(default_factory=dict)
    params: Mapping[str, float] = field(default_factory=dict)
    broker_pid: int = 0
    mock: bool = False

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @staticmethod
    def from_json(text: str) -> "Job":
        return Job(**json.loads(text))
