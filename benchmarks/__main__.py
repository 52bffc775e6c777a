# SPDX-License-Identifier: Apache-2.0
"""`python -m benchmarks compare ...`, `profile ...`, `table FILE...`, `summary FILE...`, `plot FILE... FOLDER`."""

import argparse
import signal
import sys
from pathlib import Path

from benchmarks.compare import cli, plot, profile, report, summary
from benchmarks.compare.result import Comparison


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    cli.add_arguments(commands.add_parser("compare", help="our producer beside other clients"))
    profile.add_arguments(commands.add_parser("profile", help="one run of each of ours under perf"))
    table = commands.add_parser("table", help="Markdown from files that `compare --json` wrote")
    table.add_argument("file", type=Path, nargs="+")
    table.add_argument("--scenario", action="append", type=cli.known, help="repeatable; default: all in the files")
    short = commands.add_parser("summary", help="the same in short, a line per scenario")
    short.add_argument("file", type=Path, nargs="+")
    pictures = commands.add_parser("plot", help="PNG and SVG from files that `compare --json` wrote")
    pictures.add_argument("file", type=Path, nargs="+")
    pictures.add_argument("folder", type=Path)
    args = parser.parse_args()
    if args.command == "compare":
        return cli.run(args)
    if args.command == "profile":
        return profile.run(args)
    if args.command == "plot":
        for comparison in map(Comparison.load, args.file):
            for path in plot.draw(comparison, args.folder):
                print(path)
        return 0
    if args.command == "summary":
        print(summary.markdown(map(Comparison.load, args.file)))
        return 0
    wanted = args.scenario
    for comparison in map(Comparison.load, args.file):
        print(report.markdown(comparison, lambda scenario: not wanted or scenario.name in wanted), end="\n\n")
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # and the children and brokers with us
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
