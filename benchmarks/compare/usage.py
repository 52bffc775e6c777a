# SPDX-License-Identifier: Apache-2.0
"""CPU time and resident memory of this process and of the broker's. Linux only: reads /proc."""

import os
import resource
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.compare.job import Figures

TICK = os.sysconf("SC_CLK_TCK")


def own_cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def cpu_seconds(pids: Sequence[int]) -> float:
    """User and system time of processes and their threads."""
    return sum(map(_cpu_seconds, pids))


def _cpu_seconds(pid: int) -> float:
    # The command name may contain spaces and brackets: count from behind it.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def resident_bytes() -> int:
    return _status("VmRSS")


def peak_resident_bytes() -> int:
    return _status("VmHWM")


def reset_peak_resident() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def _status(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) * 1024
    raise KeyError(name)


class Window:
    """Wall and CPU time from its creation to `close`."""

    def __init__(self, broker_pids: Sequence[int]):
        self._broker_pids = broker_pids
        self._broker = cpu_seconds(broker_pids)
        self._cpu = own_cpu_seconds()
        self._system = resource.getrusage(resource.RUSAGE_SELF).ru_stime
        self._caller = time.thread_time()
        self._start = time.perf_counter()

    def elapsed(self) -> float:
        return time.perf_counter() - self._start

    def close(self, records: int) -> Figures:
        """The figures of a stretch in which `records` were acknowledged. To be called on the thread that sends."""
        seconds = self.elapsed()
        cpu = own_cpu_seconds() - self._cpu
        broker = cpu_seconds(self._broker_pids) - self._broker
        figures = {
            "acknowledged": float(records),
            "seconds": seconds,
            "rate": records / seconds,
            "cpu_percent": 100 * cpu / seconds,
        }
        if records:
            system = resource.getrusage(resource.RUSAGE_SELF).ru_stime - self._system
            figures["cpu_per_million"] = 1e6 * cpu / records
            figures["system_cpu_per_million"] = 1e6 * system / records
            figures["caller_cpu_per_million"] = 1e6 * (time.thread_time() - self._caller) / records
        if self._broker_pids:
            figures["broker_cpu_percent"] = 100 * broker / seconds
            if records:
                figures["broker_cpu_per_million"] = 1e6 * broker / records
        return figures
