# SPDX-License-Identifier: Apache-2.0
"""Writes compressed.json: what other clients send for one partition, compressed with every codec, in every message
format they know: kafka-python, aiokafka, librdkafka (confluent-kafka) and Kafka's own console producer.

Run it only to extend the file: python -m tests.golden.make_compressed. The tests read the file, not this program. The
first two are asked for bytes; the others send them to the embedded broker, whose input is written down as it comes.
"""

import base64
import json
import logging
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiokafka
import confluent_kafka
import kafka
from aiokafka.record.default_records import DefaultRecordBatchBuilder as AiokafkaBuilder
from aiokafka.record.legacy_records import LegacyRecordBatchBuilder as AiokafkaLegacy
from kafka.record.default_records import DefaultRecordBatchBuilder as KafkaPythonBuilder
from kafka.record.legacy_records import LegacyRecordBatchBuilder as KafkaPythonLegacy

from pykafka_fast.testing import EmbeddedBroker
from pykafka_fast.testing.handlers import produce
from tools.brokers import kafka as real_kafka
from tools.brokers import maven

CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]
T = 1_700_000_000_000
WORDS = "carrier delay null JFK LAX 1700000000".split()


def words(seed: int) -> bytes:
    """Some text that shrinks, but not to nothing."""
    return " ".join(WORDS[(seed * 7 + i * i) % 6] + str((seed * 31 + i * 17) % 97) for i in range(12)).encode()


# More than 64 KiB, so that there are several blocks; most of it is alike, so that the file stays small.
REPEATED = 600
RECORDS = [(T + i, b"key %d" % i, words(i)) for i in range(20)] + [(T + 99, b"long", words(5) * REPEATED)]


def entry(origin: str, codec: str, magic: int, data: bytes) -> dict[str, Any]:
    return {"origin": origin, "codec": codec, "magic": magic, "bytes": base64.b64encode(data).decode()}


def built(builder: Any, codec: str, magic: int) -> bytes:
    arguments: dict[str, Any] = {"magic": magic, "compression_type": CODECS.index(codec), "batch_size": 1 << 20}
    if magic == 2:
        arguments |= {"is_transactional": False, "producer_id": -1, "producer_epoch": -1, "base_sequence": -1}
    made = builder(**arguments)
    for offset, (time, key, value) in enumerate(RECORDS):
        extra = {"headers": []} if magic == 2 else {}
        made.append(offset, timestamp=time if magic else None, key=key, value=value, **extra)
    return bytes(made.build())


def from_builders() -> list[dict[str, Any]]:
    entries = []
    for origin, builder, legacy in (
        (f"kafka-python {kafka.__version__}", KafkaPythonBuilder, KafkaPythonLegacy),
        (f"aiokafka {aiokafka.__version__}", AiokafkaBuilder, AiokafkaLegacy),
    ):
        for codec in CODECS[1:]:
            entries.append(entry(origin, codec, 2, built(builder, codec, 2)))
        for codec in CODECS[1:4]:
            knows_v0 = codec != "lz4" or legacy is KafkaPythonLegacy  # the other one refuses to
            for magic in (0, 1) if knows_v0 else (1,):
                entries.append(entry(origin, codec, magic, built(legacy, codec, magic)))
    return entries


def received(send: Callable[[EmbeddedBroker], None], magic: int = 2) -> bytes:
    """What a client sends for the one partition there is to a broker that wants message format ``magic``."""
    got: list[bytes] = []
    append, convert = produce._append, produce.to_batch

    def note_batch(context: Any, topic: Any, partition: Any, records: Any, fault: Any) -> Any:
        if context.version >= 3:
            got.append(bytes(records))
        return append(context, topic, partition, records, fault)

    def note_set(data: Any, version: int) -> bytes:
        got.append(bytes(data))
        return convert(data, version)

    produce._append, produce.to_batch = note_batch, note_set  # type: ignore[assignment]
    try:
        with EmbeddedBroker(topics={"t": 1}) as broker:
            if magic < 2:
                broker.play_release("0.10.2")
                broker.set_api_version("Produce", 0, 1 + magic)
            send(broker)
            assert broker.record_count("t") == len(RECORDS), broker.record_count("t")
            assert not broker.violations, broker.violations
    finally:
        produce._append, produce.to_batch = append, convert
    (data,) = got
    return data


def librdkafka(codec: str) -> Callable[[EmbeddedBroker], None]:
    def send(broker: EmbeddedBroker) -> None:
        config = {"bootstrap.servers": broker.address, "compression.type": codec, "linger.ms": 500, "log_level": 0}
        producer = confluent_kafka.Producer(config)
        for time, key, value in RECORDS:
            producer.produce("t", value, key, 0, timestamp=time)
        assert producer.flush(20) == 0

    return send


def console_producer(codec: str) -> Callable[[EmbeddedBroker], None]:
    """It takes its records from lines; the time of a record is when it reads it."""

    def send(broker: EmbeddedBroker) -> None:
        tool = ["-cp", f"{real_kafka.jars()}/*", "org.apache.kafka.tools.ConsoleProducer"]
        options = ["--bootstrap-server", broker.address, "--topic", "t", "--compression-codec", codec]
        batch = ["--batch-size", "1000000", "--timeout", "1000", "--max-memory-bytes", "33554432"]
        keys = ["--property", "parse.key=true"]
        lines = b"".join(key + b"\t" + value + b"\n" for _, key, value in RECORDS)
        subprocess.run([maven.java(), *tool, *options, *batch, *keys], input=lines, check=True, timeout=60)

    return send


def from_wire() -> list[dict[str, Any]]:
    entries = []
    origin = f"librdkafka {confluent_kafka.libversion()[0]}"
    for codec in CODECS[1:]:
        entries.append(entry(origin, codec, 2, received(librdkafka(codec))))
        java = received(console_producer(codec))
        entries.append(entry(f"Kafka's console producer {real_kafka.VERSION}", codec, 2, java))
    for codec in CODECS[1:4]:
        entries.append(entry(origin, codec, 0, received(librdkafka(codec), 0)))  # v1 it keeps for consumers
    return entries


def main() -> None:
    logging.basicConfig(level=logging.WARNING)
    entries = [*from_builders(), *from_wire()]
    short = [(time, key.decode(), value.decode(), 1) for time, key, value in RECORDS[:-1]]
    short.append((RECORDS[-1][0], "long", words(5).decode(), REPEATED))
    records, lines = json.dumps(short), ",\n".join(json.dumps(e) for e in entries)
    text = f'{{"records": {records},\n"batches": [\n{lines}\n]}}\n'
    Path(__file__).with_name("compressed.json").write_text(text)


if __name__ == "__main__":
    main()
