# SPDX-License-Identifier: Apache-2.0
"""What compression takes: threads only where something is compressed, memory within bounds, nothing afterwards."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import textwrap
import threading
import warnings
from typing import Any

import pytest

from pykafka_fast import KafkaProducer
from pykafka_fast._core import codec as c_codec
from pykafka_fast.testing import EmbeddedBroker
from tests.path.conftest import StartBroker
from tests.path.resources import descriptors, os_threads, resident
from tools.brokers.processes import wait_for

KB, MB = 1 << 10, 1 << 20
LEVELS = {"gzip": 6, "snappy": 0, "lz4": 0, "zstd": 3}
OVERHEAD = 8 * MB  # beyond buffer_memory and the codecs' contexts


COUNT = """
    import json, sys
    from pykafka_fast import KafkaProducer
    from tests.path.resources import os_threads
    from tools.brokers.processes import wait_for

    alone, counts = os_threads(), []
    producer = KafkaProducer(bootstrap_servers=sys.argv[1], **json.loads(sys.argv[2]))
    counts.append(os_threads() - alone)
    producer.send("t", bytes(1_000)).get(timeout=20)
    counts.append(os_threads() - alone)
    producer.close()
    wait_for(lambda: os_threads() <= alone, "no thread", 20)  # one that was joined is listed for a moment
    counts.append(os_threads() - alone)
    print(json.dumps(counts))
"""


@pytest.mark.parametrize(("options", "workers"), [
    ({"compression_threads": 5}, 0), ({"compression_by_topic": {"t": "none"}, "compression_threads": 5}, 0),
    ({"compression_type": "lz4", "compression_threads": 1}, 1),
    ({"compression_type": "gzip"}, min(4, max(1, len(os.sched_getaffinity(0)) - 1))),
    ({"compression_type": "zstd", "compression_threads": 6}, 6),
    ({"compression_by_topic": {"other": "snappy"}, "compression_threads": 3}, 3),
])  # fmt: skip
def test_threads_where_something_is_compressed(broker: EmbeddedBroker, options: dict[str, Any], workers: int) -> None:
    """And not before there is something to do, nor afterwards."""
    program = [sys.executable, "-c", textwrap.dedent(COUNT), broker.address, json.dumps(options)]
    done = subprocess.run(program, capture_output=True, text=True, timeout=60, check=True)
    assert json.loads(done.stdout) == [0, 3 + workers, 0]  # the sender's, the wire's, the one that stands by


@pytest.mark.parametrize(("how", "times"), [("close", 200), ("forced", 100), ("collected", 100)])
def test_many_producers_leave_nothing_behind(broker: EmbeddedBroker, how: str, times: int) -> None:
    value = b"compressible " * 3_000

    def one(number: int) -> None:
        producer = KafkaProducer(bootstrap_servers=broker.address, linger_ms=0, compression_threads=3,
                                 compression_type=list(LEVELS)[number % 4])  # type: ignore[arg-type]  # fmt: skip
        futures = [producer.send("t", value, partition=partition) for partition in range(4)]
        if how == "forced":
            producer.close(timeout=0)
            return
        assert [future.get(timeout=20).offset >= 0 for future in futures] == [True] * 4
        if how == "close":
            producer.close()

    def many(count: int) -> tuple[int, int]:
        for number in range(count):
            one(number)
        gc.collect()
        wait_for(lambda: not any("producer" in thread.name for thread in threading.enumerate()), "no thread", 20)
        return descriptors(), os_threads()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        before = many(20)
        memory = resident()
        many(times)
    # The broker notices a little later that a connection has ended.
    wait_for(lambda: descriptors() <= before[0] and os_threads() <= before[1], "nothing left", 20)
    broker_keeps = sum(len(batch.data) for batch in broker.batches("t"))
    assert resident() - memory < 4 * MB + broker_keeps


IDLE = """
    import sys, time
    from pykafka_fast import KafkaProducer

    producer = KafkaProducer(bootstrap_servers=sys.argv[1], compression_type="zstd", compression_threads=8, linger_ms=1)
    for number in range(200):
        producer.send("t", b"%d " % number * 100)
    producer.flush(20)
    time.sleep(0.5)
    before = time.process_time()
    time.sleep(2)
    print(time.process_time() - before)
    producer.close()
"""


def test_idle_workers_sleep(broker: EmbeddedBroker) -> None:
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(IDLE), broker.address], capture_output=True,
                          text=True, timeout=60, check=True)  # fmt: skip
    assert float(done.stdout) < 0.02


FULL = """
    import json, random, sys, threading, time
    from pykafka_fast import KafkaProducer

    def status(name):
        for line in open("/proc/self/status"):
            if line.startswith(name):
                return int(line.split()[1]) * 1024

    address, size, options = sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3])
    words = b"departure arrival gate delay carrier tail number origin destination taxi wheels off".split()
    text = b" ".join(random.Random(1).choices(words, k=300_000))
    producer = KafkaProducer(bootstrap_servers=address, linger_ms=0, max_block_ms=60_000, **options)
    producer.send("t", b"x").get(20)
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # VmHWM starts anew
    before = status("VmRSS")
    end = time.monotonic() + 1
    sent = []

    def work(number):
        rng, count = random.Random(number), 0
        while time.monotonic() < end:
            at = rng.randrange(len(text) - size)
            producer.send("t", text[at : at + size], partition=rng.randrange(4))
            count += 1
        sent.append(count)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    producer.flush(60)
    grown = status("VmHWM") - before
    failed = producer.metrics()["producer-metrics"]["record-error-total"]
    producer.close(60)
    print(json.dumps({"sent": sum(sent), "lanes": len(sent), "failed": failed, "grown": grown,
                      "pool": producer._lifecycle.accumulator.pool_stats()}))
"""


@pytest.mark.parametrize(("codec", "level", "memory", "size", "threads"), [
    ("gzip", 6, 32 * KB, 500, 8), ("snappy", 0, 32 * KB, 500, 8), ("lz4", 0, 32 * KB, 500, 8),
    ("zstd", 3, 32 * KB, 500, 8), ("lz4", 12, 1 * MB, 100, 4), ("zstd", 3, 4 * MB, 30_000, 8),
    ("snappy", 0, 8 * MB, 900_000, 4), ("zstd", 3, 32 * MB, 1_000, 4), ("zstd", 19, 8 * MB, 500_000, 4),
])  # fmt: skip
def test_memory_stays_within_bounds(
    start_broker: StartBroker, codec: str, level: int, memory: int, size: int, threads: int
) -> None:
    """Eight threads send as fast as they can through a pool of any size: all of it is delivered, nobody waits for
    ever, and the process grows by the pool, the codec's contexts, the values in the threads' hands and a constant."""
    broker = start_broker(topics={"t": 4}, strict_records=False)
    options: dict[str, Any] = {"compression_type": codec, "compression_threads": threads, "buffer_memory": memory,
                               "batch_size": min(16_384, memory // 2)}  # fmt: skip
    if level:
        options["compression_level"] = level
    arguments = [broker.address, str(size), json.dumps(options)]
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(FULL), *arguments], capture_output=True, text=True,
                          timeout=100, check=True)  # fmt: skip
    said = json.loads(done.stdout)
    grown, contexts = said["grown"], threads * c_codec.memory(c_codec.CODECS[codec], level, MB)
    print(f"{said['sent']} sent, {grown / MB:.1f} MB more; pool {memory / MB:.2f}, contexts {contexts / MB:.1f}")
    assert said["lanes"] == 8
    assert said["failed"] == 0
    assert broker.record_count("t") == said["sent"] + 1
    assert grown < memory + contexts + 8 * size + OVERHEAD
    assert (said["pool"]["acquired"], said["pool"]["waiting"]) == (0, 0)
    assert said["pool"]["available"] == memory
