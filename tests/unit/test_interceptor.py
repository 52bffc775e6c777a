# SPDX-License-Identifier: Apache-2.0
"""Interceptors run in order and cannot hurt each other."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from pykafka_fast.interceptor import InterceptorChain, ProducerInterceptor
from pykafka_fast.types import ProducerRecord, TopicPartition

RECORD = ProducerRecord("t", value="")
PARTITION = TopicPartition("t", -1)


class Suffix(ProducerInterceptor):
    """Adds a letter to the value and notes every call."""

    def __init__(self, letter: str, log: list[Any]) -> None:
        self.letter = letter
        self.log = log

    def on_send(self, record: ProducerRecord) -> ProducerRecord:
        return record.replace(value=record.value + self.letter)

    def on_acknowledgement(self, metadata: Any, exception: BaseException | None) -> None:
        self.log.append((self.letter, metadata, exception))

    def on_send_error(self, record: Any, topic_partition: TopicPartition, exception: BaseException) -> None:
        self.log.append((self.letter, record, topic_partition, exception))

    def close(self) -> None:
        self.log.append((self.letter, "closed"))


class Broken:
    """Raises from everything."""

    def on_send(self, record: Any) -> Any:
        raise RuntimeError("on_send is broken")

    def on_acknowledgement(self, metadata: Any, exception: Any) -> None:
        raise RuntimeError("on_acknowledgement is broken")

    def on_send_error(self, record: Any, topic_partition: Any, exception: Any) -> None:
        raise RuntimeError("on_send_error is broken")

    def close(self) -> None:
        raise RuntimeError("close is broken")


class OnlyOnSend:
    def on_send(self, record: ProducerRecord) -> ProducerRecord:
        return record.replace(value=record.value + "o")


def test_each_gets_what_the_one_before_returned() -> None:
    chain = InterceptorChain([Suffix("a", []), OnlyOnSend(), Suffix("b", [])])
    assert chain.on_send(RECORD).value == "aob"
    assert RECORD.value == ""
    assert len(chain) == 3


def test_a_broken_one_is_logged_and_passed_over(caplog: pytest.LogCaptureFixture) -> None:
    log: list[Any] = []
    chain = InterceptorChain([Suffix("a", log), Broken(), Suffix("b", log)])
    error = ValueError("x")
    with caplog.at_level(logging.ERROR):
        assert chain.on_send(RECORD).value == "ab"
        chain.on_acknowledgement("metadata", None)
        chain.on_send_error(RECORD, PARTITION, error)
        chain.close()
    assert log == [("a", "metadata", None), ("b", "metadata", None), ("a", RECORD, PARTITION, error),
                   ("b", RECORD, PARTITION, error), ("a", "closed"), ("b", "closed")]
    for method in ("on_send", "on_acknowledgement", "on_send_error", "close"):
        assert f"{method} is broken" in caplog.text


@pytest.mark.parametrize("result", [None, "record", 3])
def test_a_result_that_is_no_record_is_logged_and_ignored(result: Any, caplog: pytest.LogCaptureFixture) -> None:
    class Forgetful:
        def on_send(self, record: ProducerRecord) -> Any:
            return result

    with caplog.at_level(logging.ERROR):
        assert InterceptorChain([Forgetful(), OnlyOnSend()]).on_send(RECORD).value == "o"
    assert f"not {type(result).__name__}" in caplog.text


def test_an_interrupt_is_not_swallowed() -> None:
    class Interrupted:
        def on_send(self, record: Any) -> Any:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        InterceptorChain([Interrupted()]).on_send(RECORD)


def test_methods_may_be_missing_and_empty_ones_cost_nothing() -> None:
    chain = InterceptorChain([OnlyOnSend(), ProducerInterceptor()])
    assert chain.acknowledges is False
    chain.on_acknowledgement("metadata", None)
    chain.on_send_error(None, PARTITION, ValueError())
    chain.close()
    assert InterceptorChain([Suffix("a", [])]).acknowledges is True


def test_an_attribute_of_the_instance_counts() -> None:
    seen: list[Any] = []
    interceptor = ProducerInterceptor()
    interceptor.on_acknowledgement = lambda metadata, exception: seen.append(metadata)  # type: ignore[method-assign]
    chain = InterceptorChain([interceptor])
    chain.on_acknowledgement("m", None)
    assert seen == ["m"]


def test_an_empty_chain_is_false_and_passes_records_through() -> None:
    assert not InterceptorChain()
    assert InterceptorChain().on_send(RECORD) is RECORD
    assert InterceptorChain([ProducerInterceptor()])


def test_the_base_class_changes_nothing() -> None:
    base = ProducerInterceptor()
    assert base.on_send(RECORD) is RECORD
    base.on_acknowledgement(None, None)
    base.on_send_error(None, PARTITION, ValueError())
    base.close()
