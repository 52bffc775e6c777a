# SPDX-License-Identifier: Apache-2.0
"""The transactional calls of a producer: recognised, and not there yet."""

from __future__ import annotations

from typing import NoReturn

from .errors import IllegalStateError


class TransactionCalls:
    """kafka-python's; they raise IllegalStateError, as there without ``transactional_id``."""

    def init_transactions(self) -> NoReturn:
        """Of kafka-python; raises IllegalStateError, as there without ``transactional_id``."""
        raise _no_transactions("init_transactions")

    def begin_transaction(self) -> NoReturn:
        """Of kafka-python; raises IllegalStateError, as there without ``transactional_id``."""
        raise _no_transactions("begin_transaction")

    def send_offsets_to_transaction(self, offsets: object, group_metadata: object) -> NoReturn:
        """Of kafka-python; raises IllegalStateError, as there without ``transactional_id``."""
        raise _no_transactions("send_offsets_to_transaction")

    def commit_transaction(self) -> NoReturn:
        """Of kafka-python; raises IllegalStateError, as there without ``transactional_id``."""
        raise _no_transactions("commit_transaction")

    def abort_transaction(self) -> NoReturn:
        """Of kafka-python; raises IllegalStateError, as there without ``transactional_id``."""
        raise _no_transactions("abort_transaction")


def _no_transactions(call: str) -> IllegalStateError:
    return IllegalStateError(f"{call}() needs transactional_id, and transactions are not supported yet")
