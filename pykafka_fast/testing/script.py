# SPDX-License-Identifier: Apache-2.0
"""Scripted faults: rules that say what shall happen to which requests, and how often."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from ..protocol.api import APIS

__all__ = ["Call", "Corrupt", "Fault", "Reply", "Rule", "Script", "api_key"]

_KEYS = {spec.name.lower(): int(spec.key) for spec in APIS.values()}

#: Turns (correlation id, whole reply with its size) into the bytes that are sent instead.
Corrupt = Callable[[int, bytes], bytes]


def api_key(name: str | int) -> int:
    """Kafka's number of an API named as in the protocol guide, for example ``"Produce"``.

    Raises:
        ValueError: no such API is served here.
    """
    if isinstance(name, int):
        return int(name)
    try:
        return _KEYS[name.lower()]
    except KeyError:
        raise ValueError(f"no API {name!r}; there are {', '.join(spec.name for spec in APIS.values())}") from None


@dataclass
class Rule:
    """A scripted fault. Ends after ``times`` requests, with :meth:`cancel`, or with the broker's ``clear()``.

    Attributes:
        kind: what it does; the script's lists are kept by kind.
        api: number of the API, None for all.
        node: node id, None for all.
        topic, partition: what it is limited to, None for all.
        times: requests it still applies to, None without end.
        skip: requests it lets pass before the first.
        applied: requests it was applied to.
    """

    kind: str
    api: int | None = None
    node: int | None = None
    topic: str | None = None
    partition: int | None = None
    times: int | None = None
    skip: int = 0
    applied: int = 0

    def cancel(self) -> None:
        """Apply to no further request."""
        self.times = 0

    @property
    def is_over(self) -> bool:
        """Whether it applies to no further request."""
        return self.times is not None and self.times <= 0

    def matches_request(self, api: int, node: int) -> bool:
        """Whether it concerns requests of this API on this node."""
        return not self.is_over and self.api in (None, api) and self.node in (None, node)

    def matches_partition(self, topic: str | None, partition: int | None) -> bool:
        """Whether it concerns this partition (or this topic, with partition None)."""
        return self.topic in (None, topic) and (partition is None or self.partition in (None, partition))

    def passes(self) -> bool:
        """Whether it lets this request pass, which is counted."""
        if self.skip == 0:
            return False
        self.skip -= 1
        return True

    def use(self) -> None:
        """Count one request."""
        self.applied += 1
        if self.times is not None:
            self.times -= 1


@dataclass
class Fault(Rule):
    """An error code for partitions, topics or whole answers.

    Attributes:
        error: the error code.
        message: error message where the answer has room for one, None for none.
        after_append: records are written all the same.
        record_errors: index in the batch to message (KIP-467).
        log_start: the log's start offset in the answer to Produce, -1 if the broker does not say it.
    """

    error: int = 0
    message: str | None = None
    after_append: bool = False
    record_errors: dict[int, str] = field(default_factory=dict)
    log_start: int = -1


@dataclass
class Reply(Rule):
    """What happens to a whole answer: milliseconds of delay or throttle, bytes to keep, or a corruption."""

    amount: int = 0
    corrupt: Corrupt | None = None


@dataclass
class Call(Rule):
    """Something to do when a request comes."""

    action: Callable[[], object] = lambda: None


class Script:
    """All rules, in the order they were made. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rules: list[Rule] = []

    def add(self, rule: Rule) -> None:
        """Put a rule into force, after the earlier ones."""
        if rule.times is not None and rule.times < 1:
            raise ValueError(f"times must be positive or None for ever, not {rule.times!r}")
        if not isinstance(rule.skip, int) or rule.skip < 0:
            raise ValueError(f"skip must be a number of requests, not {rule.skip!r}")
        with self._lock:
            self._rules = [*(earlier for earlier in self._rules if not earlier.is_over), rule]

    def clear(self, kind: str | None = None) -> None:
        """End all rules, or those of one kind."""
        with self._lock:
            for rule in self._rules:
                if kind in (None, rule.kind):
                    rule.cancel()
            self._rules = [rule for rule in self._rules if not rule.is_over]

    def replace(self, kind: str, api: int | None, node: int | None) -> None:
        """End the rules of ``kind`` for exactly this API and node."""
        with self._lock:
            for rule in self._rules:
                if (rule.kind, rule.api, rule.node) == (kind, api, node):
                    rule.cancel()
            self._rules = [rule for rule in self._rules if not rule.is_over]

    def take(self, kind: str, api: int, node: int) -> Rule | None:
        """The first rule of ``kind`` that concerns this request, counted as used."""
        with self._lock:
            for rule in self._matching(kind, api, node):
                if rule.passes():
                    continue
                self._use(rule)
                return rule
        return None

    def faults(self, api: int, node: int, targets: list[tuple[str, int | None]]) -> dict[tuple[str, int | None], Fault]:
        """The faults of a request, by (topic, partition) of ``targets``; each fault found is counted once.

        The oldest fault that concerns a target wins.
        """
        found: dict[tuple[str, int | None], Fault] = {}
        with self._lock:
            for rule in list(self._matching("fail", api, node)):
                if not isinstance(rule, Fault):
                    continue
                hit = [target for target in targets if target not in found and rule.matches_partition(*target)]
                if hit and not rule.passes():
                    found.update(dict.fromkeys(hit, rule))
                    self._use(rule)
        return found

    def _matching(self, kind: str, api: int, node: int) -> Iterator[Rule]:
        return (rule for rule in self._rules if rule.kind == kind and rule.matches_request(api, node))

    def _use(self, rule: Rule) -> None:
        rule.use()
        if rule.is_over:
            self._rules.remove(rule)
