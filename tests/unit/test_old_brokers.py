# SPDX-License-Identifier: Apache-2.0
"""What the sender makes of brokers before 0.11, whatever else is in their cluster; connections are scripted."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest

from pykafka_fast._core.wire import EventKind
from pykafka_fast.errors import UnsupportedVersionError
from pykafka_fast.protocol.api import APIS, ApiKey
from pykafka_fast.testing.releases import RELEASES, versions_of
from tests.unit.sending import FakeEvent, World, metadata, topic

Make = Callable[..., World]
OLD = versions_of("0.10.2")
OFF = "Idempotence is turned off"
NEED_ID, NEED = EventKind.NEED_PRODUCER_ID, EventKind.NEED_CONNECTION


def boot(world: World, versions: dict[int, tuple[int, int]] | None = None) -> World:
    """Up to the first metadata, through a broker of these versions."""
    world.metadata.add_topic("t", world.clock())
    world.advance()
    world.open()[0].become_ready(versions)
    world.advance()
    world.control().answer(metadata(topic()))
    world.advance()
    world.take()
    return world


def connect(world: World, node: int, versions: dict[int, tuple[int, int]] | None = None) -> None:
    world.tell(FakeEvent(NEED, node=node))
    world.open(f"host{node}")[-1].become_ready(versions)


@pytest.mark.parametrize("release", RELEASES)
def test_the_releases_are_within_what_is_implemented(release: str) -> None:
    for api, (oldest, newest) in versions_of(release).items():
        assert APIS[api].min_version <= oldest <= newest <= APIS[api].max_version


def test_headers_are_refused_before_the_first_metadata(world: World) -> None:
    world.metadata.add_topic("t", world.clock())
    world.advance()
    assert world.accumulator.headers_allowed
    world.open()[0].become_ready(OLD)
    assert not world.accumulator.headers_allowed


def test_one_old_broker_is_enough(world: World) -> None:
    boot(world)
    connect(world, 1)
    assert world.accumulator.headers_allowed
    connect(world, 2, OLD)
    assert not world.accumulator.headers_allowed


def test_until_it_was_upgraded(world: World) -> None:
    boot(world)
    connect(world, 2, OLD)
    world.tell(FakeEvent(EventKind.CONNECTION_LOST, node=2, text="gone"))
    assert not world.accumulator.headers_allowed  # nobody knows better yet
    world.advance(100)
    connect(world, 2)
    assert world.accumulator.headers_allowed


def test_until_it_has_left(world: World) -> None:
    boot(world)
    connect(world, 2, OLD)
    world.metadata.request_update()
    world.advance(200)
    world.control().answer(metadata(topic(leaders=(1, 1)), brokers=(1,)))
    assert world.accumulator.headers_allowed


def test_a_controller_says_nothing_of_produce(world: World) -> None:
    boot(world, {api: versions for api, versions in versions_of("3.9").items() if api != ApiKey.PRODUCE})
    assert world.accumulator.headers_allowed


def test_idempotence_gives_way_with_one_line(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    boot(world, OLD)
    connect(world, 1, OLD)
    connect(world, 2, OLD)
    world.tell(FakeEvent(NEED_ID))
    assert [call for call in world.take() if call[0] != "connect"] == [("disable_idempotence",)]
    assert [record.levelname for record in caplog.records if OFF in record.getMessage()] == ["WARNING"]
    assert world.sender.fatal is None


def test_other_brokers_of_the_cluster_keep_it(world: World, caplog: pytest.LogCaptureFixture) -> None:
    boot(world)
    connect(world, 1)
    world.get_id()
    connect(world, 2, OLD)
    calls = world.take()
    assert ("set_producer", 7, 0) in calls
    assert ("disable_idempotence",) not in calls
    assert [call[3] for call in calls if call[0] == "connect"] == [13, 2]
    assert "host2:9092 knows no version of Produce above 2" in caplog.text


@pytest.mark.parametrize("ask_first", [True, False])
def test_idempotence_asked_for(make_world: Make, ask_first: bool) -> None:
    world = boot(make_world(enable_idempotence=True), OLD)
    if ask_first:
        world.tell(FakeEvent(NEED_ID))
    else:
        connect(world, 1, OLD)
    assert isinstance(world.sender.fatal, UnsupportedVersionError)
    assert "set enable_idempotence=False" in str(world.sender.fatal)
    assert world.accumulator.closed


@pytest.mark.parametrize("acks", [0, 1, "all"])
def test_no_idempotence(make_world: Make, acks: int | str, caplog: pytest.LogCaptureFixture) -> None:
    world = boot(make_world(enable_idempotence=False, acks=acks), OLD)
    connect(world, 1, OLD)
    assert [call[:2] for call in world.take()] == [("connect", 1)]
    assert OFF not in caplog.text
