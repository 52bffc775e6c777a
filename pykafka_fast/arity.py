# SPDX-License-Identifier: Apache-2.0
"""How many arguments a user's function takes: users bring functions of several shapes."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any


def takes(function: Callable[..., Any], count: int) -> bool:
    """Whether the function can be called with ``count`` positional arguments; True if it does not say."""
    if isinstance(inspect.getattr_static(type(function), "__call__", None), (classmethod, staticmethod)):
        function = getattr(function, "__call__")  # noqa: B004, B009  # signature() of the object drops an argument
    try:
        inspect.signature(function).bind(*range(count))
    except TypeError:
        return False
    except ValueError:  # a function of C without a signature
        return True
    return True
