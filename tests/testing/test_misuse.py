# SPDX-License-Identifier: Apache-2.0
"""A test that asks the embedded broker for what makes no sense is told so, and nothing of it stays."""

from __future__ import annotations

from typing import Any

import pytest

from pykafka_fast.testing import EmbeddedBroker


@pytest.mark.parametrize(("topics", "error", "said"), [
    (["t"], TypeError, "topics must map names to numbers of partitions, as {'events': 3}, not be ['t']"),
    ("t", TypeError, "not be 't'"),
    ({"t": "3"}, TypeError, "topic 't': the number of partitions must be an int, not '3'"),
    ({"t": None}, TypeError, "must be an int, not None"),
    ({"t": 0}, ValueError, "topic 't': the number of partitions must be at least 1, not 0"),
    ({"a b": 1}, ValueError, "'a b' is no legal topic name: 1 to 249 of"),
])
def test_topics(topics: Any, error: type[Exception], said: str) -> None:
    with pytest.raises(error) as caught:
        EmbeddedBroker(topics=topics)
    assert said in str(caught.value)


@pytest.mark.parametrize("partitions", ["3", 0, -1])
def test_a_refused_topic_is_not_there(partitions: Any) -> None:
    with EmbeddedBroker() as broker:
        with pytest.raises((TypeError, ValueError), match="number of partitions"):
            broker.create_topic("t", partitions)
        assert broker.topics == {}
        broker.create_topic("t", 2)
        assert broker.topics == {"t": 2}


@pytest.mark.parametrize("ms", ["100", None, -1, float("nan"), float("inf"), 2**31])
@pytest.mark.parametrize("fault", ["delay", "throttle"])
def test_times(fault: str, ms: Any) -> None:
    with EmbeddedBroker() as broker:
        with pytest.raises(ValueError, match="ms must be a number of milliseconds"):
            getattr(broker, fault)("Produce", ms)
