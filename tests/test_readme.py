# SPDX-License-Identifier: Apache-2.0
"""The README is true: its examples run, its commands and options exist, its figures were measured."""

import inspect
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.compare import summary
from benchmarks.compare.result import Comparison
from pykafka_fast import KafkaProducer, cli
from pykafka_fast.config import OPTIONS
from pykafka_fast.testing import EmbeddedBroker

README = Path(__file__).parent.parent / "README.md"
ADDRESS = "localhost:9092"
EVENTS = 3  # partitions


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README.read_text(), re.DOTALL | re.MULTILINE)


def section(title: str) -> str:
    found = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", README.read_text(), re.DOTALL | re.MULTILINE)
    assert found, f"README.md has no section {title!r}"
    return found[1]


def commands() -> list[str]:
    """Every line of a shell block, and every `command` in the text that begins like one."""
    lines = [line.split(" #")[0].strip() for block in blocks("sh") for line in block.splitlines()]
    return lines + re.findall(r"`((?:make|python|pip) [^`]+)`", README.read_text())


# ---- examples ----


@pytest.fixture
def kafka_broker() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker(auto_create=EVENTS) as running:
        yield running
    assert running.violations == []


@pytest.mark.parametrize("number", range(len(blocks("python"))))
def test_examples_run(number: int, kafka_broker: EmbeddedBroker, capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, object] = {}
    code = blocks("python")[number].replace(ADDRESS, kafka_broker.address)
    exec(compile(code, f"README.md, example {number + 1}", "exec"), names)
    for name, test in names.items():
        if name.startswith("test_") and callable(test):
            test(kafka_broker)
    assert capsys.readouterr().err == ""


def test_first_example_delivers(kafka_broker: EmbeddedBroker, capsys: pytest.CaptureFixture[str]) -> None:
    exec(blocks("python")[0].replace(ADDRESS, kafka_broker.address), {})
    values = sorted(record.value or b"" for record in kafka_broker.records("events"))
    assert values == sorted([b"hello", *(b"event %d" % number for number in range(1000))])
    topic, partition, offset = capsys.readouterr().out.split()
    assert (topic, offset) == ("events", "0")
    assert kafka_broker.records("events", int(partition))[0].key == b"user-1"


def test_there_are_examples() -> None:
    assert len(blocks("python")) >= 4
    assert len(blocks("python")[0].strip().splitlines()) <= 10


# ---- commands ----


def test_the_installed_command_has_that_name(root: Path) -> None:
    assert '\npykafka-fast = "pykafka_fast.cli:main"\n' in (root / "pyproject.toml").read_text()
    assert "`pykafka-fast`" in README.read_text()


def test_make_targets_exist(root: Path) -> None:
    targets = set(re.findall(r"^([a-z][a-z-]*):", (root / "Makefile").read_text(), re.MULTILINE))
    variables = set(re.findall(r"^([A-Z]+) \?=", (root / "Makefile").read_text(), re.MULTILINE))
    made = [shlex.split(line)[1:] for line in commands() if line.startswith("make ")]
    assert {"demo", "test"} <= {words[0] for words in made}
    for words in made:
        assert words[0] in targets
        assert {word.partition("=")[0] for word in words[1:]} <= variables


def test_our_command_line_takes_what_is_shown() -> None:
    shown = [shlex.split(line)[3:] for line in commands() if line.startswith("python -m pykafka_fast ")]
    assert shown
    for words in shown:
        cli.parser().parse_args(words)


def test_other_commands_run(root: Path) -> None:
    shown = [shlex.split(line)[1:] for line in commands() if line.startswith(("python -c ", "python -m benchmarks "))]
    assert len(shown) >= 2
    for words in shown:
        if words[1] == "benchmarks":
            words = [*words[:3], "--help"]
        done = subprocess.run([sys.executable, *words], cwd=root, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert all(word in done.stdout for word in ("linger_ms", "acks") if words[0] == "-c")


def test_links_lead_somewhere(root: Path) -> None:
    links = re.findall(r"\]\(([^)]+)\)", README.read_text())
    assert links
    assert [link for link in links if "://" not in link and not (root / link).exists()] == []


# ---- options ----


def test_options_and_their_defaults() -> None:
    rows = re.findall(r"^\| (`[^|]+) \| `([^|]+)` \|", section("Options"), re.MULTILINE)
    assert len(rows) >= 10
    for names, default in rows:
        for name in re.findall(r"`(\w+)`", names):
            assert repr(OPTIONS[name].default) == default, name


def test_options_that_the_text_sets() -> None:
    named = set(re.findall(r"`(\w+)=[^`]*`", README.read_text())) - {"make"}
    named |= set(re.findall(r"`(\w+_(?:ms|size|memory|bytes|connection))`", README.read_text()))
    assert {"acks", "enable_idempotence", "delivery_timeout_ms", "max_in_flight_requests_per_connection"} <= named
    assert [name for name in sorted(named) if name not in OPTIONS or not OPTIONS[name].supported] == []


def test_size_of_a_future(kafka_broker: EmbeddedBroker) -> None:
    shown = re.search(r"(\d+) bytes each", README.read_text())
    with KafkaProducer(bootstrap_servers=kafka_broker.address) as producer:
        assert shown
        assert sys.getsizeof(producer.send("events", b"x")) == int(shown[1])


def test_signature_of_send() -> None:
    shown = re.search(r"`send\((.*?)\)`", README.read_text())
    assert shown
    wanted = [name for name in inspect.signature(KafkaProducer.send).parameters if name != "self"]
    assert [part.split("=")[0].strip() for part in shown[1].split(",") if part.strip() != "*"] == wanted


# ---- figures ----


def test_figures_were_measured(root: Path) -> None:
    """The comparison is what the command above it prints of the files in results/."""
    found = re.search(r"<!-- benchmark:begin -->\n(.*)<!-- benchmark:end -->", README.read_text(), re.DOTALL)
    assert found, "the README has lost the marks of its comparison"
    command = re.search(r"`python -m benchmarks summary ([^`]+)`", found[1])
    assert command, "the README does not say how its comparison is printed"
    comparisons = [Comparison.load(root / file) for file in command[1].split()]
    assert comparisons
    assert not any(comparison.quick or comparison.failed for comparison in comparisons)
    assert summary.markdown(comparisons) in found[1]
