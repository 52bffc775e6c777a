# SPDX-License-Identifier: Apache-2.0
"""An event loop that counts how often other threads wake it."""

import asyncio
from collections.abc import Callable
from contextvars import Context
from itertools import count
from typing import Any


class CountingLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        super().__init__()
        self._counter = count(1)
        self.calls_from_threads = 0

    def call_soon_threadsafe(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        # next() is atomic, += is not.
        self.calls_from_threads = max(self.calls_from_threads, next(self._counter))
        return super().call_soon_threadsafe(callback, *args, context=context)
