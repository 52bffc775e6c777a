# SPDX-License-Identifier: Apache-2.0
"""`python -m benchmarks compare ...`, `python -m benchmarks profile ...`, `python -m benchmarks table FILE`."""

import argparse
import sys
from pathlib import Path

from benchmarks.compare import cli, profile, report
from benchmarks.compare.result import Comparison


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    cli.add_arguments(commands.add_parser("compare", help="our producer beside other clients"))
    profile.add_arguments(commands.add_parser("profile", help="one run of each of ours under perf"))
    table = commands.add_parser("table", help="Markdown from a file that `compare --json` wrote")
    table.add_argument("file", type=Path)
    table.add_argument("--scenario", action="append", help="repeatable; default: all in the file")
    args = parser.parse_args()
    if args.command == "compare":
        return cli.run(args)
    if args.command == "profile":
        return profile.run(args)
    wanted = args.scenario
    print(report.markdown(Comparison.load(args.file), lambda scenario: not wanted or scenario.name in wanted))
    return 0


if __name__ == "__main__":
    sys.exit(main())
