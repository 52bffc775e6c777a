# SPDX-License-Identifier: Apache-2.0
"""With compression: events as JSON, about four times compressible, and real records."""

from typing import NamedTuple

from benchmarks.compare.load import Load
from benchmarks.compare.scenario import Entry, Scenario, Target
from benchmarks.compare.scenarios.entries import (
    CALLBACKS,
    JAVA,
    OURS,
    OURS_CALLBACKS,
    OURS_SAME,
    PLAIN,
    POSITIONAL,
    against,
    with_options,
)


class Codec(NamedTuple):
    """`level` is given to every client; None where the codec has none."""

    name: str
    level: int | None


NONE, GZIP, SNAPPY = Codec("none", None), Codec("gzip", 6), Codec("snappy", None)
LZ4, ZSTD = Codec("lz4", 0), Codec("zstd", 3)
# The default is one less than there are processors.
OURS_TWO_THREADS = Entry("ours, futures, 2 codec threads", "ours.Futures", {"compression_threads": 2})
CODECS = (GZIP, SNAPPY, LZ4, ZSTD)


def ours(entry: Entry, codec: Codec) -> Entry:
    entry = with_options(entry, compression_type=codec.name)
    return entry if codec.level is None else with_options(entry, compression_level=codec.level)


def confluent(entry: Entry, codec: Codec) -> Entry:
    entry = with_options(entry, compression__codec=codec.name)
    return entry if codec.level is None else with_options(entry, compression__level=codec.level)


def java(codec: Codec) -> Entry:
    entry = with_options(JAVA, compression__type=codec.name)
    # Its lz4 levels begin at 1; without one it is the fast mode, as 0 is elsewhere.
    return with_options(entry, **{f"compression__{codec.name}__level": codec.level}) if codec.level else entry


def compressed(
    codec: Codec, value_size: int, targets: tuple[Target, ...] = (), everyday: tuple[str, ...] = ()
) -> Scenario:
    level = "" if codec.level is None else f" level {codec.level}"
    return Scenario(
        name=f"{codec.name}-{value_size}",
        title=f"{value_size:,}-byte JSON events, {codec.name}{level}, one partition",
        workload="throughput",
        load=Load("json", value_size),
        entries=(
            ours(OURS, codec),
            ours(OURS_CALLBACKS, codec),
            ours(OURS_SAME, codec),
            ours(OURS_TWO_THREADS, codec),
            confluent(PLAIN, codec),
            confluent(CALLBACKS, codec),
            confluent(POSITIONAL, codec),
            java(codec),
        ),
        targets=targets,
        everyday=everyday,
    )


def ahead(rate: float, cpu: float | None = None) -> tuple[Target, ...]:
    """With callbacks on either side, and without."""
    pairs = ((OURS_CALLBACKS, CALLBACKS), (OURS_CALLBACKS, POSITIONAL), (OURS, CALLBACKS), (OURS, PLAIN))
    targets = [against(one, "rate", other, least=rate) for one, other in pairs]
    if cpu is not None:
        targets += [against(one, "cpu_per_million", other, most=cpu) for one, other in pairs]
    return tuple(targets)


def real(payload: str, count: int) -> Scenario:
    """Keys go along, as in the demo."""
    entries = tuple(
        Entry(f"{label}, {codec.name}", entry.client, entry.options, load=entry.load)
        for codec in (NONE, *CODECS)
        for label, entry in (("ours", ours(OURS, codec)), ("confluent", confluent(PLAIN, codec)))
    )
    return Scenario(
        name=payload,
        title=f"{count:,} {payload} records again and again, with keys, all codecs, one partition",
        workload="throughput",
        load=Load(payload, key_size=1),
        entries=entries,
        targets=tuple(
            Target(f"ours, {codec.name}", "rate", (f"confluent, {codec.name}",), least=1.0) for codec in (NONE, *CODECS)
        ),
    )


ON_KAFKA = (
    against(OURS_SAME, "rate", PLAIN, "kafka", least=1.3),
    against(OURS_SAME, "rate", JAVA, "kafka", least=2.5),
)
SCENARIOS = (
    compressed(LZ4, 100, ahead(4), ("mock",)),
    compressed(ZSTD, 100, ahead(3), ("mock",)),
    compressed(LZ4, 1_000, ahead(2, 0.5), ("mock",)),
    compressed(ZSTD, 1_000, (*ahead(1.3, 0.9), *ON_KAFKA), ("mock", "kafka", "address")),
    *(compressed(codec, size) for codec in (GZIP, SNAPPY) for size in (100, 1_000)),
    real("flights", 336_776),
    real("weather", 26_115),
)
