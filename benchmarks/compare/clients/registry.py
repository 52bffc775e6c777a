# SPDX-License-Identifier: Apache-2.0
"""Client keys to adapters. Imported late: a process loads only the client it runs."""

from importlib import import_module

from benchmarks.compare.clients.client import Client
from benchmarks.compare.job import Job

CLIENTS = {
    "ours": ("ours", "Futures"),
    "ours-callbacks": ("ours", "Callbacks"),
    "confluent": ("confluent", "NoCallbacks"),
    "confluent-callbacks": ("confluent", "Callbacks"),
    "confluent-positional": ("confluent", "PositionalCallbacks"),
    "kafka-python": ("kafka_python", "Futures"),
    "aiokafka": ("aio", "Futures"),
}


def load(job: Job) -> type[Client]:
    module, name = CLIENTS[job.client]
    adapter: type[Client] = getattr(import_module(f"benchmarks.compare.clients.{module}"), name)
    return adapter
