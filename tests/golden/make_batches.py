# SPDX-License-Identifier: Apache-2.0
"""Writes batches.json: record batches made by kafka-python's and aiokafka's own builders, with what went into them.

Run it only to extend the file: python tests/golden/make_batches.py. The tests read the file, not this program. The
first batch of the file is the worked example of the format's description.
"""

import json
from pathlib import Path
from typing import Any

import aiokafka
import kafka
from aiokafka.record.default_records import DefaultRecordBatchBuilder as AiokafkaBuilder
from kafka.record.default_records import DefaultRecordBatchBuilder as KafkaPythonBuilder

Fields = tuple[int, bytes | None, bytes | None, list[tuple[str, bytes | None]]]

T = 1_700_000_000_000
WORKED: list[Fields] = [(T, b"k1", b"v1", []), (T + 5, None, b"hello", [("h", b"x"), ("n", None)])]
MIXED: list[Fields] = [
    (T, b"", b"", []),
    (T - 70_000, None, None, []),
    (T + 10**10, b"k" * 63, b"v" * 64, [("", b"")]),
    (T + 1, b"k" * 129, b"v" * 300, [("\u4e16\u754c", b"\xff" * 70)] * 3),
    (T + 2, None, bytes(range(256)), [(f"h{i}", None if i % 2 else b"%d" % i) for i in range(70)]),
]
WORKED_HEX = (
    "00000000000000000000004fffffffff02861dcddb0000000000010000018bcfe568000000018bcfe56805"
    "ffffffffffffffffffffffffffff00000002" + "14000000046b3104763100" + "24000a02010a68656c6c6f0402680278026e01"
)


def build(builder: Any, fields: list[Fields], producer: tuple[int, int, int], transactional: bool) -> bytes:
    made = builder(
        magic=2,
        compression_type=0,
        is_transactional=transactional,
        producer_id=producer[0],
        producer_epoch=producer[1],
        base_sequence=producer[2],
        batch_size=1 << 20,
    )
    for offset, (timestamp, key, value, headers) in enumerate(fields):
        made.append(offset, timestamp=timestamp, key=key, value=value, headers=headers)
    return bytes(made.build())


def entry(origin: str, fields: list[Fields], producer: tuple[int, int, int], attributes: int, data: str) -> Any:
    def text(b: bytes | None) -> str | None:
        return None if b is None else b.hex()

    records = [[t, text(k), text(v), [[name, text(b)] for name, b in headers]] for t, k, v, headers in fields]
    return {"origin": origin, "attributes": attributes, "producer": producer, "records": records, "bytes": data}


def main() -> None:
    nobody, somebody = (-1, -1, -1), (4000, 3, 17)
    entries = [entry("the worked example of the format's description", WORKED, nobody, 0, WORKED_HEX)]
    for origin, builder in (
        (f"kafka-python {kafka.__version__}", KafkaPythonBuilder),
        (f"aiokafka {aiokafka.__version__}", AiokafkaBuilder),
    ):
        for fields in (WORKED, MIXED):
            entries.append(entry(origin, fields, nobody, 0, build(builder, fields, nobody, False).hex()))
            entries.append(entry(origin, fields, somebody, 16, build(builder, fields, somebody, True).hex()))
    lines = ",\n".join(json.dumps(e) for e in entries)
    Path(__file__).with_name("batches.json").write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    main()
