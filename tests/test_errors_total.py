# SPDX-License-Identifier: Apache-2.0
"""The tables of errors are total: no number without a class, no class without a meaning, none of a peer's missing."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import kafka.errors
import pytest

from pykafka_fast import client_errors as client_error_classes
from pykafka_fast import errors
from pykafka_fast.errors import BrokerResponseError, ClientCode, KafkaError, client_errors, kafka_errors
from pykafka_fast.retry import RULES, Action
from tools import error_list

GOLDEN = Path(__file__).parent / "golden" / "java_errors.csv"
JAVA = [
    (int(code), name, retriable == "1", metadata == "1")
    for code, name, retriable, metadata in csv.reader(GOLDEN.read_text().splitlines()[1:])
]
PEER = {
    name: cls
    for name, cls in vars(kafka.errors).items()
    if isinstance(cls, type) and issubclass(cls, kafka.errors.KafkaError)
}

#: Where we follow Java rather than kafka-python: a damaged batch is worth sending again.
RETRIABLE_AS_IN_JAVA = {"CorruptRecordError", "CorruptRecordException"}
#: Where we follow kafka-python rather than Java: refreshing the metadata helps.
REFRESH_AS_IN_KAFKA_PYTHON = {75}


def test_every_code_from_the_first_to_the_last_has_a_class() -> None:
    assert sorted(kafka_errors) == list(range(-1, 137))
    for code, cls in kafka_errors.items():
        assert cls.errno == code
        assert cls.message
        assert cls.description
        assert cls.description == cls.description.strip()


@pytest.mark.parametrize(("code", "name", "retriable", "metadata"), JAVA, ids=lambda value: str(value))
def test_names_and_retriability_are_javas(code: int, name: str, retriable: bool, metadata: bool) -> None:
    cls = kafka_errors[code]
    assert cls.message == name
    assert cls.retriable is retriable
    assert cls.invalid_metadata is (metadata or code in REFRESH_AS_IN_KAFKA_PYTHON)


def test_the_golden_table_is_whole() -> None:
    assert [row[0] for row in JAVA] == list(range(-1, 134))


@pytest.mark.parametrize("name", sorted(PEER))
def test_classes_number_and_ancestors_are_kafka_pythons(name: str) -> None:
    peer, ours = PEER[name], getattr(errors, name)
    assert getattr(peer, "errno", None) == (ours.errno if issubclass(ours, BrokerResponseError) else None)
    ancestors = {cls.__name__ for cls in peer.__mro__} - {cls.__name__ for cls in ours.__mro__}
    assert not ancestors
    if name not in RETRIABLE_AS_IN_JAVA:
        assert (ours.retriable, ours.invalid_metadata) == (peer.retriable, peer.invalid_metadata)


def test_codes_of_brokers_are_kafka_pythons() -> None:
    for code, peer in kafka.errors.kafka_errors.items():
        if code is None:  # kafka-python keeps a base class in the table
            continue
        assert errors.for_code(code).__name__ == peer.__name__


def test_retriable_flags_agree_with_the_bases() -> None:
    for cls in {*kafka_errors.values(), *(cls for cls, _ in client_errors.values())}:
        assert cls.retriable is issubclass(cls, errors.RetriableError)
        assert cls.invalid_metadata is issubclass(cls, errors.InvalidMetadataError)


def test_errno_is_where_the_written_list_says() -> None:
    assert 'is `getattr(error, "errno", None)`' in error_list.text()
    both = (errors.KafkaTimeoutError, errors.BufferExhaustedError)
    for error in map(errors.exception_for, ClientCode):
        assert hasattr(error, "errno") is isinstance(error, (BrokerResponseError, *both))
        assert isinstance(error, OSError) is isinstance(error, both)


def test_every_client_code_has_a_class_and_a_text() -> None:
    assert set(client_errors) == set(ClientCode)
    for code, (cls, text) in client_errors.items():
        assert code <= -1000
        assert issubclass(cls, KafkaError)
        assert text
        assert type(errors.exception_for(code)) is cls


def test_client_codes_and_broker_codes_do_not_meet() -> None:
    assert not set(map(int, ClientCode)) & set(kafka_errors)


def test_the_names_fit_the_numbers_users_know() -> None:
    assert kafka_errors[6] is errors.NotLeaderForPartitionError
    assert kafka_errors[10] is errors.MessageSizeTooLargeError
    assert kafka_errors[45] is errors.OutOfOrderSequenceNumberError
    assert kafka_errors[90] is errors.ProducerFencedError


def test_the_written_list_is_that_of_the_code() -> None:
    assert error_list.FILE.read_text() == error_list.text(), "run python -m tools.error_list"


def test_client_errors_are_listed_once_each_and_where_they_come_from() -> None:
    """Those of which the list says that nothing raises them are named by no other file of the package."""
    raised = {client_errors[code][0].__name__ for code in error_list.CLIENT_ROWS}
    subclasses = {"UnrecognizedConfigError", "InvalidConfigError"}
    groups = [raised, subclasses, error_list.INTERNAL, error_list.NEVER]
    defined = vars(client_error_classes).items()
    ours = {name for name, cls in defined if getattr(cls, "__module__", "") == errors.__name__}
    missing = ours - set().union(*groups) - {"InvalidMetadataError", "KafkaError", "RetriableError"}
    assert not missing
    assert sum(map(len, groups)) == len(set().union(*groups))

    folder = Path(errors.__file__).parent
    tables = {"errors.py", "client_errors.py"}
    files = [file for kind in ("*.py", "*.pyx") for file in folder.rglob(kind) if file.name not in tables]
    named = set(re.findall(r"\w+(?:\.[A-Z_]+)?", " ".join(file.read_text() for file in files)))
    assert not error_list.NEVER & named
    assert not {f"ClientCode.{code.name}" for code in ClientCode} & named - {
        f"ClientCode.{code.name}" for code in error_list.CLIENT_ROWS
    }
    assert error_list.INTERNAL | subclasses <= named


def test_what_fails_a_producers_record_has_a_remedy() -> None:
    """Transactions, groups and telemetry aside: a producer without them never meets their errors."""
    without = {8, 11, 30, 48, 49, 50, 52, 104, 105, 117, 118, 120, 129}
    for code, rule in RULES.items():
        error = kafka_errors[code]
        listed = vars(error_list.broker_errors).get(error.__name__) is error and code != 0
        if listed and rule.action in {Action.FAIL, Action.FATAL, Action.BUMP_EPOCH} and code not in without:
            assert error.remedy, error
            assert error.remedy in str(errors.exception_for(code))


def test_the_retry_table_of_the_design_is_that_of_the_code() -> None:
    design = (Path(__file__).parents[1] / "DESIGN.md").read_text()
    row = r"^\| ([^|;,]+)[^|]* \| (-?\d[-\d, ]*)[^|]* \| (\w*) ?\| (yes|no|13)"
    rows = re.findall(row, design, re.MULTILINE)
    assert len(rows) == 9
    written: dict[int, tuple[str, bool, bool]] = {}
    for action, numbers, refresh, doubt in rows:
        for first, last in re.findall(r"(-?\d+)(?:-(\d+))?", numbers):
            for code in range(int(first), int(last or first) + 1):
                assert code not in written
                written[code] = action.strip(), refresh == "refreshed", doubt == "yes"
    for code, rule in RULES.items():
        expected = rule.action.value, rule.refresh, rule.in_doubt
        assert written.pop(code, ("fail", False, False)) == expected, code
    assert not written
