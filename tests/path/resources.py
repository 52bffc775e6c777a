# SPDX-License-Identifier: Apache-2.0
"""What this process holds, as Linux counts it."""

from __future__ import annotations

import os


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def os_threads() -> int:
    return len(os.listdir("/proc/self/task"))


def resident() -> int:
    """Bytes of memory."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")
