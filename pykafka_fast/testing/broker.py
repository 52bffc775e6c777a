# SPDX-License-Identifier: Apache-2.0
"""A Kafka broker, or a cluster of them, inside the process: for tests."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Any

from .cluster import Cluster, Node
from .faults import Faults
from .log import LogPolicy, PartitionLog, StoredBatch
from .records import Record
from .script import Script
from .server import Server
from .service import BrokerService, Request

__all__ = ["EmbeddedBroker"]

_HOST = "127.0.0.1"


class EmbeddedBroker(Faults):
    """A strict Kafka cluster on 127.0.0.1, in memory, driven by one thread.

    It speaks the protocol of Apache Kafka 2.1 to 4.1 as far as producers and assigning consumers need it, and that of
    0.10 as far as producers do (:meth:`play_release`), checks what a real broker checks, and notes in
    :attr:`violations` what a client did wrong. It knows no transactions, consumer groups, TLS or SASL.

    ::

        with EmbeddedBroker(topics={"events": 3}) as broker:
            producer = KafkaProducer(bootstrap_servers=broker.address)
            producer.send("events", b"hello").get(timeout=10)
            assert [record.value for record in broker.records("events")] == [b"hello"]
            assert broker.violations == []

    Args:
        topics: topic names with their number of partitions.
        brokers: number of nodes. The leaders of a topic are spread over them.
        auto_create: partitions of a topic that comes into being when a client asks for its metadata; 0 for never.
        port: port of the first node, the next ones follow; 0 lets the system choose.
        max_message_bytes: size limit of a batch.
        max_request_bytes: size limit of a request.
        log_append_time: the broker's clock replaces the producers' timestamps.
        strict_records: check every record when it is appended (about 1 us each); with False the records of a batch
            are looked at when :attr:`violations` is read, which makes a faster broker.
        require_known_producer: answer UNKNOWN_PRODUCER_ID as brokers before 2.5 do (KIP-360).
        first_node: the id the node ids count from.
        strangers: this cluster takes another one's place, so producers may come with ids, sequences and topic ids
            that were given to them there; without, that is a violation.

    Raises:
        OSError: the port is in use.
        ValueError: an illegal topic name or number.
        TypeError: ``topics`` or a number of partitions of another type.
    """

    def __init__(
        self,
        topics: Mapping[str, int] | None = None,
        *,
        brokers: int = 1,
        auto_create: int = 0,
        port: int = 0,
        max_message_bytes: int = 1_048_588,
        max_request_bytes: int = 104_857_600,
        log_append_time: bool = False,
        strict_records: bool = True,
        require_known_producer: bool = False,
        first_node: int = 1,
        strangers: bool = False,
    ) -> None:
        if brokers < 1:
            raise ValueError(f"brokers must be at least 1, not {brokers!r}")
        if topics is not None and not isinstance(topics, Mapping):
            raise TypeError(f"topics must map names to numbers of partitions, as {{'events': 3}}, not be {topics!r}")
        policy = LogPolicy(max_message_bytes, log_append_time, strict_records, require_known_producer, strangers)
        nodes = [Node(number, _HOST, 0) for number in range(first_node, first_node + brokers)]
        self._cluster = Cluster(nodes, policy, auto_create)
        for name, partitions in (topics or {}).items():
            self._cluster.create_topic(name, partitions)
        self._script = Script()
        self._service = BrokerService(self._cluster, self._script)
        self._server = Server(self._service, _HOST, max_request_bytes)
        try:
            for index, node in enumerate(nodes):
                node.port = self._server.bind(node.node_id, port + index if port else 0)
        except OSError:
            self._server.stop()
            raise
        self._stopped = False
        self._server.start()

    def close(self) -> None:
        """Close all connections and listeners and end the thread. What was noted can still be read."""
        if not self._stopped:
            self._stopped = True
            self._server.stop()

    def __enter__(self) -> EmbeddedBroker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<EmbeddedBroker {self.address}{' closed' if self._stopped else ''}>"

    # Where it is

    @property
    def address(self) -> str:
        """What to give a client as bootstrap servers: ``host:port`` of every node, separated by commas."""
        return ",".join(self.addresses)

    @property
    def addresses(self) -> list[str]:
        """``host:port`` of every node, in the order of their ids."""
        return [self.node_address(node_id) for node_id in sorted(self._cluster.nodes)]

    def node_address(self, node: int) -> str:
        """``host:port`` of one node, running or not."""
        found = self._cluster.nodes[node]
        return f"{found.host}:{found.port}"

    # What was written and asked

    @property
    def violations(self) -> list[str]:
        """In plain words, everything clients did wrong so far, in order."""
        with self._service.changed:
            for topic in self._cluster.topics.values():
                for partition in topic.partitions:
                    for problem in partition.log.check_deferred():
                        self._service.violation(f"{topic.name}-{partition.index}", problem)
            return list(self._service.violations)

    @property
    def requests(self) -> list[Request]:
        """The requests so far, in order (the last 100,000)."""
        with self._service.changed:
            return list(self._service.requests)

    def requests_of(self, api: str) -> list[Request]:
        """The requests of one API, for example ``"Produce"``."""
        return [request for request in self.requests if request.api == api]

    def request_count(self, api: str) -> int:
        """How many requests of one API there were; costs nothing."""
        with self._service.changed:
            return self._service.request_counts[api]

    def records(self, topic: str, partition: int | None = None) -> list[Record]:
        """The records of a topic or of one partition, partition by partition, in offset order.

        Raises:
            KeyError: no such topic or partition.
        """
        with self._service.changed:
            return [record for log in self._logs(topic, partition) for record in log.records()]

    def record_count(self, topic: str, partition: int | None = None) -> int:
        """How many records were appended to a topic or to one partition; costs nothing."""
        with self._service.changed:
            return sum(log.end_offset for log in self._logs(topic, partition))

    def batches(self, topic: str, partition: int | None = None) -> list[StoredBatch]:
        """The batches of a topic or of one partition, partition by partition, in offset order."""
        with self._service.changed:
            return [batch for log in self._logs(topic, partition) for batch in log.batches]

    def _logs(self, topic: str, partition: int | None) -> Iterable[PartitionLog]:
        if partition is not None:
            return [self._cluster.partition(topic, partition).log]
        return [part.log for part in self._cluster.topic(topic).partitions]

    def leader(self, topic: str, partition: int) -> tuple[int, int]:
        """Node id of a partition's leader (-1 for none) and the leader epoch."""
        with self._service.changed:
            found = self._cluster.partition(topic, partition)
            return found.leader, found.leader_epoch

    def wait(self, condition: Callable[[EmbeddedBroker], Any], timeout: float = 10.0) -> None:
        """Wait until ``condition(broker)`` is true; it is looked at after every request.

        Raises:
            TimeoutError: it was not true within ``timeout`` seconds.
        """
        deadline = time.monotonic() + timeout
        with self._service.changed:
            while not condition(self):
                left = deadline - time.monotonic()
                if left <= 0 or not self._service.changed.wait(left):
                    if condition(self):
                        return
                    seen = len(self._service.requests)
                    raise TimeoutError(f"the condition did not come true in {timeout} s ({seen} requests so far)")

    def wait_for_requests(self, api: str, count: int, timeout: float = 10.0) -> list[Request]:
        """Wait until ``count`` requests of an API were read, and give them.

        Raises:
            TimeoutError: there were fewer within ``timeout`` seconds.
        """
        self.wait(lambda broker: broker.request_count(api) >= count, timeout)
        return self.requests_of(api)

    # Topics

    @property
    def topics(self) -> dict[str, int]:
        """Topic names with their number of partitions."""
        with self._service.changed:
            return {name: len(topic.partitions) for name, topic in self._cluster.topics.items()}

    def topic_id(self, topic: str) -> bytes:
        """The 16 bytes of a topic's id."""
        with self._service.changed:
            return self._cluster.topic(topic).topic_id

    def create_topic(self, name: str, partitions: int = 1, **policy: int | bool) -> None:
        """Create a topic with a new id; ``policy`` may hold ``max_message_bytes``, ``log_append_time``,
        ``strict_records`` and ``require_known_producer``, where it shall differ from the broker's."""
        with self._service.changed:
            self._cluster.create_topic(name, partitions)
            if policy:
                self._cluster.set_policy(name, **policy)

    def configure_topic(self, name: str, **policy: int | bool) -> None:
        """Change a topic's ``max_message_bytes``, ``log_append_time``, ``strict_records`` or
        ``require_known_producer`` from the next batch on."""
        with self._service.changed:
            self._cluster.set_policy(name, **policy)

    def delete_topic(self, name: str) -> None:
        """Delete a topic with its records."""
        with self._service.changed:
            self._cluster.delete_topic(name)

    def add_partitions(self, name: str, total: int) -> None:
        """Grow a topic to ``total`` partitions."""
        with self._service.changed:
            self._cluster.add_partitions(name, total)
