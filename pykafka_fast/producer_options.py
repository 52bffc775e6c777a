# SPDX-License-Identifier: Apache-2.0
"""The supported options for type checkers and editors: ``def __init__(self, **configs: Unpack[ProducerOptions])``.

:mod:`pykafka_fast.options` is the table that counts; a test keeps the two alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import Any, Literal, TypedDict

from .types import SocketOption


class ProducerOptions(TypedDict, total=False):
    """Keyword arguments of ``KafkaProducer``; :func:`pykafka_fast.config.describe` explains them."""

    bootstrap_servers: str | Sequence[str] | Set[str]
    security_protocol: Literal["PLAINTEXT"]
    client_id: str | None
    client_dns_lookup: Literal["use_all_dns_ips", "resolve_canonical_bootstrap_servers_only"]
    allow_auto_create_topics: bool
    metadata_max_age_ms: int
    metadata_max_idle_ms: int
    metadata_recovery_strategy: Literal["none", "rebootstrap"]
    metadata_recovery_rebootstrap_trigger_ms: int
    api_version: tuple[int, ...] | str | None
    bootstrap_timeout_ms: int
    default_api_timeout_ms: int
    acks: Literal["all", "0", "1", "-1", -1, 0, 1]
    enable_idempotence: bool
    retries: float
    retry_backoff_ms: int
    retry_backoff_max_ms: int
    delivery_timeout_ms: int
    exit_timeout_ms: float
    request_timeout_ms: int
    max_block_ms: float
    max_in_flight_requests_per_connection: int
    max_request_size: int
    batch_size: int
    batch_max_size: int
    linger_ms: float
    buffer_memory: int
    compression_type: Literal["none", "gzip", "snappy", "lz4", "zstd"] | None
    compression_level: int | None
    compression_by_topic: Mapping[str, str | tuple[str, int | None] | None]
    compression_threads: int | None
    compression_gzip_level: int
    compression_lz4_level: int
    compression_zstd_level: int
    partitioner: Any
    partitioner_ignore_keys: bool
    partitioner_adaptive_partitioning_enable: bool
    key_serializer: Any
    value_serializer: Any
    interceptors: Sequence[Any]
    connections_max_idle_ms: int
    reconnect_backoff_ms: int
    reconnect_backoff_max_ms: int
    socket_connection_setup_timeout_ms: int
    socket_connection_setup_timeout_max_ms: int
    receive_message_max_bytes: int
    send_buffer_bytes: int | None
    receive_buffer_bytes: int | None
    socket_options: Sequence[SocketOption]
    metrics_enabled: bool
    metrics_num_samples: int
    metrics_sample_window_ms: int
