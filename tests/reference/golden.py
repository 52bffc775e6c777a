# SPDX-License-Identifier: Apache-2.0
"""What other clients compressed: tests/golden/compressed.json, read."""

import base64
import json
from pathlib import Path
from typing import NamedTuple

from tests.reference.compression import CODECS


class Golden(NamedTuple):
    origin: str
    codec: int
    magic: int
    records: list[tuple[int | None, bytes, bytes]]
    """(timestamp, key, value); None where the format has no time or only the client knew it."""
    data: bytes
    """A batch, or a message set."""

    def __str__(self) -> str:
        return f"{self.origin.split()[0]}-{CODECS[self.codec]}-v{self.magic}"


def read() -> list[Golden]:
    file = json.loads((Path(__file__).parents[1] / "golden" / "compressed.json").read_text())
    rows = [(time, key.encode(), value.encode() * repeated) for time, key, value, repeated in file["records"]]
    found = []
    for entry in file["batches"]:
        knows_time = entry["magic"] > 0 and not entry["origin"].startswith("Kafka's console producer")
        records = [(time if knows_time else None, key, value) for time, key, value in rows]
        data = base64.b64decode(entry["bytes"])
        found.append(Golden(entry["origin"], CODECS.index(entry["codec"]), entry["magic"], records, data))
    return found


GOLDEN = read()
