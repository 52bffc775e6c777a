# SPDX-License-Identifier: Apache-2.0
"""The cluster itself: a node that is killed loses its leadership and gets its data back."""

from collections.abc import Callable

import confluent_kafka

from tools.brokers.kafka import KafkaCluster
from tools.brokers.processes import wait_for
from tools.readback import Record


def test_kill_and_heal(
    kafka3: KafkaCluster, new_topic: Callable[..., str], read_back: Callable[[str, str], list[Record]]
) -> None:
    topic = new_topic(kafka3, 1)
    producer = confluent_kafka.Producer({"bootstrap.servers": kafka3.bootstrap, "acks": "all", "log_level": 0})
    producer.produce(topic, b"before")
    assert producer.flush(30) == 0
    leader = kafka3.leader(topic, 0)
    kafka3.kill(leader)
    wait_for(lambda: kafka3.leader(topic, 0) not in (leader, -1), "another leader", 60)
    producer.produce(topic, b"between")
    assert producer.flush(30) == 0
    kafka3.heal()
    assert [record.value for record in read_back(kafka3.address(leader), topic)] == [b"before", b"between"]
