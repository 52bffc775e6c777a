# SPDX-License-Identifier: Apache-2.0
"""The one place where a status of the C library becomes an exception."""

STATUS_CLASSES: dict[str, type[BaseException]]

def status_names() -> dict[int, str]:
    """Name by number of every status the C library has."""
