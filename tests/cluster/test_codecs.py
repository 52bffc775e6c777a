# SPDX-License-Identifier: Apache-2.0
"""Every codec at every level to a real broker, and back out of other clients' consumers and of Kafka's own tools.

One topic holds them all: a partition for each codec and level, in it every kind of batch.
"""

import itertools
import json
import random
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import kafka as kafka_python
import pytest

from pykafka_fast import KafkaProducer
from pykafka_fast.types import HeaderList
from tools.brokers.kafka import KafkaCluster
from tools.readback import Record, read_topic

Sent = tuple[bytes | None, bytes | None, HeaderList, int]

TOPIC = "every-codec-and-level"
START_MS = 1_600_000_000_000
LEVELS: dict[str, list[int | None]] = {
    "none": [None],
    "gzip": [None, *range(1, 10)],
    "snappy": [None],
    "lz4": [None, *range(13)],
    "zstd": [None, *range(-7, 23)],
}
WAYS = [(codec, level) for codec, levels in LEVELS.items() for level in levels]
EVERY_CODEC = [(codec, LEVELS[codec][-1]) for codec in LEVELS]
WORDS = b"departure arrival gate delay carrier tail number origin destination taxi wheels off on cancelled".split()


def text(rng: random.Random, size: int) -> bytes:
    return b" ".join(rng.choices(WORDS, k=size // 4))[:size]


def mixed(number: int) -> tuple[bytes | None, bytes | None, HeaderList]:
    """Null and empty keys, values and headers, of all sizes from nothing to some kilobytes."""
    key = (None, b"", b"key %d" % (number % 9))[number % 3]
    value = (None, b"", b"value " * (number * 17 % 300))[number % 5 % 3]
    headers: HeaderList = [(f"h{i}", (None, b"", b"header")[i % 3]) for i in range(number % 4)]
    return b"k" if key is None and value is None else key, value, headers


def kinds() -> dict[str, list[tuple[bytes | None, bytes | None, HeaderList]]]:
    """The records of each kind; they become batches without records of another kind."""
    rng = random.Random(5)
    return {
        "nothing at all": [(None, b"", [])],
        "many times nothing": [(None, b"", [])] * 600,
        "one record": [(b"key", text(rng, 400), [("h", b"v")])],
        "incompressible": [(None, rng.randbytes(3_000), []) for _ in range(20)],
        "a megabyte": [(b"big", text(rng, 1_000_000), [])],
        "mixed": [mixed(number) for number in range(300)],
        "many lines": [(b"%d" % number, text(rng, 100), []) for number in range(3_000)],
    }


KINDS = kinds()
STAYS_AS_IT_IS = {"nothing at all", "incompressible"}
IN_ALL = sum(map(len, KINDS.values()))


def sent_records() -> list[Sent]:
    """What each partition holds, in order."""
    records = itertools.chain.from_iterable(KINDS.values())
    return [(*record, START_MS + number * 7919 % 1000) for number, record in enumerate(records)]


def places() -> Iterator[tuple[str, range]]:
    """The offsets of each kind."""
    start = 0
    for kind, records in KINDS.items():
        yield kind, range(start, start + len(records))
        start += len(records)


def fill(bootstrap: str, partition: int, codec: str, level: int | None) -> dict[str, Any]:
    """Every kind, one after the other; the producer's metrics."""
    options: dict[str, Any] = {"compression_type": codec, "compression_level": level, "linger_ms": 60_000}
    records = sent_records()
    with KafkaProducer(bootstrap_servers=bootstrap, **options) as producer:
        for _, offsets in places():
            futures = []
            for key, value, headers, timestamp in records[offsets.start : offsets.stop]:
                futures.append(producer.send(TOPIC, value, key=key, headers=headers, partition=partition,
                                             timestamp_ms=timestamp))  # fmt: skip
            producer.flush(timeout=60)
            assert [future.get(timeout=0).offset for future in futures] == list(offsets), (codec, level)
        metrics: Any = producer.metrics()
    return dict(metrics["producer-metrics"])


class Filled(NamedTuple):
    """The cluster with the topic in it, and the metrics of the producers, by partition."""

    cluster: KafkaCluster
    metrics: list[dict[str, float]]


@pytest.fixture(scope="module")
def filled(kafka: KafkaCluster) -> Iterator[Filled]:
    kafka.create_topic(TOPIC, len(WAYS))
    yield Filled(kafka, [fill(kafka.bootstrap, partition, *way) for partition, way in enumerate(WAYS)])
    kafka.delete_topic(TOPIC)


@pytest.mark.timeout(180)
def test_read_by_confluent_kafka(filled: Filled) -> None:
    by_partition: dict[int, list[Record]] = defaultdict(list)
    for record in read_topic(filled.cluster.bootstrap, TOPIC, timeout=60):
        by_partition[record.partition].append(record)
    for partition, way in enumerate(WAYS):
        read = [(it.key, it.value, it.headers, it.timestamp_ms) for it in by_partition[partition]]
        assert [it.offset for it in by_partition[partition]] == list(range(IN_ALL)), way
        assert read == sent_records(), way


def test_read_by_kafka_python(filled: Filled) -> None:
    sample = {WAYS.index(way): way for way in EVERY_CODEC}
    consumer = kafka_python.KafkaConsumer(bootstrap_servers=filled.cluster.bootstrap, consumer_timeout_ms=30_000)
    read: dict[int, list[Sent]] = defaultdict(list)
    try:
        partitions = [kafka_python.TopicPartition(TOPIC, partition) for partition in sample]
        consumer.assign(partitions)
        consumer.seek_to_beginning(*partitions)
        for message in consumer:
            record = (message.key, message.value, list(message.headers), message.timestamp)
            read[message.partition].append(record)
            if sum(map(len, read.values())) == len(sample) * IN_ALL:
                break
    finally:
        consumer.close()
    for partition, way in sample.items():
        assert read[partition] == sent_records(), way


def as_shown(data: bytes | None) -> str:
    """As Kafka's Bytes shows itself; what is missing is said in a word."""
    if data is None:
        return "null"
    return "".join(chr(byte) if 0x20 <= byte < 0x7F and byte != 0x5C else f"\\x{byte:02X}" for byte in data)


def lines_wanted() -> list[str]:
    """A line per record, from the timestamp's on; the partition stands in front."""
    lines = []
    for offset, (key, value, headers, timestamp) in enumerate(sent_records()):
        shown = ",".join(f"{name}:{as_shown(it if it is None else bytes(it))}" for name, it in headers)
        fields = [f"Offset:{offset}", shown or "NO_HEADERS", as_shown(key), as_shown(value)]
        lines.append("\t".join([f"CreateTime:{timestamp}", *fields]))
    return lines


@pytest.mark.timeout(180)
def test_read_by_the_console_consumer(filled: Filled) -> None:
    """All of the topic, by Kafka's own."""
    to_hex = "org.apache.kafka.common.serialization.BytesDeserializer"
    properties = {f"print.{what}": "true" for what in ("partition", "offset", "timestamp", "headers", "key")}
    properties |= {f"{what}.deserializer": to_hex for what in ("key", "value", "headers")}
    said = filled.cluster.run_tool(
        "org.apache.kafka.tools.consumer.ConsoleConsumer", "--bootstrap-server", filled.cluster.bootstrap,
        "--topic", TOPIC, "--from-beginning", "--max-messages", str(len(WAYS) * IN_ALL), "--timeout-ms", "60000",
        *[word for name, value in properties.items() for word in ("--property", f"{name}={value}")], timeout=150,
    )  # fmt: skip
    read: dict[int, list[str]] = defaultdict(list)
    for line in said.split("\n"):
        if match := re.match(r"(CreateTime:\d+\t)Partition:(\d+)\t(.*)", line, re.DOTALL):
            read[int(match[2])].append(match[1] + match[3])
    wanted = lines_wanted()
    for partition, way in enumerate(WAYS):
        wrong = [pair for pair in itertools.zip_longest(read[partition], wanted) if pair[0] != pair[1]]
        assert not wrong, (way, len(wrong), [line and line[:200] for line in wrong[0]])


def dump(cluster: KafkaCluster, *places: tuple[str, int]) -> dict[tuple[str, int], list[dict[str, str]]]:
    """The batches of some partitions as Kafka's DumpLogSegments finds them in the broker's files."""
    files = [str(path) for topic, partition in places for path in cluster.segments(1, topic, partition)]
    said = cluster.run_tool("kafka.tools.DumpLogSegments", "--files", ",".join(files), timeout=120)
    batches: dict[tuple[str, int], list[dict[str, str]]] = defaultdict(list)
    for line in said.splitlines():
        if match := re.match(r"Dumping .*/([^/]+)-(\d+)/", line):
            place = match[1], int(match[2])
        elif line.startswith("baseOffset"):
            batches[place].append(dict(re.findall(r"(\w+): (\S+)", line)))
    return batches


@pytest.fixture(scope="module")
def dumped(filled: Filled) -> dict[int, list[dict[str, str]]]:
    found = dump(filled.cluster, *((TOPIC, partition) for partition in range(len(WAYS))))
    return {partition: batches for (_, partition), batches in found.items()}


def test_the_log_is_compressed(dumped: dict[int, list[dict[str, str]]]) -> None:
    """With the codec that was asked for, but where that made nothing smaller."""
    for partition, way in enumerate(WAYS):
        found: dict[str, set[str]] = defaultdict(set)
        for batch in dumped[partition]:
            assert (batch["magic"], batch["isvalid"]) == ("2", "true"), way
            kind = next(kind for kind, offsets in places() if int(batch["baseOffset"]) in offsets)
            found[kind].add(batch["compresscodec"])
        wanted = {kind: {"none" if kind in STAYS_AS_IT_IS else way[0]} for kind in KINDS}
        assert found == wanted, way
        assert sum(int(batch["count"]) for batch in dumped[partition]) == IN_ALL


def test_sizes_in_the_log(filled: Filled, dumped: dict[int, list[dict[str, str]]]) -> None:
    """Metrics tell what the broker wrote; what a level costs buys something."""
    size = {way: sum(int(batch["size"]) for batch in dumped[it]) for it, way in enumerate(WAYS)}
    print(json.dumps({f"{codec} {level}": bytes_ for (codec, level), bytes_ in size.items()}))
    for partition, way in enumerate(WAYS):
        assert filled.metrics[partition]["byte-total"] == size[way], way
        assert filled.metrics[partition]["batch-split-total"] == 0, way
    raw = size["none", None]
    assert all(bytes_ < raw * 0.6 for way, bytes_ in size.items() if way[0] != "none")
    assert size["gzip", 9] < size["gzip", 1]
    assert size["lz4", 12] < size["lz4", 0]
    assert size["zstd", 22] < size["zstd", 3] < size["zstd", -7]


def test_topics_have_their_own_codec_and_level(
    kafka: KafkaCluster, new_topic: Callable[..., str], new_producer: Callable[..., KafkaProducer]
) -> None:
    """By one producer, all at the same time."""
    choices: list[Any] = ["lz4", ("zstd", 22), ("zstd", -7), ("gzip", 1), "snappy", "none", None]
    topics = [new_topic(kafka) for _ in choices]
    by_topic = {topic: choice for topic, choice in zip(topics, choices, strict=True) if choice is not None}
    options = {"compression_type": "gzip", "compression_level": 9, "compression_by_topic": by_topic}
    producer = new_producer(kafka.bootstrap, **options, batch_size=250_000, linger_ms=60_000)
    value = text(random.Random(3), 1_000_000)
    for block in range(0, 1_000_000, 100_000):  # each becomes a batch
        for start in range(block, block + 100_000, 1_000):
            for topic in topics:
                producer.send(topic, value[start : start + 1_000])
        producer.flush(timeout=60)
    found = dump(kafka, *((topic, 0) for topic in topics))
    sizes = []
    for topic, choice in zip(topics, choices, strict=True):
        codec = choice if isinstance(choice, str) else choice[0] if choice else "gzip"
        assert {batch["compresscodec"] for batch in found[topic, 0]} == {codec}, choice
        assert [int(batch["count"]) for batch in found[topic, 0]] == [100] * 10
        sizes.append(sum(int(batch["size"]) for batch in found[topic, 0]))
    lz4, zstd_22, zstd_minus_7, gzip_1, _, none, gzip_9 = sizes
    assert zstd_22 < zstd_minus_7 < none
    assert gzip_9 < gzip_1 < lz4 < none


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
def test_incompressible_all_of_a_sudden(
    kafka: KafkaCluster, new_topic: Callable[..., str], new_producer: Callable[..., KafkaProducer], codec: str
) -> None:
    """Batches that had grown by what was hoped for are refused, cut up and delivered, each record once and in order."""
    topic = new_topic(kafka, config={"max.message.bytes": "20000"})
    options = {"compression_type": codec, "batch_size": 8_000, "batch_max_size": 16_000, "linger_ms": 60_000}
    producer = new_producer(kafka.bootstrap, **options)
    rng = random.Random(7)
    futures = []
    for phase, count in ((b"hop", 8_000), (None, 1_000), (b"skip", 4_000), (None, 1_000)):
        for number in range(count):
            value = rng.randbytes(500) if phase is None else b"%d " % number + phase * 400
            futures.append((value, producer.send(topic, value)))
        producer.flush(timeout=60)
    assert [future.get(timeout=0).offset for _, future in futures] == list(range(len(futures)))
    assert [record.value for record in read_topic(kafka.bootstrap, topic)] == [value for value, _ in futures]
    metrics: Any = producer.metrics()
    splits = metrics["producer-metrics"]["batch-split-total"]
    print(splits, "batches split")
    assert splits > 0
    batches = dump(kafka, (topic, 0))[topic, 0]
    assert {batch["compresscodec"] for batch in batches} == {codec, "none"}
    assert all(batch["isvalid"] == "true" and int(batch["size"]) <= 20_000 for batch in batches)
    sequences = [(int(batch["baseSequence"]), int(batch["lastSequence"])) for batch in batches]
    assert all(before[1] + 1 == after[0] for before, after in itertools.pairwise(sequences))
    raw = sum(len(value) for value, _ in futures)
    compressible = sum(len(value) for value, _ in futures if value[-1:] == b"p")
    assert sum(int(batch["size"]) for batch in batches) < raw - compressible * 0.8
