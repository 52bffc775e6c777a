# SPDX-License-Identifier: Apache-2.0
"""A log of every decoded control message, switched on by an environment variable.

``PYKAFKA_FAST_WIRE_DUMP=1`` logs requests and responses to the logger ``pykafka_fast.wire``, and to standard error if
that logger has no handler of its own. Produce requests, which C writes, are not shown.
"""

from __future__ import annotations

import logging
import os

from ..log import get_logger
from ..protocol.api import api_name

__all__ = ["ENVIRONMENT_VARIABLE", "WireDump"]

ENVIRONMENT_VARIABLE = "PYKAFKA_FAST_WIRE_DUMP"
_LOGGER = "pykafka_fast.wire"
_logger = get_logger(_LOGGER)


class WireDump:
    """Logs messages if ``enabled``, by default if the environment variable is set and not 0."""

    __slots__ = ("enabled",)

    def __init__(self, enabled: bool | None = None) -> None:
        self.enabled = os.environ.get(ENVIRONMENT_VARIABLE, "0") not in ("", "0") if enabled is None else enabled
        if self.enabled:
            named = logging.getLogger(_LOGGER)
            named.setLevel(logging.DEBUG)
            if not named.hasHandlers():
                named.addHandler(logging.StreamHandler())

    def sent(self, peer: str, api: int, version: int, correlation_id: int, message: object) -> None:
        """A request was queued for sending."""
        if self.enabled:
            _logger.debug("%s > %s v%d #%d %r", peer, api_name(api), version, correlation_id, message)

    def received(self, peer: str, api: int, version: int, correlation_id: int, message: object) -> None:
        """A response was decoded."""
        if self.enabled:
            _logger.debug("%s < %s v%d #%d %r", peer, api_name(api), version, correlation_id, message)
