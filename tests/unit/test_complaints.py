# SPDX-License-Identifier: Apache-2.0
"""Warnings that do not flood the log."""

from __future__ import annotations

import logging

import pytest

from pykafka_fast.complaints import Complaints

S = 1_000_000_000


def test_said_at_once_then_once_in_ten_seconds(caplog: pytest.LogCaptureFixture) -> None:
    now = [0]
    complaints = Complaints(logging.getLogger("complaints"), lambda: now[0])
    caplog.set_level(logging.DEBUG, "complaints")
    for second in range(12):
        now[0] = second * S
        complaints.warn("a", "%s is %s", "a", "down")
    complaints.warn("b", "b too")
    said = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert said == ["a is down", "a is down (and 9 times since the last warning)", "b too"]
    assert len(caplog.records) == 13
