# SPDX-License-Identifier: Apache-2.0
"""Who may include, cimport and import whom: the layers of DESIGN.md as data, checked against every such line."""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# L0. A C file may include its own header and the headers that stand before that one here.
HEADERS = """
    pkf_status pkf_bytes pkf_text pkf_crc32c pkf_murmur2 pkf_slab pkf_chunk pkf_record pkf_codec pkf_column pkf_socket
    pkf_lock pkf_batch pkf_owed pkf_legacy pkf_accum pkf_topic pkf_workers pkf_range pkf_bulk pkf_deadline pkf_pace
    pkf_spin pkf_completion pkf_event pkf_request pkf_response pkf_conn pkf_round pkf_fork
""".split()
# Files that implement another file's header.
PART_OF = {
    "crc32c_portable": "pkf_crc32c",
    "crc32c_avx512": "pkf_crc32c",
    "crc32c_sse42": "pkf_crc32c",
    "crc32c_armv8": "pkf_crc32c",
    "pkf_collect": "pkf_round",
    "pkf_expire": "pkf_round",
    "pkf_link": "pkf_round",
    "pkf_pack": "pkf_round",
    "pkf_settle": "pkf_round",
    "pkf_split": "pkf_round",
}
# These know nothing of the rest but how to say no, and bytes.
LEAVES = """
    pkf_bytes pkf_text pkf_crc32c pkf_murmur2 pkf_slab pkf_record pkf_codec pkf_column pkf_socket
    pkf_request pkf_response
""".split()
LEAF_MAY_INCLUDE = {"pkf_status", "pkf_bytes"}
# Against the order, each with its reason. May only shrink.
UPWARDS = {
    ("pkf_slab.c", "pkf_chunk.h"),  # the chunks are the pool's own store
    ("pkf_batch.c", "pkf_accum.h"),  # a batch keeps its accumulator alive
    ("pkf_accum.c", "pkf_topic.h"),  # the accumulator frees its topics
}
FREE_SYSTEM_HEADERS = set(
    "errno.h limits.h pthread.h stdalign.h stdatomic.h stdbool.h stddef.h stdint.h stdlib.h string.h time.h".split()
)
# What only the named file may use: system calls are pkf_socket's, memory from the system is pkf_chunk's.
OWNED_SYSTEM_HEADERS = {
    "pkf_socket": set("fcntl.h netinet/tcp.h poll.h sys/eventfd.h sys/ioctl.h sys/socket.h sys/uio.h unistd.h".split()),
    "pkf_chunk": {"sys/mman.h", "unistd.h"},
    "pkf_slab": {"unistd.h"},
    "pkf_request": {"sys/uio.h"},
    "pkf_event": {"unistd.h"},
    "pkf_round": {"sched.h", "signal.h"},
    "pkf_workers": {"signal.h"},
    "pkf_codec": set("libdeflate.h lz4.h lz4frame.h lz4hc.h snappy-c.h zstd.h zstd_errors.h".split()),
    "crc32c_avx512": {"immintrin.h"},
    "crc32c_sse42": {"nmmintrin.h", "wmmintrin.h"},
    "crc32c_armv8": {"arm_acle.h", "arm_neon.h", "sys/auxv.h", "sys/sysctl.h"},
}

# L2 to L7: the first matching prefix of the module's name gives its layer.
LAYERS = {
    "_core": 2,
    "sender": 5,
    "refusal": 6,
    "producer": 7,
    "bulk": 6,
    "lifecycle": 6,
    "counters": 5,
    "compat": 8,
    "testing": 8,
    "cli": 8,
    "__main__": 8,
    "__init__": 8,
    "cluster": 4,
    "metadata": 4,
    "routes": 4,
    "settlement": 4,
    "brokers": 4,
    "control": 4,
    "delivery": 4,
    "partitioner": 4,
    "idempotence": 4,
    "transactions": 4,
    "net": 4,
}
LEAF_LAYER = 3
LEAF_MODULES = set(
    """
    errors admin_errors broker_errors client_errors kafka_error types config option options producer_options compression
    retry version serializer arity interceptor metrics protocol complaints waiters log
    queue_thread own_thread native
    """.split()
)
CORE_MAY_IMPORT = {"errors", "log", "native", "types"}
# The command line and the shims use what any user uses.
PUBLIC_ONLY = {"compat", "cli", "__main__"}
PUBLIC_MODULES = {"__init__", "errors"}
# Inside one layer, against "only from lower layers".
SAME_LAYER = {
    ("bulk", "lifecycle"),
    ("metadata", "cluster"),
    ("routes", "cluster"),
    ("settlement", "cluster"),
    ("settlement", "metadata"),
    ("brokers", "cluster"),
    ("brokers", "net.backoff"),
    ("brokers", "net.connection"),
    ("brokers", "net.link"),
    ("control", "brokers"),
    ("control", "cluster"),
    ("control", "idempotence"),
    ("control", "metadata"),
    ("control", "net.connection"),
    ("control", "net.link"),
}


def c_files(root: Path) -> list[Path]:
    return sorted([*(root / "csrc").glob("*.c"), *(root / "csrc").glob("*.h")])


def test_c_includes(root: Path) -> None:
    wrong, upwards = [], set()
    for file in c_files(root):
        unit = PART_OF.get(file.stem, file.stem)
        assert unit in HEADERS, f"{file.name}: give it a place in HEADERS"
        for mark, name in re.findall(r'^\s*#\s*include\s+([<"])([^>"]+)', file.read_text(), re.MULTILINE):
            if mark == '"' and (file.name, name) in UPWARDS:
                upwards.add((file.name, name))
            elif not (may_include(unit, name[:-2]) if mark == '"' else may_use(file.stem, name)):
                wrong.append(f"{file.name} includes {name}")
    assert not wrong
    assert upwards == UPWARDS


def may_include(unit: str, other: str) -> bool:
    if unit == other:
        return True
    if unit in LEAVES:
        return other in LEAF_MAY_INCLUDE
    return other in HEADERS and HEADERS.index(other) < HEADERS.index(unit)


def may_use(stem: str, system_header: str) -> bool:
    return system_header in FREE_SYSTEM_HEADERS | OWNED_SYSTEM_HEADERS.get(stem, set())


def test_c_prints_nothing_and_knows_no_python(root: Path) -> None:
    for file in c_files(root):
        assert not re.search(r"\bv?f?printf\s*\(|\bputs\s*\(|Python\.h|\bPyObject\b", file.read_text()), file.name


# Python


def module_of(file: Path, root: Path) -> str:
    """pykafka_fast/net/sasl.py → net.sasl; the package itself is "__init__", a sub-package its own name."""
    parts = list(file.relative_to(root / "pykafka_fast").with_suffix("").parts)
    if parts[-1] == "__init__" and len(parts) > 1:
        parts.pop()
    return ".".join(parts)


def modules(root: Path) -> dict[str, Path]:
    files = sorted((root / "pykafka_fast").rglob("*.py"))
    return {module_of(file, root): file for file in files if "__pycache__" not in file.parts}


def layer(module: str) -> int:
    top = module.partition(".")[0]
    if top in LEAF_MODULES:
        return LEAF_LAYER
    assert top in LAYERS, f"{module}: give it a place in LAYERS"
    return LAYERS[top]


def absolute(module: str, is_package: bool, node: ast.ImportFrom) -> str:
    """The full name of what a `from ... import` names, relative ones resolved."""
    if node.level == 0:
        return node.module or ""
    here = ["pykafka_fast", *([] if module == "__init__" else module.split("."))]
    base = here[: len(here) - node.level + is_package]
    return ".".join([*base, *([node.module] if node.module else [])])


def imports(module: str, file: Path) -> Iterator[tuple[ast.stmt, str]]:
    """(statement, full name) of every import, `from package import module` as package.module."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node, alias.name
        elif isinstance(node, ast.ImportFrom):
            origin = absolute(module, file.name == "__init__.py", node)
            for alias in node.names:
                yield node, f"{origin}.{alias.name}"


def own(name: str, known: dict[str, Path]) -> str | None:
    """The module of ours that `name` is or is in; "__init__" for the package's public names."""
    if name != "pykafka_fast" and not name.startswith("pykafka_fast."):
        return None
    parts = name.split(".")[1:]
    if parts[:1] == ["_core"]:
        return ".".join(parts[:2])
    while parts:
        if ".".join(parts) in known:
            return ".".join(parts)
        parts.pop()
    return "__init__"


def edges(root: Path) -> list[tuple[str, str]]:
    known = modules(root)
    return [
        (module, target)
        for module, file in known.items()
        for _, name in imports(module, file)
        if (target := own(name, known)) is not None and target != module
    ]


def allowed(importer: str, target: str) -> bool:
    here, there = importer.partition(".")[0], target.partition(".")[0]
    if here == there:
        return True
    if here in PUBLIC_ONLY:
        return target in PUBLIC_MODULES or (here, there) == ("__main__", "cli")
    if there in PUBLIC_ONLY:
        return False
    if layer(importer) == LEAF_LAYER:
        return layer(target) == LEAF_LAYER
    if importer == "__init__" or (importer, target) in SAME_LAYER:
        return True
    return layer(target) < layer(importer)


def test_python_imports(root: Path) -> None:
    wrong = [f"{importer} imports {target}" for importer, target in edges(root) if not allowed(importer, target)]
    assert not wrong


def test_no_cycle(root: Path) -> None:
    graph: dict[str, set[str]] = {}
    for importer, target in edges(root):
        graph.setdefault(importer, set()).add(target)
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, f"cycle: {' → '.join([*path[path.index(module) :], module])}"
        if module not in done:
            for target in sorted(graph.get(module, ())):
                visit(target, (*path, module))
            done.add(module)

    for module in sorted(graph):
        visit(module, ())


def test_imports_stand_at_the_top(root: Path) -> None:
    """Inside a function only optional packages of others may be imported."""
    wrong = []
    for module, file in modules(root).items():
        inside = {
            (node.lineno, node.col_offset)
            for function in ast.walk(ast.parse(file.read_text()))
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
            for node in ast.walk(function)
            if isinstance(node, ast.Import | ast.ImportFrom)
        }
        for node, name in imports(module, file):
            ours = name.split(".")[0] in sys.stdlib_module_names | {"pykafka_fast"}
            if (node.lineno, node.col_offset) in inside and ours:
                wrong.append(f"{file.relative_to(root)}:{node.lineno}: {name}")
    assert not wrong


# Cython

CIMPORT = re.compile(r"^\s*(?:from\s+(\S+)\s+)?c?import\s+(.+)$", re.MULTILINE)


def test_cython_imports(root: Path) -> None:
    wrong = []
    for file in sorted((root / "pykafka_fast" / "_core").glob("*.p[yx][xd]")):
        for origin, names in CIMPORT.findall(file.read_text()):
            if not cython_may_import(origin, names):
                wrong.append(f"{file.name}: {origin} {names}")
    assert not wrong


def cython_may_import(origin: str, names: str) -> bool:
    name = origin or names.split(" as ")[0].strip()
    if name == "pykafka_fast":
        return set(re.split(r"\s*,\s*", names.strip("() "))) <= CORE_MAY_IMPORT
    top = name.split(".")[0]
    if top in {"libc", "cpython", "cython", "posix"} or top in sys.stdlib_module_names:
        return True
    if name.startswith("pykafka_fast._core") or (name.startswith(".") and not name.startswith("..")):
        return True
    return name.removeprefix("pykafka_fast.").split(".")[0] in CORE_MAY_IMPORT


def test_only_csrc_pxd_declares_our_c(root: Path) -> None:
    for file in sorted((root / "pykafka_fast" / "_core").glob("*.p[yx][xd]")):
        declared = re.findall(r'^cdef extern from\s+["<]?([^">: ]+)', file.read_text(), re.MULTILINE)
        ours = [header for header in declared if (root / "csrc" / header).exists()]
        assert not ours or file.name in {"csrc.pxd", "csrc_bulk.pxd"}, f"{file.name} declares {ours}"


# The rules themselves


@pytest.mark.parametrize(
    ("importer", "target", "verdict"),
    [
        ("errors", "types", True),
        ("retry", "_core.slab", False),
        ("retry", "metadata", False),
        ("metadata", "protocol.metadata", True),
        ("metadata", "delivery", False),
        ("net.sasl", "net.frames", True),
        ("sender", "net.connection", True),
        ("sender", "producer", False),
        ("producer", "sender", True),
        ("cli", "producer", False),
        ("cli", "__init__", True),
        ("testing.broker", "protocol.produce", True),
        ("producer", "testing", False),
        ("__init__", "producer", True),
        ("metadata", "__init__", False),
    ],
)
def test_rules(importer: str, target: str, verdict: bool) -> None:
    assert allowed(importer, target) is verdict


def test_c_rules() -> None:
    assert may_include("pkf_round", "pkf_accum")
    assert not may_include("pkf_accum", "pkf_round")
    assert not may_include("pkf_record", "pkf_slab")
    assert not may_use("pkf_accum", "stdio.h")
    assert not may_use("pkf_accum", "sys/socket.h")
