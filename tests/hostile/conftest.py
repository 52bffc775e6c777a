# SPDX-License-Identifier: Apache-2.0
"""Brokers that lie, and producers that must leave nothing behind all the same."""

from tests.path.conftest import make, start_broker

__all__ = ["make", "start_broker"]
