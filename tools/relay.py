# SPDX-License-Identifier: Apache-2.0
"""A TCP relay between clients and brokers that changes no byte: it delays, slows, cuts, swallows and stops.

    with Relay() as relay:
        with KafkaCluster(nodes=3, advertise=relay.open) as cluster:
            ...  # clients connect to cluster.advertised
            relay.reset_after(1, 10_000)

A link is one listening port and where it leads; links count from 1 in the order of `open`. One thread serves them all.
"""

import contextlib
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

CHUNK = 1 << 16
BACKLOG = 128
# What a listener without room still takes, on every kernel we know, is less.
FILLERS = 16
ANSWER = 10.0
ALL = 0


@dataclass
class Conduct:
    """How a link treats what passes.

    Attributes:
        delay: seconds that every byte waits, in each direction.
        rate: bytes per second and direction of a connection; 0 for no limit.
        room: bytes that may wait in each direction of a connection before no more is read.
        silent: nothing is read, written or accepted.
        one_way: nothing is passed on to clients.
        cut_after: bytes from clients until all connections are reset; None for never.
    """

    delay: float = 0.0
    rate: float = 0.0
    room: int = 1 << 18
    silent: bool = False
    one_way: bool = False
    cut_after: int | None = None


@dataclass(eq=False)
class Pipe:
    """One direction of one connection."""

    source: socket.socket
    sink: socket.socket
    upward: bool
    waiting: deque[tuple[float, memoryview]] = field(default_factory=deque)
    buffered: int = 0
    ended: bool = False
    finished: bool = False
    may_write_at: float = 0.0

    def next_due(self, conduct: Conduct) -> float | None:
        if not self.waiting or (conduct.one_way and not self.upward):
            return None
        return max(self.waiting[0][0], self.may_write_at)


@dataclass(eq=False)
class Pair:
    """One connection: the client's end, the broker's end."""

    client: socket.socket
    broker: socket.socket
    up: Pipe = field(init=False)
    down: Pipe = field(init=False)

    def __post_init__(self) -> None:
        self.up = Pipe(self.client, self.broker, True)
        self.down = Pipe(self.broker, self.client, False)

    def close(self, reset: bool) -> None:
        for end in (self.client, self.broker):
            if reset:
                with contextlib.suppress(OSError):
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
            end.close()


@dataclass(eq=False)
class Link:
    """One listening port."""

    listener: socket.socket
    target: tuple[str, int]
    conduct: Conduct = field(default_factory=Conduct)
    pairs: list[Pair] = field(default_factory=list)
    fillers: list[socket.socket] = field(default_factory=list)


class Relay:
    """Ends with its `with` block. Any thread may call; a call has taken effect when it returns.

    Attributes:
        passed: bytes of all links from clients to brokers.
        cuts: connections that were reset because of `reset` and `reset_after`.
    """

    def __init__(self) -> None:
        self.passed = 0
        self.cuts = 0
        self._links: list[Link] = []
        self._selector = selectors.DefaultSelector()
        self._wake, self._woken = socket.socketpair()
        self._woken.setblocking(False)
        self._selector.register(self._woken, selectors.EVENT_READ, None)
        self._orders: deque[Callable[[], None]] = deque()
        self._running = True
        self._thread = threading.Thread(target=self._serve, name="relay", daemon=True)
        self._thread.start()

    def __enter__(self) -> "Relay":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Close everything. May be called twice."""
        if self._running:
            self._order(self._end)
            self._thread.join(ANSWER)
            self._wake.close()  # here, where it is used: the thread may have obeyed before it was woken
            self._woken.close()

    # Orders

    def open(self, target: str, at: str = "127.0.0.1") -> str:
        """A new link to host:port; the host:port where it listens, without brackets."""
        host, _, port = target.rpartition(":")
        family = socket.AF_INET6 if ":" in at else socket.AF_INET
        listener = socket.create_server((at, 0), family=family, backlog=BACKLOG)
        listener.setblocking(False)
        self._order(lambda: self._links.append(Link(listener, (host, int(port)))))
        return f"{at}:{listener.getsockname()[1]}"

    def delay(self, link: int, seconds: float) -> None:
        """Let every byte wait, in each direction; 0 ends that."""
        self._conduct(link, delay=seconds)

    def limit(self, link: int, bytes_per_second: float) -> None:
        """Let so many bytes pass in each direction of a connection; 0 ends that."""
        self._conduct(link, rate=bytes_per_second)

    def buffer(self, link: int, room: int) -> None:
        """Take so many bytes in each direction of a connection before they can be passed on."""
        self._conduct(link, room=room)

    def reset(self, link: int) -> None:
        """Reset every connection, with what is under way."""
        self._order(lambda: self._each(link, self._cut))

    def reset_after(self, link: int, count: int) -> None:
        """Reset every connection when `count` more bytes have come from clients. The bytes themselves are passed."""
        self._conduct(link, cut_after=count)

    def silence(self, link: int) -> None:
        """Read and accept nothing until `heal`: connections stay open, new ones get into the backlog."""
        self._conduct(link, silent=True)

    def one_way(self, link: int) -> None:
        """Until `heal` brokers hear clients, and clients hear nothing of brokers."""
        self._conduct(link, one_way=True)

    def black_hole(self, link: int) -> None:
        """`silence`, and the backlog is full: what knocks gets no answer, as if its packets vanished."""
        self._conduct(link, silent=True)
        self._order(lambda: self._each(link, self._fill))

    def half_close(self, link: int, upward: bool = False) -> None:
        """Tell the clients of every connection (`upward`: the brokers) that nothing more comes; the rest goes on."""
        self._order(lambda: self._each(link, lambda found: self._shut(found, upward)))

    def heal(self, link: int = ALL) -> None:
        """Pass everything again, as fast as it goes."""
        self._order(lambda: self._each(link, self._mend))

    def connections(self, link: int = ALL) -> int:
        """How many are open."""
        found: list[int] = []
        self._order(lambda: found.append(sum(len(each.pairs) for each in self._chosen(link))))
        return found[0]

    def _chosen(self, link: int) -> list[Link]:
        return self._links if link == ALL else [self._links[link - 1]]

    def _each(self, link: int, action: Callable[[Link], None]) -> None:
        for found in self._chosen(link):
            action(found)

    def _conduct(self, link: int, **changes: Any) -> None:
        self._order(lambda: self._each(link, lambda found: vars(found.conduct).update(changes)))

    def _order(self, action: Callable[[], None]) -> None:
        done = threading.Event()
        problems: list[BaseException] = []

        def obey() -> None:
            try:
                action()
            except BaseException as error:
                problems.append(error)
            done.set()

        self._orders.append(obey)
        self._wake.send(b"!")
        if not done.wait(ANSWER):
            raise TimeoutError("the relay's thread does not answer")
        if problems:
            raise problems[0]

    # The thread

    def _serve(self) -> None:
        while self._running:
            timeout = self._watch()
            self._selector.select(timeout)
            with contextlib.suppress(BlockingIOError):
                self._woken.recv(4096)
            while self._orders:
                self._orders.popleft()()
            for link in self._links if self._running else ():
                if not link.conduct.silent:
                    self._move(link)

    def _watch(self) -> float | None:
        """Register what is to be waited for; until when."""
        now, dues = time.monotonic(), []
        wanted: dict[Any, int] = {}
        for link in self._links:
            if link.conduct.silent:
                continue
            wanted[link.listener] = selectors.EVENT_READ
            for pipe in (pipe for pair in link.pairs for pipe in (pair.up, pair.down)):
                if not pipe.ended and pipe.buffered < link.conduct.room:
                    wanted[pipe.source] = wanted.get(pipe.source, 0) | selectors.EVENT_READ
                due = pipe.next_due(link.conduct)
                if due is not None and due > now:
                    dues.append(due - now)
                elif due is not None:
                    wanted[pipe.sink] = wanted.get(pipe.sink, 0) | selectors.EVENT_WRITE
        self._register(wanted)
        return min(dues) if dues else None

    def _register(self, wanted: dict[Any, int]) -> None:
        registered: dict[Any, int] = {key.fileobj: key.events for key in self._selector.get_map().values()}
        for found, events in registered.items():
            if found is not self._woken and wanted.get(found) != events:
                self._selector.unregister(found)
        for wished, events in wanted.items():
            if registered.get(wished) != events:
                self._selector.register(wished, events)

    def _move(self, link: Link) -> None:
        self._accept(link)
        for pair in list(link.pairs):
            try:
                for pipe in (pair.up, pair.down):
                    self._read(link, pipe)
                    self._write(link, pipe)
            except OSError:
                self._drop(link, pair, reset=True)
                continue
            if pair.up.finished and pair.down.finished:
                self._drop(link, pair, reset=False)
        if link.conduct.cut_after is not None and link.conduct.cut_after <= 0:
            link.conduct.cut_after = None
            self._cut(link)

    def _accept(self, link: Link) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                client, _ = link.listener.accept()
                try:
                    broker = socket.create_connection(link.target, timeout=1)
                except OSError:
                    client.close()
                    continue
                for end in (client, broker):
                    end.setblocking(False)
                    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                link.pairs.append(Pair(client, broker))

    def _read(self, link: Link, pipe: Pipe) -> None:
        if pipe.ended or pipe.buffered >= link.conduct.room:
            return
        try:
            data = pipe.source.recv(CHUNK)
        except BlockingIOError:
            return
        if not data:
            pipe.ended = True
            return
        pipe.buffered += len(data)
        pipe.waiting.append((time.monotonic() + link.conduct.delay, memoryview(data)))

    def _write(self, link: Link, pipe: Pipe) -> None:
        now = time.monotonic()
        while (due := pipe.next_due(link.conduct)) is not None and due <= now:
            came, data = pipe.waiting[0]
            allowed = len(data)
            if pipe.upward and link.conduct.cut_after is not None:
                allowed = min(allowed, link.conduct.cut_after)
            if link.conduct.rate:
                allowed = min(allowed, max(int(link.conduct.rate * 0.05), 1))
            if allowed == 0:
                return
            try:
                count = pipe.sink.send(data[:allowed])
            except BlockingIOError:
                return
            self._count(link, pipe, count, now)
            if count == len(data):
                pipe.waiting.popleft()
            else:
                pipe.waiting[0] = came, data[count:]
        if pipe.ended and not pipe.waiting and not pipe.finished:
            pipe.finished = True
            with contextlib.suppress(OSError):
                pipe.sink.shutdown(socket.SHUT_WR)

    def _count(self, link: Link, pipe: Pipe, count: int, now: float) -> None:
        pipe.buffered -= count
        if link.conduct.rate:
            pipe.may_write_at = now + count / link.conduct.rate
        if pipe.upward:
            self.passed += count
            if link.conduct.cut_after is not None:
                link.conduct.cut_after -= count

    # What the orders do

    def _cut(self, link: Link) -> None:
        for pair in list(link.pairs):
            self.cuts += 1
            self._drop(link, pair, reset=True)

    def _drop(self, link: Link, pair: Pair, reset: bool) -> None:
        for end in (pair.client, pair.broker):
            with contextlib.suppress(KeyError):
                self._selector.unregister(end)
        link.pairs.remove(pair)
        pair.close(reset)

    def _shut(self, link: Link, upward: bool) -> None:
        for pair in link.pairs:
            pipe = pair.up if upward else pair.down
            pipe.ended = pipe.finished = True
            pipe.waiting.clear()
            with contextlib.suppress(OSError):
                pipe.sink.shutdown(socket.SHUT_WR)

    def _fill(self, link: Link) -> None:
        link.listener.listen(0)
        for _ in range(FILLERS):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(link.listener.getsockname())
            link.fillers.append(filler)

    def _mend(self, link: Link) -> None:
        link.conduct = Conduct()
        if link.fillers:
            link.listener.listen(BACKLOG)
        for filler in link.fillers:
            filler.close()
        link.fillers.clear()

    def _end(self) -> None:
        self._running = False
        for link in self._links:
            for pair in link.pairs:
                pair.close(reset=False)
            self._mend(link)
            link.listener.close()
        self._selector.close()
