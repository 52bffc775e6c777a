# SPDX-License-Identifier: Apache-2.0
"""`make demo` in small: the embedded broker in its own process, the verdict of another client's consumer."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.timeout(300)
def test_demo(root: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tools.demo", "--records", "20000"],
        cwd=root, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "records/s" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("OK: all 20,000 records came back once")
