# SPDX-License-Identifier: Apache-2.0
"""`python -m tools.error_list`: writes docs/errors.md from the tables the code itself uses."""

import textwrap
from pathlib import Path

from pykafka_fast import broker_errors
from pykafka_fast.broker_errors import NetworkExceptionError
from pykafka_fast.errors import ClientCode, client_errors, exception_for
from pykafka_fast.kafka_error import BrokerResponseError, kafka_errors
from pykafka_fast.retry import RULES, Action, Rule

FILE = Path(__file__).parents[1] / "docs" / "errors.md"

INTRODUCTION = """\
# Errors

Written by `python -m tools.error_list` from the tables the code uses; do not edit it.

Every class is in `pykafka_fast.errors` and derives from `KafkaError`. `error.retriable` says whether the same request,
sent again as it was, may succeed later (Java's `RetriableException`). So it is False where something has to change
first, which the tables name: permissions for the topic, say, or with `BatchRejectedError` the rest of the batch.
`error.in_doubt` says whether the record may have been written although its future failed: only then can sending it
again put it there twice.
"""

CLIENT = """\
## From this client

*errno* is Kafka's number, where Kafka has one for it. The other errors have no attribute of that name, but for
`KafkaTimeoutError` and `BufferExhaustedError`, where it is None because they are `OSError`s too; so for any of them it
is `getattr(error, "errno", None)`.
Where `send_many()` sends row by row (with serializers, interceptors, or a partitioner of your own), records that are
too large are in its future, as with `send()`.

| class | errno | where | what happened, and what to do |
|---|---:|---|---|
"""

PYTHONS_OWN = """\
Plain mistakes are Python's own exceptions, raised by `send()`: `TypeError` for a type it does not take, `ValueError`
for a negative partition or timestamp, and for a record with neither key nor value, as `send(topic)` would be.

A connection that broke is `NetworkExceptionError`, an answer that did not come within `request_timeout_ms` is
`RequestTimedOutError`: both below, under the numbers Kafka gives them.
"""

FUTURE, SEND, CONSTRUCTOR = "future, callback", "`send()`", "constructor"

#: What a producer's user meets: where, and what the exception's own text does not say of what to do.
CLIENT_ROWS: dict[ClientCode, tuple[str, str]] = {
    ClientCode.TIMEOUT: (
        FUTURE,
        "Where the text says that the leader cannot be reached although `bootstrap_servers` can: brokers are connected "
        "to at the addresses they advertise, so set the brokers' `advertised.listeners` to what this machine can "
        "resolve and reach. Where it says that the leader throttles this client: send less, or raise the quota of the "
        "cluster (`producer_byte_rate`, `request_percentage`). Where it says that a request waits for an answer: look "
        "at the broker, and with acks=all at its followers",
    ),
    ClientCode.METADATA_TIMEOUT: (
        f"{FUTURE}; `partitions_for()` and `send_many()` raise it",
        "Where the text says UNKNOWN_TOPIC_OR_PARTITION: create the topic, or allow brokers to create it "
        "(`auto.create.topics.enable`; `allow_auto_create_topics` here is True unless you change it). Where it names a "
        "partition: the topic has fewer",
    ),
    ClientCode.BUFFER_EXHAUSTED: (
        f"{FUTURE}; `send_many()` raises it",
        "Where the text says that callbacks wait to be run: do less in callbacks",
    ),
    ClientCode.RECORD_TOO_LARGE: (
        f"{FUTURE}; `send_many()` raises it",
        "Raise them, and the topic's `max.message.bytes`",
    ),
    ClientCode.INVALID_TOPIC: (f"{FUTURE}; `partitions_for()` and `send_many()` raise it", ""),
    ClientCode.UNSUPPORTED: (f"{FUTURE}; {SEND} once nothing can be sent any more", ""),
    ClientCode.BATCH_REJECTED: (FUTURE, ""),
    ClientCode.CLOSED_FORCEFULLY: (
        FUTURE,
        "`close()` ran out of its time-out, or the program ended without `close()` and `exit_timeout_ms` passed",
    ),
    ClientCode.FORKED: (f"{FUTURE}, in the child", ""),
    ClientCode.SENDER_DIED: (f"{FUTURE}; {SEND} from then on", ""),
    ClientCode.CLOSED: (f"{SEND}, `partitions_for()`", ""),
    ClientCode.SERIALIZATION: (SEND, "What it raised is the `__cause__`"),
    ClientCode.ILLEGAL_STATE: (
        "`init_transactions()` and its like; a change of a sent record's headers",
        "There are no transactions yet",
    ),
    ClientCode.CONFIGURATION: (
        CONSTRUCTOR,
        "Its subclasses, both `ValueError` too, are `UnrecognizedConfigError`, an option nobody knows, and "
        "`InvalidConfigError`, a value the option does not take",
    ),
    ClientCode.TIMED_OUT: (
        "`get()`, `flush()`",
        "Their own time-out; what becomes of the records does not depend on it",
    ),
}

#: Raised within, and never to a caller.
INTERNAL = {
    "CorrelationIdError", "IllegalArgumentError", "InvalidReceiveError", "KafkaConnectionError", "KafkaProtocolError",
    "MetadataEmptyBrokerList", "StaleMetadata",
}  # fmt: skip

#: Raised nowhere: peers' names for what is not here, or comes as another class.
NEVER = {
    "Cancelled", "CommitFailedError", "LogTruncationError", "NoBrokersAvailable", "NoOffsetForPartitionError",
    "NodeNotReadyError", "QuotaViolationError", "RecordTooLargeError", "TooManyInFlightRequests",
    "TransactionAbortedError", "UnjoinedGroupException", "UnknownBrokerIdError", "UnrecognizedBrokerVersion",
    "UnsupportedCodecError",
}  # fmt: skip

REST = """\
### Never raised to you

Defined so that `except` clauses written for kafka-python go on working; nothing raises them: {never}.

Used within the client, where they close a connection or end up in the log and in the text of a time-out: {internal}.
One exception: when the operating system gives the producer no threads, the future fails with `KafkaConnectionError`.
"""

BROKER = """\
## From a broker, as a producer meets them

*What is done*: with retries and time left. Retried means that the record comes back to you only after
`delivery_timeout_ms` or `retries` are used up. *May be written*: whether the broker may hold the record in spite of it.

| class | errno | what happened | what is done | may be written | what you can do |
|---|---:|---|---|---|---|
"""

OTHERS = """\
## From a broker, about what a producer does not do

Named so that an unexpected one can be read. Those that are `retriable` are retried, the others fail the record.

| class | errno | what happened |
|---|---:|---|
"""

DONE = {
    Action.RETRY: "retried",
    Action.REFRESH_AND_RETRY: "metadata fetched, retried",
    Action.SPLIT: "the batch is cut in two; a single record fails",
    Action.BUMP_EPOCH: "retried under a new epoch; succeeds with offset -1 where what was sent behind it shows that it "
    "is written; fails in doubt where a retry could write it twice",
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
    error = exception_for(code)
    where, remedy = CLIENT_ROWS[code]
    meaning = ". ".join(filter(None, (client_errors[code][1].rstrip("."), remedy)))
    return f"| `{type(error).__name__}` | {getattr(error, 'errno', None) or ''} | {where} | {cell(meaning)} |\n"


def listed(names: set[str]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(names))


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
    client = [client_row(code) for code in CLIENT_ROWS]
    rest = REST.format(never=listed(NEVER), internal=listed(INTERNAL))
    rest = "\n\n".join("\n".join(textwrap.wrap(part, 120)) for part in rest.split("\n\n"))
    broker = [broker_row(kafka_errors[code]) for code in codes if code and kafka_errors[code] in met]
    others = [other_row(kafka_errors[code]) for code in codes if kafka_errors[code] not in met]
    ours = [CLIENT, *client, "\n", PYTHONS_OWN, "\n", rest, "\n"]
    return "".join([INTRODUCTION, "\n", *ours, "\n", BROKER, *broker, "\n", OTHERS, *others])


if __name__ == "__main__":
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(text())
