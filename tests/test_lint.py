# SPDX-License-Identifier: Apache-2.0
"""What the linters say, so that one command says yes or no."""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

SCRIPTS = Path(sysconfig.get_path("scripts"))


def run(root: Path, *command: str) -> None:
    # cython-lint starts pycodestyle by its name.
    env = {**os.environ, "PATH": f"{SCRIPTS}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        command, cwd=root, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{' '.join(command[:4])}:\n{done.stdout}{done.stderr}"


def test_ruff(root: Path) -> None:
    run(root, sys.executable, "-m", "ruff", "check", "--no-cache", ".")


@pytest.mark.timeout(300)
def test_mypy(root: Path) -> None:
    """Strict, on the package, on what drives the brokers, and on a user's program."""
    run(root, sys.executable, "-m", "mypy", "pykafka_fast", "tools", "tests/typed_user.py")


def test_cython_lint(root: Path) -> None:
    files = [str(file) for file in sorted((root / "pykafka_fast" / "_core").glob("*.p[yx][xd]"))]
    assert files
    run(root, str(SCRIPTS / "cython-lint"), *files)


def test_clang_format(root: Path) -> None:
    files = [
        str(file)
        for folder in ("csrc", "tests/csrc", "benchmarks")
        for file in sorted((root / folder).rglob("*.[ch]"))
        if "bin" not in file.parts
    ]
    run(root, str(SCRIPTS / "clang-format"), "--dry-run", "--Werror", *files)
