# SPDX-License-Identifier: Apache-2.0
import random

import crc32c as independent
import pytest

from pykafka_fast._core.crc32c import crc32c, implementations
from tests.reference import record_batch

IMPLEMENTATIONS = [None, *implementations()]


@pytest.fixture(params=IMPLEMENTATIONS, ids=lambda name: name or "default")
def name(request: pytest.FixtureRequest) -> str | None:
    return request.param  # type: ignore[no-any-return]


def test_portable_is_everywhere_and_last() -> None:
    assert implementations()[-1] == "portable"


@pytest.mark.parametrize(
    ("data", "crc"), [(b"", 0), (b"123456789", 0xE3069283), (bytes(32), 0x8A9136AA), (b"\xff" * 32, 0x62A8AB43)]
)
def test_published_values(data: bytes, crc: int, name: str | None) -> None:
    assert crc32c(data, implementation=name) == crc


def test_agrees_with_another_library(name: str | None) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    draw = random.Random(seed)
    data = draw.randbytes(100_000)
    lengths = [*range(600), *(draw.randrange(len(data)) for _ in range(300))]
    for length in lengths:
        start = draw.randrange(len(data) - length + 1)
        part = memoryview(data)[start : start + length]
        assert crc32c(part, implementation=name) == independent.crc32c(part)


def test_agrees_with_the_reference(name: str | None) -> None:
    data = bytes(range(256)) * 8
    for length in range(0, len(data), 101):
        assert crc32c(data[:length], implementation=name) == record_batch.crc32c(data[:length])


def test_goes_on_from_a_value(name: str | None) -> None:
    data = bytes(range(256)) * 200
    for cut in (0, 1, 8, 191, 192, 12_288, len(data)):
        assert crc32c(data[cut:], crc32c(data[:cut], implementation=name), name) == independent.crc32c(data)


def test_takes_every_contiguous_buffer(name: str | None) -> None:
    data = b"0123456789" * 50
    wanted = independent.crc32c(data)
    for like in (bytearray(data), memoryview(data), memoryview(data).cast("H")):
        assert crc32c(like, implementation=name) == wanted
    with pytest.raises(BufferError):
        crc32c(memoryview(data)[::2], implementation=name)


def test_refuses_what_is_no_buffer_value_or_name() -> None:
    with pytest.raises(TypeError):
        crc32c("text")  # type: ignore[arg-type]
    for value in (-1, 2**32):
        with pytest.raises(OverflowError):
            crc32c(b"", value)
    with pytest.raises(ValueError, match=r"'fastest'.*'portable'"):
        crc32c(b"", implementation="fastest")
