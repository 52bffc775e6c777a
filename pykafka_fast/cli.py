# SPDX-License-Identifier: Apache-2.0
"""The command line: ``python -m pykafka_fast produce`` sends a file of JSON lines to a topic."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import stat
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, BinaryIO, TextIO

from pykafka_fast import KafkaProducer
from pykafka_fast.errors import KafkaConfigurationError, KafkaError, KafkaTimeoutError

EXIT_OK = 0
#: Some lines were not JSON, or some records were not delivered.
EXIT_INCOMPLETE = 1
#: The arguments cannot be used; nothing was sent.
EXIT_USAGE = 2
#: Ctrl-C.
EXIT_INTERRUPTED = 130

EPILOG = """\
Every line of FILE is one JSON value and becomes one record: the line is the value, unchanged.
Exit status: 0 if every line was delivered, 1 if not, 2 if the arguments are wrong, 130 after Ctrl-C.
"""


class Progress:
    """A line on standard error that says how far we are; silent where that is not a terminal.

    Args:
        total: what `update` counts up to; 0 if unknown.
        stream: where to draw.
    """

    WIDTH = 30
    INTERVAL_S = 0.1

    def __init__(self, total: int, stream: TextIO | None = sys.stderr):
        self._total = total
        self._stream: TextIO = stream or io.StringIO()
        self._shown = self._stream.isatty()
        self._started = time.monotonic()
        self._next = 0.0

    def update(self, done: int, records: int) -> None:
        """Draw, if it is time to: `done` of the total, `records` so far."""
        now = time.monotonic()
        if self._shown and now >= self._next:
            self._next = now + self.INTERVAL_S
            self._stream.write(f"\r\x1b[K{self._bar(done)}{records:,} records  {self._rate(records, now):,.0f}/s")
            self._stream.flush()

    def finish(self) -> None:
        """Take the line away."""
        if self._shown:
            self._stream.write("\r\x1b[K")
            self._stream.flush()

    def _bar(self, done: int) -> str:
        if self._total <= 0:
            return ""
        share = min(done / self._total, 1.0)
        filled = round(share * self.WIDTH)
        return f"[{'#' * filled}{'.' * (self.WIDTH - filled)}] {share:4.0%}  "

    def _rate(self, records: int, now: float) -> float:
        return records / max(now - self._started, 1e-9)


class BadLine(ValueError):
    """A line that is no record."""


class Upload:
    """One file on its way to one topic."""

    #: Problems shown one by one; the rest are only counted.
    SHOWN = 20
    #: After `run` everything is delivered; this is for what Ctrl-C left behind.
    CLOSE_TIMEOUT_S = 5.0

    def __init__(self, producer: KafkaProducer, topic: str, key_field: str | None, name: str):
        self._producer = producer
        self._topic = topic
        self._key_field = key_field
        self._name = name
        self._unreachable = threading.Event()
        # Counted on the producer's delivery thread, or on ours for a record that was never accepted.
        self._lock = threading.Lock()
        self.sent = self.bad = self.failed = self.size = 0
        self._stopped_at = 0  # a line

    @property
    def problems(self) -> int:
        return self.bad + self.failed

    def run(self, lines: BinaryIO, progress: Progress) -> None:
        """Send every line; a broker that cannot be reached any more ends it early."""
        for number, line in enumerate(lines, 1):
            self.size += len(line)
            value = line.strip()
            if value:
                self._send(number, value)
            if number % 256 == 0:
                progress.update(self.size, self.sent)
            if self._unreachable.is_set():
                self._stopped_at = number
                break
        self._producer.flush()

    def _send(self, number: int, value: bytes) -> None:
        try:
            key = self._key(value)
        except (BadLine, RecursionError) as error:
            self.bad += 1
            self._complain(number, str(error) if isinstance(error, BadLine) else "nested too deeply to be looked at")
            return
        self.sent += 1
        self._producer.send(self._topic, value, key=key, on_delivery=partial(self._on_delivery, number))

    def _key(self, value: bytes) -> bytes | None:
        try:
            decoded = json.loads(value.decode(), parse_constant=_no_constant)
        except ValueError as error:
            raise BadLine(f"not JSON: {error}") from None
        if self._key_field is None:
            return None
        if not isinstance(decoded, dict) or self._key_field not in decoded:
            raise BadLine(f"no field {self._key_field!r}")
        key = decoded[self._key_field]
        if key is None:
            return None
        text = key if isinstance(key, str) else json.dumps(key, separators=(",", ":"))
        return text.encode("utf-8", "surrogatepass")

    def _on_delivery(self, number: int, metadata: object, error: BaseException | None) -> None:
        if error is None:
            return
        if isinstance(error, KafkaTimeoutError):
            self._unreachable.set()
        with self._lock:
            self.failed += 1
        self._complain(number, f"not delivered: {error}")

    def _complain(self, number: int, what: str) -> None:
        if self.problems <= self.SHOWN:
            say(f"{self._name}:{number}: {what}")
        elif self.problems == self.SHOWN + 1:
            say("further problems are only counted")

    def summary(self, seconds: float) -> str:
        delivered = self.sent - self.failed
        text = (
            f"{delivered:,} records delivered to {self._topic} in {seconds:.1f} s "
            f"({delivered / max(seconds, 1e-9):,.0f}/s, {self.size / 1e6:,.1f} MB read)"
        )
        if self.problems:
            text += f"; {self.bad:,} bad lines, {self.failed:,} not delivered"
        if self._stopped_at:
            text += f"; stopped at line {self._stopped_at:,}, what follows was not read"
        return text


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not allowed in it")


def say(text: str) -> None:
    if sys.stderr is not None:  # it was closed before we began
        print(f"\r\x1b[K{text}" if sys.stderr.isatty() else text, file=sys.stderr)


def parse_options(pairs: Sequence[str]) -> dict[str, Any]:
    """``["acks=all", "linger_ms=20"]`` as keyword arguments; a value that is JSON is taken as that, else as text."""
    options: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals:
            raise ValueError(f"-C {pair}: write option=value")
        try:
            options[name] = json.loads(text)
        except ValueError:
            options[name] = text
    return options


@contextlib.contextmanager
def open_input(path: str) -> Iterator[tuple[BinaryIO, int]]:
    """The lines of `path` ("-" is standard input) and the size in bytes, 0 if that is not known."""
    if path == "-":
        if sys.stdin is None:
            raise OSError("standard input is closed")
        yield sys.stdin.buffer, 0
        return
    with open(path, "rb") as file:
        status = os.fstat(file.fileno())
        yield file, status.st_size if stat.S_ISREG(status.st_mode) else 0


def produce(args: argparse.Namespace) -> int:
    options = {"bootstrap_servers": args.bootstrap.split(","), **parse_options(args.option)}
    with open_input(args.file) as (lines, size):
        producer = KafkaProducer(**options)
        upload = Upload(producer, args.topic, args.key_field, args.file)
        progress = Progress(size)
        started = time.monotonic()
        interrupted = False
        try:
            # Asks the cluster once, so that one clear error comes out if nobody answers, not one per line.
            producer.partitions_for(args.topic)
            upload.run(lines, progress)
        except KeyboardInterrupt:
            interrupted = True
            say("interrupted")
        finally:
            producer.close(timeout=Upload.CLOSE_TIMEOUT_S)
            progress.finish()
    say(upload.summary(time.monotonic() - started))
    if interrupted:
        return EXIT_INTERRUPTED
    return EXIT_INCOMPLETE if upload.problems else EXIT_OK


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="python -m pykafka_fast", description="A fast Kafka producer.")
    commands = top.add_subparsers(dest="command", required=True)
    command = commands.add_parser("produce", help="send a file of JSON lines to a topic", epilog=EPILOG)
    command.add_argument("--topic", required=True)
    command.add_argument("--bootstrap", required=True, metavar="HOST:PORT[,HOST:PORT]", help="brokers to ask first")
    command.add_argument("--key-field", metavar="FIELD", help="the field of each JSON object that is its record's key")
    command.add_argument(
        "-C",
        dest="option",
        action="append",
        default=[],
        metavar="OPTION=VALUE",
        help="any option of KafkaProducer, for example -C linger_ms=20; a VALUE that is JSON is taken as what it says, "
        "any other as text, so a text of digits needs quotes: -C 'client_id=\"5\"'; may be repeated",
    )
    command.add_argument("file", metavar="FILE", help="JSON lines; - reads standard input")
    command.set_defaults(run=produce)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: the arguments; those of the process by default.

    Returns:
        The exit status.
    """
    args = parser().parse_args(argv)
    try:
        status: int = args.run(args)
        return status
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except KafkaConfigurationError as error:
        say(f"error: {error}")
        return EXIT_USAGE
    except KafkaError as error:
        say(f"error: {error}")
        return EXIT_INCOMPLETE
    except (ValueError, TypeError, OSError) as error:
        say(f"error: {error}")
        return EXIT_USAGE


if __name__ == "__main__":
    sys.exit(main())
