# SPDX-License-Identifier: Apache-2.0
"""Cython believes csrc.pxd blindly: each declaration there is held against the header by the C compiler.

The file is read by Cython's own parser and turned into a C file of _Static_asserts: functions and function pointers by
their whole type, struct fields by theirs, constants by assigning them.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from Cython.Compiler import Nodes
from Cython.Compiler.TreeFragment import parse_from_strings

PRELUDE = """
#define _GNU_SOURCE 1
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>
#define SAME(a, b) __builtin_types_compatible_p(a, b)
"""
INTEGERS = {-1: "short", 0: "int", 1: "long", 2: "long long"}


class Declarations:
    """What one .pxd says, as C checks."""

    def __init__(self, text: str):
        self.tags: dict[str, str] = {}
        self.headers: list[str] = []
        self.checks: list[str] = []
        tree: Any = parse_from_strings("csrc", text, level="module_pxd")
        externs = [node for node in tree.body.stats if isinstance(node, Nodes.CDefExternNode)]
        for extern in externs:
            for node in statements(extern.body):
                self._collect_tag(node)
        for extern in externs:
            if extern.include_file:
                self.headers.append(str(extern.include_file))
            for node in statements(extern.body):
                self.checks.extend(self._check(node))

    def c_file(self) -> str:
        includes = "".join(f'#include "{header}"\n' for header in self.headers)
        return PRELUDE + includes + "\n".join(self.checks) + "\n"

    def _collect_tag(self, node: Any) -> None:
        """`cdef struct x` is "struct x" in C, `ctypedef struct x` is "x"."""
        if isinstance(node, Nodes.CStructOrUnionDefNode):
            plain = node.cname or node.name
            self.tags[node.name] = plain if node.typedef_flag else f"{node.kind} {plain}"
        elif isinstance(node, Nodes.CEnumDefNode) and node.name:
            self.tags[node.name] = node.name if node.typedef_flag else f"enum {node.name}"

    def _check(self, node: Any) -> Iterator[str]:
        if isinstance(node, Nodes.CStructOrUnionDefNode):
            yield from self._check_struct(node)
        elif isinstance(node, Nodes.CEnumDefNode):
            for item in node.items:
                yield f"enum {{ check_{item.name} = {item.cname or item.name} }};"
        elif isinstance(node, Nodes.CTypeDefNode):
            name, c_type = self._declared(node.base_type, node.declarator)
            yield same(name, c_type, f"typedef {name}")
        elif isinstance(node, Nodes.CVarDefNode):
            for declarator in node.declarators:
                yield self._check_variable(node.base_type, declarator)
        elif not isinstance(node, Nodes.PassStatNode):
            raise TypeError(f"line {node.pos[1]}: no check for {type(node).__name__}")

    def _check_struct(self, node: Any) -> Iterator[str]:
        owner = self.tags[node.name]
        if not node.attributes:
            yield f"typedef {owner} *check_{node.name};"
        for attribute in node.attributes or []:
            for declarator in attribute.declarators:
                name, c_type = self._declared(attribute.base_type, declarator)
                yield same(f"__typeof__((({owner} *)0)->{name})", c_type, f"{node.name}.{name}")

    def _check_variable(self, base: Any, declarator: Any) -> str:
        name, c_type = self._declared(base, declarator)
        if c_type.endswith(")"):
            return same(f"__typeof__({name})", c_type, name)
        # A constant may be a macro of another type; its value must fit the one declared.
        return f"__attribute__((unused)) static {c_type.removeprefix('const ')} check_{name}(void) {{ return {name}; }}"

    # Types

    def _declared(self, base: Any, declarator: Any) -> tuple[str, str]:
        """(C name, C type) of a declaration; the type is built from the name outwards."""
        text, suffix = self._base(base), ""
        while True:
            if isinstance(declarator, Nodes.CNameDeclaratorNode):
                return declarator.cname or declarator.name, text + suffix
            if isinstance(declarator, Nodes.CPtrDeclaratorNode):
                text += " *"
                declarator = declarator.base
            elif isinstance(declarator, Nodes.CArrayDeclaratorNode):
                size = "" if declarator.dimension is None else str(declarator.dimension.value)
                suffix = f"[{size}]{suffix}"
                declarator = declarator.base
            elif isinstance(declarator, Nodes.CFuncDeclaratorNode):
                return self._function(text, declarator)
            else:
                raise TypeError(f"line {declarator.pos[1]}: no C type for {type(declarator).__name__}")

    def _function(self, result: str, declarator: Any) -> tuple[str, str]:
        arguments = [self._declared(a.base_type, a.declarator)[1] for a in declarator.args]
        if declarator.has_varargs:
            arguments.append("...")
        listed = f"({', '.join(arguments) or 'void'})"
        inner = declarator.base
        if isinstance(inner, Nodes.CPtrDeclaratorNode):
            return inner.base.cname or inner.base.name, f"{result} (*){listed}"
        return inner.cname or inner.name, f"{result} {listed}"

    def _base(self, node: Any) -> str:
        # The class that holds a qualifier has had several names.
        if getattr(node, "is_const", False):
            return f"const {self._base(node.base_type)}"
        if not isinstance(node, Nodes.CSimpleBaseTypeNode):
            raise TypeError(f"line {node.pos[1]}: no C type for {type(node).__name__}")
        if node.is_basic_c_type and node.name in {"int", "char"}:
            sign = {0: "unsigned ", 1: "", 2: "signed "}[node.signed]
            return sign + ("char" if node.name == "char" else INTEGERS[node.longness])
        if node.name is None:
            raise TypeError(f"line {node.pos[1]}: name every argument")
        return self.tags.get(node.name, node.name)


def statements(body: Any) -> list[Any]:
    return list(body.stats) if isinstance(body, Nodes.StatListNode) else [body]


def same(actual: str, declared: str, what: str) -> str:
    # Cython's bint stands for C's int and for C's bool.
    readings = {re.sub(r"\bbint\b", c_type, declared) for c_type in ("int", "bool")}
    tests = " || ".join(f"SAME({actual}, {reading})" for reading in sorted(readings))
    return f'_Static_assert({tests}, "{what} is not {declared}");'


def compile_checks(text: str, include: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    file = folder / "checks.c"
    file.write_text(Declarations(text).c_file())
    compiler = os.environ.get("CC") or shutil.which("cc") or "gcc"
    flags = ["-std=gnu11", "-fsyntax-only", "-Werror", "-Wconversion", "-Wno-unused", f"-I{include}"]
    return subprocess.run([*compiler.split(), *flags, str(file)], capture_output=True, text=True, check=False)


def test_csrc_pxd_matches_the_headers(root: Path, tmp_path: Path) -> None:
    text = "".join((root / "pykafka_fast" / "_core" / name).read_text() for name in ("csrc.pxd", "csrc_bulk.pxd"))
    assert len(Declarations(text).checks) > 20
    done = compile_checks(text, root / "csrc", tmp_path)
    assert done.returncode == 0, done.stderr


HEADER = """
#include <stddef.h>
#include <stdint.h>
#include <stdbool.h>
typedef struct pair { int32_t a; const char *b; uint8_t c[4]; bool d; } pair;
struct tagged;
typedef int (*visit)(void *cookie, const pair *p);
typedef enum color { RED, GREEN = 5 } color;
#define LIMIT 7u
static inline int64_t sum(const pair *p, size_t n, visit v) { (void)p; (void)v; return (int64_t)n; }
void tell(struct tagged *t, color c);
const char *name_of(color c);
"""
GOOD = """
from libc.stdint cimport int32_t, int64_t, uint8_t
cdef extern from "h.h" nogil:
    ctypedef struct pair:
        int32_t a
        const char *b
        uint8_t c[4]
        bint d
    cdef struct tagged:
        pass
    ctypedef int (*visit)(void *cookie, const pair *p) noexcept
    const char *name_of(color c) noexcept
    ctypedef enum color:
        RED
        GREEN
    const unsigned int LIMIT
    int64_t sum "sum"(const pair *p, size_t n, visit v) noexcept
    void tell(tagged *t, color c) noexcept
"""


def check(text: str, folder: Path) -> str:
    (folder / "h.h").write_text(HEADER)
    return compile_checks(text, folder, folder).stderr


def test_good_declarations_pass(tmp_path: Path) -> None:
    assert check(GOOD, tmp_path) == ""


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        ("int32_t a", "int64_t a", "pair.a is not int64_t"),
        ("const char *b", "char *b", "pair.b is not char"),
        ("uint8_t c[4]", "uint8_t c[5]", "pair.c is not"),
        ("size_t n", "int n", "sum is not"),
        ("(void *cookie, const pair *p)", "(const pair *p)", "visit is not"),
        ("int64_t sum", "int32_t sum", "sum is not"),
        ("tagged *t, color c", "tagged *t", "tell is not"),
        ("bint d", "bint b", "pair.b is not bint"),
        ("GREEN", "BLUE", "BLUE"),
        ("const char *name_of", "char *name_of", "name_of is not char *"),
        ("void tell", "void told", "told"),
    ],
)
def test_wrong_declarations_fail(right: str, wrong: str, said: str, tmp_path: Path) -> None:
    assert said in check(GOOD.replace(right, wrong), tmp_path)
