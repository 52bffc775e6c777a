# SPDX-License-Identifier: Apache-2.0
"""Which codec, which level and how many threads the options of compression come to, and what they refuse."""

from __future__ import annotations

import os
from typing import Any

import pytest

from pykafka_fast._core import codec as c_codec
from pykafka_fast.compression import CODECS, NO_COMPRESSION
from pykafka_fast.config import OPTIONS, ProducerConfig, resolve
from pykafka_fast.errors import InvalidConfigError, KafkaConfigurationError

GZIP, SNAPPY, LZ4, ZSTD = (CODECS[name].number for name in ("gzip", "snappy", "lz4", "zstd"))


def configured(**configs: Any) -> ProducerConfig:
    return resolve(configs)


def refused(**configs: Any) -> str:
    with pytest.raises(KafkaConfigurationError) as caught:
        resolve(configs)
    return str(caught.value)


def test_nothing_is_compressed_by_default() -> None:
    config = configured()
    assert config.codec_of("t") == NO_COMPRESSION == (0, 0)
    assert config.compression_threads == 0


def test_the_numbers_are_those_of_the_protocol() -> None:
    assert [(name, codec.number) for name, codec in CODECS.items()] == [
        ("gzip", 1), ("snappy", 2), ("lz4", 3), ("zstd", 4)]


def test_codecs_and_levels_are_those_of_the_c_library() -> None:
    assert {name: codec.number for name, codec in CODECS.items()} == {
        name: number for name, number in c_codec.CODECS.items() if number}
    for codec in CODECS.values():
        assert c_codec.levels(codec.number) == (codec.levels[:3] if codec.levels else None)


@pytest.mark.parametrize(("name", "choice"), [
    ("gzip", (GZIP, 6)), ("snappy", (SNAPPY, 0)), ("lz4", (LZ4, 0)), ("zstd", (ZSTD, 3)), ("none", (0, 0)),
    (None, (0, 0)), ("ZSTD", (ZSTD, 3)), ("Gzip", (GZIP, 6)),
])
def test_a_codec_has_kafkas_level(name: str | None, choice: tuple[int, int]) -> None:
    assert configured(compression_type=name).codec_of("t") == choice


@pytest.mark.parametrize(("codec", "level"), [
    ("gzip", 1), ("gzip", 9), ("lz4", 0), ("lz4", 12), ("zstd", -7), ("zstd", -1), ("zstd", 22)])
def test_every_level_there_is(codec: str, level: int) -> None:
    config = configured(compression_type=codec, compression_level=level)
    assert config.codec_of("t") == (CODECS[codec].number, level)
    assert configured(compression_by_topic={"t": (codec, level)}).codec_of("t") == (CODECS[codec].number, level)


def test_level_0_of_zstd_is_its_default_as_in_its_library() -> None:
    assert configured(compression_type="zstd", compression_level=0).codec_of("t") == (ZSTD, 3)
    assert configured(compression_by_topic={"t": ["zstd", 0]}).codec_of("t") == (ZSTD, 3)


@pytest.mark.parametrize(("codec", "level", "right"), [
    ("gzip", 0, "1 to 9, 6 by default"), ("gzip", 10, "1 to 9"), ("gzip", -1, "1 to 9"), ("lz4", -1, "0 to 12"),
    ("lz4", 13, "0 to 12, 0 by default"), ("zstd", -8, "-7 to 22"), ("zstd", 23, "-7 to 22, 3 by default"),
    ("snappy", 1, "snappy has no levels"), ("snappy", 0, "leave the level out"),
    ("none", 3, "'gzip', 'lz4', 'zstd'"), (None, 3, "no compression has no levels"),
])
def test_a_level_that_is_none_is_refused(codec: str | None, level: int, right: str) -> None:
    with pytest.raises(InvalidConfigError) as caught:
        configured(compression_type=codec, compression_level=level)
    assert f"compression_level={level}" in str(caught.value)
    assert right in str(caught.value)
    with pytest.raises(InvalidConfigError) as caught:
        configured(compression_by_topic={"logs": (codec, level)})
    assert f"compression_by_topic={{'logs': ({codec!r}, {level})}}: 'logs': " in str(caught.value)
    assert right in str(caught.value)


def test_a_level_alone_says_what_is_missing() -> None:
    text = refused(compression_level=5)
    assert "compression_level=5 with compression_type=None" in text
    assert "'gzip', 'lz4', 'zstd'" in text
    assert "compression_level='5': must be an int, or None" in refused(compression_type="gzip", compression_level="5")
    assert "compression_by_topic" in refused(compression_level=5, compression_by_topic={"t": "zstd"})


@pytest.mark.parametrize(("value", "right"), [
    ("zstd", "must be a dict"), ([("a", "zstd")], "must be a dict"), (None, "not None"),
    ({5: "zstd"}, "topics as keys"),
    ({"": "zstd"}, "topic name"), ({"a b": "zstd"}, "topic name"), ({"..": "zstd"}, "topic name"),
    ({"a": "rar"}, "'a': must be one of 'none', 'gzip'"), ({"a": ("gzip", "9")}, "int as level"),
    ({"a": ("gzip", True)}, "int as level"), ({"a": ("gzip", 9, 1)}, "'a': must be one of"), ({"a": 3}, "not int"),
])
def test_what_is_not_by_topic_is_refused(value: Any, right: str) -> None:
    with pytest.raises(InvalidConfigError) as caught:
        configured(compression_by_topic=value)
    assert f"compression_by_topic={value!r}" in str(caught.value)
    assert right in str(caught.value)


def test_topics_differ_from_the_rest() -> None:
    config = configured(compression_type="lz4", compression_by_topic={
        "logs": "zstd", "images": "none", "raw": None, "events": ("gzip", 9), "plain": ("snappy", None)})
    assert {topic: config.codec_of(topic) for topic in ("logs", "images", "raw", "events", "plain", "else")} == {
        "logs": (ZSTD, 3), "images": (0, 0), "raw": (0, 0), "events": (GZIP, 9), "plain": (SNAPPY, 0), "else": (LZ4, 0)}


def test_a_level_goes_for_its_codec_wherever_no_other_is_given() -> None:
    config = configured(compression_type="zstd", compression_level=10, compression_gzip_level=2,
                        compression_by_topic={"same": "zstd", "own": ("zstd", 1), "gzip": "gzip", "lz4": "lz4"})
    assert [config.codec_of(topic) for topic in ("t", "same", "own", "gzip", "lz4")] == [
        (ZSTD, 10), (ZSTD, 10), (ZSTD, 1), (GZIP, 2), (LZ4, 0)]


@pytest.mark.parametrize(("codec", "java", "level"), [
    ("gzip", -1, 6), ("gzip", 1, 1), ("gzip", 9, 9), ("lz4", 9, 0), ("lz4", 1, 3), ("lz4", 3, 3), ("lz4", 8, 8),
    ("lz4", 10, 10), ("lz4", 12, 12), ("lz4", 17, 12), ("zstd", 3, 3), ("zstd", 22, 22), ("zstd", 0, 3),
    ("zstd", -7, -7), ("zstd", -8, -7), ("zstd", -131072, -7),
])
def test_javas_names_of_levels(codec: str, java: int, level: int) -> None:
    given = {f"compression_{codec}_level": java}
    assert configured(compression_type=codec, **given).codec_of("t") == (CODECS[codec].number, level)
    assert configured(compression_by_topic={"t": codec}, **given).codec_of("t") == (CODECS[codec].number, level)
    assert configured(compression_type=codec, compression_level=level, **given).codec_of("t")[1] == level


def test_javas_levels_may_stand_by_unused_as_in_java() -> None:
    config = configured(compression_gzip_level=9, compression_lz4_level=17, compression_zstd_level=-131072)
    assert config.codec_of("t") == NO_COMPRESSION
    assert configured(compression_type="snappy", compression_zstd_level=19).codec_of("t") == (SNAPPY, 0)


@pytest.mark.parametrize(("name", "value", "right"), [
    ("gzip", 0, "from 1 to 9, or -1"), ("gzip", 10, "from 1 to 9, or -1"), ("gzip", None, "not None"),
    ("lz4", 0, "from 1 to 17"), ("lz4", 18, "from 1 to 17"), ("lz4", "9", "not str"), ("lz4", -1, "from 1 to 17"),
    ("zstd", 23, "from -131072 to 22"), ("zstd", -131073, "from -131072 to 22"), ("zstd", 3.0, "not float"),
])
def test_javas_levels_have_javas_ranges(name: str, value: Any, right: str) -> None:
    with pytest.raises(InvalidConfigError) as caught:
        configured(**{f"compression_{name}_level": value})
    assert f"compression_{name}_level={value!r}" in str(caught.value)
    assert right in str(caught.value)


@pytest.mark.parametrize(("codec", "level", "java"), [("gzip", 5, 7), ("lz4", 9, 10), ("lz4", 0, 12), ("zstd", 3, 4)])
def test_two_names_that_differ_are_both_named(codec: str, level: int, java: int) -> None:
    text = refused(compression_type=codec, compression_level=level, **{f"compression_{codec}_level": java})
    assert f"compression_level={level}" in text
    assert f"compression_{codec}_level={java}" in text
    configured(compression_type=codec, compression_level=level, **{
        f"compression_{other}_level": 4 for other in ("gzip", "lz4", "zstd") if other != codec})


@pytest.mark.parametrize("value", [0, 65, -1, True, 1.0, "4"])
def test_threads_that_are_refused(value: Any) -> None:
    with pytest.raises(InvalidConfigError, match=rf"compression_threads={value!r}: must be an int from 1 to 64"):
        configured(compression_threads=value)


@pytest.mark.parametrize(("cores", "threads"), [(1, 1), (2, 1), (3, 2), (5, 4), (6, 4), (128, 4)])
def test_threads_by_default_leave_a_core(cores: int, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(cores)), raising=False)
    assert configured(compression_type="zstd").compression_threads == threads
    assert configured(compression_by_topic={"t": "lz4"}).compression_threads == threads
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    assert configured(compression_type="zstd").compression_threads == threads


def test_threads_are_for_codecs_only() -> None:
    assert configured(compression_threads=8).compression_threads == 0
    assert configured(compression_threads=8, compression_by_topic={"t": "none"}).compression_threads == 0
    assert configured(compression_threads=8, compression_by_topic={"t": "gzip"}).compression_threads == 8
    assert configured(compression_threads=64, compression_type="snappy").compression_threads == 64


def test_the_dictionary_shows_what_goes() -> None:
    config = configured(compression_type="LZ4", compression_by_topic={"a": "zstd", "b": ["gzip", 9]},
                        compression_threads=3)
    known = config.as_dict()
    assert {name: known[name] for name in known if name.startswith("compression_")} == {
        "compression_type": "lz4", "compression_level": None, "compression_threads": 3,
        "compression_by_topic": {"a": ("zstd", None), "b": ("gzip", 9)}, "compression_gzip_level": -1,
        "compression_lz4_level": 9, "compression_zstd_level": 3}
    known["compression_by_topic"].clear()
    assert config.as_dict()["compression_by_topic"] == {"a": ("zstd", None), "b": ("gzip", 9)}
    assert OPTIONS["compression_by_topic"].default == {}


@pytest.mark.parametrize("given", [
    {}, {"compression_type": "lz4", "compression_level": 4}, {"compression_type": "gzip", "compression_gzip_level": 2},
    {"compression_by_topic": {"a": ("zstd", -3)}, "compression_threads": 2}])
def test_what_the_dictionary_shows_makes_the_same(given: dict[str, Any]) -> None:
    config = configured(**given)
    again = resolve(config.as_dict())
    assert [again.codec_of(topic) for topic in "ab"] == [config.codec_of(topic) for topic in "ab"]
    assert again.compression_threads == config.compression_threads
