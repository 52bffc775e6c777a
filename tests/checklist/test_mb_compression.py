# SPDX-License-Identifier: Apache-2.0
"""Building a batch: what compression adds."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from pykafka_fast._core import record
from pykafka_fast._core.codec import CODECS
from pykafka_fast.errors import UnsupportedCompressionTypeError, UnsupportedVersionError
from pykafka_fast.testing import EmbeddedBroker
from pykafka_fast.testing.batch import HEADER_SIZE
from pykafka_fast.testing.records import payload
from tests.checklist.conftest import Make, StartBroker

WAIT_S = 20.0


@pytest.mark.parametrize("magic", [0, 1])
def test_mb01_message_sets_know_no_zstd(magic: int) -> None:
    """A message set is not compressed with zstd."""
    messages = record.message_set(record.encode(b"k", b"v"), 1, 0, magic)
    with pytest.raises(UnsupportedVersionError):
        record.wrap(messages, 1, 0, magic, CODECS["zstd"], 3)


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
def test_mb05_the_ratio_with_compression(codec: str, broker: EmbeddedBroker, make: Make) -> None:
    """The ratio reported is compressed by uncompressed bytes of records, headers of batches not counted."""
    producer = make(broker, compression_type=codec, linger_ms=60_000)
    for number in range(500):
        producer.send("t", b"%d: a value like many others" % number)
    producer.flush(WAIT_S)
    batches = broker.batches("t")
    packed = sum(len(batch.data) - HEADER_SIZE for batch in batches)
    plain = sum(len(payload(batch.header, batch.data)) for batch in batches)
    assert {batch.header.codec for batch in batches} == {CODECS[codec]}
    metrics = producer.metrics()
    assert metrics is not None
    assert metrics["producer-metrics"]["compression-rate-avg"] == pytest.approx(packed / plain)
    assert metrics["producer-topic-metrics.t"]["compression-rate"] == pytest.approx(packed / plain)


def test_mb11_zstd_is_not_converted_for_old_brokers(start_broker: StartBroker, make: Make) -> None:
    """A batch that was compressed with zstd, and whose new leader takes message sets, fails and says why."""
    broker = start_broker(brokers=2, topics={"t": 1})
    broker.play_release("0.10.2", node=2)
    if broker.leader("t", 0)[0] != 1:
        broker.move_leader("t", 0, 1)
    producer = make(broker.node_address(1), compression_type="zstd", retry_backoff_ms=5, metadata_max_age_ms=50)
    assert producer.send("t", bytes(1000)).get(WAIT_S).offset == 0
    refusals = broker.fail("Produce", 19, node=1, times=None)
    future = producer.send("t", bytes(1000))
    broker.wait(lambda it: len([r for r in it.requests_of("Produce") if r.node == 1]) >= 2, timeout=WAIT_S)
    broker.move_leader("t", 0, 2)
    refusals.cancel()
    with pytest.raises(UnsupportedCompressionTypeError, match=r"zstd.*Kafka 2\.1"):
        future.get(WAIT_S)
    assert broker.record_count("t") == 1


def test_mb14_the_estimate_is_never_below_what_was_seen(root: Path) -> None:
    """The four cases of the estimator, which only the C library's own test can show."""
    folder = root / "tests" / "csrc"
    program = folder / "bin" / "plain" / "test_pack"
    assert "the_estimate_decides_how_far_batches_grow();" in (folder / "test_pack.c").read_text()
    subprocess.run(["make", "-s", "-C", folder, "bin/plain/test_pack"], check=True, capture_output=True)
    shown = subprocess.run([program], check=True, capture_output=True, text=True, timeout=60)
    assert " 0 failed" in shown.stdout + shown.stderr
