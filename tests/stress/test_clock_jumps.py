# SPDX-License-Identifier: Apache-2.0
"""The wall clock jumps, minutes forwards and years back, many times a second: nothing expires or waits for ever.

The producer's process has a library preloaded that bends its wall clock, in C and in Python alike.
"""

import mmap
import os
import random
import shlex
import struct
import subprocess
import sys
import sysconfig
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pykafka_fast.testing import EmbeddedBroker
from tools.readback import read_topic
from tools.soak.audit import Audit
from tools.soak.sender import SenderProcess
from tools.soak.workload import settle

pytestmark = [
    pytest.mark.stress,
    pytest.mark.skipif(sys.platform != "linux", reason="libraries are preloaded this way on Linux only"),
]

SECONDS = 6.0
PARTITIONS = 4
HOUR_MS = 3_600_000
# Brokers refuse what is more than an hour ahead of their own clock.
AHEAD_MS = HOUR_MS * 5 // 6
JUMPS_MS = [0, 1, -1, 999, -30_000, AHEAD_MS, AHEAD_MS, -HOUR_MS, -10 * 8_766 * HOUR_MS]

SetClock = Callable[[int], None]


@pytest.fixture
def set_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SetClock]:
    """set_clock(ms): processes started from now on have their wall clock off by so much, from now on."""
    library, file = tmp_path / "clock_jump.so", tmp_path / "jump"
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
    source = Path(__file__).with_name("clock_jump.c")
    subprocess.run([*compiler, "-O1", "-shared", "-fPIC", "-o", str(library), str(source)], check=True)
    file.write_bytes(bytes(8))
    monkeypatch.setenv("LD_PRELOAD", str(library))
    monkeypatch.setenv("CLOCK_JUMP_FILE", str(file))
    with file.open("r+b") as opened, mmap.mmap(opened.fileno(), 8) as jump:
        yield lambda ms: struct.pack_into("q", jump, 0, ms)


def ask_clock() -> float:
    """The wall clock of a new process."""
    done = subprocess.run([sys.executable, "-c", "import time; print(time.time())"], capture_output=True, check=True)
    return float(done.stdout)


def test_the_clock_is_bent(set_clock: SetClock) -> None:
    for hours in (-5, 0, 5):
        set_clock(hours * HOUR_MS)
        assert abs(ask_clock() - time.time() - hours * 3_600) < 60


@pytest.mark.timeout(120)
def test_nothing_expires_and_nothing_hangs(set_clock: SetClock, tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    # Back-offs do not grow: a partition is refused oftener than it would otherwise be tried, and then nothing moves.
    options = {"linger_ms": 20, "delivery_timeout_ms": 30_000, "request_timeout_ms": 800, "retry_backoff_ms": 50,
               "retry_backoff_max_ms": 50, "metadata_max_age_ms": 500, "connections_max_idle_ms": 5_000}  # fmt: skip
    with EmbeddedBroker(topics={"t": PARTITIONS}, brokers=2) as broker:
        with SenderProcess(
            "pykafka_fast", broker.address, "t", tmp_path, options, partitions=PARTITIONS, rate=2_000, seed=seed
        ) as sender:
            sender.wait_until(1, 30)
            told = jump_about(broker, set_clock, sender, rng)
            problems = sender.finish(30)
        audit = Audit(seed)
        read = read_topic(broker.address, "t")
        for record in read:
            audit.see(record.partition, record.offset, record.value)
        settle(audit, tmp_path)
        assert problems + audit.problems() + broker.violations == []
        assert sender.errors == {}
        assert told > 8_000  # of 12,000, within those seconds, not when flush() made them go
        now_ms = time.time() * 1000
        assert min(record.timestamp_ms for record in read) < now_ms - HOUR_MS / 2
        assert max(record.timestamp_ms for record in read) > now_ms + AHEAD_MS / 2


def jump_about(broker: EmbeddedBroker, set_clock: SetClock, sender: SenderProcess, rng: random.Random) -> int:
    """Jumps, refusals and one silence long enough for a request time-out; how many outcomes came meanwhile."""
    silence = threading.Timer(SECONDS / 4, lambda: broker.hold("Produce", node=1))
    speech = threading.Timer(SECONDS / 2, broker.release)
    for timer in (silence, speech):
        timer.start()
    before, end = sender.settled, time.monotonic() + SECONDS
    while time.monotonic() < end:
        set_clock(rng.choice(JUMPS_MS) + rng.randint(-500, 500))
        if rng.random() < 0.2:
            broker.fail("Produce", 19, partition=rng.randrange(PARTITIONS), times=2)
        time.sleep(rng.expovariate(1 / 0.03))
    for timer in (silence, speech):
        timer.join()
    broker.clear()
    return sender.settled - before
