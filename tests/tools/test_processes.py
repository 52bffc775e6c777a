# SPDX-License-Identifier: Apache-2.0
"""Brokers must not outlive a test run, however it ends."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tools.brokers.processes import Reaper, Server, free_port, wait_for

PARENT = """
import sys, time
from pathlib import Path
from tools.brokers.processes import Reaper, Server
folder = Path(sys.argv[1])
folder.mkdir()
server = Server("sleeper", ["sleep", "600"], folder / "log", Reaper(folder))
print(server.pid, flush=True)
time.sleep(600)
"""


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    state = Path(f"/proc/{pid}/stat")
    # An orphan nobody reaps, as in a container without an init, is as good as gone.
    return state.exists() and state.read_text().rpartition(")")[2].split()[0] == "Z"


def test_servers_die_with_us(root: Path, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, str(folder)], cwd=root, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert not gone(pid)
        parent.send_signal(signal.SIGKILL)
    wait_for(lambda: gone(pid), "the end of the orphan", 10)
    wait_for(lambda: not folder.exists(), "the removal of its folder", 10)


@pytest.fixture
def reaper(tmp_path: Path) -> Reaper:
    return Reaper(tmp_path / "nothing")


def test_a_server_that_ends_early_says_why(tmp_path: Path, reaper: Reaper) -> None:
    server = Server("liar", ["sh", "-c", "echo cannot start; exit 3"], tmp_path / "log", reaper)
    with pytest.raises(RuntimeError, match=r"liar ended with 3:\ncannot start"):
        server.wait_until_said("ready", 10)
    with pytest.raises(RuntimeError, match="liar ended with 3"):
        server.wait_until_ended(10)
    reaper.dismiss()


def test_a_restart_waits_for_the_new_run(tmp_path: Path, reaper: Reaper) -> None:
    log = tmp_path / "log"
    first = Server("one", ["sh", "-c", "echo ready; sleep 600"], log, reaper)
    first.wait_until_said("ready", 10)
    first.suspend()
    first.resume()
    first.stop()
    assert not first.running
    second = Server("two", ["sleep", "600"], log, reaper)
    with pytest.raises(TimeoutError, match="two saying 'ready': not within"):
        second.wait_until_said("ready", 0.2)
    second.kill()
    reaper.dismiss()


def test_free_port() -> None:
    port = free_port()
    with socket.create_server(("127.0.0.1", port)):
        assert free_port() != port
