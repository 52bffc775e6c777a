# SPDX-License-Identifier: Apache-2.0
"""The requests of one connection that wait for their responses."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..errors import CorrelationIdError, KafkaError, KafkaProtocolError
from ..protocol.header import decode_response_header

__all__ = ["InFlightRequest", "InFlightRequests"]


@dataclass(slots=True)
class InFlightRequest:
    """One request, how to read its response and whom to tell."""

    api: int
    version: int
    correlation_id: int
    decode: Callable[[bytes, int, int], Any]
    callback: Callable[[Any, KafkaError | None], None]
    deadline_ns: int
    timeout_ms: int


class InFlightRequests:
    """Requests in the order they were sent, in which their responses have to come."""

    __slots__ = ("_requests",)

    def __init__(self) -> None:
        self._requests: deque[InFlightRequest] = deque()

    def __len__(self) -> int:
        return len(self._requests)

    @property
    def oldest(self) -> InFlightRequest | None:
        """The one whose response is due next."""
        return self._requests[0] if self._requests else None

    def add(self, request: InFlightRequest) -> None:
        """A request was sent."""
        self._requests.append(request)

    def match(self, frame: bytes) -> tuple[InFlightRequest, Any]:
        """Take out the oldest request and return it with its decoded response.

        Raises:
            KafkaProtocolError: the frame is not the response that was due.
        """
        request = self.oldest
        if request is None:
            raise KafkaProtocolError(f"a response of {len(frame)} bytes that nobody asked for")
        correlation_id, offset = decode_response_header(request.api, request.version, frame)
        if correlation_id != request.correlation_id:
            raise CorrelationIdError(
                f"a response with correlation id {correlation_id} where {request.correlation_id} was due"
            )
        response = request.decode(frame, request.version, offset)
        self._requests.popleft()
        return request, response

    def deadline(self) -> int | None:
        """The earliest deadline; None without requests."""
        return min((request.deadline_ns for request in self._requests), default=None)

    def overdue(self, now_ns: int) -> InFlightRequest | None:
        """The oldest request whose deadline has come."""
        return next((request for request in self._requests if now_ns >= request.deadline_ns), None)

    def extend(self, duration_ns: int) -> None:
        """Give every request more time: the broker throttles (KIP-219)."""
        for request in self._requests:
            request.deadline_ns += duration_ns

    def take_all(self) -> list[InFlightRequest]:
        """Take out all requests, oldest first."""
        requests = list(self._requests)
        self._requests.clear()
        return requests
