# SPDX-License-Identifier: Apache-2.0
"""The producers the ledger can be held against: ours, and confluent-kafka's to tell our faults from a broker's."""

import contextlib
from collections.abc import Callable
from typing import Any, Protocol

from tools.soak.journal import Outcome

Told = tuple[Outcome, int]
MAX_RATIO = 0.5


class Client(Protocol):
    """A producer for one topic; any thread may call."""

    def send(self, partition: int, value: bytes) -> Any:
        """Queue a record, waiting for room if there is none; what `outcome` wants."""

    def outcome(self, sent: Any) -> Told | None:
        """The outcome and the offset, or None while it is not known."""

    def error(self, sent: Any) -> str:
        """Of one that failed: why, in a word or two."""

    def serve(self, sent: Any, timeout: float) -> None:
        """Wait up to `timeout` seconds for this one's outcome."""

    def finish(self, timeout: float) -> list[str]:
        """Deliver everything and close; what is wrong with the producer then."""


class OurClient:
    """pykafka_fast.

    Args:
        bootstrap: host:port, comma separated.
        topic: where to.
        options: more options of KafkaProducer.
    """

    def __init__(self, bootstrap: str, topic: str, options: dict[str, Any]):
        from pykafka_fast import KafkaProducer

        self.producer = KafkaProducer(bootstrap_servers=bootstrap, **options)
        self._topic = topic

    def send(self, partition: int, value: bytes) -> Any:
        return self.producer.send(self._topic, value, partition=partition)

    def outcome(self, sent: Any) -> Told | None:
        if not sent.is_done:
            return None
        metadata = sent.value
        if metadata is not None:
            return Outcome.ACKNOWLEDGED, metadata.offset
        return Outcome.IN_DOUBT if sent.exception.in_doubt else Outcome.FAILED, -1

    def error(self, sent: Any) -> str:
        return type(sent.exception).__name__

    def serve(self, sent: Any, timeout: float) -> None:
        from pykafka_fast.errors import KafkaError

        with contextlib.suppress(KafkaError):
            sent.get(timeout)

    def finish(self, timeout: float) -> list[str]:
        self.producer.flush(timeout)
        problems = self._compression()
        self.producer.close(timeout)
        stats = self.producer._lifecycle.accumulator.pool_stats()
        left = {name: stats[name] for name in ("slabs_acquired", "acquired", "waiting") if stats[name]}
        if left or stats["available"] != stats["budget"]:
            problems.append(f"memory not given back: {stats}")
        live = self.producer._lifecycle.accumulator.lost()
        return [*problems, *([f"records without an outcome: {live}"] if live else [])]

    def _compression(self) -> list[str]:
        """Whether batches were compressed, if they were to be: most of a stamp's value is padding."""
        counters = self.producer._lifecycle.accumulator.topic_counters().get(self._topic)
        if counters is None or self.producer.config["compression_type"] in (None, "none"):
            return []
        before, after = counters["raw_bytes"], counters["packed_bytes"]
        return [f"hardly compressed: {before} bytes to {after}"] if after > before * MAX_RATIO else []


class ConfluentClient:
    """confluent-kafka with `enable.idempotence`. It does not tell whether a record that failed was written."""

    def __init__(self, bootstrap: str, topic: str, options: dict[str, Any]):
        from confluent_kafka import Producer

        defaults: dict[str, Any] = {"bootstrap.servers": bootstrap, "enable.idempotence": True, "log_level": 0}
        self._producer = Producer({**defaults, **options})
        self._topic = topic

    def send(self, partition: int, value: bytes) -> Any:
        cell: list[Any] = []

        def told(error: Any, message: Any) -> None:
            # None where the broker recognised a repetition and no longer knew the offset.
            cell.append((error, -1 if message.offset() is None else message.offset()))

        while True:
            try:
                self._producer.produce(self._topic, value, partition=partition, on_delivery=told)
                self._producer.poll(0)
                return cell
            except BufferError:
                self._producer.poll(0.1)

    def outcome(self, sent: Any) -> Told | None:
        if not sent:
            return None
        error, offset = sent[0]
        return (Outcome.ACKNOWLEDGED, offset) if error is None else (Outcome.IN_DOUBT, -1)

    def error(self, sent: Any) -> str:
        return str(sent[0][0].name())

    def serve(self, sent: Any, timeout: float) -> None:
        self._producer.poll(timeout)

    def finish(self, timeout: float) -> list[str]:
        left = self._producer.flush(timeout)
        return [f"{left} records without an outcome"] if left else []


CLIENTS: dict[str, Callable[[str, str, dict[str, Any]], Client]] = {
    "pykafka_fast": OurClient,
    "confluent-kafka": ConfluentClient,
}
