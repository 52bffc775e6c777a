# SPDX-License-Identifier: Apache-2.0
"""How much memory this process has now."""

import resource
import sys
from pathlib import Path

__all__ = ["resident_kb"]

_STATM = Path("/proc/self/statm")


def resident_kb() -> int:
    """Resident memory in KiB; where the system does not say, the most there ever was."""
    if _STATM.exists():
        return int(_STATM.read_text().split()[1]) * resource.getpagesize() >> 10
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most >> 10 if sys.platform == "darwin" else most
