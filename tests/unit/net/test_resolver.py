# SPDX-License-Identifier: Apache-2.0
"""Name look-up on its own threads."""

from __future__ import annotations

import socket
import threading
from typing import Any

import pytest

from pykafka_fast.errors import KafkaConnectionError
from pykafka_fast.net.resolver import Address, Resolution, Resolver

V4 = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 9092))
V6 = (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("2001:db8::1", 9092, 0, 0))
DEADLINE_S = 10


class Lookup:
    """Stands in for getaddrinfo; answers when told to."""

    def __init__(self, found: list[Any] | Exception) -> None:
        self.found = found
        self.calls: list[tuple[str, int]] = []
        self.threads: list[threading.Thread] = []
        self.go = threading.Event()

    def __call__(self, host: str, port: int, **_: object) -> list[Any]:
        self.calls.append((host, port))
        self.threads.append(threading.current_thread())
        assert self.go.wait(DEADLINE_S)
        if isinstance(self.found, Exception):
            raise self.found
        return self.found


class Case:
    def __init__(self, found: list[Any] | Exception, **kwargs: Any) -> None:
        self.lookup = Lookup(found)
        self.woken = threading.Semaphore(0)
        self.resolver = Resolver(self.woken.release, lookup=self.lookup, **kwargs)
        self.results: list[Resolution] = []

    def finish(self) -> Resolution:
        self.lookup.go.set()
        assert self.woken.acquire(timeout=DEADLINE_S)
        assert self.resolver.run_callbacks() > 0
        return self.results[-1]


def test_all_addresses_in_order_without_repetition() -> None:
    case = Case([V6, V4, V4, (socket.AF_UNIX, socket.SOCK_STREAM, 0, "", "path")])
    case.resolver.resolve("broker", 9092, case.results.append)
    assert case.resolver.run_callbacks() == 0
    resolution = case.finish()
    assert resolution == Resolution(
        "broker", 9092, (Address(V6[0], V6[4], "broker"), Address(V4[0], V4[4], "broker")), None
    )
    assert [str(address) for address in resolution.addresses] == ["[2001:db8::1]:9092", "192.0.2.1:9092"]
    (thread,) = case.lookup.threads
    assert thread is not threading.current_thread()
    assert thread.daemon


def test_one_look_up_serves_all_who_ask_meanwhile() -> None:
    case = Case([V4])
    case.resolver.resolve("broker", 9092, case.results.append)
    case.resolver.resolve("broker", 9092, case.results.append)
    case.finish()
    assert len(case.results) == 2
    assert case.lookup.calls == [("broker", 9092)]
    case.resolver.resolve("broker", 9092, case.results.append)
    case.finish()
    assert len(case.lookup.calls) == 2


@pytest.mark.parametrize(
    ("failure", "text"),
    [
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "Name or service not known"),
        (UnicodeError("label too long"), "label too long"),
    ],
)
def test_failures_name_host_and_reason(failure: Exception, text: str) -> None:
    case = Case(failure)
    case.resolver.resolve("nowhere", 1, case.results.append)
    resolution = case.finish()
    assert resolution.addresses == ()
    assert isinstance(resolution.error, KafkaConnectionError)
    assert "nowhere:1" in str(resolution.error)
    assert text in str(resolution.error)


def test_a_name_without_addresses_is_a_failure() -> None:
    case = Case([])
    case.resolver.resolve("empty", 1, case.results.append)
    assert "no address" in str(case.finish().error)


def refuse_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)


def test_while_no_thread_can_be_started_names_are_looked_up_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case([V4])
    case.resolver.resolve("127.0.0.1", 9092, case.results.append)
    assert case.woken.acquire(timeout=DEADLINE_S)
    case.resolver.run_callbacks()
    with monkeypatch.context() as patch:
        refuse_threads(patch)
        for name in ("one", "two"):
            case.resolver.resolve(name, 9092, case.results.append)
            assert case.finish().addresses == (Address(V4[0], V4[4], name),)
        assert threading.current_thread() not in case.lookup.threads
    case.resolver.close()
    assert not any(thread.is_alive() for thread in case.lookup.threads)


def test_the_first_thread_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """That look-up fails, and the next one is as good as the first."""
    case = Case([V4])
    with monkeypatch.context() as patch:
        refuse_threads(patch)
        case.resolver.resolve("broker", 9092, case.results.append)
        error = case.finish().error
        assert "broker:9092" in str(error)
        assert "can't start new thread" in str(error)
    case.resolver.resolve("broker", 9092, case.results.append)
    assert case.finish().error is None
    case.resolver.close()


@pytest.mark.parametrize(("host", "family"), [("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6)])
def test_literal_addresses_are_not_looked_up(host: str, family: int) -> None:
    case = Case(AssertionError("looked up"))
    case.resolver.resolve(host, 9092, case.results.append)
    assert case.woken.acquire(blocking=False)
    assert case.resolver.run_callbacks() == 1
    (address,) = case.results[0].addresses
    assert (address.family, address.sockaddr[:2], address.host) == (family, (host, 9092), host)
    assert case.lookup.calls == []


def test_canonical_names() -> None:
    def canonical_name(sockaddr: tuple[Any, ...], flags: int) -> tuple[str, str]:
        assert flags == socket.NI_NAMEREQD
        if sockaddr[0] == "192.0.2.1":
            return "one.example.org", "9092"
        raise socket.gaierror(socket.EAI_NONAME, "no name")

    case = Case([V4, V6], canonical_name=canonical_name)
    case.resolver.resolve("bootstrap", 9092, case.results.append, canonical=True)
    assert [address.host for address in case.finish().addresses] == ["one.example.org", "bootstrap"]


def test_after_close_nothing_is_called() -> None:
    case = Case([V4])
    case.resolver.resolve("broker", 9092, case.results.append)
    while not case.lookup.threads:
        threading.Event().wait(0.001)
    case.resolver.close()
    case.lookup.go.set()
    case.lookup.threads[0].join(DEADLINE_S)
    assert not case.lookup.threads[0].is_alive()
    assert not case.woken.acquire(blocking=False)
    assert case.resolver.run_callbacks() == 0
    assert case.results == []


def test_the_real_resolver_knows_localhost() -> None:
    woken = threading.Event()
    results: list[Resolution] = []
    resolver = Resolver(woken.set)
    resolver.resolve("localhost", 80, results.append)
    assert woken.wait(DEADLINE_S)
    resolver.run_callbacks()
    assert any(address.sockaddr[0] in ("127.0.0.1", "::1") for address in results[0].addresses)
