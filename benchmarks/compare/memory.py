# SPDX-License-Identifier: Apache-2.0
"""Free memory that the host of a virtual machine has taken back, and gives again when it is touched.

That takes ten times as long as to fill it, and whoever touches it pays: here the broker, whose log files fill the page
cache, for one client's run more, for another's less.
"""

import mmap
import subprocess
import sys

MOST = 5 << 30  # bytes; a run writes 2 GB at its fastest, but not all that is touched becomes its page cache


def touch_free() -> None:
    """Touch what the next run will write to, or half of what is free, if that is less.

    In a process of its own: the peak of this one is counted as that of the programs it starts.
    """
    subprocess.run([sys.executable, "-m", __name__], timeout=120, check=True)


def _touch() -> None:
    size = min(MOST, _available() // 2)
    mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE).close()


def _available() -> int:
    with open("/proc/meminfo") as lines:
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))


if __name__ == "__main__":
    _touch()
