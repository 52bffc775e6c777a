# SPDX-License-Identifier: Apache-2.0
"""Where the GIL is dropped: a number of lines per door that only a decision changes. Nowhere is it taken back."""

import re
from pathlib import Path

# file → lines that release the GIL.
RELEASES: dict[str, int] = {
    "accumulator.pyx": 3,  # waits of flush(): for outcomes, for callbacks; a look under a partition's lock
    "arrow.pyx": 1,  # the next array of a stream
    "bulk.pyx": 2,  # many rows: looking at them, taking them
    "codec.pyx": 2,  # there and back, of whole buffers
    "delivery.pyx": 1,  # the delivery thread's wait
    "future.pyx": 1,  # get()
    "producer_base.pyx": 3,  # a busy lock or a long copy; waits for memory, for the callbacks' budget
    "range.pyx": 1,  # get() of a range
    "slab.pyx": 1,
    "wire.pyx": 1,  # joining the wire thread
}
RELEASE = re.compile(r"\bwith\s+nogil\b|\bPyEval_SaveThread\b|\bPy_BEGIN_ALLOW_THREADS\b")
TAKE = re.compile(r"\bwith\s+gil\b|\bPyGILState_Ensure\b|\bPyThreadState_Attach\b")


def code(file: Path) -> list[str]:
    """The file's lines without comments."""
    return [line.split("#")[0] for line in file.read_text().splitlines()]


def cython_files(root: Path) -> list[Path]:
    return sorted((root / "pykafka_fast" / "_core").glob("*.p[yx][xd]"))


def test_releases_are_pinned(root: Path) -> None:
    found = {file.name: sum(len(RELEASE.findall(line)) for line in code(file)) for file in cython_files(root)}
    assert {name: count for name, count in found.items() if count} == RELEASES


def test_nobody_takes_the_gil(root: Path) -> None:
    for file in [*cython_files(root), *sorted((root / "csrc").glob("*.[ch]"))]:
        assert not any(TAKE.search(line) for line in code(file)), file.name
