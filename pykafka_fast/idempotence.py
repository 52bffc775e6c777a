# SPDX-License-Identifier: Apache-2.0
"""The producer id and epoch of an idempotent producer (KIP-98, KIP-360): when to ask for one, when to bump it.

Sequences live in the wire thread. What it cannot decide comes here as "gaps": partitions in which a sequence will never
arrive. They start anew, from 0, under the next epoch, or under a new id when the epochs are used up::

    NONE --need()--> WANTED --on_sent()--> REQUESTED --on_response()--> KNOWN --bump() at 32767--> WANTED
                       ^                       |
                       +----failed, back-off---+
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

from .errors import KafkaError, UnsupportedVersionError, exception_for, kafka_errors, message_of
from .protocol.init_producer_id import InitProducerIdResponse
from .retry import description

__all__ = ["IdentityState", "Partition", "ProducerIdentity", "Verdict"]

NO_PRODUCER_ID = -1
MAX_EPOCH = 0x7FFF
_AUTHORIZATION_CODES = (31, 53)

Partition = tuple[str, int]


class IdentityState(Enum):
    """Whether there is an id."""

    NONE = "none"
    WANTED = "wanted"
    REQUESTED = "requested"
    KNOWN = "known"


class Verdict(Enum):
    """What an answer to InitProducerId means."""

    KNOWN = "known"
    RETRY = "retry"
    REFUSED = "refused"
    """What is pending fails; a later record may ask again."""
    UNSUPPORTED = "unsupported"
    """The broker gives no ids to anybody."""
    FATAL = "fatal"


class ProducerIdentity:
    """One producer's id and epoch.

    Args:
        backoff_ns: delay before another request after so many earlier failures.
    """

    def __init__(self, backoff_ns: Callable[[int], int]) -> None:
        self.producer_id = NO_PRODUCER_ID
        self.epoch = -1
        self.state = IdentityState.NONE
        self.error: KafkaError | None = None
        """Why there is no id: what the last answer said, or why there was none."""
        self.retry_at_ns = 0
        """While WANTED: no request before this time."""
        self._backoff_ns = backoff_ns
        self._failures = 0
        self._not_before_ns = 0  # records that come after a refusal do not ask in a tight loop
        self._gaps: dict[Partition, None] = {}  # in the order they came

    def need(self, now_ns: int) -> None:
        """Records wait for an id."""
        if self.state in (IdentityState.NONE, IdentityState.KNOWN):
            self.state = IdentityState.WANTED
            self.retry_at_ns = max(now_ns, self._not_before_ns)

    @property
    def is_wanted(self) -> bool:
        """Whether records wait for an id."""
        return self.state in (IdentityState.WANTED, IdentityState.REQUESTED)

    def next_request_ns(self) -> int | None:
        """When to ask for an id, None if there is no need."""
        return self.retry_at_ns if self.state is IdentityState.WANTED else None

    def is_due(self, now_ns: int) -> bool:
        """Whether to ask for an id now."""
        return self.state is IdentityState.WANTED and now_ns >= self.retry_at_ns

    def on_sent(self) -> None:
        """InitProducerId is under way."""
        self.state = IdentityState.REQUESTED

    def on_failure(self, now_ns: int, error: KafkaError) -> Verdict:
        """It was not answered, or with an error that passes: ``error``."""
        self.error = error
        self.state = IdentityState.WANTED
        self.retry_at_ns = now_ns + self._backoff_ns(self._failures)
        self._failures += 1
        return Verdict.RETRY

    def on_response(self, response: InitProducerIdResponse, now_ns: int) -> Verdict:
        """It was answered. After anything but KNOWN ``error`` says why."""
        if response.error_code == 0:
            self.producer_id, self.epoch = response.producer_id, response.producer_epoch
            self.state = IdentityState.KNOWN
            self._failures = 0
            return Verdict.KNOWN
        error = _refusal(response.error_code)
        if error.retriable:
            return self.on_failure(now_ns, error)
        self.error = error
        self.state = IdentityState.NONE
        if response.error_code in _AUTHORIZATION_CODES:
            self._not_before_ns = now_ns + self._backoff_ns(self._failures)
            self._failures += 1
            if self._gaps:  # their partitions send nothing, so nobody else would ask again
                self.need(now_ns)
            return Verdict.REFUSED
        return Verdict.FATAL

    def on_unsupported(self, reason: str) -> Verdict:
        """No request could be sent: the broker is too old."""
        self.error = UnsupportedVersionError(f"{reason}; idempotence needs it: set enable_idempotence=False")
        self.state = IdentityState.NONE
        return Verdict.UNSUPPORTED

    def add_gap(self, topic: str, partition: int) -> None:
        """A sequence of this partition will never arrive."""
        self._gaps[topic, partition] = None

    def bump(self, now_ns: int) -> bool:
        """Move to the next epoch if there are gaps; True if partitions may start anew right away.

        At the last epoch a new id is asked for instead; the gaps stay until it is there.
        """
        if not self._gaps or self.state is not IdentityState.KNOWN:
            return False
        if self.epoch == MAX_EPOCH:
            self.need(now_ns)
            return False
        self.epoch += 1
        return True

    def take_gaps(self) -> list[Partition]:
        """The partitions that are to start anew, each once."""
        gaps = list(self._gaps)
        self._gaps.clear()
        return gaps


def _refusal(code: int) -> KafkaError:
    """The remedies of errors are about records; those of permissions are good for this as well."""
    known = kafka_errors.get(code)
    said = known.description if known is not None else None
    if code in _AUTHORIZATION_CODES:
        said = message_of(exception_for(code))
    return exception_for(code, f"InitProducerId: {description(code, said)}")
