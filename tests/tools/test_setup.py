# SPDX-License-Identifier: Apache-2.0
"""What setup.py says on a machine without the libraries that compress, a compiler, or Python's headers."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

LIBRARIES = ["libzstd", "liblz4", "snappy", "libdeflate"]
PACKAGES = {
    "apt-get install": "pkg-config libzstd-dev liblz4-dev libsnappy-dev libdeflate-dev",
    "dnf install": "pkgconf-pkg-config libzstd-devel lz4-devel snappy-devel libdeflate-devel",
    "apk add": "pkgconf zstd-dev lz4-dev snappy-dev libdeflate-dev",
    "brew install": "pkgconf zstd lz4 snappy libdeflate",
}


COMPILERS = {
    "apt-get install": "gcc libc6-dev python3-dev",
    "dnf install": "gcc glibc-devel python3-devel",
    "apk add": "gcc musl-dev linux-headers python3-dev",
    "xcode-select": "--install",
}


def refused(root: Path, folder: Path, wanted: dict[str, str] = PACKAGES, **environment: str) -> str:
    """What a build says that must not get as far as to compile anything."""
    command = [sys.executable, "-W", "ignore", "setup.py", "-q", "build_ext"]
    done = subprocess.run(
        [*command, "--build-lib", str(folder / "lib"), "--build-temp", str(folder / "temp")],
        cwd=root,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert not (folder / "temp").exists()
    for install, packages in wanted.items():
        assert f"    {install} {packages}\n" in done.stderr
    return done.stderr


@pytest.fixture
def all_but_one(tmp_path: Path) -> str:
    """A pkg-config that knows everything but liblz4."""
    tool = tmp_path / "pkg-config"
    tool.write_text('#!/bin/sh\ncase "$*" in *liblz4*) exit 1 ;; esac\necho -lm\n')
    tool.chmod(0o755)
    return str(tool)


def test_every_missing_library_is_named(root: Path, tmp_path: Path) -> None:
    said = refused(root, tmp_path, PKG_CONFIG_LIBDIR="/nonexistent", PKG_CONFIG_PATH="")
    assert f"Not found by pkg-config: {', '.join(LIBRARIES)}.\n" in said


def test_the_one_that_is_missing_is_named(root: Path, tmp_path: Path, all_but_one: str) -> None:
    assert "Not found by pkg-config: liblz4.\n" in refused(root, tmp_path, PKG_CONFIG=all_but_one)


def test_without_pkg_config(root: Path, tmp_path: Path) -> None:
    said = refused(root, tmp_path, PKG_CONFIG="/nonexistent/pkg-config")
    assert f"Not found by pkg-config: {', '.join(LIBRARIES)}.\npkg-config itself is not there.\n" in said


@pytest.mark.parametrize("compiler", ["/nonexistent/gcc", "/bin/false"])
def test_without_a_compiler(root: Path, tmp_path: Path, compiler: str) -> None:
    said = refused(root, tmp_path, COMPILERS, CC=compiler)
    assert compiler in said
    assert "A C compiler (CC in the environment names one) cannot be used.\n" in said


def test_without_headers(root: Path, tmp_path: Path) -> None:
    tool = tmp_path / "cc"
    body = 'for word; do case $word in *.c) ! grep Python.h "$word" >&2 || exit 1 ;; esac; done'
    tool.write_text(f"#!/bin/sh\n{body}\n")
    tool.chmod(0o755)
    said = refused(root, tmp_path, COMPILERS, CC=str(tool))
    assert "#include <Python.h>\n" in said
    assert f"The headers of {sys.executable} cannot be used.\n" in said


def test_the_source_distribution_is_whole(root: Path, tmp_path: Path) -> None:
    """What is needed to build, and the documents; nothing of what needs the rest of the repository."""
    command = [sys.executable, "-W", "ignore", "setup.py", "-q", "egg_info", "--egg-base", str(tmp_path)]
    subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    (listed,) = tmp_path.glob("*.egg-info/SOURCES.txt")
    packed = {name for name in listed.read_text().splitlines() if ".egg-info/" not in name}
    built_from = {"csrc": "*.[ch]", "pykafka_fast": "*.py*", "docs": "*.*"}
    files = [file for folder, kind in built_from.items() for file in (root / folder).rglob(kind)]
    wanted = {str(file.relative_to(root)) for file in files if file.suffix != ".pyc"}
    tops = {"CHANGES.md", "DESIGN.md", "LICENSE", "MANIFEST.in", "README.md", "pyproject.toml", "setup.py"}
    assert (wanted | tops) - packed == set()
    assert {name.partition("/")[0] for name in packed} == {"csrc", "docs", "pykafka_fast", *tops}
    assert [name for name in packed if name.endswith((".so", ".o", ".pyc"))] == []
