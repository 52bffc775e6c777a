# SPDX-License-Identifier: Apache-2.0
"""docs/tuning.md names options, defaults and metrics that exist, and leads somewhere."""

import re
from pathlib import Path

import pytest

from pykafka_fast import KafkaProducer
from pykafka_fast.config import OPTIONS, resolve
from pykafka_fast.metrics import Sample, render

PAGE = Path(__file__).parent.parent / "docs" / "tuning.md"
#: Written like options or metrics, and neither.
OTHER_WORDS = {"send_many", "message-sets", "idle-partitions", "producer-metrics", "get", "flush", "close", "send"}


@pytest.fixture(scope="module")
def page() -> str:
    return PAGE.read_text()


def test_options_and_their_defaults(page: str) -> None:
    shown = re.findall(r"^\| `(\w+)` \(([^)]+)\)", page, re.MULTILINE)
    assert len(shown) >= 8
    for name, default in shown:
        value = OPTIONS[name].default
        assert default == ("all" if name == "acks" else repr(value)), name
    named = set(re.findall(r"`([a-z]+(?:_[a-z]+)+)(?:=[^`]*)?`", page)) - OTHER_WORDS
    assert len(named) >= 15
    assert [name for name in sorted(named) if name not in OPTIONS or not OPTIONS[name].supported] == []


def test_metrics(page: str) -> None:
    counters = {"per_topic": {"t": {}}, "per_node": {1: {}}}
    known = {name for group in render([], Sample(0.0, counters)).values() for name in group}
    named = set(re.findall(r"`([a-z]+(?:-[a-z]+)+)`", page)) - OTHER_WORDS
    assert len(named) >= 12
    assert named - known == set()


def test_levels(page: str) -> None:
    """Each of those in the table is the lowest, the highest and the default one."""
    rows = re.findall(r"^\| `(gzip|lz4|zstd)` \| (-?\d+) to (\d+), (\d+) \|", page, re.MULTILINE)
    assert {name for name, *_ in rows} == {"gzip", "lz4", "zstd"}
    for name, low, high, default in rows:
        for level in (low, high):
            assert resolve({"compression_type": name, "compression_level": int(level)})
        for level in (int(low) - 1, int(high) + 1):
            with pytest.raises(ValueError):
                resolve({"compression_type": name, "compression_level": level})
        assert resolve({"compression_type": name}).codec_of("t").level == int(default)


def test_the_example_is_a_configuration(page: str) -> None:
    (example,) = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    names: dict[str, KafkaProducer] = {}
    exec(example, {}, names)
    producer = names["producer"]
    given = {name: producer.config[name] for name in re.findall(r"^    (\w+)=", example, re.MULTILINE)}
    producer.close()
    config = resolve(given)
    assert [config.codec_of(topic) for topic in ("t", "images", "audit")] == [(4, 1), (0, 0), (1, 9)]


def test_links_lead_somewhere(page: str) -> None:
    links = re.findall(r"\]\(([^)]+)\)", page)
    assert links
    for link in links:
        file, _, heading = link.partition("#")
        if "://" not in link:
            assert not file or (PAGE.parent / file).exists(), link
            assert not heading or heading in re.sub(r"[^a-z0-9\n# -]", "", page.lower()).replace(" ", "-"), link
