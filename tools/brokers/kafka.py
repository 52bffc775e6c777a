# SPDX-License-Identifier: Apache-2.0
"""Real Apache Kafka 4.1 (KRaft) on loopback, from Maven Central: one node or several.

    with KafkaCluster(nodes=3) as cluster:
        cluster.create_topic("events", partitions=3)
        ...  # connect to cluster.bootstrap
        cluster.kill(cluster.leader("events", 0))

`python -m tools.brokers.kafka --nodes 1` runs one until Ctrl-C.
"""

import argparse
import base64
import shutil
import signal
import subprocess
import tempfile
import threading
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path

from tools.brokers import maven
from tools.brokers.admin import Admin
from tools.brokers.processes import Reaper, Server, free_port

VERSION = "4.1.1"
HERE = Path(__file__).parent
START_TIMEOUT = 90.0

# A benchmark writes tens of gigabytes; the disk keeps about one per partition. Only size deletes: records of the test
# data carry timestamps years old, and by time they would be gone at the first check.
RETENTION = {
    "log.retention.ms": "-1",
    "log.retention.bytes": str(1 << 30),
    "log.segment.bytes": str(256 << 20),
    "log.retention.check.interval.ms": "5000",
}
# Leader election within seconds of a kill -9.
FAIL_OVER = {
    "broker.session.timeout.ms": "6000",
    "broker.heartbeat.interval.ms": "1000",
    "controller.quorum.election.timeout.ms": "1000",
    "controller.quorum.fetch.timeout.ms": "2000",
}
# Nodes of a cluster are there to be killed and started again; a third less until they serve.
QUICK_START = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]


def jars() -> Path:
    """The folder with Kafka's jars, fetched when needed."""
    return maven.jars(f"kafka-{VERSION}", HERE / "pom.xml")


class KafkaCluster:
    """A cluster that lives as long as its `with` block; its data goes with it.

    Args:
        nodes: how many combined brokers and controllers. Topics are replicated up to three times, with
            `min.insync.replicas` 2 from three nodes on.
        properties: further lines for every server.properties.
        advertise: lets clients come through a relay. Each node gets a second listener; this is called once per node
            with its host:port and returns the host:port that clients of that listener are told. The nodes themselves,
            `bootstrap` and the admin client stay on the first.
        long_lived: as fast as they get after a minute, rather than soon ready: all nodes compile their code fully, and
            have the heap that Kafka's own start script gives them.

    Raises:
        MissingTool: no Java or no Maven; the message says what to run.
    """

    READY = "Kafka Server started"
    LOGGING = f"-Dlog4j2.configurationFile={HERE / 'log4j2.properties'}"

    def __init__(
        self,
        nodes: int = 1,
        properties: Mapping[str, str] | None = None,
        advertise: Callable[[str], str] | None = None,
        long_lived: bool = False,
    ):
        self._java = maven.java()
        self._jars = self._fetch()
        self._ids = list(range(1, nodes + 1))
        self._options = QUICK_START if nodes > 1 and not long_lived else []
        self._properties = dict(properties or {})
        self._heap = "1g" if long_lived else "512m" if nodes == 1 else "384m"
        self._ports = {node: free_port() for node in self._ids}
        self._controller_ports = {node: free_port() for node in self._ids}
        self._relayed = {node: f"127.0.0.1:{free_port()}" for node in self._ids} if advertise else {}
        self._advertised = {node: advertise(address) for node, address in self._relayed.items()} if advertise else {}
        self._servers: dict[int, Server] = {}
        self._folder = Path(tempfile.mkdtemp(prefix="pkf-kafka-"))
        self._reaper = Reaper(self._folder)
        self._admin: Admin | None = None

    def _fetch(self) -> Path:
        return jars()

    @property
    def nodes(self) -> list[int]:
        """The node ids, 1 and up."""
        return list(self._ids)

    @property
    def bootstrap(self) -> str:
        """host:port of every node, comma separated."""
        return ",".join(self.address(node) for node in self._ids)

    @property
    def advertised(self) -> str:
        """What `advertise` returned for every node, comma separated; the same as `bootstrap` without it."""
        return ",".join(self._advertised.values()) or self.bootstrap

    def address(self, node: int) -> str:
        return f"127.0.0.1:{self._ports[node]}"

    def __enter__(self) -> "KafkaCluster":
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def start(self) -> None:
        """Format the storage, start every node, wait until all serve."""
        cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=").replace("-", "a")
        self._format_all(cluster_id)
        for node in self._ids:
            self._launch(node)
        for node in self._ids:
            self._servers[node].wait_until_said(self.READY, START_TIMEOUT)

    def close(self) -> None:
        """End every node and remove the data. Never fails, may be called twice."""
        self._admin = None
        self._reaper.dismiss()
        for server in self._servers.values():
            server.kill()
        self._servers.clear()
        shutil.rmtree(self._folder, ignore_errors=True)

    # One node

    def kill(self, node: int) -> None:
        """kill -9."""
        self._servers[node].kill()

    def stop(self, node: int) -> None:
        """An orderly shutdown: leadership moves away first."""
        self._servers[node].stop()

    def suspend(self, node: int) -> None:
        """Freeze the process: its connections stay open and nothing is answered."""
        self._servers[node].suspend()

    def resume(self, node: int) -> None:
        """Undo `suspend`."""
        self._servers[node].resume()

    def restart(self, node: int) -> None:
        """Start a node again, stopping it first if it runs, with the same port and data; returns when it serves."""
        if self._servers[node].running:
            self._servers[node].stop()
        self._launch(node)
        self._servers[node].wait_until_said(self.READY, START_TIMEOUT)

    def heal(self) -> None:
        """Resume every node, restart those that are down, wait until every partition of every topic has a leader."""
        down = [node for node in self._ids if not self._servers[node].running]
        for node in self._ids:
            if node not in down:
                self.resume(node)
        for node in down:
            self.restart(node)
        self.admin.wait_for_all(self._ids)

    def pid(self, node: int) -> int:
        return self._servers[node].pid

    def log(self, node: int) -> str:
        """What the node has logged so far."""
        return self._servers[node].tail(1 << 30)

    def run_tool(self, *command: str, timeout: float = 60.0) -> str:
        """Run one of Kafka's own tools, `command` being its class and arguments; what it prints.

        Raises:
            RuntimeError: it failed; the message carries what it said.
        """
        line = [self._java, "-Xmx128m", "-XX:TieredStopAtLevel=1", self.LOGGING, "-cp", f"{self._jars}/*", *command]
        done = subprocess.run(line, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(command)} failed:\n{(done.stdout + done.stderr)[-4000:]}")
        return done.stdout

    # Topics

    @property
    def admin(self) -> Admin:
        if self._admin is None:
            self._admin = Admin(self.bootstrap, timeout=90.0)
        return self._admin

    def create_topic(
        self, name: str, partitions: int = 1, replication: int | None = None, config: Mapping[str, str] | None = None
    ) -> None:
        """Create a topic and wait until every partition has a leader. `replication` defaults to min(3, nodes)."""
        self.admin.create_topic(name, partitions, replication or min(3, len(self._ids)), config)

    def add_partitions(self, name: str, total: int) -> None:
        """Let the topic have `total` partitions and wait until each has a leader."""
        self.admin.add_partitions(name, total)

    def segments(self, node: int, topic: str, partition: int = 0) -> list[Path]:
        """The partition's log files at this node, oldest first."""
        return sorted((self._folder / f"data{node}" / f"{topic}-{partition}").glob("*.log"))

    def delete_topic(self, name: str) -> None:
        self.admin.delete_topic(name)

    def leader(self, topic: str, partition: int) -> int:
        """Node id of the partition's leader now, -1 if it has none."""
        return self.admin.leader(topic, partition)

    # Configuration

    def _format_all(self, cluster_id: str) -> None:
        formatters = []
        for node in self._ids:
            file = self._folder / f"node{node}.properties"
            lines = {**self._server_properties(node), **self._properties}
            file.write_text("".join(f"{name}={value}\n" for name, value in lines.items()))
            command = ["kafka.tools.StorageTool", "format", "-t", cluster_id, "-c", str(file)]
            formatters.append(self._run_java(f"format of node {node}", "-Xmx128m", command, f"format{node}.log"))
        for formatter in formatters:
            formatter.wait_until_ended(START_TIMEOUT)

    def _server_properties(self, node: int) -> dict[str, str]:
        copies = min(3, len(self._ids))
        in_sync = 2 if copies == 3 else 1
        voters = ",".join(f"{n}@127.0.0.1:{self._controller_ports[n]}" for n in self._ids)
        listeners = f"PLAINTEXT://{self.address(node)},CONTROLLER://127.0.0.1:{self._controller_ports[node]}"
        advertised = f"PLAINTEXT://{self.address(node)}"
        if self._relayed:
            listeners += f",RELAYED://{self._relayed[node]}"
            advertised += f",RELAYED://{self._advertised[node]}"
        return {
            "process.roles": "broker,controller",
            "node.id": str(node),
            "controller.quorum.voters": voters,
            "listeners": listeners,
            "advertised.listeners": advertised,
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "PLAINTEXT",
            "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,RELAYED:PLAINTEXT",
            "log.dirs": str(self._folder / f"data{node}"),
            "default.replication.factor": str(copies),
            "min.insync.replicas": str(in_sync),
            "offsets.topic.replication.factor": str(copies),
            "offsets.topic.num.partitions": "4",
            "transaction.state.log.replication.factor": str(copies),
            "transaction.state.log.min.isr": str(in_sync),
            "transaction.state.log.num.partitions": "4",
            "group.initial.rebalance.delay.ms": "0",
            **RETENTION,
            **(FAIL_OVER if len(self._ids) > 1 else {}),
        }

    def _launch(self, node: int) -> None:
        command = [*self._options, "kafka.Kafka"]
        command.append(str(self._folder / f"node{node}.properties"))
        self._servers[node] = self._run_java(f"Kafka node {node}", f"-Xms{self._heap}", command, f"node{node}.log")

    def _run_java(self, name: str, memory: str, command: list[str], log: str) -> Server:
        options = [f"-Xmx{self._heap}", memory, self.LOGGING]
        line = [self._java, *options, "-cp", f"{self._jars}/*", *command]
        return Server(name, line, self._folder / log, self._reaper)


def main() -> None:
    parser = argparse.ArgumentParser(description="Run real Apache Kafka on loopback until Ctrl-C.")
    parser.add_argument("--nodes", type=int, default=1)
    parser.add_argument("--topics", nargs="*", default=[], metavar="NAME[:PARTITIONS]")
    args = parser.parse_args()
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with KafkaCluster(args.nodes) as cluster:
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
