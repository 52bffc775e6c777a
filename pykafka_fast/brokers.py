# SPDX-License-Identifier: Apache-2.0
"""Connections to the cluster's brokers: one for control messages, and those handed over to the wire thread.

Control messages go over any one broker. While none can be reached several are tried, a new one each second, and the
first that answers serves, until its answers do not help or do not come: then another one is asked. A connection for
produce requests is made when the wire asks for one, shakes hands here, and belongs to the wire from then on.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from ._core.wire import Wire
from .cluster import Broker, ClusterSnapshot
from .complaints import Complaints
from .errors import KafkaConnectionError, KafkaError, UnsupportedVersionError
from .log import get_logger
from .net.backoff import ReconnectState
from .net.connection import BrokerConnection
from .net.link import Link, Network
from .protocol.api import ApiKey, negotiate

__all__ = ["Brokers"]

_logger = get_logger(__name__)

FIRST_WITH_BATCHES = 3
"""The Produce version from which on records have headers and sequences; before, brokers take message sets."""

STAGGER_NS = 1_000_000_000
"""How long one broker may take before the next one is tried beside it."""

SILENCES_NS = (3_000_000_000, 6_000_000_000)
"""After so long without an answer another broker is asked, unless brokers have been found to need longer. After two in
a row the third has all its time: then it is not one that has vanished, but all are slow."""

_ANSWERING_MAX = 1000  # addresses; then those of brokers that have left are forgotten


class Brokers:
    """All connections of one producer. Belongs to the sender thread; ``is_connected`` may be called from any.

    Args:
        network: what connections share.
        wire: takes produce connections over.
        on_error: told the address and the reason whenever a broker could not be reached or was lost in use.
        refresh: called when that, or the end of an idle connection, may mean that the cluster has changed.
        on_reached: told the address of a broker that answers.
        on_unsupported: told that a broker cannot be sent records to.
        on_old: told, in words, of each broker that takes message sets, before it is sent any.
        allow_headers: told whether every broker that is known takes record headers.
        rng: random numbers in [0, 1).
    """

    def __init__(
        self,
        network: Network,
        wire: Wire,
        *,
        on_error: Callable[[str, KafkaError], None],
        refresh: Callable[[], object],
        on_reached: Callable[[str], None],
        on_unsupported: Callable[[Broker, UnsupportedVersionError], None],
        on_old: Callable[[str], None],
        allow_headers: Callable[[bool], None],
        rng: Callable[[], float] = random.random,
    ) -> None:
        self._network = network
        self._wire = wire
        self._on_error = on_error
        self._refresh = refresh
        self._on_reached = on_reached
        self._on_unsupported = on_unsupported
        self._on_old = on_old
        self._allow_headers = allow_headers
        self._rng = rng
        self._complaints = Complaints(_logger, network.clock)
        self._known: dict[int, Broker] = {}
        self._control: dict[int, Link] = {}
        self._backoffs: dict[str, ReconnectState] = {}  # of control links, by address: outlive changes of the cluster
        self._doubted: Link | None = None  # the control link whose answers do not help
        self._silences_ns = iter(SILENCES_NS)
        self._silence_ns: int | None = next(self._silences_ns)
        self._produce: dict[int, Link] = {}
        self._wanted: dict[int, None] = {}  # nodes the wire asked for and has not got yet, in order
        self._handed: set[int] = set()  # nodes with a connection in the wire
        self._newest_produce: dict[str, int] = {}  # by address: what brokers say they know
        self._answering: set[str] = set()  # addresses where a broker ever answered

    # The cluster

    def update(self, snapshot: ClusterSnapshot) -> None:
        """These are the brokers now. Connections to brokers that are gone serve as long as requests are under way, but
        not where somebody else has taken over their ids."""
        self._known = {broker.node_id: broker for broker in snapshot.brokers()}
        by_address = {(broker.host, broker.port): broker for broker in self._known.values()}
        before, self._control = self._control, {}
        for link in before.values():
            broker = by_address.get((link.host, link.port))
            if broker is not None and broker.node_id not in self._control:
                link.node_id = broker.node_id
                self._control[broker.node_id] = link
            elif link.is_ready:  # a bootstrap server by another name than the cluster gives it
                self._control[min(0, *self._control, *self._known) - 1] = link
            else:
                link.close("the broker has left the cluster")
        for broker in self._known.values():
            if broker.node_id not in self._control:
                self._control[broker.node_id] = self._control_link(broker)
        for node_id in self._handed & self._known.keys():
            if self._produce[node_id].address != self._known[node_id].address:
                self._wire.forget_connection(node_id, f"the broker has moved to {self._known[node_id].address}")
        self._forget_old_backoffs()
        self._forget_old_versions()
        if not snapshot.is_bootstrap:  # while starting over, brokers are looked for where they were
            if len(self._answering) > _ANSWERING_MAX:  # until then also those of brokers that are only restarting
                self._answering &= {broker.address for broker in self._known.values()}
            for node_id in self._wanted.keys() - self._known.keys():
                self._give_up(node_id)
            for node_id in self._handed - self._known.keys() if not self._wire.in_flight() else ():
                self._wire.forget_connection(node_id, "the broker has left the cluster")

    def _control_link(self, broker: Broker) -> Link:
        address = broker.address
        backoff = self._backoffs.setdefault(
            address, ReconnectState(self._network.reconnect, self._network.setup_timeout)
        )
        return self._link(broker, self._on_control_ready, self._on_control_failed, backoff)

    def _link(
        self,
        broker: Broker,
        on_ready: Callable[[Link], None],
        on_failed: Callable[[Link, KafkaConnectionError], None],
        backoff: ReconnectState | None = None,
    ) -> Link:
        return Link(broker.node_id, broker.host, broker.port, self._network, on_ready, on_failed, backoff)

    def _forget_old_backoffs(self) -> None:
        current = {link.address for link in self._control.values()}
        for address in self._backoffs.keys() - current:
            if self._backoffs[address].can_connect(self._network.clock()):
                del self._backoffs[address]

    def _forget_old_versions(self) -> None:
        current = {broker.address for broker in self._known.values()}
        current.update(link.address for link in self._control.values())
        for address in self._newest_produce.keys() - current:
            del self._newest_produce[address]
        self._judge_headers()

    def _note_versions(self, link: Link) -> None:
        assert link.connection is not None
        offered = link.connection.api_versions.get(ApiKey.PRODUCE)
        if offered is not None:
            self._newest_produce[link.address] = offered[1]
            self._judge_headers()

    def _judge_headers(self) -> None:
        """Not while any broker is too old for them: any may lead a partition next."""
        self._allow_headers(all(newest >= FIRST_WITH_BATCHES for newest in self._newest_produce.values()))

    # Control messages

    def control(self) -> BrokerConnection | None:
        """A connection over which to send a control message now."""
        now_ns = self._network.clock()
        ready = [link.connection for link in self._control.values() if link.is_ready and link.connection is not None]
        usable = [connection for connection in ready if connection.throttled_until_ns <= now_ns]
        return min(usable, key=lambda connection: connection.in_flight_count, default=None)

    def seek_control(self, now_ns: int) -> int | None:
        """After ``control`` returned None: see to it that there will be a connection.

        Returns:
            When to call again, None if events will tell.
        """
        links = list(self._control.values())
        ready = [link.connection for link in links if link.is_ready and link.connection is not None]
        idle = self._idle()
        throttled_until_ns = min((connection.throttled_until_ns for connection in ready), default=now_ns)
        if ready and (not idle or throttled_until_ns <= now_ns + STAGGER_NS):
            return throttled_until_ns
        not_before_ns = max((self._patience_ns(link) for link in links if link.is_busy), default=now_ns)
        if not_before_ns <= now_ns:
            able = [link for link in idle if link.can_open(now_ns)]
            if able:
                self._least_tried(able).open()
                return now_ns + STAGGER_NS if ready or len(idle) > 1 else None
        if not idle:
            return None
        again_ns = max(not_before_ns, min(link.reconnect.retry_at_ns for link in idle))
        return min(again_ns, throttled_until_ns) if ready else again_ns

    def doubt(self, connection: BrokerConnection, now_ns: int) -> None:
        """Its answers do not help: another broker is asked next, as soon as one answers; until then this one."""
        link = next((it for it in self._control.values() if it.connection is connection), None)
        others = [it for it in self._control.values() if it.is_busy and it is not link]
        self._doubted = link
        if any(it.is_ready for it in others):
            self._drop_doubted()
        else:
            self._try_beside(others, now_ns)

    def _try_beside(self, busy: list[Link], now_ns: int) -> None:
        """Open one more control connection, if it is time for that."""
        able = [link for link in self._idle() if link.can_open(now_ns)]
        if able and all(self._patience_ns(link) <= now_ns for link in busy):
            self._least_tried(able).open()

    def _drop_doubted(self) -> None:
        link, self._doubted = self._doubted, None
        if link is not None and link.connection is not None and link.connection.in_flight_count == 0:
            link.close("another broker is asked instead")

    def leave_silent(self, now_ns: int) -> int | None:
        """Ask another broker where one leaves a control message without an answer: it may have vanished. It is waited
        for until another one is ready to answer.

        Returns:
            When to call again, None if events will tell.
        """
        if self._silence_ns is None:
            return None
        ready = [link.connection for link in self._control.values() if link.is_ready and link.connection is not None]
        due_ns = {it: max(it.waiting_since_ns, it.last_activity_ns) + self._silence_ns  # a long answer may be arriving
                  for it in ready if it.waiting_since_ns is not None}
        silent = [connection for connection, at_ns in due_ns.items() if at_ns <= now_ns]
        if not silent:
            return min(due_ns.values(), default=None)
        if len(silent) == len(ready):
            self._try_beside([link for link in self._control.values() if link.is_busy], now_ns)
            return now_ns + STAGGER_NS if self._idle() else None
        reason = f"no answer within {self._silence_ns // 1_000_000} ms; another broker is asked instead"
        self._silence_ns = next(self._silences_ns, None)
        for connection in silent:
            connection.close(reason)
        return self.leave_silent(now_ns)

    def note_answer(self, took_ns: int) -> None:
        """How long a broker needed for a control message: later ones get twice as much, and some seconds at least."""
        self._silences_ns = iter([max(silence_ns, 2 * took_ns) for silence_ns in SILENCES_NS])
        self._silence_ns = next(self._silences_ns)

    def _least_tried(self, links: list[Link]) -> Link:
        return min(links, key=lambda link: (link.reconnect.last_attempt_ns or -1, self._rng()))

    def _idle(self) -> list[Link]:
        """Links that may be opened, now or later: not those that only serve as long as they last."""
        return [link for key, link in self._control.items() if key in self._known and not link.is_busy]

    def _patience_ns(self, link: Link) -> int:
        """When another broker is tried beside this one."""
        return (link.reconnect.last_attempt_ns or 0) + STAGGER_NS

    def no_node_available(self, now_ns: int) -> bool:
        """Whether nothing that is connected may answer and nothing may be tried now (KIP-899). What carries no request
        does not count: its broker may have vanished without a word."""
        if (self._handed and self._wire.in_flight()) or any(link.is_busy for link in self._control.values()):
            return False
        return not any(link.can_open(now_ns) for link in self._idle())

    @property
    def is_connected(self) -> bool:
        """Whether any broker is connected."""
        return bool(self._handed) or any(link.is_ready for link in tuple(self._control.values()))

    def disconnect(self, reason: str) -> None:
        """Close all connections; what is in flight counts as unanswered."""
        self.disconnect_control(reason)
        for node_id, link in self._produce.items():
            link.close(reason)
            if node_id in self._handed:
                self._wire.forget_connection(node_id, reason)

    def disconnect_control(self, reason: str) -> None:
        """Close all control connections; their requests fail."""
        for link in self._control.values():
            link.close(reason)

    def _on_control_ready(self, link: Link) -> None:
        _logger.debug("%s answers; it serves control messages", link)
        self._note_versions(link)
        self._reached(link)
        for other in self._control.values():
            if other is not link and other.is_busy and not other.is_ready:
                other.close("another broker answered first")
        if link is not self._doubted:
            self._drop_doubted()
        self.leave_silent(self._network.clock())

    def _on_control_failed(self, link: Link, error: KafkaConnectionError) -> None:
        second_opinion = any(other.is_ready for other in self._control.values())
        self._failed(link, error, link.ended_idle, refresh=not second_opinion)

    # Produce connections

    def want(self, node_id: int) -> bool:
        """The wire needs a connection to this node; False if nobody knows where that is."""
        self._wanted[node_id] = None
        return node_id in self._known

    def dial_wanted(self, now_ns: int) -> int | None:
        """Begin what attempts may begin; returns when to call again, None if events will tell."""
        at_ns: list[int] = []
        for node_id in list(self._wanted):
            link = self._produce_link(node_id)
            if link is None or link.is_busy:
                continue
            if link.can_open(now_ns):
                link.open()
            else:
                at_ns.append(link.reconnect.retry_at_ns)
        return min(at_ns, default=None)

    def on_lost(self, node_id: int, reason: str, quiet: bool, idle: bool = False, given_up: bool = False) -> None:
        """A connection the wire had has ended; ``quiet`` if there was nothing wrong with it, ``idle`` if nothing was
        in flight: brokers close connections that are not used. ``given_up``: no answer, or one that made no sense."""
        self._handed.discard(node_id)
        link = self._produce_link(node_id)
        if link is None:
            return
        if quiet:
            _logger.debug("%s: connection closed: %s", link, reason)
            return
        link.lost(given_up)
        if given_up:
            self._leave_control(link.address, reason)
        self._failed(link, KafkaConnectionError(f"{link}: {reason}"), idle)

    def _leave_control(self, address: str, reason: str) -> None:
        """What is asked there may find no answer either. But not if there is nobody else to ask now."""
        now_ns = self._network.clock()
        others = [link for link in self._control.values() if link.address != address]
        if not any(link.is_ready or (link.can_open(now_ns) and link.node_id in self._known) for link in others):
            return
        for control in self._control.values():
            if control.address == address and control.connection is not None:
                control.connection.close(reason)

    def _produce_link(self, node_id: int) -> Link | None:
        broker, link = self._known.get(node_id), self._produce.get(node_id)
        if broker is None:
            return link
        if link is None or (link.host, link.port) != (broker.host, broker.port):
            if link is not None:
                link.close("the broker has moved")
            link = self._produce[node_id] = self._link(broker, self._on_produce_ready, self._on_produce_failed)
        return link

    def _on_produce_ready(self, link: Link) -> None:
        assert link.connection is not None
        node_id = link.node_id
        self._note_versions(link)
        try:
            version = negotiate(ApiKey.PRODUCE, link.connection.api_versions.get(ApiKey.PRODUCE))
        except UnsupportedVersionError as error:
            link.close("it cannot be sent records to")
            link.lost()
            self._give_up(node_id)
            self._on_unsupported(Broker(node_id, link.host, link.port), error)
            return
        if version < FIRST_WITH_BATCHES:
            self._on_old(f"{link.address} knows no version of Produce above {version}, which is too old for it")
        detached = link.detach()
        self._wanted.pop(node_id, None)
        self._handed.add(node_id)
        _logger.debug("%s answers; records go there as Produce v%d", link, version)
        self._reached(link)
        if detached.throttle_ms:
            self._wire.throttle(node_id, detached.throttle_ms)
        self._wire.connect(node_id, detached.fd, version, detached.next_correlation_id)

    def _on_produce_failed(self, link: Link, error: KafkaConnectionError) -> None:
        """Records may wait for another leader by now, or for nobody: whether they do here is the wire's to say."""
        self._wire.explain(link.node_id, self._failed(link, error))
        self._give_up(link.node_id)

    def _give_up(self, node_id: int) -> None:
        """Nothing waits for this node any more, or nothing can be done for what does: the wire may ask again."""
        if node_id in self._wanted:
            del self._wanted[node_id]
            self._wire.forget_connection(node_id)
        link = self._produce.get(node_id)
        if link is not None:
            link.close("not needed any more")

    # Both

    def _failed(self, link: Link, error: KafkaConnectionError, idle: bool = False, refresh: bool = True) -> str:
        """Returns what is said about it."""
        if link.node_id >= 0 and link.address not in self._answering:
            error.args = (f"{error.args[0]}; nothing ever answered at this address, which the broker advertises "
                          "(advertised.listeners)",)
        text = str(error.args[0])
        if idle:
            _logger.debug("%s", text)
        else:
            self._complaints.warn(link.address, "%s", text)
            self._on_error(link.address, error)
        if refresh:
            self._refresh()
        return text

    def _reached(self, link: Link) -> None:
        self._answering.add(link.address)
        self._on_reached(link.address)

    def _links(self) -> list[Link]:
        return [*self._control.values(), *self._produce.values()]

    def deadline(self) -> int | None:
        """When ``on_deadline`` is due."""
        return min((at for link in self._links() if (at := link.deadline()) is not None), default=None)

    def on_deadline(self, now_ns: int) -> None:
        """Act on what is overdue at ``now_ns``."""
        for link in self._links():
            at_ns = link.deadline()
            if at_ns is not None and at_ns <= now_ns:
                link.on_deadline(now_ns)

    def abandon(self) -> None:
        """In a forked child: let go of the parent's connections."""
        for link in self._links():
            link.abandon()

    def close(self) -> None:
        """Close every connection that is not the wire's."""
        for link in self._links():
            link.close()
        self._wanted.clear()
        self._handed.clear()
