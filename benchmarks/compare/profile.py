# SPDX-License-Identifier: Apache-2.0
"""`python -m benchmarks profile`: one run of each chosen client under perf, to explain its figure."""

import argparse
import shutil
import subprocess
import tempfile
from pathlib import Path

from benchmarks.compare.broker import Broker, started
from benchmarks.compare.cli import add_choice, chosen, matching, say
from benchmarks.compare.runner import PROGRAMS, make_job, run_child
from benchmarks.compare.scenario import Entry, Scenario
from benchmarks.compare.warmup import warm_up


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_choice(parser)
    parser.add_argument("--least", type=float, default=1.0, metavar="PERCENT", help="smallest share shown")


def run(args: argparse.Namespace) -> int:
    if shutil.which("perf") is None:
        raise SystemExit("profile needs Linux perf: install it (linux-perf or linux-tools) and try again")
    with started(args.broker) as broker:
        warm_up(broker, args.quick, say)
        for scenario in chosen(args.scenario, broker):
            for entry in matching(scenario, broker, args.only or ["ours"], args.without):
                if entry.client not in PROGRAMS:
                    print(f"\n{scenario.name}, {entry.label}")
                    print(profile(scenario, entry, broker, args.quick, args.least))
    return 0


def profile(scenario: Scenario, entry: Entry, broker: Broker, quick: bool, least: float) -> str:
    """Shares of CPU samples by thread, library and function; includes the interpreter's start and the warm-up."""
    idle, load = scenario.idle_partitions, scenario.load_of(entry)
    broker.set_round_trip(scenario.round_trip_ms)
    with tempfile.TemporaryDirectory() as folder, broker.topics(load, idle) as topic:
        data = str(Path(folder, "perf.data"))
        job = make_job(scenario, entry, broker, topic, load, quick, idle)
        figures = run_child(job, ["perf", "record", "--quiet", "--freq", "997", "--output", data, "--"])
        # By library first, since in one without symbols each address is a line. perf calls a thread's id "pid".
        shares = [line for keys in ("pid,dso", "pid,dso,symbol") for line in _report(data, keys, least)]
    broker.set_round_trip(0)
    return "\n".join([f"{scenario.metric}: {figures[scenario.metric]:,.6g}", *shares])


def _report(data: str, keys: str, least: float) -> list[str]:
    """Lines of `perf report` and an empty one."""
    command = ["perf", "report", "--stdio", "--input", data, "--sort", keys, f"--percent-limit={least}"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [line.rstrip() for line in text.splitlines() if line.strip() and not line.startswith("#")] + [""]
