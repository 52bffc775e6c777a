# SPDX-License-Identifier: Apache-2.0
"""A Kafka broker for your own tests: real TCP on 127.0.0.1, no Java, no Docker.

* :class:`EmbeddedBroker` runs in the test's process, is strict, can be asked what it got and told what to do wrong.
* :class:`BrokerProcess` runs one in a process of its own, for measurements.
* The pytest plugin ``pykafka_fast.testing.plugin`` has fixtures.

The names are loaded when they are first used: pytest imports this package in every run of an environment that has the
plugin installed.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .batch import BatchHeader
    from .broker import EmbeddedBroker
    from .log import StoredBatch
    from .process import BrokerProcess
    from .records import Record
    from .script import Rule
    from .service import Request

__all__ = ["BatchHeader", "BrokerProcess", "EmbeddedBroker", "Record", "Request", "Rule", "StoredBatch"]

_HOMES = {
    "BatchHeader": "batch",
    "BrokerProcess": "process",
    "EmbeddedBroker": "broker",
    "Record": "records",
    "Request": "service",
    "Rule": "script",
    "StoredBatch": "log",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_HOMES[name]}", __name__), name)
    globals()[name] = value
    return value
