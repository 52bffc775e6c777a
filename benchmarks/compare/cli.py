# SPDX-License-Identifier: Apache-2.0
"""`python -m benchmarks compare`."""

import argparse
import fnmatch
import math
import shlex
import sys
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

from benchmarks import machine
from benchmarks.compare import plot, report
from benchmarks.compare.broker import Broker, started
from benchmarks.compare.result import Comparison
from benchmarks.compare.runner import run_scenario
from benchmarks.compare.scenario import Entry, Scenario
from benchmarks.compare.scenarios import SCENARIOS
from benchmarks.compare.warmup import warm_up


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_choice(parser)
    parser.add_argument("--runs", type=count, help="runs of every client; default: 5, 1 with --quick")
    parser.add_argument("--seconds", type=duration, help="length of a run; default: the scenario's, 2 to 5")
    parser.add_argument("--warmup", type=duration, metavar="S", help="load before a run; default: the scenario's, 1")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every run's figures, for `table` and `plot`")
    parser.add_argument("--plot", type=Path, metavar="FOLDER", help="write a plot of each scenario, as PNG and as SVG")


def add_choice(parser: argparse.ArgumentParser) -> None:
    """Which broker, which scenarios, which clients, and for how long."""
    parser.add_argument(
        "--broker",
        default="mock",
        type=known_broker,
        metavar="mock|kafka|kafka3|HOST:PORT",
        help="default: %(default)s",
    )
    parser.add_argument(
        "--scenario",
        action="append",
        metavar="NAME",
        type=known,
        help="repeatable, may be a pattern such as 'zstd-*' or '*'; default: the everyday ones the broker can serve. "
        f"One of: {', '.join(SCENARIOS)}",
    )
    parser.add_argument("--only", action="append", metavar="TEXT", help="clients whose label contains TEXT; repeatable")
    parser.add_argument("--without", action="append", metavar="TEXT", help="clients left out likewise; repeatable")
    parser.add_argument("--quick", action="store_true", help="fractions of a second each: shows that it works")


def known_broker(choice: str) -> str:
    if choice not in ("mock", "kafka", "kafka3") and not choice.rpartition(":")[2].isdigit():
        raise argparse.ArgumentTypeError(f"{choice!r} is neither mock, kafka, kafka3 nor HOST:PORT")
    return choice


def known(pattern: str) -> str:
    if not fnmatch.filter(SCENARIOS, pattern):
        raise argparse.ArgumentTypeError(f"no scenario is called {pattern}; there are {', '.join(SCENARIOS)}")
    return pattern


def count(text: str) -> int:
    if not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1")
    return int(text)


def duration(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0")
    return seconds


def run(args: argparse.Namespace) -> int:
    """Returns the exit status: 1 when a run failed.

    Raises:
        SystemExit: nothing can be measured, or kept, as asked for.
    """
    if args.plot:
        plot.require()
    check_writable(args.json, args.plot)
    runs = args.runs or (1 if args.quick else 5)
    with started(args.broker) as broker:
        comparison = Comparison(
            date=datetime.now(timezone.utc).strftime("%Y-%m-%d"),
            command=command_line(args, broker),
            machine=machine.describe(),
            broker=broker.kind,
            runs=runs,
            quick=args.quick,
        )
        scenarios = chosen(args.scenario, broker)
        if not any(matching(scenario, broker, args.only, args.without) for scenario in scenarios):
            raise SystemExit("no client and scenario match what was asked for, on this kind of broker")
        warm_up(broker, args.quick, say)
        for scenario in scenarios:
            scenario = replace(
                scenario,
                seconds=args.seconds or scenario.seconds,
                warmup_seconds=args.warmup or scenario.warmup_seconds,
            )
            entries = matching(scenario, broker, args.only, args.without)
            if entries:
                comparison.scenarios.append(run_scenario(scenario, entries, broker, runs, args.quick, say))
                if args.json:
                    comparison.save(args.json)
    print(report.plain(comparison))
    if args.plot:
        plot.draw(comparison, args.plot)
    return 1 if comparison.failed else 0


def check_writable(file: Path | None, folder: Path | None) -> None:
    """Before anything is measured."""
    try:
        if file:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.open("a").close()
        if folder:
            folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SystemExit(f"results cannot be kept: {error}") from None


def chosen(patterns: list[str] | None, broker: Broker) -> list[Scenario]:
    """Those named that this kind of broker can serve, by default all everyday ones."""
    servable = [scenario for scenario in SCENARIOS.values() if broker.kind in scenario.brokers]
    if patterns is None:
        return [scenario for scenario in servable if broker.kind in scenario.everyday]
    return [scenario for scenario in servable if any(fnmatch.fnmatch(scenario.name, pattern) for pattern in patterns)]


def matching(
    scenario: Scenario, broker: Broker, only: list[str] | None, without: list[str] | None = None
) -> list[Entry]:
    return [
        entry
        for entry in scenario.entries
        if broker.kind in entry.brokers
        and (not only or any(text in entry.label for text in only))
        and not any(text in entry.label for text in without or [])
    ]


def command_line(args: argparse.Namespace, broker: Broker) -> str:
    """What to type for the same again; no address and no file of this machine."""
    words = ["python -m benchmarks compare", "--broker", "HOST:PORT" if broker.kind == "address" else broker.kind]
    for name in args.scenario or []:
        words += ["--scenario", shlex.quote(name)]
    for text in args.only or []:
        words += ["--only", repr(text)]
    for text in args.without or []:
        words += ["--without", repr(text)]
    if args.runs:
        words += ["--runs", str(args.runs)]
    if args.seconds:
        words += ["--seconds", f"{args.seconds:g}"]
    if args.warmup:
        words += ["--warmup", f"{args.warmup:g}"]
    return " ".join(words + ["--quick"] * args.quick)


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
