# SPDX-License-Identifier: Apache-2.0
"""How far apart two processors are at this moment: what a virtual machine does not show, and rates depend on."""

import os
import subprocess

from benchmarks.compare.compiled import program

METRIC = "core_to_core_ns"


def core_to_core_ns() -> float | None:
    """Nanoseconds for a cache line from one processor to another and back; None with a single processor."""
    if len(os.sched_getaffinity(0)) < 2:
        return None
    done = subprocess.run([str(program("distance"))], capture_output=True, text=True, timeout=60, check=True)
    return float(done.stdout)
