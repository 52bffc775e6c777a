# SPDX-License-Identifier: Apache-2.0
"""The checklist is complete: every item has a test of its own that exists, or a reason."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.checklist.table import GROUPS, NotApplicable, items, names

NAMED_AFTER_AN_ITEM = re.compile(r"test_([a-z]{2})(\d\d)_\w+")


def functions_here() -> dict[str, str]:
    """Name of every test function in this folder → its docstring."""
    found: dict[str, str] = {}
    for path in sorted(Path(__file__).parent.glob("test_*.py")):
        for node in ast.parse(path.read_text("utf-8")).body:
            if isinstance(node, ast.FunctionDef) and NAMED_AFTER_AN_ITEM.fullmatch(node.name):
                assert node.name not in found, f"two tests are called {node.name}"
                found[node.name] = ast.get_docstring(node) or ""
    return found


@pytest.mark.parametrize("group", GROUPS)
def test_every_item_has_an_entry(group: str) -> None:
    assert list(items(group)) == list(range(1, GROUPS[group][0] + 1))


@pytest.mark.parametrize("group", GROUPS)
def test_every_entry_is_a_test_that_says_what_it_shows_or_a_reason(group: str) -> None:
    tests = functions_here()
    for number, entry in items(group).items():
        if isinstance(entry, NotApplicable):
            assert len(entry.reason) > 15, f"{group}{number} has no reason worth the name"
            continue
        assert names(entry)
        for name in names(entry):
            assert name.startswith(f"test_{group.lower()}{number:02}_"), f"{name} is not named after {group}{number}"
            assert tests.get(name), f"{name} of {group}{number} does not exist, or has no docstring"


def test_every_test_is_in_the_table() -> None:
    listed = {name for group in GROUPS for entry in items(group).values() for name in names(entry)}
    assert sorted(set(functions_here()) - listed) == []
