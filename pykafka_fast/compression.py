# SPDX-License-Identifier: Apache-2.0
"""Which codec and level the batches of a topic get: the codecs, their levels, and the options put together."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from .errors import InvalidConfigError, KafkaConfigurationError

_MOST_THREADS_BY_DEFAULT = 4
_LZ4_HIGHEST = 12
#: Java's lz4 level for the fast compressor; its other levels are the high compressor's.
_JAVA_LZ4_FAST = 9
_LZ4_HIGH_LOWEST = 3
_ZSTD_STANDARD = 3


class Levels(NamedTuple):
    """The levels of a codec; ``java`` makes one of them from the value of Java's option of that codec."""

    low: int
    high: int
    standard: int
    java: Callable[[int], int]


class Codec(NamedTuple):
    """A codec: its number in the attributes of a batch, and its levels if it has any."""

    number: int
    levels: Levels | None = None


class Choice(NamedTuple):
    """The codec of a batch by its number, 0 for none, and the level as the C library takes it."""

    codec: int
    level: int


def _lz4_of_java(level: int) -> int:
    return 0 if level == _JAVA_LZ4_FAST else min(max(level, _LZ4_HIGH_LOWEST), _LZ4_HIGHEST)


#: The codecs by the name that ``compression_type`` takes. What the C library knows of them is the same.
CODECS: dict[str, Codec] = {
    "gzip": Codec(1, Levels(1, 9, 6, lambda level: 6 if level == -1 else level)),
    "snappy": Codec(2),
    "lz4": Codec(3, Levels(0, _LZ4_HIGHEST, 0, _lz4_of_java)),
    "zstd": Codec(4, Levels(-7, 22, _ZSTD_STANDARD, lambda level: max(level, -7) or _ZSTD_STANDARD)),
}
NO_COMPRESSION = Choice(0, 0)


def check_level(codec: str | None, level: int) -> None:
    """Raise ValueError, which says what would be right, unless the codec has this level."""
    levels = CODECS[codec].levels if codec else None
    if levels is None:
        with_levels = ", ".join(repr(name) for name, other in CODECS.items() if other.levels)
        raise ValueError(f"{'snappy' if codec else 'no compression'} has no levels, leave the level out; codecs with "
                         f"levels are {with_levels}")
    if not levels.low <= level <= levels.high:
        raise ValueError(f"{codec} has the levels {levels.low} to {levels.high}, {levels.standard} by default")


def choose(values: Mapping[str, Any]) -> tuple[Choice, dict[str, Choice]]:
    """What the options say of compression.

    A topic with the codec of ``compression_type`` and no level of its own gets ``compression_level``.

    Args:
        values: the options by name, each of them resolved.

    Returns:
        What goes for topics in general, and for those that ``compression_by_topic`` names.

    Raises:
        InvalidConfigError: a level that ``compression_type`` does not have.
        KafkaConfigurationError: ``compression_level`` contradicts Java's option for the same codec.
    """
    codec, level = values["compression_type"], values["compression_level"]
    usual = {name: other.levels.java(values[_java_option(name)]) for name, other in CODECS.items() if other.levels}
    if level is not None:
        _check_level_option(codec, level)
        _check_against_java(values, codec, level, usual[codec])
        usual[codec] = level

    def choice(name: str | None, own: int | None) -> Choice:
        if name is None:
            return NO_COMPRESSION
        wanted = usual.get(name, 0) if own is None else own
        return Choice(CODECS[name].number, (wanted or _ZSTD_STANDARD) if name == "zstd" else wanted)

    topics = {topic: choice(*own) for topic, own in values["compression_by_topic"].items()}
    return choice(codec, None), topics


def _java_option(codec: str) -> str:
    return f"compression_{codec}_level"


def _check_level_option(codec: str | None, level: int) -> None:
    try:
        check_level(codec, level)
    except ValueError as error:
        hint = "" if codec else "; a topic in compression_by_topic has a level of its own"
        raise InvalidConfigError(
            f"compression_level={level} with compression_type={codec!r}: {error}{hint}") from error


def _check_against_java(values: Mapping[str, Any], codec: str, level: int, java_level: int) -> None:
    levels, option = CODECS[codec].levels, _java_option(codec)
    # Given with the value it has anyway, Java's option says nothing: a configuration may list every option.
    if levels is None or level == java_level or java_level == levels.standard:
        return
    meant = "" if java_level == values[option] else f" (level {java_level} of compression_level)"
    raise KafkaConfigurationError(
        f"compression_level={level} contradicts {option}={values[option]}{meant}; leave one of them out")


def threads(wanted: int | None, default: Choice, topics: Mapping[str, Choice]) -> int:
    """How many threads compress: 0 when there is nothing to compress, ``wanted`` by default less than the cores."""
    if default.codec == 0 and not any(choice.codec for choice in topics.values()):
        return 0
    return wanted or max(1, min(_cores() - 1, _MOST_THREADS_BY_DEFAULT))


def _cores() -> int:
    """Those this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
