# SPDX-License-Identifier: Apache-2.0
"""Errors as objects: text, equality, travel between processes, the way through the C library and back."""

from __future__ import annotations

import copy
import logging
import pickle
import threading

import kafka.errors
import pytest

from pykafka_fast import errors
from pykafka_fast.errors import ClientCode, KafkaError, code_of, exception_for, for_code, message_of

ALL_CLASSES = sorted({value for value in vars(errors).values()
                      if isinstance(value, type) and issubclass(value, KafkaError)}, key=lambda cls: cls.__name__)


def test_text_is_the_class_and_what_it_says() -> None:
    assert str(errors.KafkaTimeoutError()) == "KafkaTimeoutError"
    assert str(errors.KafkaTimeoutError("late")) == "KafkaTimeoutError: late"
    assert str(errors.NotLeaderForPartitionError("moved")) == "[Error 6] NotLeaderForPartitionError: moved"


@pytest.mark.parametrize("name", ["KafkaTimeoutError", "NotLeaderForPartitionError", "TopicAuthorizationFailedError"])
@pytest.mark.parametrize("args", [(), ("text",), ("text", 3)])
def test_text_is_kafka_pythons(name: str, args: tuple[object, ...]) -> None:
    assert str(getattr(errors, name)(*args)) == str(getattr(kafka.errors, name)(*args))


@pytest.mark.parametrize("cls", ALL_CLASSES, ids=lambda cls: cls.__name__)
@pytest.mark.parametrize("args", [(), ("what",), ("what", 7)])
def test_every_error_is_hashable_and_survives_copy_and_pickle(cls: type[KafkaError], args: tuple[object, ...]) -> None:
    error = cls(*args)
    error.in_doubt = True
    error.taken = threading.Lock()  # like a future, which stays where it is
    for twin in (copy.copy(error), copy.deepcopy(error), pickle.loads(pickle.dumps(error))):
        assert type(twin) is cls
        assert twin == error
        assert hash(twin) == hash(error)
        assert str(twin) == str(error)
        assert twin.in_doubt is True
        assert twin.taken is None
    assert cls(*args).in_doubt is False


def test_equality_needs_class_and_arguments() -> None:
    assert errors.KafkaError("a") == errors.KafkaError("a")
    assert errors.KafkaError("a") != errors.KafkaError("b")
    assert errors.KafkaError("a") != errors.KafkaTimeoutError("a")
    assert errors.KafkaError("a") != "a"
    assert hash(errors.KafkaError([1])) == hash(errors.KafkaError([1]))


def test_every_error_shows_the_module_users_import() -> None:
    assert {cls.__module__ for cls in ALL_CLASSES} == {"pykafka_fast.errors"}


def test_timeouts_are_the_builtin_kind_too() -> None:
    with pytest.raises(TimeoutError):
        raise exception_for(ClientCode.BUFFER_EXHAUSTED)
    assert issubclass(errors.BufferExhaustedError, errors.KafkaTimeoutError)
    assert issubclass(errors.NoBrokersAvailable, errors.KafkaTimeoutError)


def test_a_bad_value_is_a_value_error() -> None:
    assert issubclass(errors.UnrecognizedConfigError, ValueError)
    assert issubclass(errors.InvalidConfigError, ValueError)
    assert issubclass(errors.InvalidConfigError, errors.KafkaConfigurationError)


def test_a_broker_error_says_what_it_means_unless_told_better() -> None:
    plain = exception_for(10)
    assert type(plain) is errors.MessageSizeTooLargeError
    assert "max.message.bytes" in str(plain)
    assert plain.errno == 10
    assert plain.message == "MESSAGE_TOO_LARGE"
    assert exception_for(10, "1048600 bytes").args == ("1048600 bytes",)


def test_a_forced_close_says_so_as_kafka_python_does() -> None:
    error = exception_for(ClientCode.CLOSED_FORCEFULLY)
    assert isinstance(error, errors.IllegalStateError)
    assert error.args == ("Producer is closed forcefully.",)


def test_each_call_makes_a_new_exception() -> None:
    assert exception_for(7) is not exception_for(7)
    assert exception_for(7, "m", in_doubt=True).in_doubt is True
    assert exception_for(7, "m").in_doubt is False


def test_an_unknown_code_is_logged_and_keeps_its_number(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        error = exception_for(31999)
    assert type(error) is errors.UnknownError
    assert code_of(error) == 31999
    assert "31999" in str(error)
    assert "31999" in caplog.text
    assert errors.UnknownError.errno == -1
    assert for_code(31999) is errors.UnknownError


def test_an_unknown_code_is_told_to_the_log_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        for code in (31997, 31998, 31997, 31998):
            exception_for(code)
    assert [record.args for record in caplog.records] == [(31997,), (31998,)]


def test_codes_lead_back_to_the_same_class() -> None:
    for code in [*errors.kafka_errors, *ClientCode]:
        error = exception_for(code, "said", in_doubt=True)
        again = exception_for(code_of(error), message_of(error), error.in_doubt)
        assert type(again) is type(error)
        assert again == error


def test_a_class_without_a_code_has_its_ancestors() -> None:
    class Mine(errors.BufferExhaustedError):
        pass

    assert code_of(Mine("x")) == ClientCode.BUFFER_EXHAUSTED
    assert code_of(errors.StaleMetadata("x")) == ClientCode.UNKNOWN
    assert code_of(errors.CorrelationIdError("x")) == ClientCode.PROTOCOL
    assert code_of(errors.IncompatibleBrokerVersion("x")) == 35
    assert code_of(ValueError("x")) == ClientCode.UNKNOWN
    assert code_of(errors.KafkaTimeoutError("x")) in (ClientCode.TIMEOUT, ClientCode.TIMED_OUT)


def test_messages_of_foreign_exceptions_name_their_class() -> None:
    assert message_of(errors.KafkaError("a", 1)) == "a, 1"
    assert message_of(ValueError("bad")) == "ValueError: bad"
    assert message_of(KeyboardInterrupt()) == "KeyboardInterrupt"


def test_a_serialization_error_names_what_failed() -> None:
    error = errors.SerializationError("m", topic="t", field="key", data_type="int")
    assert vars(pickle.loads(pickle.dumps(error))) == {"topic": "t", "field": "key", "data_type": "int"}


def test_a_code_cannot_be_defined_twice() -> None:
    with pytest.raises(TypeError, match="NotLeaderForPartitionError"):
        type("Twice", (errors.BrokerResponseError,), {}, code=6, name="TWICE")
