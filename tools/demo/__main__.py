# SPDX-License-Identifier: Apache-2.0
"""`python -m tools.demo`; exit status 1 unless every record came back once, unchanged and in order per key."""

import argparse
import contextlib
import sys
import time
from collections.abc import Iterable, Iterator, Sequence

import confluent_kafka

from pykafka_fast.cli import Progress
from pykafka_fast.errors import KafkaError
from pykafka_fast.testing.process import BrokerProcess
from tools.brokers.kafka import VERSION, KafkaCluster
from tools.demo import checking, flights, sending
from tools.readback import iter_topic

TOPIC, SLOW_TOPIC = "flights", "flights-slowly"
PARTITIONS = 6
# Records per second at which waiting in queues is not what is measured, and how many of them.
SLOW_RATE, SLOW_RECORDS = 1_000, 1_000
EXIT_INTERRUPTED = 130


def say(text: str) -> None:
    print(text, flush=True)


@contextlib.contextmanager
def broker(kind: str) -> Iterator[str]:
    """A broker in its own process with an empty topic; its address."""
    if kind == "kafka":
        with KafkaCluster(nodes=1) as cluster:
            cluster.create_topic(TOPIC, PARTITIONS)
            cluster.create_topic(SLOW_TOPIC, PARTITIONS)
            say(f"Apache Kafka {VERSION} at {cluster.bootstrap}")
            yield cluster.bootstrap
    else:
        with BrokerProcess({TOPIC: PARTITIONS, SLOW_TOPIC: PARTITIONS}) as embedded:
            say(f"embedded broker at {embedded.address}, process {embedded.pid}")
            yield embedded.address


def run(kind: str, limit: int | None) -> int:
    data = flights.load(limit)
    size = sum(len(flight.key) + len(flight.value) for flight in data)
    say(f"{len(data):,} flights of 2013 as JSON, {size / 1e6:.0f} MB, keyed by tail number")
    with broker(kind) as address:
        sent = sending.send_all(address, TOPIC, data)
        say(sent.report())
        if sent.failed:
            say(f"{len(sent.failed):,} sends failed, the first with {sent.failed[0]!r}")
        latencies = sending.send_slowly(address, SLOW_TOPIC, data[:SLOW_RECORDS], SLOW_RATE)
        say(f"          {sending.describe(latencies)} at {SLOW_RATE:,} records/s")
        verdict = read_back(address, data)
    say(verdict.line())
    return 0 if verdict.good and not sent.failed else 1


def read_back(address: str, data: Sequence[flights.Flight]) -> checking.Verdict:
    """What another client's consumer makes of the topic."""
    started = time.monotonic()
    messages = with_progress(iter_topic(address, TOPIC), len(data))
    verdict = checking.check(data, ((m.partition() or 0, m.key(), m.value()) for m in messages))
    client = f"confluent-kafka {confluent_kafka.version()}"
    say(f"read back by {client} in {time.monotonic() - started:.1f} s")
    return verdict


def with_progress(messages: Iterable[confluent_kafka.Message], total: int) -> Iterator[confluent_kafka.Message]:
    progress = Progress(total)
    for number, message in enumerate(messages):
        if number % 1_000 == 0:
            progress.update(number, number)
        yield message
    progress.finish()


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.demo", description=__doc__)
    parser.add_argument("--broker", choices=["embedded", "kafka"], default="embedded")
    parser.add_argument("--records", type=int, metavar="N", help="only the first N flights")
    args = parser.parse_args(argv)
    try:
        return run(args.broker, args.records)
    except (RuntimeError, KafkaError, TimeoutError) as error:
        say(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
