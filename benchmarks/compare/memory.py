# SPDX-License-Identifier: Apache-2.0
"""Free memory that the host of a virtual machine has taken back, and gives again when it is touched.

That takes ten times as long as to fill it, and whoever touches it pays: here the broker, whose log files fill the page
cache, for one client's run more, for another's less.
"""

import mmap

MOST = 5 << 30  # bytes; what a run writes at its fastest, and half as much again


def touch_free() -> None:
    """Touch what the next run will write to, or half of what is free, if that is less."""
    size = min(MOST, _available() // 2)
    mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE).close()


def _available() -> int:
    with open("/proc/meminfo") as lines:
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
