# SPDX-License-Identifier: Apache-2.0
"""Brokers and producers as in tests/path: a producer that leaves something behind fails its test."""

from tests.path.conftest import Make, StartBroker, broker, make, start_broker

__all__ = ["Make", "StartBroker", "broker", "make", "start_broker"]
