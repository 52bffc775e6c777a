# SPDX-License-Identifier: Apache-2.0
"""Where SIGPIPE ends the process, as it may be set: no send of Python's raises it."""

from __future__ import annotations

import subprocess
import sys

import pytest

WAKEUP = """
wakeup = Wakeup()
wakeup._reader.close()  # as another thread may find it
wakeup.signal()
"""
CONNECTION = """
connection = BrokerConnection.__new__(BrokerConnection)
connection._socket, peer = socket.socketpair()
peer.close()
connection._outgoing = bytearray(b"x")
try:
    connection._write()
except BrokenPipeError:
    pass
"""


@pytest.mark.parametrize("program", [WAKEUP, CONNECTION])
def test_sigpipe(program: str) -> None:
    begin = """
import signal, socket
from pykafka_fast.net.connection import BrokerConnection
from pykafka_fast.net.wakeup import Wakeup
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
"""
    assert subprocess.run([sys.executable, "-c", begin + program], timeout=40, check=False).returncode == 0
