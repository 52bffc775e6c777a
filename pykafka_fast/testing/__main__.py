# SPDX-License-Identifier: Apache-2.0
"""``python -m pykafka_fast.testing``: an embedded broker until standard input ends or SIGTERM or SIGINT comes.

The first line on standard output is the address. Exit status 1 if a client did something wrong.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import selectors
import signal
import socket
import sys

from .broker import EmbeddedBroker

__all__ = ["main"]

_DEFAULT_PARTITIONS = 1


def main(arguments: list[str] | None = None) -> int:
    """Run a broker as the command line says; the exit status."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    stop, wake = socket.socketpair()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: wake.send(b"\0"))
    try:
        broker = EmbeddedBroker(
            options.topics,
            brokers=options.brokers,
            port=options.port,
            auto_create=options.auto_create,
            strict_records=not options.lazy_records,
        )
    except (OSError, ValueError, OverflowError) as error:
        print(f"pykafka_fast.testing: {error}", file=sys.stderr)
        return 2
    with broker, stop, wake:
        print(broker.address, flush=True)
        _wait_for_end(stop)
        violations = broker.violations
    for text in violations:
        print(f"violation: {text}", file=sys.stderr)
    return 1 if violations else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m pykafka_fast.testing", description=__doc__)
    parser.add_argument("--topics", type=_topics, default={}, help="NAME:PARTITIONS[,NAME:PARTITIONS...]")
    parser.add_argument("--brokers", type=int, default=1, metavar="N", help="number of nodes (default 1)")
    parser.add_argument("--port", type=int, default=0, metavar="P", help="port of the first node (default: any)")
    parser.add_argument(
        "--auto-create", type=int, default=0, metavar="N", help="partitions of topics clients ask for (default: never)"
    )
    parser.add_argument("--lazy-records", action="store_true", help="check the records at the end, not on arrival")
    return parser


def _topics(text: str) -> dict[str, int]:
    topics = {}
    for part in filter(None, text.split(",")):
        name, colon, count = part.partition(":")
        if not name or (colon and not count.isdigit()):
            raise argparse.ArgumentTypeError(f"{part!r} is not NAME:PARTITIONS")
        topics[name] = int(count) if colon else _DEFAULT_PARTITIONS
    return topics


def _wait_for_end(stop: socket.socket) -> None:
    """Until standard input ends or a byte comes from a signal handler."""
    with selectors.DefaultSelector() as selector:
        selector.register(stop, selectors.EVENT_READ)
        with contextlib.suppress(OSError):  # standard input is a plain file or /dev/null, which never ends
            selector.register(0, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is stop or not os.read(0, 4096):
                    return


if __name__ == "__main__":
    sys.exit(main())
