# SPDX-License-Identifier: Apache-2.0
"""What is said over a control connection: metadata, the producer id, and starting over from the bootstrap servers."""

from __future__ import annotations

import logging
from collections.abc import Callable

from .brokers import Brokers
from .cluster import MetadataChanges
from .complaints import Complaints
from .errors import KafkaConnectionError, KafkaError, KafkaProtocolError, UnsupportedVersionError, message_of
from .idempotence import ProducerIdentity, Verdict
from .log import get_logger
from .metadata import NEVER, MetadataCache
from .net.connection import BrokerConnection
from .net.link import Network
from .option import host_port
from .protocol.api import ApiKey
from .protocol.init_producer_id import InitProducerIdRequest, InitProducerIdResponse
from .protocol.metadata import MetadataRequest, MetadataResponse

__all__ = ["Control"]

_logger = get_logger(__name__)

DOUBT_NS = 3_000_000_000
"""After so long without the news somebody waits for, another broker is asked: some take a moment to reach all."""


class Control:
    """Asks what is due. Belongs to the sender thread.

    Args:
        network, brokers: where connections come from.
        metadata: is kept up to date.
        identity: is given an id when it needs one.
        allow_auto_create_topics: asking about a topic may create it.
        publish: passes on what starting over changes.
        on_metadata: called after every good answer.
        on_verdict: called with what an answer to InitProducerId means.
    """

    def __init__(
        self,
        network: Network,
        brokers: Brokers,
        metadata: MetadataCache,
        identity: ProducerIdentity,
        *,
        allow_auto_create_topics: bool,
        publish: Callable[[MetadataChanges], None],
        on_metadata: Callable[[], None],
        on_verdict: Callable[[Verdict], None],
    ) -> None:
        self._network = network
        self._brokers = brokers
        self._metadata = metadata
        self._identity = identity
        self._allow_auto_create_topics = allow_auto_create_topics
        self._publish = publish
        self._on_metadata = on_metadata
        self._on_verdict = on_verdict
        self._complaints = Complaints(_logger, network.clock)
        self._cluster_id: str | None = None
        self._in_vain_ns: int | None = None  # since when answers are without what somebody waits for

    def advance(self, now_ns: int) -> int | None:
        """Ask what is due; returns when something will be due, None if only events can change that."""
        moments: list[int | None] = []
        overdue_ns = self._metadata.overdue_at_ns()
        if overdue_ns is not None and overdue_ns <= now_ns:
            self._start_over(now_ns, "no good answer to Metadata within metadata_recovery_rebootstrap_trigger_ms")
        to_update_ns = self._metadata.time_to_next_update(now_ns)
        if to_update_ns == 0 or self._identity.is_due(now_ns):
            connection = self._brokers.control()
            if connection is None and to_update_ns == 0:
                self._rebootstrap_if_due(now_ns)
            if connection is None:
                moments.append(self._brokers.seek_control(now_ns))
            else:
                self._ask(connection, now_ns)
        moments.append(self._brokers.leave_silent(now_ns))
        to_update_ns = self._metadata.time_to_next_update(now_ns)
        moments.append(now_ns + to_update_ns if 0 < to_update_ns < NEVER else None)
        moments += [self._identity.next_request_ns(), self._metadata.overdue_at_ns()]
        return min((moment for moment in moments if moment is not None and moment > now_ns), default=None)

    def _ask(self, connection: BrokerConnection, now_ns: int) -> None:
        topics = self._metadata.build_request(now_ns)
        if topics is not None:
            self._ask_metadata(connection, topics, now_ns)
        if self._identity.is_due(now_ns):
            self._ask_producer_id(connection)
        self._network.watch(connection)

    # Metadata

    def _ask_metadata(self, connection: BrokerConnection, topics: tuple[str, ...], now_ns: int) -> None:
        request = MetadataRequest.for_topics(topics, self._allow_auto_create_topics)
        wanted = self._metadata.update_wanted()

        def on_answer(response: MetadataResponse | None, error: KafkaError | None) -> None:
            if response is not None and not self._identity.is_wanted:  # an id may take longer, and is waited for
                self._brokers.note_answer(self._network.clock() - now_ns)
            self._on_metadata_answer(connection, response, error, wanted)

        try:
            connection.submit(ApiKey.METADATA, request, MetadataResponse.decode, on_answer)
        except UnsupportedVersionError as error:
            self._metadata.on_failure(now_ns)
            self._metadata.set_fatal(UnsupportedVersionError(f"{connection}: {message_of(error)}"))

    def _on_metadata_answer(
        self, connection: BrokerConnection, response: MetadataResponse | None, error: KafkaError | None, wanted: bool
    ) -> None:
        now_ns = self._network.clock()
        if response is None:
            _logger.debug("metadata: %s", error)
            self._metadata.on_failure(now_ns)
            return
        changes = self._metadata.on_response(response, now_ns)
        if changes.rebootstrap:
            self._start_over(now_ns, "the cluster asks for it", at_once=False)  # it may ask again and again
        elif isinstance(changes.error, KafkaProtocolError):
            connection.close(f"Metadata: {message_of(changes.error)}")  # another broker may know better
        elif changes.error is not None:
            self._note_useless(connection, changes.error)
        else:
            self._metadata.note_connection_ready(_address(connection))
            self._note_cluster(response.cluster_id)
            self._brokers.update(self._metadata.snapshot)
            self._note_news(connection, not wanted or any(changes), now_ns)
            self._on_metadata()

    def _note_news(self, connection: BrokerConnection, any_news: bool, now_ns: int) -> None:
        if any_news or self._in_vain_ns is None:
            self._in_vain_ns = None if any_news else now_ns
        elif now_ns - self._in_vain_ns >= DOUBT_NS:
            self._in_vain_ns = now_ns
            self._brokers.doubt(connection, now_ns)

    def _note_useless(self, connection: BrokerConnection, error: KafkaError) -> None:
        text = f"{connection}: an answer to Metadata is of no use: {error}"
        self._complaints.warn(_address(connection), "%s", text)
        self._metadata.note_connection_error(_address(connection), KafkaConnectionError(text))

    def _note_cluster(self, cluster_id: str | None) -> None:
        if cluster_id is None or cluster_id == self._cluster_id:
            return
        if self._cluster_id is not None:
            _logger.warning("The cluster's id changed from %s to %s", self._cluster_id, cluster_id)
        else:
            _logger.info("Connected to cluster %s", cluster_id)
        self._cluster_id = cluster_id

    def _rebootstrap_if_due(self, now_ns: int) -> None:
        """What is queued stays with the leaders known last: they may come back before there is news."""
        if self._metadata.rebootstrap_due(now_ns, self._brokers.no_node_available(now_ns)):
            self._rebootstrap(now_ns, "no known broker can be reached")

    def _start_over(self, now_ns: int, reason: str, *, at_once: bool = True) -> None:
        """The brokers may be another cluster's by now: nothing more for them, and nothing more from them (KIP-1102)."""
        self._brokers.disconnect("starting over from the bootstrap servers")
        self._publish(self._rebootstrap(now_ns, reason, at_once))

    def _rebootstrap(self, now_ns: int, reason: str, at_once: bool = True) -> MetadataChanges:
        if not self._metadata.snapshot.is_bootstrap:
            _logger.info("Starting over from the bootstrap servers: %s", reason)
        self._brokers.disconnect_control("starting over from the bootstrap servers")
        changes = self._metadata.rebootstrap(now_ns, at_once=at_once)
        self._brokers.update(self._metadata.snapshot)
        return changes

    # The producer id

    def _ask_producer_id(self, connection: BrokerConnection) -> None:
        try:
            request, decode = InitProducerIdRequest(), InitProducerIdResponse.decode
            connection.submit(ApiKey.INIT_PRODUCER_ID, request, decode, self._on_identity_answer)
        except UnsupportedVersionError as error:
            self._on_verdict(self._identity.on_unsupported(f"{connection}: {message_of(error)}"))
        else:
            self._identity.on_sent()

    def _on_identity_answer(self, response: InitProducerIdResponse | None, error: KafkaError | None) -> None:
        now_ns = self._network.clock()
        if response is None:
            assert error is not None
            _logger.debug("InitProducerId: %s", error)
            self._on_verdict(self._identity.on_failure(now_ns, error))
            return
        verdict = self._identity.on_response(response, now_ns)
        if verdict is Verdict.RETRY:
            self._complaints.warn("InitProducerId", "No producer id yet: %s", self._identity.error)
        elif verdict is Verdict.REFUSED:  # asked for again as soon as there are records again
            self._complaints.warn("a refusal", "No producer id: %s", self._identity.error, level=logging.ERROR)
        self._on_verdict(verdict)


def _address(connection: BrokerConnection) -> str:
    return host_port(connection.host, connection.port)
