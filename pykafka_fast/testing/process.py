# SPDX-License-Identifier: Apache-2.0
"""An embedded broker in a process of its own, where it does not share the interpreter lock with the client."""

from __future__ import annotations

import selectors
import subprocess
import sys
import time
from collections.abc import Mapping
from types import TracebackType

__all__ = ["BrokerProcess"]


class BrokerProcess:
    """``python -m pykafka_fast.testing`` as a child process that ends with this object.

    ::

        with BrokerProcess(topics={"events": 3}) as broker:
            producer = KafkaProducer(bootstrap_servers=broker.address)

    It cannot be scripted. What clients did wrong goes to its standard error and decides its exit status.

    Args:
        topics: topic names with their number of partitions.
        brokers: number of nodes.
        port: port of the first node, 0 for any.
        auto_create: partitions of topics that clients ask for, 0 for never.
        strict_records: check every record when it is appended.
        timeout: seconds to wait for it to start, and to end.

    Raises:
        RuntimeError: it did not start; what it said on standard error goes to this process's.

    Attributes:
        address: ``host:port`` of every node, separated by commas.
        pid: process id.
    """

    def __init__(
        self,
        topics: Mapping[str, int] | None = None,
        *,
        brokers: int = 1,
        port: int = 0,
        auto_create: int = 0,
        strict_records: bool = True,
        timeout: float = 30.0,
    ) -> None:
        self._timeout = timeout
        command = [sys.executable, "-m", "pykafka_fast.testing", "--brokers", str(brokers), "--port", str(port)]
        command += ["--auto-create", str(auto_create)]
        if topics:
            command += ["--topics", ",".join(f"{name}:{count}" for name, count in topics.items())]
        if not strict_records:
            command.append("--lazy-records")
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.pid = self._process.pid
        try:
            self.address = self._first_line()
        except BaseException:
            self._process.kill()
            self.close()
            raise

    def _first_line(self) -> str:
        stdout = self._process.stdout
        assert stdout is not None
        deadline = time.monotonic() + self._timeout
        line = b""
        with selectors.DefaultSelector() as selector:
            selector.register(stdout, selectors.EVENT_READ)
            while not line.endswith(b"\n"):
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    raise RuntimeError(f"the broker process said nothing for {self._timeout} s")
                part = stdout.readline()
                if not part:
                    raise RuntimeError(f"the broker process ended with status {self._process.wait()}")
                line += part
        return line.decode().strip()

    def close(self) -> int:
        """End the process; its exit status, 0 if no client did anything wrong. May be called again."""
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
        try:
            return self._process.wait(self._timeout)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    def __enter__(self) -> BrokerProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
