# SPDX-License-Identifier: Apache-2.0
"""A workload in a process of its own, so that its memory can be told from everybody else's.

    with SenderProcess("pykafka_fast", cluster.bootstrap, "t", folder, partitions=6, rate=10_000) as sender:
        ...
        problems = sender.finish(60)
"""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, NamedTuple

from tools.brokers.processes import wait_for
from tools.soak.clients import CLIENTS
from tools.soak.workload import Workload

PROGRESS_SECONDS = 0.5


class Progress(NamedTuple):
    """How far it was at one moment, and its resident set in bytes."""

    sent: int
    settled: int
    rss: int


class SenderProcess:
    """`python -m tools.soak.sender`, which ends with this object.

    Args:
        client: a key of `CLIENTS`.
        bootstrap: host:port, comma separated.
        topic: where to.
        folder: for the journals and what it says on standard error.
        options: the client's.
        workload: keyword arguments of `Workload`.

    Attributes:
        progress: twice a second.
        errors: after `finish`: why records failed.
    """

    def __init__(
        self, client: str, bootstrap: str, topic: str, folder: Path, options: dict[str, Any], **workload: Any
    ):
        plan: dict[str, Any] = {"client": client, "bootstrap": bootstrap, "topic": topic, "folder": str(folder)}
        plan |= {"options": options, "work": workload}
        command = [sys.executable, "-m", "tools.soak.sender", json.dumps(plan)]
        self._stderr = folder / "stderr"
        with self._stderr.open("wb") as stderr:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, text=True,
                cwd=Path(__file__).parents[2],
            )  # fmt: skip
        self.progress: list[Progress] = []
        self.errors: dict[str, int] = {}
        self._problems: list[str] | None = None
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def __enter__(self) -> "SenderProcess":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._process.kill()
        self._process.wait()
        self._listener.join(10)

    @property
    def sent(self) -> int:
        return self.progress[-1].sent if self.progress else 0

    @property
    def settled(self) -> int:
        return self.progress[-1].settled if self.progress else 0

    def wait_until(self, settled: int, timeout: float) -> None:
        """Wait until so many outcomes are known.

        Raises:
            RuntimeError: the process ended. TimeoutError: not within `timeout` seconds.
        """
        wait_for(lambda: self._alive() and self.settled >= settled, f"{settled} outcomes", timeout)

    def finish(self, timeout: float) -> list[str]:
        """Stop sending, deliver, end; what is wrong then."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            status = self._process.wait(timeout + 30)
        except subprocess.TimeoutExpired:
            return [f"the sender did not end within {timeout + 30:g} s: {self._said()}"]
        self._listener.join(10)
        if status != 0 or self._problems is None:
            return [f"the sender ended with {status}: {self._said()}"]
        return self._problems

    def _alive(self) -> bool:
        if self._process.poll() is not None:
            raise RuntimeError(f"the sender ended with {self._process.returncode}: {self._said()}")
        return True

    def _said(self) -> str:
        return self._stderr.read_text(errors="replace")[-3000:]

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            said = json.loads(line)
            if "problems" in said:
                self._problems, self.errors = said["problems"], said["errors"]
            else:
                self.progress.append(Progress(**said))


def _rss() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    plan = json.loads(sys.argv[1])
    folder = Path(plan["folder"])
    client = CLIENTS[plan["client"]](plan["bootstrap"], plan["topic"], plan["options"])
    work = Workload(client, folder, **plan["work"])
    ended = threading.Event()

    def report() -> None:
        while not ended.wait(PROGRESS_SECONDS):
            print(json.dumps(Progress(work.sent, work.settled, _rss())._asdict()), flush=True)

    reporter = threading.Thread(target=report, daemon=True)
    reporter.start()
    sys.stdin.read()
    problems = work.finish(120)
    ended.set()
    reporter.join()
    print(json.dumps(Progress(work.sent, work.settled, _rss())._asdict()), flush=True)
    print(json.dumps({"problems": problems, "errors": work.errors}), flush=True)


if __name__ == "__main__":
    main()
