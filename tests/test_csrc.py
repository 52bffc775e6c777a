# SPDX-License-Identifier: Apache-2.0
"""The tests of csrc/, which know no Python: plain, and under the sanitizers."""

import os
import subprocess
from pathlib import Path

import pytest


@pytest.mark.timeout(900)
@pytest.mark.parametrize("flavour", ["plain", "debug", "asan", "tsan"])
def test_c_library(flavour: str, root: Path) -> None:
    make = ["make", f"-j{os.cpu_count() or 1}", "-C", "tests/csrc", flavour]  # compiles side by side, runs in turn
    done = subprocess.run(make, cwd=root, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert done.returncode == 0, f"make -C tests/csrc {flavour} failed:\n{(done.stdout + done.stderr)[-8000:]}"
