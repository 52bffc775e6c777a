# SPDX-License-Identifier: Apache-2.0
"""The record accumulator, third part: what compression changes about when batches are full."""

from __future__ import annotations

import random

import pytest

from pykafka_fast._core.codec import CODECS
from tests.checklist.conftest import Make, StartBroker

WAIT_S = 30.0
FORMATS = [("gzip", None), ("snappy", None), ("lz4", None), ("zstd", None),
           ("gzip", "0.10.2"), ("snappy", "0.10.2"), ("lz4", "0.10.2")]  # fmt: skip
BATCH = 20_000
RECORDS = 16_000
ROUND = 400  # records before the next ones profit from what was learned


@pytest.mark.parametrize(("codec", "release"), FORMATS)
def test_ra03_a_compressed_record_larger_than_a_batch(
    codec: str, release: str | None, start_broker: StartBroker, make: Make
) -> None:
    """A record of twice the size of a batch gets a batch of its own, which leaves at once, with every codec: what
    counts is its size before compression. In old formats too, where they know the codec."""
    broker = start_broker(topics={"t": 1})
    if release:
        broker.play_release(release)
    producer = make(broker, batch_size=4096, batch_max_size=4096, linger_ms=60_000, compression_type=codec)
    futures = [producer.send("t", bytes(size)) for size in (10, 2 * 4096)]
    assert futures[1].get(WAIT_S).offset == 1
    assert [batch.header.record_count for batch in broker.batches("t")] == [1, 1]
    assert [batch.header.codec for batch in broker.batches("t")] == [0, CODECS[codec]]


@pytest.mark.parametrize("codec", ["gzip", "lz4", "zstd"])
@pytest.mark.parametrize("compressible", [0.05, 0.5, 0.95])
def test_ra23_estimates_converge(codec: str, compressible: float, start_broker: StartBroker, make: Make) -> None:
    """With records that compress well or not at all, by chance, fewer than one batch in ten is too large for the
    broker, and what is split loses nothing."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    draw = random.Random(seed)
    broker = start_broker(topics={"t": 1}, max_message_bytes=BATCH)
    producer = make(broker, compression_type=codec, batch_size=BATCH, batch_max_size=BATCH, linger_ms=60_000)
    values = [bytes(500) if draw.random() < compressible else draw.randbytes(500) for _ in range(RECORDS)]
    futures = []
    for number in range(0, RECORDS, ROUND):
        futures += [producer.send("t", value) for value in values[number : number + ROUND]]
        producer.flush(WAIT_S)
    assert [future.get(0).offset for future in futures] == list(range(RECORDS))
    assert [record.value for record in broker.records("t")] == values
    metrics = producer.metrics()
    assert metrics is not None
    batches, splits = len(broker.batches("t")), metrics["producer-metrics"]["batch-split-total"]
    assert splits / batches < 0.1
    most = max(batch.header.record_count for batch in broker.batches("t"))
    assert most > BATCH / 500 * (2 if compressible > 0.9 else 0.9)
