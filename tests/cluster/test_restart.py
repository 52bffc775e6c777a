# SPDX-License-Identifier: Apache-2.0
"""A broker is started again while requests wait for its answers.

After that it remembers the last batch of a producer and no other, and refuses those before it, which it has written.
"""

from collections.abc import Callable, Iterator

import pytest

from pykafka_fast import KafkaProducer
from tools.brokers.kafka import KafkaCluster
from tools.brokers.processes import wait_for
from tools.readback import Record
from tools.relay import Relay

NewProducer = Callable[..., KafkaProducer]
QUICK = {"retry_backoff_max_ms": 300, "reconnect_backoff_max_ms": 300}
COUNT = 5


@pytest.fixture(scope="module")
def relay() -> Iterator[Relay]:
    with Relay() as running:
        yield running


@pytest.fixture(scope="module")
def restarted(relay: Relay) -> Iterator[KafkaCluster]:
    """One node, which advertises the relay."""
    with KafkaCluster(nodes=1, advertise=relay.open) as cluster:
        yield cluster


@pytest.mark.parametrize("end", [KafkaCluster.stop, KafkaCluster.kill], ids=["stopped", "killed"])
def test_unanswered_batches_are_written_once(
    restarted: KafkaCluster,
    relay: Relay,
    new_producer: NewProducer,
    new_topic: Callable[..., str],
    read_back: Callable[..., list[Record]],
    end: Callable[[KafkaCluster, int], None],
) -> None:
    topic = new_topic(restarted)
    producer = new_producer(restarted.advertised, linger_ms=0, **QUICK)
    producer.send(topic, b"first").get(30)
    relay.one_way(1)
    futures = []
    for i in range(COUNT):  # a batch each
        size = log_size(restarted, topic)
        futures.append(producer.send(topic, b"%d" % i))
        wait_for(lambda size=size: log_size(restarted, topic) > size, "the batch to be written", 30)  # type: ignore[misc]
    end(restarted, 1)
    relay.reset(1)
    relay.heal()
    restarted.restart(1)
    offsets = [future.get(60).offset for future in futures]
    assert offsets[-1] == COUNT
    assert all(offset in (-1, 1 + i) for i, offset in enumerate(offsets))
    assert producer.send(topic, b"last").get(30).offset == COUNT + 1
    written = [record.value for record in read_back(restarted.bootstrap, topic)]
    assert written == [b"first", *(b"%d" % i for i in range(COUNT)), b"last"]


def log_size(cluster: KafkaCluster, topic: str) -> int:
    return sum(file.stat().st_size for file in cluster.segments(1, topic))
