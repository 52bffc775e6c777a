# SPDX-License-Identifier: Apache-2.0
"""Memory: who waits for it, in which order and for how long, and how much of it there is."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
import threading
import time
from typing import Any

import pytest

from pykafka_fast.errors import BufferExhaustedError
from pykafka_fast.testing import EmbeddedBroker
from tests.path.conftest import Make, StartBroker, check_balance
from tools.brokers.processes import wait_for

KB = 1024


def waiting(producer: Any) -> int:
    return int(producer._lifecycle.accumulator.pool_stats()["waiting"])


def fill(producer: Any, size: int = 8000) -> list[Any]:
    """Send until there is no memory left for another record of this size.

    With several partitions, a batch of another one may still have room.
    """
    futures = []
    while True:
        future = producer.send("t", bytes(size))
        if future.is_done and isinstance(future.exception, BufferExhaustedError):
            return futures
        futures.append(future)


def test_exhausted_after_max_block_ms_and_counted(start_broker: StartBroker, make: Make) -> None:
    broker = start_broker(topics={"t": 1})
    producer = make(broker, buffer_memory=64 * KB, max_block_ms=300, linger_ms=0)
    producer._max_block_s = 30.0
    producer.send("t", b"x").get(timeout=10)
    producer._max_block_s = 0.3  # what the option says
    broker.hold("Produce")
    futures = fill(producer)
    began = time.monotonic()
    refused = producer.send("t", bytes(8000))
    assert 0.28 < time.monotonic() - began < 5
    with pytest.raises(BufferExhaustedError, match="max_block_ms=300"):
        refused.get(timeout=0)
    assert isinstance(refused.exception, TimeoutError)
    metrics = producer.metrics()
    assert metrics is not None
    assert metrics["producer-metrics"]["buffer-exhausted-total"] == 2
    assert metrics["producer-metrics"]["record-error-total"] == 2
    broker.release()
    producer._max_block_s = 30.0
    producer.flush(timeout=10)
    assert all(future.succeeded() for future in futures)
    assert producer.send("t", bytes(8000)).get(timeout=10).offset >= 0
    assert broker.record_count("t") == len(futures) + 2
    producer.close()
    check_balance(producer)


@pytest.mark.parametrize("way", ["fast", "partition", "headers"])
def test_what_serializers_take_is_not_waiting(start_broker: StartBroker, make: Make, way: str) -> None:
    """It takes longer than max_block_ms, and then there still is time to wait for memory."""
    broker = start_broker(topics={"t": 1})

    def serialize(value: bytes) -> bytes:
        if value.startswith(b"slow"):
            time.sleep(1.1)  # not to wait for anything: a serializer that takes its time is what this is about
        return value

    def release() -> None:
        wait_for(lambda: waiting(producer) > 0, "send() to wait for memory", 20)
        broker.release()

    serializer = (lambda topic, headers, value: serialize(value)) if way == "headers" else serialize
    producer = make(broker, buffer_memory=64 * KB, max_block_ms=1000, linger_ms=0, value_serializer=serializer)
    producer.send("t", b"x").get(timeout=10)
    broker.hold("Produce")
    fill(producer)
    releaser = threading.Thread(target=release)
    releaser.start()
    slow = producer.send("t", b"slow" + bytes(8000), partition=0 if way == "partition" else None)
    assert slow.get(timeout=10).offset >= 0
    releaser.join()


def test_max_block_ms_0_does_not_wait(start_broker: StartBroker, make: Make) -> None:
    broker = start_broker(topics={"t": 1})
    producer = make(broker, buffer_memory=64 * KB, linger_ms=0, max_block_ms=0)
    while (first := producer.send("t", b"x")).failed():  # there is no waiting for metadata either
        time.sleep(0.01)
    first.get(timeout=10)
    broker.hold("Produce")
    fill(producer)
    began = time.monotonic()
    for _ in range(100):
        assert isinstance(producer.send("t", bytes(8000)).exception, BufferExhaustedError)
    assert time.monotonic() - began < 100 * 0.045  # waits are served each 50 ms


def test_waiters_are_served_in_order(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker, buffer_memory=64 * KB, linger_ms=0)
    producer.send("t", b"x", partition=0).get(timeout=10)
    producer._max_block_s = 0.3
    broker.hold("Produce")
    fill(producer)
    producer._max_block_s = 30.0
    threads = []

    def send(number: int) -> None:  # each takes all the memory there is
        producer.send("t", b"%d" % number + bytes(60_000), partition=3)

    for number in range(6):
        threads.append(threading.Thread(target=send, args=(number,)))
        threads[-1].start()
        while waiting(producer) <= number:
            time.sleep(0.001)
    broker.release()
    for thread in threads:
        thread.join(10)
    producer.flush(timeout=10)
    values = [record.value[:1] for record in broker.records("t", 3) if record.value and record.value[0]]
    assert values == [b"%d" % number for number in range(6)]


def test_who_gives_up_does_not_hold_the_others_up(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker, buffer_memory=64 * KB, linger_ms=0)
    producer.send("t", b"x").get(timeout=10)
    producer._max_block_s = 0.3
    broker.hold("Produce")
    fill(producer)
    outcomes: list[Any] = []
    producer._max_block_s = 1.5
    impatient = threading.Thread(target=lambda: outcomes.append(producer.send("t", bytes(60_000))))
    impatient.start()
    wait_for(lambda: waiting(producer) > 0, "send() to wait for memory", 20)
    producer._max_block_s = 30.0
    patient = threading.Thread(target=lambda: outcomes.append(producer.send("t", bytes(100))))
    patient.start()
    impatient.join(20)
    assert [type(future.exception) for future in outcomes] == [BufferExhaustedError]
    assert waiting(producer) in (0, 1)  # the small one may have found a slab once the large one was out of its way
    broker.release()
    patient.join(20)
    assert outcomes[-1].get(timeout=10).offset >= 0


def test_what_lingers_leaves_when_memory_is_short(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker, buffer_memory=32 * KB, linger_ms=60_000, max_block_ms=5_000)
    began = time.monotonic()
    futures = [producer.send("t", bytes(3000), partition=i % 4) for i in range(200)]
    assert not any(isinstance(future.exception, BufferExhaustedError) for future in futures)
    assert time.monotonic() - began < 5
    producer.flush(timeout=10)
    assert all(future.succeeded() for future in futures)


def test_the_largest_record_and_one_more_byte(start_broker: Any, make: Make) -> None:
    broker = start_broker(topics={"t": 1}, max_message_bytes=8 << 20)
    producer = make(broker, buffer_memory=256 * KB, max_request_size=8 << 20, max_block_ms=2000)
    fits = 256 * KB - 200
    assert producer.send("t", bytes(fits)).get(timeout=10).offset == 0
    refused = producer.send("t", bytes(256 * KB))
    assert type(refused.exception).__name__ == "MessageSizeTooLargeError"
    assert producer.send("t", bytes(fits)).get(timeout=10).offset == 1


@pytest.mark.parametrize("memory", [5_000, 6_000, 100_000, 200_001, 1_000_000, 1_500_001, 3 << 20])
def test_a_record_fits_if_all_the_memory_there_is_would_hold_it(start_broker: Any, make: Make, memory: int) -> None:
    """Whatever the sizes in which memory is handed out: the message of the refusal names the only limits there are."""
    broker = start_broker(topics={"t": 2}, max_message_bytes=8 << 20)
    producer = make(broker, buffer_memory=memory, batch_size=min(16_384, memory), max_request_size=8 << 20,
                    max_block_ms=10_000, linger_ms=60_000)
    largest = memory - 120  # what surrounds a record
    for offset in range(2):
        lingering = producer.send("t", bytes(100), partition=0)
        for size in (memory // 2 + 1, memory // 4 * 3, largest):
            assert producer.send("t", bytes(size), partition=1).exception is None
        assert producer.send("t", bytes(largest), key=b"", partition=1).get(timeout=20).offset == offset * 4 + 3
        assert lingering.get(timeout=20).offset == offset
        refused = producer.send("t", bytes(memory))
        assert type(refused.exception).__name__ == "MessageSizeTooLargeError"
        assert f"buffer_memory={memory}" in str(refused.exception)
    producer.flush(timeout=20)
    check_balance(producer)


def test_a_batch_somebody_waits_for_does_not_linger(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker, linger_ms=10_000)
    began = time.monotonic()
    for _ in range(20):
        producer.send("t", b"x").get(timeout=20)
    assert time.monotonic() - began < 8


def test_slabs_go_back_although_futures_are_kept(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker, buffer_memory=1 << 20)
    futures = [producer.send("t", bytes(1000)) for _ in range(20_000)]
    producer.flush(timeout=20)
    assert all(future.succeeded() for future in futures)
    check_balance(producer)


def test_after_close_memory_goes_back_to_the_system(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker, buffer_memory=16 << 20)
    futures = [producer.send("t", bytes(1000)) for _ in range(20_000)]
    producer.close()
    stats = producer._lifecycle.accumulator.pool_stats()
    assert futures[0].succeeded()
    assert stats["resident"] == 0, stats
    assert stats["mapped"] <= 8 << 20, stats  # addresses of empty chunks


MEASURE = """
    import json, sys, time
    from pykafka_fast import KafkaProducer
    from pykafka_fast.errors import BufferExhaustedError

    def status(name):
        for line in open("/proc/self/status"):
            if line.startswith(name):
                return int(line.split()[1]) * 1024

    def settle():
        open("/proc/self/clear_refs", "w").write("5")  # VmHWM starts anew

    address, memory, size, seconds = sys.argv[1], *map(int, sys.argv[2:])
    producer = KafkaProducer(bootstrap_servers=address, buffer_memory=memory, max_block_ms=200, linger_ms=0)
    producer.send("t", b"x").get(timeout=10)
    settle()
    before = status("VmRSS")
    value, sent, refused = bytes(size), 0, 0
    end = time.monotonic() + seconds
    print("go", flush=True)
    while time.monotonic() < end:
        future = producer.send("t", value)
        if future.is_done and isinstance(future.exception, BufferExhaustedError):
            refused += 1
        else:
            sent += 1
    print(json.dumps({"before": before, "peak": status("VmHWM"), "now": status("VmRSS"), "sent": sent,
                      "refused": refused}), flush=True)
    producer.close(timeout=0)
"""


@pytest.mark.parametrize("size", [10, 100, 1_000, 30_000])
@pytest.mark.parametrize("held", [True, False], ids=["held", "slow"])
def test_resident_memory_stays_within_the_budget(broker: EmbeddedBroker, size: int, held: bool) -> None:
    memory = 16 << 20
    program = [sys.executable, "-c", textwrap.dedent(MEASURE), broker.address, str(memory), str(size), "2"]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "go\n"
        if held:
            broker.hold("Produce", read=False)
        else:
            broker.delay("Produce", 150)
        said = process.stdout.readline()
        assert process.wait(20) == 0
    figures = json.loads(said)
    assert figures["sent"] * (size + 8) > memory / 2, figures
    assert figures["peak"] - figures["before"] < memory + (8 << 20), figures
