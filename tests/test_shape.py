# SPDX-License-Identifier: Apache-2.0
"""Functions and files stay short, and no file is called something that means nothing."""

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

MAX_FUNCTION_LINES = 60
MAX_FILE_LINES = 450
FOLDERS = ["csrc", "pykafka_fast", "tools", "benchmarks", "tests"]
SUFFIXES = {".c", ".h", ".py", ".pyx", ".pxd", ".pyi"}
BANNED_NAMES = {"utils", "util", "helpers", "helper", "common", "misc", "base", "manager"}
# path or path::function → lines allowed. May only shrink: an entry that is no longer needed fails.
EXCEPTIONS: dict[str, int] = {}


class Function(NamedTuple):
    name: str
    lines: int


def sources(root: Path) -> list[Path]:
    return sorted(
        file
        for folder in FOLDERS
        for file in (root / folder).rglob("*")
        if file.suffix in SUFFIXES and file.is_file() and "__pycache__" not in file.parts
    )


def python_functions(text: str) -> Iterator[Function]:
    """Every def, without its docstring, which is documentation and not code."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if ast.get_docstring(node) is not None:
                docstring = node.body[0]
                lines -= (docstring.end_lineno or docstring.lineno) - docstring.lineno + 1
            yield Function(node.name, lines)


CYTHON_DEF = re.compile(r"^(\s*)(?:def|cdef|cpdef|async def)\s+(?!class\b|extern\b|enum\b|struct\b)[^=]*?(\w+)\s*\(")


def cython_functions(text: str) -> Iterator[Function]:
    """Every def, cdef and cpdef: from its first line to the last line indented deeper."""
    lines = text.splitlines()
    for number, line in enumerate(lines):
        start = CYTHON_DEF.match(line)
        if start is None:
            continue
        body = number
        while body + 1 < len(lines) and not lines[body].split("#")[0].rstrip().endswith(":"):
            body += 1
        last = body
        for at in range(body + 1, len(lines)):
            if lines[at].strip():
                if len(lines[at]) - len(lines[at].lstrip()) <= len(start[1]):
                    break
                last = at
        docstring = re.match(r'\s*""".*?"""', "\n".join(lines[body + 1 : last + 1]), re.DOTALL)
        yield Function(start[2], last - number + 1 - (docstring[0].count("\n") + 1 if docstring else 0))


C_DEF = re.compile(r"^[A-Za-z_][^;={}]*?\b(\w+)\s*\([^;={}]*\)[^;={}()]*\{.*?^\}", re.DOTALL | re.MULTILINE)


def c_functions(text: str) -> Iterator[Function]:
    """Every function definition: from column 0 to the brace in column 0."""
    for found in C_DEF.finditer(re.sub(r"^#(?:.*\\\n)*.*$", "", text, flags=re.MULTILINE)):
        yield Function(found[1], found[0].count("\n") + 1)


def functions(file: Path) -> Iterator[Function]:
    text = file.read_text()
    if file.suffix in {".c", ".h"}:
        return c_functions(text)
    return cython_functions(text) if file.suffix in {".pyx", ".pxd"} else python_functions(text)


def measured(root: Path) -> dict[str, tuple[int, int]]:
    """path or path::function → (lines, cap)."""
    sizes: dict[str, tuple[int, int]] = {}
    for file in sources(root):
        name = str(file.relative_to(root))
        sizes[name] = (len(file.read_text().splitlines()), MAX_FILE_LINES)
        for function in functions(file):
            sizes[f"{name}::{function.name}"] = (function.lines, MAX_FUNCTION_LINES)
    return sizes


def test_files_and_functions_are_short(root: Path) -> None:
    sizes = measured(root)
    assert sum("::" in name for name in sizes) > 100
    too_long = {name: lines for name, (lines, cap) in sizes.items() if lines > max(cap, EXCEPTIONS.get(name, 0))}
    assert not too_long, f"longer than {MAX_FUNCTION_LINES} (function) or {MAX_FILE_LINES} (file) lines: {too_long}"


def test_exceptions_only_shrink(root: Path) -> None:
    sizes = measured(root)
    stale = [name for name, lines in EXCEPTIONS.items() if name not in sizes or sizes[name][0] < lines]
    assert not stale, f"lower or remove these exceptions: {stale}"


def test_names_say_something(root: Path) -> None:
    nameless = [
        str(file.relative_to(root))
        for file in sources(root)
        if {re.sub(r"^(pkf|test)_", "", file.stem), *file.relative_to(root).parts[:-1]} & BANNED_NAMES
    ]
    assert not nameless


C_TEXT = """\
struct s {
  int a;
};
#define M(x) \\
  f(x) {
int x[] = {
 1
};
static int f(int a,
      int b)
{
  return a;
}
int g(void) { return 1;
}
"""
CYTHON_TEXT = '''\
cdef inline int f(int a) noexcept nogil:
    return a

cdef class A:
    def g(self,
          x):
        """a
        b"""
        y

        z
'''
PYTHON_TEXT = 'def f():\n    """a\n    b\n    """\n    return 1\n'


@pytest.mark.parametrize(
    ("find", "text", "expected"),
    [
        (c_functions, C_TEXT, [("f", 5), ("g", 2)]),
        (cython_functions, CYTHON_TEXT, [("f", 2), ("g", 5)]),
        (python_functions, PYTHON_TEXT, [("f", 2)]),
    ],
    ids=["c", "cython", "python"],
)
def test_functions_are_found(
    find: Callable[[str], Iterator[Function]], text: str, expected: list[tuple[str, int]]
) -> None:
    assert list(find(text)) == expected
