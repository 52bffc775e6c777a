# SPDX-License-Identifier: Apache-2.0
"""Topics of a running cluster, through confluent-kafka's admin client."""

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, TimeoutError
from typing import Any

from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._listoffsets import OffsetSpec
from confluent_kafka.admin._metadata import ClusterMetadata, TopicMetadata
from confluent_kafka.cimpl import NewPartitions, NewTopic

from tools.brokers.processes import wait_for

ONE_TRY = 5.0
ONE_CHANGE = 15.0


class Admin:
    """Every call returns when the cluster shows its effect, or raises within `timeout` seconds."""

    def __init__(self, bootstrap: str, timeout: float = 30.0):
        # Errors of a broker that a test has just killed are no news.
        self._options: dict[str, Any] = {
            "bootstrap.servers": bootstrap, "log_level": 0, "error_cb": lambda error: None,
            "reconnect.backoff.max.ms": 500,
        }  # fmt: skip
        self._client = AdminClient(self._options)
        self._timeout = timeout

    def create_topic(self, name: str, partitions: int, replication: int, config: Mapping[str, str] | None) -> None:
        topic = NewTopic(name, partitions, replication, config=dict(config or {}))
        self._retrying(lambda: self._client.create_topics([topic], operation_timeout=10)[name], "TOPIC_ALREADY_EXISTS")
        wait_for(lambda: self._served(name, partitions), f"leaders of {name}", self._timeout)
        self._wait_for_answers(name, partitions)

    def delete_topic(self, name: str) -> None:
        self._retrying(lambda: self._client.delete_topics([name], operation_timeout=10)[name], "UNKNOWN_TOPIC_OR_PART")
        wait_for(lambda: self._find(name) is None, f"deletion of {name}", self._timeout)

    def add_partitions(self, name: str, total: int) -> None:
        self._retrying(lambda: self._client.create_partitions([NewPartitions(name, total)])[name], "INVALID_PARTITIONS")
        wait_for(lambda: self._served(name, total), f"leaders of {name}", self._timeout)
        self._wait_for_answers(name, total)

    def leader(self, topic: str, partition: int) -> int:
        found = self._find(topic)
        return -1 if found is None else int(found.partitions[partition].leader)

    def wait_for_all(self, nodes: Sequence[int]) -> None:
        """Until every node is registered and every replica of every partition is in sync."""
        wait_for(lambda: self._whole(nodes), f"nodes {list(nodes)} in sync", self._timeout)

    def _whole(self, nodes: Sequence[int]) -> bool:
        cluster = self._cluster()
        return set(nodes) <= set(cluster.brokers) and all(
            partition.leader >= 0 and len(partition.isrs) == len(partition.replicas)
            for topic in cluster.topics.values()
            for partition in topic.partitions.values()
        )

    def _served(self, name: str, partitions: int) -> bool:
        found = self._find(name)
        return (
            found is not None
            and len(found.partitions) == partitions
            and all(p.leader >= 0 for p in found.partitions.values())
        )

    def _wait_for_answers(self, name: str, partitions: int) -> None:
        """Metadata names leaders a moment before they know of it."""
        refusals: list[BaseException] = []
        try:
            wait_for(lambda: self._answers(name, partitions, refusals), f"partitions of {name}", self._timeout)
        except TimeoutError as error:
            raise TimeoutError(f"{error}; the last answers: {refusals}") from error

    def _answers(self, name: str, partitions: int, refusals: list[BaseException]) -> bool:
        latest: dict[TopicPartition, OffsetSpec] = {
            TopicPartition(name, partition): OffsetSpec.latest()  # type: ignore[no-untyped-call]
            for partition in range(partitions)
        }
        # A request that was sent to a leader that has just moved may never be answered: the next one is.
        asked = self._client.list_offsets(latest, request_timeout=min(self._timeout, ONE_TRY))
        refusals[:] = filter(None, (future.exception(self._timeout) for future in asked.values()))
        if any(refusal.args[0].code() < 0 for refusal in refusals):  # not a broker's: this client may wait for ever
            self._client = AdminClient(self._options)
        return not refusals

    def _cluster(self) -> ClusterMetadata:
        """Asked in short tries: a request to a broker that has just been killed may wait for its whole time-out."""
        deadline = time.monotonic() + self._timeout
        while True:
            try:
                return self._client.list_topics(timeout=5)
            except KafkaException as error:
                if error.args[0].code() >= 0 or time.monotonic() > deadline:  # below 0: not a broker's answer
                    raise

    def _find(self, topic: str) -> TopicMetadata | None:
        # Asking for one topic by name would create it on a broker that creates topics by itself.
        found: TopicMetadata | None = self._cluster().topics.get(topic)
        return None if found is None or found.error is not None else found

    def _retrying(self, action: Callable[[], Future[None]], done: str) -> None:
        """A broker that has just started may know too few others for the replication wanted, or answer nothing.

        done: the error that says, after a try without an answer, that it has had its effect.
        """
        deadline = time.monotonic() + 2 * self._timeout
        unanswered = False
        while True:
            try:
                action().result(min(self._timeout, ONE_CHANGE))
                return
            except TimeoutError:  # a client whose broker was killed may wait for ever without asking the new one
                unanswered = True
                self._client = AdminClient(self._options)
                if time.monotonic() > deadline:
                    raise
            except KafkaException as error:
                if unanswered and error.args[0].name() == done:
                    return
                unanswered |= error.args[0].code() < -1  # not a broker's answer
                if not (
                    unanswered or error.args[0].retriable() or error.args[0].name() == "INVALID_REPLICATION_FACTOR"
                ):
                    raise
                if time.monotonic() > deadline:
                    raise
            time.sleep(0.2)
