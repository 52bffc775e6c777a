# SPDX-License-Identifier: Apache-2.0
"""What is compressed, how far batches grow for it, and what happens when the estimate was wrong."""

from __future__ import annotations

import random
import threading
from typing import Any

import pytest

from pykafka_fast.testing import EmbeddedBroker
from pykafka_fast.testing.records import payload
from tests.path.conftest import Make, StartBroker

CODECS = {"gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
KB = 1024
HEADER = 61


def figure(producer: Any, name: str) -> float:
    return float(producer.metrics()["producer-metrics"][name])


def lines(rng: random.Random, size: int) -> bytes:
    """Compresses to a fifth or so, with any codec."""
    return (b"%d " % rng.randrange(10**6) + b"lorem ipsum dolor sit amet " * (size // 27 + 1))[:size]


def raw_size(batch: Any) -> int:
    """Bytes of its records before compression, but for what stands in front of each."""
    return sum(len(record.key or b"") + len(record.value or b"") for record in batch.records())


@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("codec", CODECS)
def test_order_and_content(broker: EmbeddedBroker, make: Make, codec: str, threads: int) -> None:
    """Batches of very different effort, over several workers: a short one behind a long one does not overtake it."""
    producer = make(broker, compression_type=codec, compression_threads=threads, linger_ms=0)
    rng = random.Random(threads)
    sent: dict[int, list[bytes]] = {0: [], 1: []}
    futures = []
    for number in range(1_500):
        value = b"%d " % number + lines(rng, rng.choice([10, 100, 3_000]))
        sent[number % 2].append(value)
        futures.append(producer.send("t", value, partition=number % 2))
        if number % 100 == 0:
            big = lines(rng, 900_000)
            sent[0].append(big)
            futures.append(producer.send("t", big, partition=0))
    producer.flush(timeout=60)
    assert all(future.succeeded() for future in futures)
    for partition, values in sent.items():
        assert [record.value for record in broker.records("t", partition)] == values
    assert {batch.header.codec for batch in broker.batches("t")} <= {0, CODECS[codec]}
    assert CODECS[codec] in {batch.header.codec for batch in broker.batches("t")}
    assert figure(producer, "batch-split-total") == 0


@pytest.mark.parametrize("codec", CODECS)
def test_what_does_not_shrink_leaves_as_it_is(broker: EmbeddedBroker, make: Make, codec: str) -> None:
    producer = make(broker, compression_type=codec, linger_ms=0)
    rng = random.Random(1)
    for number in range(20):
        producer.send("t", rng.randbytes(5_000), partition=0).get(timeout=20)
        producer.send("t", b"%d" % number * 2_000, partition=1).get(timeout=20)
    assert [batch.header.codec for batch in broker.batches("t", 0)] == [0] * 20
    assert [batch.header.codec for batch in broker.batches("t", 1)] == [CODECS[codec]] * 20
    assert figure(producer, "batch-incompressible-total") == 20


def test_each_topic_as_it_was_said(start_broker: StartBroker, make: Make) -> None:
    broker = start_broker(topics={"usual": 1, "plain": 1, "tight": 1, "quick": 1})
    by_topic = {"plain": "none", "tight": ("zstd", 19), "quick": "lz4"}
    producer = make(broker, compression_type="gzip", compression_by_topic=by_topic)
    value = lines(random.Random(2), 20_000)
    for topic in ("usual", "plain", "tight", "quick"):
        producer.send(topic, value)
    producer.flush(timeout=20)
    used = {topic: broker.batches(topic)[0].header.codec for topic in ("usual", "plain", "tight", "quick")}
    assert used == {"usual": 1, "plain": 0, "tight": 4, "quick": 3}
    assert [broker.records(topic)[0].value for topic in used] == [value] * 4


def test_one_topic_only(start_broker: StartBroker, make: Make) -> None:
    """Workers start although nothing is compressed in general."""
    broker = start_broker(topics={"plain": 1, "tight": 1})
    producer = make(broker, compression_by_topic={"tight": "zstd"})
    for topic in ("plain", "tight"):
        producer.send(topic, bytes(10_000)).get(timeout=20)
    assert [broker.batches(topic)[0].header.codec for topic in ("plain", "tight")] == [0, 4]


@pytest.mark.parametrize("codec", CODECS)
def test_batches_grow_by_what_they_will_shrink(start_broker: StartBroker, make: Make, codec: str) -> None:
    broker = start_broker(topics={"t": 1})
    options = {"batch_size": 8_000, "batch_max_size": 8_000, "linger_ms": 60_000}
    producer = make(broker, compression_type=codec, **options)
    rng = random.Random(3)
    for _ in range(25):
        for _ in range(2_000):
            producer.send("t", lines(rng, 200))
        producer.flush(timeout=20)
    batches = broker.batches("t")
    first, last = (max(map(raw_size, part)) for part in (batches[:5], batches[-50:]))
    assert first < 8_000
    assert last > 16_000
    assert max(len(batch.data) for batch in batches) <= 8_000 * 1.05  # an estimate, from the batches before
    assert broker.record_count("t") == 50_000


@pytest.mark.parametrize("codec", CODECS)
def test_batches_of_what_shrinks_to_almost_nothing(start_broker: StartBroker, make: Make, codec: str) -> None:
    """They grow to what a request takes."""
    broker = start_broker(topics={"t": 1})
    producer = make(broker, compression_type=codec, linger_ms=60_000)
    for _ in range(25_000):
        producer.send("t", bytes(10_000))
    producer.flush(timeout=60)
    counts = [batch.header.record_count for batch in broker.batches("t")]
    assert min(counts[-20:-1]) >= 50


def test_without_a_codec_they_do_not(start_broker: StartBroker, make: Make) -> None:
    broker = start_broker(topics={"t": 1})
    options = {"batch_size": 8_000, "batch_max_size": 8_000, "linger_ms": 60_000}
    producer = make(broker, compression_by_topic={"other": "lz4"}, **options)
    for _ in range(5_000):
        producer.send("t", bytes(200))
    producer.flush(timeout=20)
    assert max(len(batch.data) for batch in broker.batches("t")) <= 8_000


@pytest.mark.parametrize("share", [0.02, 0.1, 0.5, 0.9, 0.98])
def test_mixed_compressibility_splits_few_batches(start_broker: StartBroker, make: Make, share: float) -> None:
    """Of records some compress well, some do not at all, and the broker takes no batch above the producer's limit."""
    broker = start_broker(topics={"t": 1}, max_message_bytes=16_384)
    options = {"batch_size": 8_192, "batch_max_size": 16_384, "linger_ms": 60_000}
    producer = make(broker, compression_type="zstd", **options)
    rng = random.Random(share)
    sent = []
    for _ in range(30):
        for _ in range(500):
            size = rng.randint(50, 600)
            sent.append(lines(rng, size) if rng.random() < share else rng.randbytes(size))
            producer.send("t", sent[-1])
        producer.flush(timeout=20)
    batches, splits = len(broker.batches("t")), figure(producer, "batch-split-total")
    print(f"{splits:.0f} of {batches} batches were split")
    assert splits < batches / 10
    assert batches > 50
    assert [record.value for record in broker.records("t")] == sent


@pytest.mark.parametrize("idempotent", [True, False])
@pytest.mark.parametrize("codec", CODECS)
def test_incompressible_all_of_a_sudden(start_broker: StartBroker, make: Make, codec: str, idempotent: bool) -> None:
    broker = start_broker(topics={"t": 2}, max_message_bytes=20_000)
    options = {"batch_size": 8_000, "batch_max_size": 16_000, "linger_ms": 60_000}
    producer = make(broker, compression_type=codec, enable_idempotence=idempotent, **options,
                    max_in_flight_requests_per_connection=5 if idempotent else 1)  # fmt: skip
    rng = random.Random(4)
    sent: dict[int, list[bytes]] = {0: [], 1: []}
    told: dict[int, list[int]] = {0: [], 1: []}
    for count, compressible in ((5_000, True), (600, False), (3_000, True), (600, False)):
        for number in range(count):
            value = lines(rng, 1_200) if compressible else rng.randbytes(500)
            sent[number % 2].append(value)

            def note(metadata: Any, error: Any) -> None:
                assert error is None
                told[metadata.partition].append(metadata.offset)

            producer.send("t", value, partition=number % 2, on_delivery=note)
        producer.flush(timeout=30)
    for partition in (0, 1):  # one by itself: no codec makes that smaller
        sent[partition].append(rng.randbytes(500))
        producer.send("t", sent[partition][-1], partition=partition, on_delivery=note)
        producer.flush(timeout=30)
    assert figure(producer, "batch-split-total") > 0
    for partition in (0, 1):
        assert [record.value for record in broker.records("t", partition)] == sent[partition]
        assert told[partition] == list(range(len(sent[partition])))
    assert all(len(batch.data) <= 20_000 for batch in broker.batches("t"))
    assert {batch.header.codec for batch in broker.batches("t")} == {0, CODECS[codec]}


def test_a_single_record_that_stays_too_large(start_broker: StartBroker, make: Make) -> None:
    """It fails alone; what stood beside it in the batch is delivered."""
    broker = start_broker(topics={"t": 1}, max_message_bytes=20_000)
    producer = make(broker, compression_type="lz4", batch_size=100_000, linger_ms=60_000)
    rng = random.Random(5)
    values = [lines(rng, 100) for _ in range(100)]
    values[50] = rng.randbytes(30_000)
    futures = [producer.send("t", value) for value in values]
    producer.flush(timeout=20)
    assert [number for number, future in enumerate(futures) if future.failed()] == [50]
    assert type(futures[50].exception).__name__ == "MessageSizeTooLargeError"
    assert [record.value for record in broker.records("t")] == values[:50] + values[51:]


def test_a_record_that_only_fits_compressed(start_broker: StartBroker, make: Make) -> None:
    broker = start_broker(topics={"t": 1}, max_message_bytes=20_000)
    producer = make(broker, compression_type="gzip")
    assert producer.send("t", lines(random.Random(6), 500_000)).get(timeout=20).offset == 0
    assert len(broker.batches("t")[0].data) < 20_000


@pytest.mark.parametrize("codec", CODECS)
def test_metrics_agree_with_what_arrived(start_broker: StartBroker, make: Make, codec: str) -> None:
    broker = start_broker(topics={"t": 3})
    producer = make(broker, compression_type=codec)
    rng = random.Random(7)
    for number in range(4_000):
        producer.send("t", lines(rng, 300) if number % 3 else rng.randbytes(300), partition=number % 3)
    producer.flush(timeout=20)
    batches = broker.batches("t")
    written = sum(len(batch.data) for batch in batches)
    plain = sum(len(payload(batch.header, batch.data)) for batch in batches)
    assert figure(producer, "byte-total") == written
    assert figure(producer, "compression-rate-avg") == pytest.approx((written - HEADER * len(batches)) / plain)
    assert figure(producer, "batch-incompressible-total") == sum(batch.header.codec == 0 for batch in batches)
    assert figure(producer, "compression-time-ns-total") > 0


def test_get_does_not_linger_and_flush_waits(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker, compression_type="zstd", compression_level=19, compression_threads=1, linger_ms=60_000)
    value = lines(random.Random(8), 3_000)
    for offset in range(20):
        assert producer.send("t", value, partition=0).get(timeout=20).offset == offset
    futures = [producer.send("t", value, partition=1 + number % 3) for number in range(3_000)]
    producer.flush(timeout=60)
    assert all(future.succeeded() for future in futures)


@pytest.mark.parametrize("codec", CODECS)
def test_many_threads_through_a_small_pool(start_broker: StartBroker, make: Make, codec: str) -> None:
    """More workers than there is memory for; nobody waits for ever, and each thread's records stay in order."""
    broker = start_broker(topics={"t": 4})
    producer = make(broker, compression_type=codec, compression_threads=8, buffer_memory=32 * KB, linger_ms=0,
                    batch_size=4_096, max_block_ms=60_000)  # fmt: skip
    sent: list[list[bytes]] = []

    def work(thread: int) -> None:
        rng = random.Random(thread)
        mine = [b"%d " % thread + lines(rng, rng.choice([10, 300, 5_000])) for _ in range(150)]
        sent.append(mine)
        for value in mine:
            producer.send("t", value, partition=thread % 4)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    producer.flush(timeout=60)
    for mine in sent:
        name = mine[0].split()[0]
        read = [it.value for it in broker.records("t", int(name) % 4) if it.value and it.value.split()[0] == name]
        assert read == mine


@pytest.mark.parametrize("codec", CODECS)
def test_send_many(start_broker: StartBroker, make: Make, codec: str) -> None:
    """Ranges follow their records through batches that were compressed, refused and cut up."""
    broker = start_broker(topics={"t": 2}, max_message_bytes=20_000)
    producer = make(broker, compression_type=codec, batch_size=8_000, batch_max_size=16_000, linger_ms=60_000)
    rng = random.Random(9)
    sent: dict[int, list[bytes]] = {0: [], 1: []}
    for turn in range(20):
        incompressible = turn % 10 == 9
        values = [rng.randbytes(500) if incompressible else lines(rng, 1_200) for _ in range(600)]
        future = producer.send_many("t", values, partition=turn % 2)
        producer.flush(timeout=60)
        offsets = [metadata.offset for metadata in future.get(timeout=60)]
        sent[turn % 2] += values
        assert offsets == list(range(len(sent[turn % 2]) - 600, len(sent[turn % 2])))
    for partition, values in sent.items():
        assert [record.value for record in broker.records("t", partition)] == values
    assert figure(producer, "batch-split-total") > 0
