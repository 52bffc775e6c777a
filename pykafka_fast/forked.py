# SPDX-License-Identifier: Apache-2.0
"""What a forked child does with the locks it inherits: a thread of its parent may hold them for ever."""

from __future__ import annotations

import threading

__all__ = ["renew"]


def renew(primitive: threading.Condition | threading.Event) -> None:
    """In a forked child: free its lock. Whoever waits there, having forked in a signal handler, goes on."""
    again = getattr(primitive, "_at_fork_reinit", None)
    if again is not None:
        again()
