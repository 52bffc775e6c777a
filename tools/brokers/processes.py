# SPDX-License-Identifier: Apache-2.0
"""Child processes that do not outlive us, free ports, waiting with a deadline."""

import contextlib
import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path


def free_port() -> int:
    """A loopback port nobody listens on, below the range handed to clients, so a restarted broker finds it free."""
    for port in random.Random().sample(range(15000, 32000), 200):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise OSError("no free port on 127.0.0.1 between 15000 and 32000")


def wait_for(condition: Callable[[], bool], what: str, timeout: float) -> None:
    """Poll `condition` until it holds.

    Raises:
        TimeoutError: it did not within `timeout` seconds.
    """
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {timeout:g} s")
        time.sleep(0.01)


class Reaper:
    """A shell that kills the processes we told it about and removes a folder, should we die without saying so."""

    SCRIPT = 'while read -r pid; do pids="$pids $pid"; done; [ -z "$pids" ] || kill -9 $pids; rm -rf "$0"'

    def __init__(self, folder: Path):
        self._shell = subprocess.Popen(
            ["/bin/sh", "-c", self.SCRIPT, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            text=True,
        )

    def watch(self, pid: int) -> None:
        assert self._shell.stdin is not None
        print(pid, file=self._shell.stdin, flush=True)

    def dismiss(self) -> None:
        """We are cleaning up ourselves."""
        assert self._shell.stdin is not None
        self._shell.kill()
        self._shell.wait()
        self._shell.stdin.close()


class Server:
    """A server process with its log in a file."""

    def __init__(
        self, name: str, command: Sequence[str], log: Path, reaper: Reaper, env: Mapping[str, str] | None = None
    ):
        self.name = name
        self.log = log
        self._seen = log.stat().st_size if log.exists() else 0
        with log.open("ab") as out:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, **(env or {})},
            )
        reaper.watch(self._process.pid)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def wait_until_said(self, text: str, timeout: float) -> None:
        """Wait until this run of the server has logged `text`.

        Raises:
            RuntimeError: it ended instead. TimeoutError: it said nothing of the kind in time.
        """

        def said() -> bool:
            with self.log.open("rb") as log:
                log.seek(self._seen)
                if text.encode() in log.read():
                    return True
            if not self.running:
                raise RuntimeError(f"{self.name} ended with {self._process.returncode}:\n{self.tail()}")
            return False

        try:
            wait_for(said, f"{self.name} saying {text!r}", timeout)
        except TimeoutError as error:
            raise TimeoutError(f"{error}:\n{self.tail()}") from None

    def tail(self, size: int = 3000) -> str:
        return self.log.read_text(errors="replace")[-size:]

    def kill(self) -> None:
        """SIGKILL: no goodbye to anybody."""
        self._process.kill()
        self._process.wait()

    def stop(self, timeout: float = 30) -> None:
        """SIGTERM, and SIGKILL for one that does not listen."""
        self._process.send_signal(signal.SIGCONT)
        self._process.terminate()
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()

    def suspend(self) -> None:
        """Freeze it: connections stay open, nothing is answered."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def wait_until_ended(self, timeout: float) -> None:
        """Wait for a process that ends by itself.

        Raises:
            RuntimeError: it reported failure. TimeoutError: it is still running.
        """
        wait_for(lambda: not self.running, f"the end of {self.name}", timeout)
        if self._process.returncode != 0:
            raise RuntimeError(f"{self.name} ended with {self._process.returncode}:\n{self.tail()}")
