# SPDX-License-Identifier: Apache-2.0
"""Interceptors: user code that sees every record on its way out and what became of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from .log import get_logger
from .types import ProducerRecord, TopicPartition

logger = get_logger(__name__)


class ProducerInterceptor:
    """Base class; any object with some of these methods will do.

    What a method raises is logged and stops neither the record nor the other interceptors.
    """

    def on_send(self, record: ProducerRecord) -> ProducerRecord:
        """See a record before it is serialized, on the sending thread; the record returned is sent in its place."""
        return record

    def on_acknowledgement(self, metadata: Any, exception: BaseException | None) -> None:
        """Learn what became of a record, on the delivery thread and before the record's own callback.

        Args:
            metadata: a ``RecordMetadata``, never None; offset -1 when it is not known.
            exception: None if the record was delivered.
        """

    def on_send_error(self, record: ProducerRecord | None, topic_partition: TopicPartition,
                      exception: BaseException) -> None:
        """Learn that ``send`` itself failed, on the sending thread, after the record's own callback.

        Args:
            record: the record as far as it was known.
            topic_partition: where it was going; partition -1 if none had been chosen.
            exception: why.
        """

    def close(self) -> None:
        """Called once, when the producer is closed."""


class InterceptorChain:
    """Runs interceptors in order, each guarded.

    Attributes:
        acknowledges: whether any of them wants acknowledgements; false lets the producer skip that work.
    """

    def __init__(self, interceptors: Iterable[Any] = ()) -> None:
        self._interceptors = list(interceptors)
        self._on_send = self._methods("on_send")
        self._on_acknowledgement = self._methods("on_acknowledgement")
        self._on_send_error = self._methods("on_send_error")
        self.acknowledges = bool(self._on_acknowledgement)

    def _methods(self, name: str) -> list[Callable[..., Any]]:
        """The interceptors' methods of this name, without those that only inherit the empty one."""
        found = (getattr(interceptor, name, None) for interceptor in self._interceptors)
        empty = getattr(ProducerInterceptor, name)
        return [method for method in found if callable(method) and getattr(method, "__func__", None) is not empty]

    def __bool__(self) -> bool:
        return bool(self._interceptors)

    def __len__(self) -> int:
        return len(self._interceptors)

    def on_send(self, record: ProducerRecord) -> ProducerRecord:
        """The record to send; each interceptor gets what the one before returned.

        One that raises, or returns something other than a record, is passed over and its failure logged.
        """
        for method in self._on_send:
            try:
                result = method(record)
            except Exception:
                logger.exception("Interceptor %r failed in on_send for topic %s", method, record.topic)
                continue
            if isinstance(result, ProducerRecord):
                record = result
            else:
                logger.error("Interceptor %r must return a ProducerRecord from on_send, not %s; its result is ignored",
                             method, type(result).__name__)
        return record

    def on_acknowledgement(self, metadata: Any, exception: BaseException | None) -> None:
        """Tell every interceptor what became of a record."""
        self._tell(self._on_acknowledgement, metadata, exception, guarded=BaseException)  # there is no caller to stop

    def on_send_error(self, record: ProducerRecord | None, topic_partition: TopicPartition,
                      exception: BaseException) -> None:
        """Tell every interceptor that ``send`` failed."""
        self._tell(self._on_send_error, record, topic_partition, exception)

    def close(self) -> None:
        """Close every interceptor."""
        self._tell(self._methods("close"))

    def _tell(self, methods: list[Callable[..., Any]], *arguments: Any,
              guarded: type[BaseException] = Exception) -> None:
        for method in methods:
            try:
                method(*arguments)
            except guarded:
                logger.exception("Interceptor %r failed", method)
