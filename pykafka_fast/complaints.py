# SPDX-License-Identifier: Apache-2.0
"""Warnings about what goes on being wrong: said at once, then once in a while."""

from __future__ import annotations

import logging
from collections.abc import Callable

__all__ = ["Complaints"]

INTERVAL_NS = 10_000_000_000


class Complaints:
    """Logs a subject's first warning, and later ones at DEBUG but for one in ten seconds, which counts them.

    Args:
        logger: where to.
        clock: monotonic nanoseconds.
    """

    def __init__(self, logger: logging.Logger, clock: Callable[[], int]) -> None:
        self._logger = logger
        self._clock = clock
        self._said: dict[str, tuple[int, int]] = {}  # subject: when it was said last, how often it was not said since

    def warn(self, subject: str, text: str, *args: object, level: int = logging.WARNING) -> None:
        """Something is wrong with ``subject``."""
        now_ns = self._clock()
        said_ns, silent = self._said.get(subject, (now_ns - INTERVAL_NS, 0))
        if now_ns - said_ns < INTERVAL_NS:
            self._said[subject] = (said_ns, silent + 1)
            self._logger.debug(text, *args)
            return
        self._said[subject] = (now_ns, 0)
        if silent:
            text, args = text + " (and %d times since the last warning)", (*args, silent)
        self._logger.log(level, text, *args)
