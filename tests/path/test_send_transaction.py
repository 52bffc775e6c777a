# SPDX-License-Identifier: Apache-2.0
"""The transaction hook of send(), with a double in the manager's place."""

from __future__ import annotations

from collections import Counter

import pytest

from pykafka_fast import ProducerInterceptor
from pykafka_fast.errors import KafkaTimeoutError, MessageSizeTooLargeError, TopicAuthorizationFailedError
from pykafka_fast.testing import EmbeddedBroker
from tests.path.conftest import Make, check_balance
from tests.path.ways import Transactions

TIMEOUT_S = 10.0


def test_one_call_per_send_with_the_records_partition(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker)
    producer.send("t", b"before").get(TIMEOUT_S)
    manager = producer._transaction_manager = Transactions()
    assert producer._transaction_manager is manager
    futures = [producer.send("t", b"%d" % n, key=b"%d" % n if n % 2 else None) for n in range(40)]
    futures += [producer.send("t", b"explicit", partition=3), producer.send("t", key=bytearray(b"k"))]
    assert manager.added == [future.topic_partition for future in futures]
    for future in futures:
        future.get(TIMEOUT_S)
    producer._transaction_manager = None
    assert producer._fast_path_applies()
    producer.send("t", b"after").get(TIMEOUT_S)
    assert len(manager.added) == len(futures)


def test_keys_go_where_they_went_without_it(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker)
    keys = [b"key-%d" % n for n in range(100)] + [b""]
    plain = [producer.send("t", b"v", key=key).topic_partition for key in keys]
    producer._transaction_manager = Transactions()
    assert [producer.send("t", b"v", key=key).topic_partition for key in keys] == plain


@pytest.mark.parametrize("error", [RuntimeError("not in a transaction"), KeyboardInterrupt()])
def test_nothing_is_appended_when_it_raises(error: BaseException, broker: EmbeddedBroker, make: Make) -> None:
    told: list[object] = []

    class Interceptor(ProducerInterceptor):
        def on_send_error(self, *args: object) -> None:
            told.append(args[1:])

    producer = make(broker, interceptors=[Interceptor()])
    producer.partitions_for("t")
    manager = producer._transaction_manager = Transactions(error)
    for warm in (False, True):
        with pytest.raises(type(error)) as raised:
            producer.send("t", b"v", partition=2)
        assert raised.value is error
        assert told.pop() == (("t", 2), error)
        assert len(manager.added) == warm + 1
    producer.flush(TIMEOUT_S)
    assert broker.record_count("t") == 0
    assert producer._lifecycle.accumulator.lost() == {}
    check_balance(producer)
    manager.refusal = None
    assert producer.send("t", b"v").get(TIMEOUT_S).offset == 0


def test_a_refusal_that_kafka_caused_fails_the_future(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker)
    producer._transaction_manager = Transactions(TopicAuthorizationFailedError("t"))
    future = producer.send("t", b"v", partition=0)
    assert isinstance(future.exception, TopicAuthorizationFailedError)
    assert broker.record_count("t") == 0


def test_what_fails_before_it_does_not_reach_it(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker)
    producer.partitions_for("t")
    producer._max_block_s = 0.05
    manager = producer._transaction_manager = Transactions()
    assert isinstance(producer.send("unknown", b"v").exception, KafkaTimeoutError)
    with pytest.raises(TypeError):
        producer.send("t", "not bytes")
    with pytest.raises(TypeError):
        producer.send("t", b"v", key="not bytes")
    assert manager.added == []


def test_too_large_is_found_before_the_append(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker, max_request_size=1000)
    producer._transaction_manager = Transactions()
    assert isinstance(producer.send("t", bytes(1000)).exception, MessageSizeTooLargeError)
    assert broker.record_count("t") == 0


@pytest.mark.parametrize("partitioner", ["sticky", "round_robin", "random"])
def test_keyless_records_still_spread(partitioner: str, broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker, partitioner=partitioner, batch_size=1000)
    producer.partitions_for("t")
    manager = producer._transaction_manager = Transactions()
    for _ in range(2000):
        producer.send("t", bytes(100))
    producer.flush(TIMEOUT_S)
    counts = Counter(added.partition for added in manager.added)
    assert sum(counts.values()) == broker.record_count("t") == 2000
    assert {partition: broker.record_count("t", partition) for partition in counts} == counts
    assert min(counts[partition] for partition in range(4)) > 100, counts
    if partitioner == "round_robin":
        assert set(counts.values()) == {500}
