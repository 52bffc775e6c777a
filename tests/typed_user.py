# SPDX-License-Identifier: Apache-2.0
"""A program as users write it, for mypy alone (test_lint.py): what is right passes, what is wrong is seen."""

from __future__ import annotations

import socket

from pykafka_fast import KafkaProducer, ProducerRecord, RangeMetadata, RecordMetadata
from pykafka_fast.errors import KafkaError


def told(metadata: RecordMetadata, error: KafkaError | None) -> None:
    print(metadata.offset if error is None else error.in_doubt)


def told_of_many(metadata: RangeMetadata, error: KafkaError | None) -> None:
    print(len(metadata), error)


def right() -> None:
    codecs = {"logs": "zstd", "images": "none"}
    headers = [("trace", b"1")]
    with KafkaProducer(bootstrap_servers="localhost:9092", compression_by_topic=codecs, max_block_ms=float("inf"),
                       linger_ms=0.5, socket_options=[(socket.SOL_SOCKET, socket.SO_PRIORITY, 6)]) as producer:
        producer.send("events", b"x", on_delivery=told)
        producer.send("events", b"x", on_delivery=lambda metadata, error: error and print(error))
        producer.send("events", memoryview(b"x"), bytearray(b"key"), headers, 3, 1_700_000_000_000)
        producer.send("events", b"x", headers=[("trace", memoryview(b"1"))])
        sizes = [("size", bytearray(b"2"))]
        producer.send("events", b"x", headers=sizes)
        producer.send("events", b"x", headers=[("empty", None)])
        producer.send(ProducerRecord("events", headers=headers, value=b"x"))
        producer.send_many("events", [b"x"], headers=headers, on_delivery=told_of_many)
        offset: int = producer.send("events", b"x").get(timeout=10).offset
        offsets: list[int] = [metadata.offset for metadata in producer.send_many("events", [b"x"]).get()]
        print(offset, offsets)
    KafkaProducer(bootstrap_servers={"a:1", "b:1"}, security_protocol="PLAINTEXT")
    KafkaProducer(compression_by_topic={"logs": "zstd", "events": ("gzip", 9)}, acks="all")


def wrong(producer: KafkaProducer) -> None:
    KafkaProducer(lingers_ms=5)  # type: ignore[call-arg]
    KafkaProducer(linger_ms="5")  # type: ignore[arg-type]
    KafkaProducer(compression_type="zip")  # type: ignore[arg-type]
    producer.send("events", b"x", headers={"trace": b"1"})  # type: ignore[arg-type]
    producer.send("events", b"x", partition="0")  # type: ignore[arg-type]
    producer.send("events", b"x").get(timeout="10")  # type: ignore[arg-type]
    producer.send(b"events", b"x")  # type: ignore[arg-type]
