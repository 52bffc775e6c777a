# SPDX-License-Identifier: Apache-2.0
"""The codecs against libraries and clients we did not write, there and back."""

import gzip
import random
import threading

import cramjam
import lz4.frame
import pytest
import zstandard
from kafka import codec as kafka_python

from pykafka_fast._core import codec
from pykafka_fast.errors import IllegalArgumentError, KafkaProtocolError, MessageSizeTooLargeError
from tests.reference import compression
from tests.reference.golden import GOLDEN, Golden
from tests.reference.message_set import decode_message_set

NAMES = ["gzip", "snappy", "lz4", "zstd"]
BATCH_HEADER = 61
LIMIT = 1 << 21


def levels(name: str) -> list[int | None]:
    found = codec.levels(codec.CODECS[name])
    return [None] if found is None else [None, *range(found[0], found[1] + 1)]


def contents() -> dict[str, bytes]:
    draw = random.Random(5)
    words = [b"carrier", b"delay", b"null", b"JFK", b"LAX", b"1700000000"]
    text = b" ".join(draw.choice(words) + b"%d" % draw.randrange(99) for _ in range(150_000))[:1_000_000]
    return {
        "empty": b"",
        "one byte": b"x",
        "one record": text[:100],
        "16 KiB": text[:16384],
        "64 KiB and one": text[:65537],
        "noise": draw.randbytes(200_000),
        "zeros": bytes(300_000),
        "1 MB": text,
    }


CONTENTS = contents()
MATRIX = [(name, level) for name in NAMES for level in levels(name)]


@pytest.mark.parametrize(("name", "level"), MATRIX)
def test_read_by_others(name: str, level: int | None) -> None:
    number = codec.CODECS[name]
    for what, data in CONTENTS.items():
        if (level or 0) > 12 and what == "1 MB":
            data = data[:200_000]
        ours = codec.compress(number, data, level)
        assert len(ours) <= codec.bound(number, len(data))
        assert compression.decompress(number, ours) == data, what
        assert codec.decompress(number, ours, len(data)) == data, what


@pytest.mark.parametrize("what", CONTENTS)
def test_read_by_kafka_python_and_what_it_writes(what: str) -> None:
    data = CONTENTS[what]
    for name in NAMES:
        number = codec.CODECS[name]
        theirs = getattr(kafka_python, f"{name}_encode")(data)
        assert codec.decompress(number, theirs, LIMIT) == data, name
        ours = codec.compress(number, data)
        if what != "empty" or name != "snappy":  # the header alone is too short for it
            assert getattr(kafka_python, f"{name}_decode")(ours) == data, name
    theirs = kafka_python.lz4_encode_old_kafka(data)
    assert codec.decompress(codec.CODECS["lz4"], theirs, LIMIT, 0) == data
    assert kafka_python.lz4_decode_old_kafka(codec.compress(codec.CODECS["lz4"], data, None, 0)) == data


def other_writings(data: bytes) -> dict[str, tuple[str, bytes]]:
    """The same bytes as others may frame them."""
    frame: dict[str, object] = {"block_linked": False}
    unsized = zstandard.ZstdCompressor(write_content_size=False, write_checksum=True)
    return {
        "gzip of two members": ("gzip", gzip.compress(data[:1000], 1) + gzip.compress(data[1000:], 9)),
        "gzip of cramjam": ("gzip", bytes(cramjam.gzip.compress(data))),
        "raw snappy": ("snappy", bytes(cramjam.snappy.compress_raw(data))),
        "snappy in chunks of 1 KiB": ("snappy", kafka_python.snappy_encode(data, xerial_blocksize=1024)),
        "lz4 with checksums": ("lz4", lz4.frame.compress(data, content_checksum=True, block_checksum=True, **frame)),
        "lz4 without its size": ("lz4", lz4.frame.compress(data, store_size=False, **frame)),
        "lz4 in blocks of 4 MiB": ("lz4", lz4.frame.compress(data, block_size=lz4.frame.BLOCKSIZE_MAX4MB, **frame)),
        "lz4, high compression": ("lz4", lz4.frame.compress(data, compression_level=12, **frame)),
        "zstd without its size": ("zstd", unsized.compress(data)),
        "zstd of two frames": ("zstd", zstandard.compress(data[:1000]) + zstandard.compress(data[1000:])),
        "zstd, long window": ("zstd", zstandard.ZstdCompressor(level=22).compress(data)),
    }


@pytest.mark.parametrize("what", ["one record", "64 KiB and one", "noise"])
def test_what_others_may_write(what: str) -> None:
    data = CONTENTS[what]
    for how, (name, theirs) in other_writings(data).items():
        number = codec.CODECS[name]
        assert codec.decompress(number, theirs, len(data)) == data, how
        with pytest.raises(MessageSizeTooLargeError):
            codec.decompress(number, theirs, len(data) - 1)


def test_blocks_that_depend_on_each_other() -> None:
    """Java refuses them."""
    with pytest.raises(KafkaProtocolError):
        codec.decompress(codec.CODECS["lz4"], lz4.frame.compress(CONTENTS["1 MB"], block_linked=True), LIMIT)


def payload(golden: Golden) -> bytes:
    """The compressed bytes of a batch or a wrapper."""
    if golden.magic == 2:
        return golden.data[BATCH_HEADER:]
    wrapper = decode_message_set(golden.data).wrapper
    assert wrapper is not None
    assert wrapper.value is not None
    return wrapper.value


@pytest.mark.parametrize("golden", GOLDEN, ids=str)
def test_what_other_clients_sent(golden: Golden) -> None:
    data = payload(golden)
    wanted = compression.decompress(golden.codec, data, golden.magic)
    assert codec.decompress(golden.codec, data, len(wanted), golden.magic) == wanted
    with pytest.raises(MessageSizeTooLargeError):
        codec.decompress(golden.codec, data, len(wanted) - 1, golden.magic)


@pytest.mark.parametrize("name", NAMES)
def test_a_bomb_stays_within_its_limit(name: str) -> None:
    number = codec.CODECS[name]
    bomb = codec.compress(number, bytes(64 << 20), None)
    assert len(bomb) < 4 << 20
    with pytest.raises(MessageSizeTooLargeError):
        codec.decompress(number, bomb, 1000)


@pytest.mark.parametrize("name", NAMES)
def test_bytes_of_another_kind(name: str) -> None:
    number = codec.CODECS[name]
    for data in (b"", b"\1", b"certainly not compressed, by nobody", b"\xff" * 1000):
        with pytest.raises((KafkaProtocolError, MessageSizeTooLargeError)):
            codec.decompress(number, data, LIMIT)


def test_levels() -> None:
    assert {name: number for number, name in enumerate(compression.CODECS)} == codec.CODECS
    described = {name: codec.levels(number) for name, number in codec.CODECS.items()}
    assert described == {"none": None, "gzip": (1, 9, 6), "snappy": None, "lz4": (0, 12, 0), "zstd": (-7, 22, 3)}
    for name in ("gzip", "lz4", "zstd"):
        lowest, highest, standard = codec.levels(codec.CODECS[name]) or (0, 0, 0)
        text = CONTENTS["16 KiB"]
        assert codec.compress(codec.CODECS[name], text) == codec.compress(codec.CODECS[name], text, standard)
        assert len(codec.compress(codec.CODECS[name], text, highest)) < len(
            codec.compress(codec.CODECS[name], text, lowest)
        )
        for wrong in (lowest - 3, highest + 1):
            with pytest.raises(IllegalArgumentError):
                codec.compress(codec.CODECS[name], b"x", wrong)


def test_no_such_codec() -> None:
    for number in (-1, 5, 1000):
        for call in (
            lambda number=number: codec.levels(number),
            lambda number=number: codec.bound(number, 1),
            lambda number=number: codec.memory(number, None, 1),
            lambda number=number: codec.compress(number, b"x"),
            lambda number=number: codec.decompress(number, b"x", 1),
        ):
            with pytest.raises(IllegalArgumentError):
                call()


def test_what_is_not_contiguous() -> None:
    with pytest.raises(BufferError):
        codec.compress(1, memoryview(b"abcdef")[::2])
    with pytest.raises(BufferError):
        codec.decompress(1, memoryview(b"abcdef")[::2], 100)


def test_many_threads_at_once() -> None:
    """The libraries' contexts are kept from call to call, and are never two threads' at once."""
    failures: list[str] = []

    def work(seed: int) -> None:
        draw = random.Random(seed)
        for _ in range(60):
            name = draw.choice(NAMES)
            number, data = codec.CODECS[name], draw.choice(list(CONTENTS.values()))[: draw.randrange(60_000)]
            if codec.decompress(number, codec.compress(number, data), len(data)) != data:
                failures.append(name)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failures
    assert not any(thread.is_alive() for thread in threads)
