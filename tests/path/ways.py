# SPDX-License-Identifier: Apache-2.0
"""The ways a record can take through send(): the fast path, and each reason for the path in Python."""

from __future__ import annotations

from typing import Any

from pykafka_fast import KafkaProducer, ProducerInterceptor
from pykafka_fast.testing import EmbeddedBroker
from pykafka_fast.types import TopicPartition
from tests.path.conftest import Make


class Transactions:
    """A transaction manager's double: notes what it is asked, and refuses if it is given a reason."""

    def __init__(self, refusal: BaseException | None = None) -> None:
        self.added: list[TopicPartition] = []
        self.refusal = refusal

    def maybe_add_partition(self, topic_partition: TopicPartition) -> None:
        self.added.append(topic_partition)
        if self.refusal is not None:
            raise self.refusal


class Watcher(ProducerInterceptor):
    """Wants acknowledgements and does nothing with them."""

    def on_acknowledgement(self, metadata: Any, exception: BaseException | None) -> None:
        pass


class Second:
    """A partitioner that chooses partition 1 for every record."""

    def partition(self, topic: str, key: Any, serialized_key: Any, value: Any, serialized_value: Any,
                  cluster: Any) -> int:
        return 1


def identity(data: Any) -> Any:
    return data


def identity_of_three(topic: str, headers: Any, data: Any) -> Any:
    return data


#: What the constructor is given so that send() goes that way.
OPTIONS: dict[str, dict[str, Any]] = {
    "fast": {},
    "interceptor": {"interceptors": [ProducerInterceptor()]},
    "acknowledgements": {"interceptors": [Watcher()]},
    "serializers": {"key_serializer": identity, "value_serializer": identity},
    "serializers of headers": {"key_serializer": identity, "value_serializer": identity_of_three},
    "partitioner": {"partitioner": Second()},
    "transactions": {},
}
WAYS = list(OPTIONS)


def make_by(way: str, make: Make, broker: EmbeddedBroker | str, **options: Any) -> KafkaProducer:
    """A producer whose sends go that way."""
    producer = make(broker, **(OPTIONS[way] | options))
    if way == "transactions":
        producer._transaction_manager = Transactions()
    assert producer._fast_path_applies() == (way == "fast")
    return producer
