# SPDX-License-Identifier: Apache-2.0
"""The C programs of the comparison, compiled when needed."""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

from tools.brokers.maven import cache_dir

FLAGS = ["-O3", "-std=gnu11", "-pthread", "-Wall", "-Wextra", "-Werror"]


class NoCompiler(Exception):
    pass


def program(name: str) -> Path:
    """The compiled `name`.c of this folder; the file's name carries a digest of the source, so an edit compiles anew.

    Raises:
        NoCompiler: there is none, and the program was not compiled before.
    """
    source = Path(__file__).with_name(f"{name}.c")
    digest = hashlib.sha256(source.read_bytes()).hexdigest()[:12]
    path = cache_dir("benchmarks") / f"{name}-{digest}"
    if not path.exists():
        compiler = shutil.which(os.environ.get("CC", "cc")) or shutil.which("gcc")
        if compiler is None:
            raise NoCompiler("no C compiler found: install gcc or set CC")
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(f".{os.getpid()}")
        subprocess.run([compiler, *FLAGS, "-o", str(fresh), str(source)], check=True)
        fresh.rename(path)
    return path
