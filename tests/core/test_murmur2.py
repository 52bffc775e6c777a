# SPDX-License-Identifier: Apache-2.0
import random

import pytest
from aiokafka.partitioner import murmur2 as aiokafka_murmur2
from kafka.partitioner.default import murmur2 as kafka_python_murmur2

from pykafka_fast._core.murmur2 import murmur2

# The first six are the cases of the Java client's own unit test.
VECTORS = [
    (b"21", -973932308),
    (b"foobar", -790332482),
    (b"a-little-bit-long-string", -985981536),
    (b"a-little-bit-longer-string", -1486304829),
    (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
    (b"abc", 479470107),
    (b"", 275646681),
    (b"ab", 316155434),
    (b"abcd", -1323649548),
    (b"key", -1079937367),
    (b"kafka", -798503068),
    (b"\0", 375494588),
    (b"\0\0\0\0", 850957120),
    (b"\xff", -311467685),
    (b"\xff" * 5, -363838622),
    (bytes(range(0x80, 0x87)), -47880214),
    ("héllo 世界".encode(), -64778787),
    (bytes(range(256)), -1948347274),
    (b"1234567890" * 10, -550421823),
]


@pytest.mark.parametrize(("data", "wanted"), VECTORS)
def test_vectors(data: bytes, wanted: int) -> None:
    assert murmur2(data) == wanted
    assert murmur2(memoryview(b"x" + data)[1:]) == wanted


def test_agrees_with_other_clients() -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    draw = random.Random(seed)
    for length in range(70):
        for _ in range(5):
            data = draw.randbytes(length)
            assert murmur2(data) & 0xFFFFFFFF == kafka_python_murmur2(data) & 0xFFFFFFFF
            assert murmur2(data) & 0xFFFFFFFF == aiokafka_murmur2(data) & 0xFFFFFFFF


def test_refuses_what_is_no_contiguous_buffer() -> None:
    with pytest.raises(TypeError):
        murmur2("key")  # type: ignore[arg-type]
    with pytest.raises(BufferError):
        murmur2(memoryview(b"0123")[::2])
