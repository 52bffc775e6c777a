# SPDX-License-Identifier: Apache-2.0
"""Real Apache Kafka of earlier releases on loopback, one node each, from Maven Central.

    with old_kafka("0.10.2.2") as cluster:
        cluster.create_topic("events", partitions=3)
        ...  # connect to cluster.bootstrap

`python -m tools.brokers.old 2.8.2` runs one until Ctrl-C.

=========  =================  ==========================================================================
release    runs with          what is different about it
=========  =================  ==========================================================================
0.10.2.2   ZooKeeper          message formats v0 and v1; no headers, no idempotence
2.8.2      ZooKeeper          the last that was used with ZooKeeper alone
3.9.1      KRaft              the last before 4.0
=========  =================  ==========================================================================
"""

import argparse
import signal
import socket
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from tools.brokers import maven
from tools.brokers.kafka import HERE, RETENTION, START_TIMEOUT, KafkaCluster
from tools.brokers.processes import Server, free_port, wait_for

RELEASES = ("0.10.2.2", "2.8.2", "3.9.1")
TOPIC_TIMEOUT = 60.0
KNOWN_TIMEOUT = 15.0


def old_kafka(release: str) -> "OldKafka":
    """A cluster of one node of that release; start it with `with`.

    Raises:
        ValueError: none of RELEASES.
        MissingTool: no Java or no Maven; the message says what to run.
    """
    if release not in RELEASES:
        raise ValueError(f"there is no recipe for Kafka {release}; there are {', '.join(RELEASES)}")
    return OldKafka(release) if release.startswith("3.") else ZooKeeperKafka(release)


class OldKafka(KafkaCluster):
    """One node with KRaft, as KafkaCluster, of another release."""

    LOGGING = f"-Dlog4j.configuration=file:{HERE / 'log4j.properties'}"

    def __init__(self, release: str):
        self.release = release
        super().__init__(nodes=1)

    def _fetch(self) -> Path:
        return maven.jars(f"kafka-{self.release}", HERE / "poms" / f"kafka-{self.release}.xml")


class ZooKeeperKafka(OldKafka):
    """One node with a ZooKeeper of its own."""

    READY = "started (kafka.server.KafkaServer)"

    def __init__(self, release: str):
        super().__init__(release)
        self._zookeeper_port = free_port()
        self._zookeeper: Server | None = None

    @property
    def _has_admin_api(self) -> bool:
        return not self.release.startswith("0.")

    def start(self) -> None:
        """Start ZooKeeper, then the node, and wait until it serves."""
        file = self._folder / "zookeeper.properties"
        lines = {
            "dataDir": str(self._folder / "zookeeper"),
            "clientPort": str(self._zookeeper_port),
            "clientPortAddress": "127.0.0.1",
            "admin.enableServer": "false",
            "maxClientCnxns": "0",
            # A session of two seconds must be possible: a broker that was killed may not come back before it is over.
            "tickTime": "500",
        }
        file.write_text("".join(f"{name}={value}\n" for name, value in lines.items()))
        command = ["org.apache.zookeeper.server.quorum.QuorumPeerMain", str(file)]
        self._zookeeper = self._run_java("ZooKeeper", "-Xms64m", command, "zookeeper.log")
        wait_for(lambda: listens(self._zookeeper_port), "ZooKeeper", START_TIMEOUT)
        self._write_properties()
        self.restart(1)

    def close(self) -> None:
        """End the node and ZooKeeper and remove the data. Never fails, may be called twice."""
        if self._zookeeper is not None:
            self._zookeeper.kill()
        super().close()

    def restart(self, node: int) -> None:
        """Start the node again, stopping it first if it runs, with the same port and data; returns when it serves."""
        if node in self._servers and self._servers[node].running:
            self._servers[node].stop()
        deadline = time.monotonic() + START_TIMEOUT
        while True:
            self._launch(node)
            try:
                self._servers[node].wait_until_said(self.READY, START_TIMEOUT)
                return wait_for(self._knows_itself, "a node that knows itself", KNOWN_TIMEOUT)
            except (RuntimeError, TimeoutError):  # ZooKeeper knows the one that was killed, or a session expired
                if time.monotonic() > deadline:
                    raise
                self._servers[node].kill()

    def _knows_itself(self) -> bool:
        """A node held up for longer than its session lasts, while it started, serves an empty cluster for ever."""
        options: dict[str, Any] = {"bootstrap.servers": self.bootstrap, "log_level": 0, "error_cb": lambda error: None}
        client = AdminClient(options)
        try:
            return 1 in client.list_topics(timeout=3).brokers
        except KafkaException:
            return False

    def create_topic(
        self, name: str, partitions: int = 1, replication: int | None = None, config: Mapping[str, str] | None = None
    ) -> None:
        """Create a topic and wait until every partition has a leader."""
        if self._has_admin_api:
            super().create_topic(name, partitions, replication, config)
            return
        settings = [word for key, value in (config or {}).items() for word in ("--config", f"{key}={value}")]
        self.run_tool(
            "kafka.admin.TopicCommand", "--zookeeper", f"127.0.0.1:{self._zookeeper_port}", "--create",
            "--topic", name, "--partitions", str(partitions), "--replication-factor", "1", *settings,
            timeout=TOPIC_TIMEOUT,
        )  # fmt: skip

    def _write_properties(self) -> None:
        lines = {
            "broker.id": "1",
            "listeners": f"PLAINTEXT://{self.address(1)}",
            "advertised.listeners": f"PLAINTEXT://{self.address(1)}",
            "log.dirs": str(self._folder / "data1"),
            "zookeeper.connect": f"127.0.0.1:{self._zookeeper_port}",
            "zookeeper.session.timeout.ms": "2000",
            "zookeeper.connection.timeout.ms": "30000",
            "auto.create.topics.enable": "false",
            "offsets.topic.replication.factor": "1",
            "offsets.topic.num.partitions": "4",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "controlled.shutdown.enable": "false",
            **RETENTION,
            **self._properties,
        }
        text = "".join(f"{name}={value}\n" for name, value in lines.items())
        (self._folder / "node1.properties").write_text(text)


def listens(port: int) -> bool:
    """Whether anybody accepts connections there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def main() -> None:
    parser = argparse.ArgumentParser(description="Run an earlier release of Apache Kafka on loopback until Ctrl-C.")
    parser.add_argument("release", choices=RELEASES)
    parser.add_argument("--topics", nargs="*", default=[], metavar="NAME[:PARTITIONS]")
    args = parser.parse_args()
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with old_kafka(args.release) as cluster:
        for topic in args.topics:
            name, _, partitions = topic.partition(":")
            cluster.create_topic(name, int(partitions or 1))
        print(cluster.bootstrap, flush=True)
        stop.wait()


if __name__ == "__main__":
    try:
        main()
    except maven.MissingTool as error:
        raise SystemExit(str(error)) from None
