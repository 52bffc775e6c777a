# SPDX-License-Identifier: Apache-2.0
"""The script of an embedded broker: everything a test can make go wrong, or change, while clients are at work."""

from __future__ import annotations

from collections.abc import Callable

from ..errors import BrokerResponseError
from .cluster import Cluster
from .codes import Code, code_number
from .releases import versions_of
from .script import Call, Corrupt, Fault, Reply, Rule, Script, api_key
from .server import Server
from .service import BrokerService, served_versions, wrong_correlation_id

__all__ = ["Faults"]


class Faults:
    """Methods of :class:`EmbeddedBroker` that script its behaviour.

    All of them may be called from any thread and hold from the next request on. Rules apply in the order they were
    made; ``skip`` is how many requests they let pass first, ``times`` counts those after, None means until
    :meth:`Rule.cancel` or :meth:`clear`. APIs are named as in the protocol guide, for example ``"Produce"``; None
    means all. ``node`` limits a rule to one node.
    """

    _cluster: Cluster
    _script: Script
    _server: Server
    _service: BrokerService

    def _add(self, rule: Rule) -> Rule:
        self._script.add(rule)
        return rule

    def fail(
        self,
        api: str,
        error: int | type[BrokerResponseError],
        *,
        topic: str | None = None,
        partition: int | None = None,
        node: int | None = None,
        times: int | None = 1,
        skip: int = 0,
        after_append: bool = False,
        message: str | None = None,
        log_start: int = -1,
    ) -> Rule:
        """Answer with an error code: per partition (Produce, Fetch, ListOffsets), per topic or partition (Metadata),
        or for the request. REBOOTSTRAP_REQUIRED is always Metadata's answer as a whole (from v13 on).

        Args:
            error: Kafka's number, or a class of :mod:`pykafka_fast.errors`.
            topic, partition: only these; a request about others does not count.
            after_append: carry the request out all the same (Produce, InitProducerId).
            message: error message, where the answer has room for one.
            log_start: the log's start offset in the answer (Produce), -1 for a broker that does not say it.
        """
        return self._add(
            Fault(
                "fail",
                api_key(api),
                node,
                topic,
                partition,
                times,
                skip,
                error=code_number(error),
                message=message,
                after_append=after_append,
                log_start=log_start,
            )
        )

    def record_errors(
        self,
        topic: str,
        errors: dict[int, str],
        *,
        partition: int | None = None,
        error: int | type[BrokerResponseError] = Code.INVALID_RECORD,
        message: str | None = None,
        times: int | None = 1,
    ) -> Rule:
        """Refuse a batch because of single records: ``errors`` maps index in the batch to message (KIP-467)."""
        key = api_key("Produce")
        number = code_number(error)
        return self._add(
            Fault("fail", key, None, topic, partition, times, error=number, message=message, record_errors=errors)
        )

    def delay(self, api: str | None, ms: float, *, node: int | None = None, times: int | None = None) -> Rule:
        """Send answers ``ms`` milliseconds after the request was read, as a longer way would; 0 ends it.

        Requests are read and carried out at once, so pipelined requests are delayed once, not one after the other.
        """
        return self._reply("delay", api, node, times, ms)

    def throttle(
        self, api: str | None, ms: int, *, node: int | None = None, times: int | None = None, skip: int = 0
    ) -> Rule:
        """Say ``throttle_time_ms`` in answers; 0 ends it. The broker itself does not slow down."""
        return self._reply("throttle", api, node, times, ms, skip)

    def _reply(self, kind: str, api: str | None, node: int | None, times: int | None, ms: float, skip: int = 0) -> Rule:
        if not isinstance(ms, (int, float)) or not 0 <= ms < 2**31:
            raise ValueError(f"ms must be a number of milliseconds from 0 to 2147483647, not {ms!r}")
        amount = round(ms)
        key = None if api is None else api_key(api)
        self._script.replace(kind, key, node)
        rule = Reply(kind, key, node, times=times, skip=skip, amount=amount)
        if amount:
            self._script.add(rule)
        else:
            rule.cancel()
        return rule

    def cut(
        self,
        node: int | None = None,
        when: str | int = "now",
        *,
        api: str | None = None,
        times: int = 1,
        skip: int = 0,
        reset: bool = False,
    ) -> Rule:
        """Cut connections.

        Args:
            node: only connections to this node.
            when: ``"now"`` all connections at once; ``"before_append"`` the next request is read and dropped;
                ``"after_append"`` it is carried out, then the connection is closed instead of an answer
                (``"before_response"`` is the same); a number: so many bytes of its answer are sent first.
            api: the requests that count, for example ``"Produce"``; not for ``"now"``.
            times: so many requests.
            skip: after so many others.
            reset: the client sees ECONNRESET instead of the end of the stream; not after a part of an answer.
        """
        key = None if api is None else api_key(api)
        if when == "now":
            self._server.call(lambda: self._server.close_connections(node, reset))
            return Rule("cut", key, node, times=0)
        if isinstance(when, int):
            return self._add(Reply("truncate", key, node, times=times, skip=skip, amount=when))
        kinds = {"before_append": "cut before", "after_append": "cut after", "before_response": "cut after"}
        if when not in kinds:
            raise ValueError(f"when must be 'now', {', '.join(map(repr, kinds))} or a number of bytes, not {when!r}")
        return self._add(Reply(kinds[when], key, node, times=times, skip=skip, amount=int(reset)))

    def silence(self, api: str | None, *, node: int | None = None, times: int | None = 1, skip: int = 0) -> Rule:
        """Carry a request out, answer neither it nor anything behind it on its connection, and leave that open."""
        return self._add(Rule("silence", None if api is None else api_key(api), node, times=times, skip=skip))

    def trigger(
        self,
        api: str | None,
        action: Callable[[], object],
        *,
        node: int | None = None,
        times: int | None = 1,
        skip: int = 0,
    ) -> Rule:
        """Do something when a request has been read and before it is carried out, on the broker's thread.

        Args:
            action: must not wait; may be another method of this class.
        """
        key = None if api is None else api_key(api)
        return self._add(Call("call", key, node, times=times, skip=skip, action=action))

    def hold(self, api: str | None = None, *, node: int | None = None, read: bool = True) -> None:
        """Stop answering until :meth:`release`.

        Args:
            api: hold back answers to these requests, and what is behind them on the same connection.
            node: on this node only.
            read: requests are still read and carried out; with False the broker reads nothing at all (of any API),
                so that the clients' sockets fill up.
        """
        key = None if api is None else api_key(api)

        def apply() -> None:
            self._service.held.add((key, node))
            if not read:
                self._service.muted.add(node)

        self._server.call(apply)

    def release(self, *, node: int | None = None) -> None:
        """Undo every :meth:`hold`, or those for one node: what was held back is sent now, in order."""

        def apply() -> None:
            self._service.held = {held for held in self._service.held if node not in (None, held[1])}
            self._service.muted = {muted for muted in self._service.muted if node not in (None, muted)}

        self._server.call(apply)

    def reply_bytes(self, api: str, raw: bytes | Corrupt, *, node: int | None = None, times: int | None = 1) -> Rule:
        """Send ``raw`` in place of the answer, frame size included, while the request is carried out.

        A function is given the correlation id and the whole true answer, and returns what is sent.
        """
        change: Corrupt = raw if callable(raw) else lambda _correlation_id, _reply: raw
        return self._add(Reply("corrupt", api_key(api), node, times=times, corrupt=change))

    def wrong_correlation_id(self, api: str | None = None, *, delta: int = 1, times: int | None = 1) -> Rule:
        """Answer with a correlation id that is ``delta`` off."""
        key = None if api is None else api_key(api)
        return self._add(Reply("corrupt", key, times=times, corrupt=wrong_correlation_id(delta)))

    def split_replies(self, size: int | None) -> None:
        """Send answers ``size`` bytes per system call; None as usual."""
        if size is not None and size < 1:
            raise ValueError(f"size must be positive or None, not {size!r}")
        self._service.split = size

    def clear(self) -> None:
        """End every rule, :meth:`hold` and :meth:`split_replies`."""
        self._script.clear()
        self._service.split = None
        self.release()

    def set_api_version(self, api: str, oldest: int, newest: int, *, node: int | None = None) -> None:
        """Say (and accept) another range of versions. A range beyond what is implemented may be said: a client that
        knows no newer version than the broker will not use it."""
        if not 0 <= oldest <= newest:
            raise ValueError(f"versions {oldest}-{newest} are no range")
        key = api_key(api)
        self._change_versions(node, lambda versions: versions.__setitem__(key, (oldest, newest)))

    def hide_api(self, api: str, *, node: int | None = None) -> None:
        """Neither list nor serve an API."""
        key = api_key(api)
        self._change_versions(node, lambda versions: versions.pop(key, None))

    def play_release(self, release: str, *, node: int | None = None) -> None:
        """Say, and accept, the versions of an earlier release: ``"0.10.2"``, ``"2.8"`` or ``"3.9"``. That of 0.10.2
        takes message sets, which have no headers and no sequences."""
        played = versions_of(release)

        def change(versions: dict[int, tuple[int, int]]) -> None:
            versions.clear()
            versions.update(played)

        self._change_versions(node, change)

    def reset_api_versions(self) -> None:
        """Undo :meth:`set_api_version`, :meth:`hide_api` and :meth:`play_release`."""
        with self._service.changed:
            for versions in self._service.versions.values():
                versions.clear()
                versions.update(served_versions())

    def _change_versions(self, node: int | None, change: Callable[[dict[int, tuple[int, int]]], object]) -> None:
        with self._service.changed:
            for node_id, versions in self._service.versions.items():
                if node in (None, node_id):
                    change(versions)

    def move_leader(self, topic: str, partition: int, node: int, *, hint: bool = True) -> None:
        """Make another node lead a partition, at the next leader epoch.

        Args:
            hint: the old leader names the new one in Produce answers from v10 on (KIP-951).
        """
        with self._service.changed:
            self._cluster.set_leader(self._cluster.partition(topic, partition), node, hint)

    def leaderless(self, topic: str, partition: int | None = None) -> None:
        """Leave a partition, or all of a topic, without a leader until :meth:`move_leader`."""
        with self._service.changed:
            for part in self._cluster.topic(topic).partitions:
                if partition in (None, part.index):
                    self._cluster.set_leader(part, -1)

    def stop_node(self, node: int, *, elect: bool = True) -> None:
        """Stop a node: its connections end, its port refuses.

        Args:
            elect: other nodes take over its partitions; otherwise (or if none runs) they have no leader meanwhile.
        """
        with self._service.changed:
            self._cluster.node_stopped(node, elect)

        def apply() -> None:
            self._server.stop_listening(node)
            self._server.close_connections(node)

        self._server.call(apply)

    def start_node(self, node: int) -> None:
        """Start a stopped node again, on the same port."""
        with self._service.changed:
            self._cluster.node_started(node)
        self._server.call(lambda: self._server.listen_again(node))

    def forget_producer(self, topic: str, partition: int, producer_id: int | None = None) -> None:
        """Lose what a partition knows of one producer or of all, as retention does."""
        with self._service.changed:
            self._cluster.partition(topic, partition).log.producers.forget(producer_id)

    def forget_batches(self, topic: str, partition: int) -> None:
        """Of what a partition knows of producers, keep the last batch of each, as a broker does that is started again.

        A batch before that which is sent once more is no longer recognised: OUT_OF_ORDER_SEQUENCE_NUMBER.
        """
        with self._service.changed:
            self._cluster.partition(topic, partition).log.producers.forget_batches()

    def delete_records(self, topic: str, partition: int, before: int) -> None:
        """Move the start of a partition's log to the offset ``before``."""
        with self._service.changed:
            self._cluster.partition(topic, partition).log.delete_before(before)
