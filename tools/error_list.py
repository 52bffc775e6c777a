# SPDX-License-Identifier: Apache-2.0
"""`python -m tools.error_list`: writes docs/errors.md from the tables the code itself uses."""

from pathlib import Path

from pykafka_fast import broker_errors
from pykafka_fast.broker_errors import NetworkExceptionError
from pykafka_fast.errors import ClientCode, client_errors
from pykafka_fast.kafka_error import BrokerResponseError, kafka_errors
from pykafka_fast.retry import RULES, Action, Rule

FILE = Path(__file__).parents[1] / "docs" / "errors.md"

INTRODUCTION = """\
# Errors

Written by `python -m tools.error_list` from the tables the code uses; do not edit it.

Every class is in `pykafka_fast.errors` and derives from `KafkaError`. `error.retriable` says whether the same record
may succeed later, `error.in_doubt` whether this one may have been written although its future failed: only then can
sending it again put it there twice.
"""

CLIENT = """\
## From this client

Raised by `send()`, or in the future and its callback. A broker has no part in these.

| class | code | what happened, and what to do |
|---|---:|---|
"""

BROKER = """\
## From a broker, as a producer meets them

*What is done*: with retries and time left. Retried means that the record comes back to you only after
`delivery_timeout_ms` or `retries` are used up. *May be written*: whether the broker may hold the record in spite of it.

| class | code | what happened | what is done | may be written | what you can do |
|---|---:|---|---|---|---|
"""

OTHERS = """\
## From a broker, about what a producer does not do

Named so that an unexpected one can be read. Those that are `retriable` are retried, the others fail the record.

| class | code | what happened |
|---|---:|---|
"""

DONE = {
    Action.RETRY: "retried",
    Action.REFRESH_AND_RETRY: "metadata fetched, retried",
    Action.SPLIT: "the batch is cut in two; a single record fails",
    Action.BUMP_EPOCH: "retried under a new epoch, or fails in doubt where that could write it twice",
    Action.FAIL: "fails",
    Action.FATAL: "fails, with all that is pending and all that is sent later",
    Action.DONE: "succeeds with offset -1",
}


def cell(text: str | None) -> str:
    return " ".join((text or "").split()).replace("|", "\\|")


def what_is_done(rule: Rule) -> str:
    with_sequence, plain = DONE[rule.action], DONE[rule.plain_action]
    return with_sequence if with_sequence == plain else f"{with_sequence}; without idempotence: {plain}"


def client_row(code: ClientCode) -> str:
    error, meaning = client_errors[code]
    return f"| `{error.__name__}` | {code.value} | {cell(meaning)} |\n"


def other_row(error: type[BrokerResponseError]) -> str:
    return f"| `{error.__name__}` {error.message} | {error.errno} | {cell(error.description)} |\n"


def may_be_written(error: type[BrokerResponseError], rule: Rule) -> str:
    if error is NetworkExceptionError:  # no answer but the lack of one
        return "if the request had left whole"
    return "yes" if rule.in_doubt else "no"


def broker_row(error: type[BrokerResponseError]) -> str:
    assert error.errno is not None
    rule = RULES[error.errno]
    cells = (error.description, what_is_done(rule), may_be_written(error, rule), error.remedy)
    return f"| `{error.__name__}` {error.message} | {error.errno} | " + " | ".join(map(cell, cells)) + " |\n"


def text() -> str:
    """The whole file."""
    met = {error for error in kafka_errors.values() if vars(broker_errors).get(error.__name__) is error}
    codes = sorted(kafka_errors)
    client = [client_row(code) for code in ClientCode]
    broker = [broker_row(kafka_errors[code]) for code in codes if code and kafka_errors[code] in met]
    others = [other_row(kafka_errors[code]) for code in codes if kafka_errors[code] not in met]
    return "".join([INTRODUCTION, "\n", CLIENT, *client, "\n", BROKER, *broker, "\n", OTHERS, *others])


if __name__ == "__main__":
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(text())
