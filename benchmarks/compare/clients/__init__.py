# SPDX-License-Identifier: Apache-2.0
"""One file per client: a bare loop around its send call, its way of flushing, its way of reporting errors.

An entry of a scenario names a client as "module.Class". A new client is a new file and the entries that name it.
"""

from importlib import import_module

from benchmarks.compare.clients.client import Client


def load(name: str) -> type[Client]:
    """Imported late: a process loads only the client it runs."""
    module, _, adapter = name.partition(".")
    found: type[Client] = getattr(import_module(f"benchmarks.compare.clients.{module}"), adapter)
    return found
