# SPDX-License-Identifier: Apache-2.0
"""Every scenario, with the targets it is held against."""

from benchmarks.compare.scenario import Scenario
from benchmarks.compare.scenarios import codecs, latency, scale, throughput, tuning

SCENARIOS: dict[str, Scenario] = {
    scenario.name: scenario
    for module in (throughput, codecs, latency, scale, tuning)
    for scenario in module.SCENARIOS
}
