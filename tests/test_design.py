# SPDX-License-Identifier: Apache-2.0
"""What DESIGN.md and csrc/README.md name exists: files, functions (in the files of their row), and all other names."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

DOCUMENTS = ["DESIGN.md", "csrc/README.md"]
ROOT = Path(__file__).parent.parent
#: Where a file may be named from.
BASES = [ROOT, ROOT / "pykafka_fast", ROOT / "csrc"]
FOLDERS = ["csrc", "pykafka_fast", "tests", "benchmarks", "tools"]
SOURCES = {".c", ".h", ".py", ".pyx", ".pxd"}
#: Names of other people's, which our sources need not hold.
FOREIGN = {"inspect", "await", "def", "None", "OK", "try_", "_locked"}
FILE = re.compile(r"[\w./-]*\w\.(?:c|h|py|pyx|pxd|md|json)|[\w./-]+/")
FUNCTION = re.compile(r"(?:(\w+)\.)?(\w+)\(\)")


def spans(line: str) -> list[str]:
    return re.findall(r"`([^`]+)`", line)


def prose(document: str) -> list[str]:
    """The document's lines without its blocks of code."""
    text = (ROOT / document).read_text()
    return re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE).splitlines()


def found(name: str) -> Path | None:
    return next((base / name for base in BASES if (base / name).exists()), None)


@cache
def sources() -> dict[Path, str]:
    files = [ROOT / "setup.py", ROOT / "tests" / "csrc" / "Makefile"]
    files += [file for folder in FOLDERS for file in (ROOT / folder).rglob("*") if file.suffix in SOURCES]
    return {file: file.read_text() for file in files if file != Path(__file__)}


@cache
def functions(file: Path) -> frozenset[str]:
    """Functions that the file defines or, a header, declares; methods as Class.method too."""
    text = sources()[file]
    if file.suffix == ".h":
        return frozenset(re.findall(r"^[A-Za-z_][^;={}()]*?\b(\w+)\(", text, re.MULTILINE))
    if file.suffix == ".c":
        return frozenset(re.findall(r"^[A-Za-z_][^;={}()]*?\b(\w+)\([^;={}]*\)[^;={}()]*\{", text, re.MULTILINE))
    if file.suffix in {".pyx", ".pxd"}:
        return frozenset(re.findall(r"^\s*(?:async def|cp?def|def)\b[^=(]*?(\w+)\(", text, re.MULTILINE))
    names: set[str] = set()
    for node in ast.walk(ast.parse(text if file.suffix == ".py" else "")):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.ClassDef):
            names |= {f"{node.name}.{item.name}" for item in node.body if isinstance(item, ast.FunctionDef)}
    return frozenset(names)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_files_exist(document: str) -> None:
    named = [span for line in prose(document) for span in spans(line) if FILE.fullmatch(span)]
    assert len(named) > 10
    assert [name for name in named if not found(name)] == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_functions_exist(document: str) -> None:
    """In a row of a table that names files, the function is in one of them."""
    missing, count = [], 0
    for line in prose(document):
        named = [found(span) for span in spans(line) if FILE.fullmatch(span)] if line.startswith("|") else []
        files = [file for file in named if file in sources()] or list(sources())
        for owner, name in (match.groups() for match in map(FUNCTION.fullmatch, spans(line)) if match):
            count += 1
            defined = {function for file in files for function in functions(file)}
            if name not in defined or (owner and not method_exists(owner, name)):
                missing.append(f"{line[:60]}...: {name}()")
    assert count > 10
    assert missing == []


def method_exists(owner: str, name: str) -> bool:
    """Whether there is such a method; of an extension type, whether a file with that class has such a function."""
    return any(
        f"{owner}.{name}" in functions(file)
        or (file.suffix == ".pyx" and f"class {owner}" in text and name in functions(file))
        for file, text in sources().items()
    )


@pytest.mark.parametrize("document", DOCUMENTS)
def test_other_names_exist(document: str) -> None:
    words = {word for text in sources().values() for word in re.findall(r"\w+", text)}
    words |= {f"pkf_{word}" for word in words} | {word.removeprefix("PKF_") for word in words}
    named = {span for line in prose(document) for span in spans(line) if re.fullmatch(r"\w+", span)}
    assert len(named) > 5
    assert sorted(named - words - FOREIGN) == []


def test_every_file_has_its_place() -> None:
    """Each module of the package is in the map of DESIGN.md, each header in that of csrc/README.md."""
    design, c_map = ((ROOT / document).read_text() for document in DOCUMENTS)
    modules = [file.name for file in (ROOT / "pykafka_fast").glob("*.py") if not file.name.startswith("__")]
    modules += [f"_core/{file.name}" for file in (ROOT / "pykafka_fast" / "_core").glob("*.pyx")]
    file_map = design[design.index("## File map") :]
    assert [name for name in sorted(modules) if f"`{name}`" not in file_map] == []
    headers = [file.name for file in (ROOT / "csrc").glob("*.h")]
    assert [name for name in sorted(headers) if f"| `{name}` |" not in c_map] == []
    parts = {file.name for file in (ROOT / "csrc").glob("pkf_*.c") if not file.with_suffix(".h").exists()}
    assert [name for name in sorted(parts) if f"`{name}`" not in c_map] == []


def test_include_order_is_the_one_that_is_tested() -> None:
    layering = (ROOT / "tests" / "test_layering.py").read_text()
    order = re.search(r'HEADERS = """(.*?)"""', layering, re.DOTALL)
    assert order
    named = re.findall(r"^\| `(pkf_\w+)\.h` \|", (ROOT / "csrc" / "README.md").read_text(), re.MULTILINE)
    assert named == [name for name in order[1].split() if (ROOT / "csrc" / f"{name}.h").exists()]
