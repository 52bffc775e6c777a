# SPDX-License-Identifier: Apache-2.0
"""Metadata: the running nodes, the topics asked for and their leaders."""

from __future__ import annotations

from ...protocol.message import ZERO_UUID
from ...protocol.metadata import (
    MetadataBroker,
    MetadataPartition,
    MetadataRequest,
    MetadataRequestTopic,
    MetadataResponse,
    MetadataTopic,
)
from ..cluster import Cluster, Partition, Topic
from ..codes import Code
from ..script import Fault
from .context import Context

__all__ = ["answer"]


def answer(context: Context) -> bytes:
    """The whole cluster, or the part that was asked for."""
    request = MetadataRequest.decode(context.body, context.version, context.offset)
    cluster = context.cluster
    asked = request.topics
    if asked is None:
        asked = tuple(MetadataRequestTopic(name) for name in cluster.topics)
    context.partitions = [(_name_of(cluster, topic) or "", None) for topic in asked]
    fault = None if asked else context.fault()
    faults = context.faults()
    topics = []
    for topic, target in zip(asked, context.partitions, strict=True):
        found = _describe(context, topic, request.allow_auto_topic_creation)
        topics.append(_with_fault(found, faults.get(target)))
    brokers = tuple(MetadataBroker(n.node_id, n.host, n.port) for n in cluster.nodes.values() if n.running)
    controller = min((broker.node_id for broker in brokers), default=-1)
    response = MetadataResponse(brokers, tuple(topics), cluster.cluster_id, controller, context.throttle_ms)
    if any(it.error == Code.REBOOTSTRAP_REQUIRED for it in (*faults.values(), *filter(None, [fault]))):
        response = MetadataResponse((), (), throttle_time_ms=context.throttle_ms, error_code=Code.REBOOTSTRAP_REQUIRED)
    return response.encode(context.version)


def _name_of(cluster: Cluster, asked: MetadataRequestTopic) -> str | None:
    if asked.name is not None:
        return asked.name
    topic = cluster.topic_by_id(asked.topic_id)
    return topic.name if topic is not None else None


def _describe(context: Context, asked: MetadataRequestTopic, may_create: bool) -> MetadataTopic:
    cluster = context.cluster
    name = _name_of(cluster, asked)
    if name is None:
        if not cluster.was_issued(asked.topic_id):
            context.violation(f"topic id {asked.topic_id.hex()} was never given to anybody")
        return MetadataTopic(None, (), Code.UNKNOWN_TOPIC_ID, asked.topic_id)
    topic = cluster.topics.get(name)
    if topic is None:
        if not cluster.is_legal_name(name):
            return MetadataTopic(name, (), Code.INVALID_TOPIC_EXCEPTION, ZERO_UUID)
        if not (may_create and cluster.auto_create):
            return MetadataTopic(name, (), Code.UNKNOWN_TOPIC_OR_PARTITION, ZERO_UUID)
        topic = cluster.create_topic(name, cluster.auto_create)
    return _describe_topic(cluster, topic)


def _describe_topic(cluster: Cluster, topic: Topic) -> MetadataTopic:
    replicas = tuple(sorted(cluster.nodes))
    running = tuple(node_id for node_id in replicas if cluster.nodes[node_id].running)
    offline = tuple(node_id for node_id in replicas if node_id not in running)
    return MetadataTopic(
        topic.name,
        tuple(_describe_partition(partition, replicas, running, offline) for partition in topic.partitions),
        Code.NONE,
        topic.topic_id,
    )


def _describe_partition(
    partition: Partition, replicas: tuple[int, ...], running: tuple[int, ...], offline: tuple[int, ...]
) -> MetadataPartition:
    code = Code.NONE if partition.leader != -1 else Code.LEADER_NOT_AVAILABLE
    return MetadataPartition(
        partition.index, partition.leader, partition.leader_epoch, code, replicas, running, offline
    )


def _with_fault(topic: MetadataTopic, fault: Fault | None) -> MetadataTopic:
    """The scripted error: of one partition if the script names one, else of the topic."""
    if fault is None:
        return topic
    if fault.partition is None:
        return MetadataTopic(topic.name, (), fault.error, topic.topic_id)
    partitions = tuple(
        MetadataPartition(part.partition, -1, part.leader_epoch, fault.error, part.replicas, part.in_sync_replicas)
        if part.partition == fault.partition
        else part
        for part in topic.partitions
    )
    return MetadataTopic(topic.name, partitions, topic.error_code, topic.topic_id)
