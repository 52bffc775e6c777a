# SPDX-License-Identifier: Apache-2.0
"""The clients, and the settings each runs with: the same where it matters, in a peer's favour where it may choose.

Same for all: acks=all, idempotence, linger 5 ms, 256 KB batches (ours also with its defaults, which grow further).
The scenarios `peer-*` try what else could favour a peer.
"""

from dataclasses import replace

from benchmarks.compare.scenario import Entry, Target

KIB = 1024
BATCH = 256 * KIB
LINGER_MS = 5
BUFFER_MEMORY = 32 * KIB * KIB

CONFLUENT = {
    "acks": "all",
    "enable.idempotence": True,
    "linger.ms": LINGER_MS,
    "batch.size": BATCH,
    # Ten times its default: produce() refuses a record when the queue is full, and the caller has to poll for room.
    "queue.buffering.max.messages": 1_000_000,
    "queue.buffering.max.kbytes": 262_144,
}
AIOKAFKA_OPTIONS = {"acks": "all", "enable_idempotence": True, "linger_ms": LINGER_MS, "max_batch_size": BATCH}
KAFKA_PYTHON_OPTIONS = {"acks": "all", "enable_idempotence": True, "linger_ms": LINGER_MS, "batch_size": BATCH}
JAVA_OPTIONS = {"linger.ms": LINGER_MS, "batch.size": BATCH}
SAME_BATCHES = {"batch_size": BATCH, "batch_max_size": BATCH}

REPLAY = Entry("replay in C (the limit)", "replay", params={"batch_size": BATCH})
OURS = Entry("ours, futures", "ours.Futures")
OURS_CALLBACKS = Entry("ours, callbacks", "ours.Callbacks")
OURS_SAME = Entry("ours, futures, 256 KB batches", "ours.Futures", SAME_BATCHES)
OURS_CALLBACKS_SAME = Entry("ours, callbacks, 256 KB batches", "ours.Callbacks", SAME_BATCHES)
OURS_LISTS = Entry("ours, send_many of lists", "bulk.Lists")
OURS_COLUMNS = Entry("ours, send_many of Arrow columns", "bulk.Columns")
PLAIN = Entry("confluent, no callbacks", "confluent.NoCallbacks", CONFLUENT)
CALLBACKS = Entry("confluent, callbacks", "confluent.Callbacks", CONFLUENT)
POSITIONAL = Entry("confluent, callbacks, positional call", "confluent.PositionalCallbacks", CONFLUENT)
AIOKAFKA = Entry("aiokafka", "aio.Futures", AIOKAFKA_OPTIONS)
KAFKA_PYTHON = Entry("kafka-python", "kafka_python.Futures", KAFKA_PYTHON_OPTIONS)
JAVA = Entry("Java ProducerPerformance", "java", JAVA_OPTIONS, brokers=("kafka", "kafka3"))

EVERYBODY = (
    REPLAY, OURS, OURS_CALLBACKS, OURS_SAME, OURS_CALLBACKS_SAME,
    PLAIN, CALLBACKS, POSITIONAL, JAVA, AIOKAFKA, KAFKA_PYTHON,
)  # fmt: skip


def with_options(entry: Entry, **options: object) -> Entry:
    """The same entry with more options; dots in their names are written as two underscores."""
    named = {name.replace("__", "."): value for name, value in options.items()}
    return replace(entry, options={**entry.options, **named})


def against(
    ours: Entry, metric: str, base: Entry, *brokers: str, least: float | None = None, most: float | None = None
) -> Target:
    return Target(ours.label, metric, (base.label,), least=least, most=most, brokers=brokers or ("mock",))
