# SPDX-License-Identifier: Apache-2.0
"""From bytes to frames."""

from __future__ import annotations

import struct
import tracemalloc

import pytest

from pykafka_fast.errors import InvalidReceiveError
from pykafka_fast.net.frames import FrameBuffer

FRAMES = [b"\0\0\0\1", b"\0\0\0\2" + b"x" * 300, b"\0\0\0\3\0"]
STREAM = b"".join(struct.pack(">i", len(frame)) + frame for frame in FRAMES)


def drain(frames: FrameBuffer) -> list[bytes]:
    found = []
    while (frame := frames.next_frame()) is not None:
        found.append(frame)
    return found


@pytest.mark.parametrize("step", [1, 2, 3, 5, 7, 100, len(STREAM)])
def test_split_anywhere(step: int) -> None:
    frames, found = FrameBuffer(1000), []
    for start in range(0, len(STREAM), step):
        frames.feed(STREAM[start : start + step])
        found += drain(frames)
    assert found == FRAMES
    assert len(frames) == 0


def test_bytes_that_are_left() -> None:
    frames = FrameBuffer(1000)
    frames.feed(STREAM + b"\0\0")
    assert drain(frames) == FRAMES
    assert len(frames) == 2


@pytest.mark.parametrize(
    ("start", "said"),
    [
        (b"HTTP/1.1 400 Bad Request\r\nServer: x\r\n", r"HTTP \('HTTP/1.1 400 Bad Request'\).*web server"),
        (bytes.fromhex("15030300020232"), "TLS alert.*plaintext"),
        (bytes.fromhex("16030300") + b"x" * 50, "TLS handshake"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "text.*SSH-2.0-OpenSSH_9.2.*not a Kafka broker"),
        (b"220 mail.example.org ESMTP\r\n", "text"),
        (b"\xff\xff\xff\xff\x00", "not Kafka's.*xff"),
        (b"\x7f\xff\xff\xff\x00", "not Kafka's"),
        (b"\0\0\0\0", "not Kafka's"),
    ],
)
def test_what_is_not_kafka_is_recognised_in_the_first_answer(start: bytes, said: str) -> None:
    frames = FrameBuffer(1000)
    frames.feed(start)
    with pytest.raises(InvalidReceiveError, match=said):
        frames.next_frame()


@pytest.mark.parametrize(
    ("size", "said"),
    [
        (0x7FFFFFFF, "2147483647 bytes exceeds receive_message_max_bytes=1000"),
        (1001, "receive_message_max_bytes"),
        (-1, "-1 bytes"),
        (3, "3 bytes"),
    ],
)
def test_impossible_sizes_later(size: int, said: str) -> None:
    frames = FrameBuffer(1000)
    frames.feed(STREAM + struct.pack(">i", size))
    for _ in FRAMES:
        assert frames.next_frame()
    with pytest.raises(InvalidReceiveError, match=said):
        frames.next_frame()


def test_an_announced_size_takes_no_memory() -> None:
    frames = FrameBuffer(100_000_000)
    tracemalloc.start()
    frames.feed(struct.pack(">i", 99_999_999) + b"x")
    assert frames.next_frame() is None
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10_000


def test_the_largest_size_is_accepted() -> None:
    frames = FrameBuffer(300)
    frames.feed(struct.pack(">i", 300) + b"y" * 300)
    assert frames.next_frame() == b"y" * 300
