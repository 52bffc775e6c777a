# SPDX-License-Identifier: Apache-2.0
"""Value serializers as users write them."""

import json
from collections.abc import Callable
from typing import Any

Serializer = Callable[[Any], bytes]


def serializer(name: str) -> Serializer:
    """By the name users know it by."""
    if name == "orjson":
        import orjson

        return orjson.dumps
    known: dict[str, Serializer] = {"str.encode": str.encode, "json.dumps": json_bytes}
    return known[name]


def json_bytes(value: object) -> bytes:
    return json.dumps(value).encode()
