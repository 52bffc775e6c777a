# SPDX-License-Identifier: Apache-2.0
"""One client's connection: frames in, answers out, in the order of the requests."""

from __future__ import annotations

import socket
import struct
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

__all__ = ["Answer", "Connection", "FrameError"]

_SIZE = struct.Struct(">i")
_SCRATCH_SIZE = 1 << 16
_DIRECT_SIZE = 1 << 14  # frames with more than this still to come are received in place


class FrameError(Exception):
    """A frame size no broker accepts; says what is wrong."""


@dataclass
class Answer:
    """What a request is answered with.

    Attributes:
        api: number of the API that was asked.
        data: bytes to send, None until they are known; without ``retry`` they never are.
        due: earliest time to send, on the monotonic clock.
        close: close the connection after the last byte.
        reset: and make the client see ECONNRESET instead of the end of the stream.
        retry: while ``data`` is None, asked for it whenever records arrive, and at ``deadline`` with True.
        deadline: when ``retry`` must give an answer.
    """

    api: int
    data: bytes | None = None
    due: float = 0.0
    close: bool = False
    reset: bool = False
    retry: Callable[[bool], bytes | None] | None = None
    deadline: float = 0.0
    sent: int = 0


class Connection:
    """A non-blocking socket with its unfinished frame and unsent answers. Belongs to the server's thread.

    Attributes:
        number: counts the connections of a broker from 1.
        node_id: the node it was made to.
        answers: in the order of the requests.
        blocked: the socket takes no more bytes for now.
        interest: the selector events it is registered for.
    """

    def __init__(self, sock: socket.socket, number: int, node_id: int, max_frame: int) -> None:
        self.sock = sock
        self.number = number
        self.node_id = node_id
        self.answers: deque[Answer] = deque()
        self.blocked = False
        self.interest = 0
        self._max_frame = max_frame
        self._head = b""  # the beginning of a frame size
        self._frame: bytearray | None = None
        self._filled = 0
        self._scratch = bytearray(_SCRATCH_SIZE)
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def receive(self) -> Iterator[bytearray]:
        """Read once; the frames that became complete, without their size.

        Raises:
            FrameError: the client sent an impossible frame size.
            EOFError: the client closed the connection.
            OSError: the connection broke.
        """
        frame = self._frame
        if frame is not None and len(frame) - self._filled > _DIRECT_SIZE:
            self._filled += self._counted(self.sock.recv_into(memoryview(frame)[self._filled :]))
            if self._filled == len(frame):
                self._frame = None
                yield frame
            return
        size = self._counted(self.sock.recv_into(self._scratch))
        yield from self._split(memoryview(self._scratch)[:size])

    @staticmethod
    def _counted(size: int) -> int:
        if size == 0:
            raise EOFError
        return size

    def _split(self, data: memoryview) -> Iterator[bytearray]:
        while data:
            if self._frame is None:
                wanted = _SIZE.size - len(self._head)
                self._head += data[:wanted]
                data = data[wanted:]
                if len(self._head) < _SIZE.size:
                    return
                self._frame = bytearray(self._checked_size(_SIZE.unpack(self._head)[0]))
                self._head, self._filled = b"", 0
            frame = self._frame
            part = data[: len(frame) - self._filled]
            frame[self._filled : self._filled + len(part)] = part
            self._filled += len(part)
            data = data[len(part) :]
            if self._filled == len(frame):
                self._frame = None
                yield frame

    def _checked_size(self, size: int) -> int:
        if size < 0:
            raise FrameError(f"frame size {size} is negative")
        if size > self._max_frame:
            raise FrameError(f"frame size {size}, the limit is {self._max_frame}")
        if size < 8:
            raise FrameError(f"frame size {size} cannot hold a request header")
        return size

    def has_unfinished_frame(self) -> bool:
        """Whether the client stopped within a frame."""
        return self._frame is not None or bool(self._head)

    @property
    def is_closing(self) -> bool:
        """Whether an answer after which the connection ends is waiting to be sent."""
        return bool(self.answers) and self.answers[-1].close

    def next_due(self) -> float | None:
        """When the first answer may be sent, None if there is none that waits for time alone."""
        if not self.answers or self.blocked:
            return None
        first = self.answers[0]
        if first.data is None and first.retry is None:
            return None
        return first.due if first.data is not None else first.deadline

    def send_due(self, held: Callable[[int, int], bool], split: int | None) -> Answer | None:
        """Send what is due; the answer after which the connection shall be closed, None if it goes on.

        Args:
            held: whether answers of (api, node) are being held back.
            split: bytes per system call, None for as many as possible.

        Raises:
            OSError: the connection broke.
        """
        while self.answers:
            answer = self.answers[0]
            if answer.data is None or answer.due > time.monotonic() or held(answer.api, self.node_id):
                return None
            if not self._send(answer, split):
                return None
            self.answers.popleft()
            if answer.close:
                return answer
        return None

    def _send(self, answer: Answer, split: int | None) -> bool:
        assert answer.data is not None
        view = memoryview(answer.data)
        while answer.sent < len(view):
            stop = len(view) if split is None else answer.sent + split
            try:
                answer.sent += self.sock.send(view[answer.sent : stop])
            except BlockingIOError:
                self.blocked = True
                return False
        self.blocked = False
        return True

    def close(self, reset: bool = False) -> None:
        """Close the socket; with ``reset`` the client sees ECONNRESET instead of the end of the stream."""
        if reset:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()
