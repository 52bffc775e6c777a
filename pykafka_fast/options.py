# SPDX-License-Identifier: Apache-2.0
"""The table of all options: kafka-python's names, and Java's with underscores for what only Java has.

Defaults are the Java producer's. An option that is not supported yet takes its default only, so that existing
configurations fail where they would otherwise not do what they say.
"""

from __future__ import annotations

import copy
import socket
from collections.abc import Iterator, Mapping
from typing import Any

from .option import (
    INT32_MAX,
    Option,
    acks,
    anything,
    api_version,
    boolean,
    bootstrap,
    choice,
    client_id,
    codec,
    codec_by_topic,
    duration,
    integer,
    java_level,
    level,
    plug,
    plugs,
    socket_options,
)

PARTITIONER_NAMES = ("sticky", "round_robin", "random")
INTERCEPTOR_METHODS = ("on_send", "on_acknowledgement", "on_send_error", "close")
#: The smallest piece of memory the producer handles.
MIN_BUFFER_MEMORY = 4096
#: A connection allocates an entry for each request that may be in flight.
MAX_IN_FLIGHT = 1_000_000
_INT64_MAX = 2**63 - 1

_CLUSTER = (
    Option("bootstrap_servers", bootstrap(), "localhost",
           "First addresses to ask about the cluster: `host[:port]`, several with commas or as a list."),
    Option("client_id", client_id(), None,
           "Name in requests, logs, metrics and quotas; None makes one with a counter."),
    Option("client_dns_lookup", choice("use_all_dns_ips", "resolve_canonical_bootstrap_servers_only"),
           "use_all_dns_ips", "Whether to try every address of a name, or to expand bootstrap names canonically."),
    Option("allow_auto_create_topics", boolean(), True, "Let the broker create an unknown topic when asked about it."),
    Option("metadata_max_age_ms", duration(), 300000, "Fetch metadata anew after this time.", "ms"),
    Option("metadata_max_idle_ms", duration(5000), 300000, "Forget a topic nothing was sent to for this time.", "ms"),
    Option("metadata_recovery_strategy", choice("none", "rebootstrap", fold=str.lower), "rebootstrap",
           "What to do when no known broker can be reached (KIP-899)."),
    Option("metadata_recovery_rebootstrap_trigger_ms", duration(), 300000,
           "Start over from the bootstrap servers after this time without metadata (KIP-1102).", "ms"),
    Option("api_version", api_version(), None,
           "Below (0, 11) turns idempotence off, or contradicts it if it was asked for; does nothing else, as versions "
           "are negotiated with every broker. `'auto'` is None."),
    Option("bootstrap_timeout_ms", duration(), 30000,
           "Accepted for kafka-python's sake; the constructor does no I/O, `max_block_ms` bounds the first send.",
           "ms"),
    Option("default_api_timeout_ms", duration(), 60000,
           "Accepted for kafka-python's sake; must not be below `request_timeout_ms`.", "ms"),
)

_DELIVERY = (
    Option("acks", acks(), -1, "Who must have a record before it counts as written: nobody (0), the leader (1), all "
           "replicas in sync (`'all'` or -1)."),
    Option("enable_idempotence", boolean(), True,
           "No duplicates and no reordering by retries; needs acks all, retries, at most 5 requests in flight."),
    Option("retries", integer(0, infinity=INT32_MAX), INT32_MAX,
           "Attempts after the first, within `delivery_timeout_ms`; `float('inf')` is allowed."),
    Option("retry_backoff_ms", duration(), 100, "Pause before the first retry; doubles, with 20 % jitter.", "ms"),
    Option("retry_backoff_max_ms", duration(), 1000, "Longest pause before a retry.", "ms"),
    Option("delivery_timeout_ms", duration(high=INT32_MAX), 120000,
           "A record not acknowledged this long after `send` fails (KIP-91); at least linger_ms + request_timeout_ms.",
           "ms"),
    Option("exit_timeout_ms", duration(), 10000,
           "How long records may still be delivered when the interpreter ends, or the producer is collected, without "
           "`close`.", "ms"),
    Option("request_timeout_ms", duration(1, high=INT32_MAX), 30000,
           "Longest wait for a broker's answer, counted from the answer before it, or from when the broker last took "
           "bytes of the request; the broker waits for replicas as long.", "ms"),
    Option("max_block_ms", duration(), 60000,
           "Longest time `send` and `partitions_for` wait for metadata and memory.", "ms"),
    Option("max_in_flight_requests_per_connection", integer(1, MAX_IN_FLIGHT), 5,
           "Requests a broker may owe an answer at a time; every connection keeps room for so many."),
    Option("max_request_size", integer(1), 1048576, "Largest record, and largest sum of batches in a request.",
           "bytes"),
)

_BATCHING = (
    Option("batch_size", integer(0), 16384, "A batch of this size does not wait for `linger_ms`; 0 is one record per "
           "batch.", "bytes"),
    Option("batch_max_size", integer(0), 262144,
           "How far a batch may grow while it has to wait for its partition; at least `batch_size`, at most "
           "`max_request_size` and `buffer_memory`, to which the default is lowered.", "bytes"),
    Option("linger_ms", duration(high=INT32_MAX, fraction=True), 5,
           "How long a batch waits for more records; fractions are allowed.", "ms"),
    Option("buffer_memory", integer(MIN_BUFFER_MEMORY, _INT64_MAX), 33554432,
           "Memory for records not yet acknowledged; `send` waits when it is used up.", "bytes"),
    Option("partitioner", plug("'sticky', 'round_robin', 'random', a partitioner object or a callable", "partition",
                               names=PARTITIONER_NAMES), "sticky",
           "Chooses partitions; the built-in ones differ in records without a key, keys are hashed as in Java (whose "
           "round robin ignores keys, as `partitioner_ignore_keys` does)."),
    Option("partitioner_ignore_keys", boolean(), False, "Treat records with a key like those without (KIP-794)."),
    Option("partitioner_adaptive_partitioning_enable", boolean(), True,
           "`sticky` prefers partitions whose brokers are faster (KIP-794)."),
)

_COMPRESSION = (
    Option("compression_type", codec(), None, "Codec of the batches."),
    Option("compression_level", level(), None,
           "Level of `compression_type`: gzip 1..9 (None: 6), lz4 0..12 (0), zstd -7..22 (3; 0 means 3, too); the "
           "higher the smaller and the slower. Of lz4, 3 and more are the high compressor's. snappy has none."),
    Option("compression_by_topic", codec_by_topic(), {},
           "Topics that are compressed otherwise: `{'logs': 'zstd', 'events': ('gzip', 9), 'images': 'none'}`."),
    Option("compression_threads", integer(1, 64, nullable=True), None,
           "Threads that compress, if anything is to be compressed; None: the cores less one, from 1 to 4."),
    Option("compression_gzip_level", java_level(1, 9, -1), -1, "Java's name for gzip's level, also for single topics."),
    Option("compression_lz4_level", java_level(1, 17), 9,
           "Java's name for lz4's level: 9 is the fast compressor (level 0 of `compression_level`), anything else the "
           "high one at that level."),
    Option("compression_zstd_level", java_level(-131072, 22), 3,
           "Java's name for zstd's level; what is below -7 counts as -7."),
)

_PLUGS = (
    Option("key_serializer", plug("a callable or an object with serialize", "serialize"), None,
           "Turns keys into bytes; None if they are bytes already."),
    Option("value_serializer", plug("a callable or an object with serialize", "serialize"), None,
           "Turns values into bytes; None if they are bytes already."),
    Option("interceptors", plugs("interceptors", *INTERCEPTOR_METHODS), [],
           "Objects that see every record before it is sent and after it is acknowledged."),
)

_CONNECTIONS = (
    Option("connections_max_idle_ms", duration(1, off=-1), 540000,
           "Close a connection unused for this time; -1 never.", "ms"),
    Option("reconnect_backoff_ms", duration(), 50,
           "Pause before the first attempt to reconnect; doubles, with 20 % jitter. Given alone it is the longest too.",
           "ms"),
    Option("reconnect_backoff_max_ms", duration(), 1000, "Longest pause between attempts to reconnect.", "ms"),
    Option("socket_connection_setup_timeout_ms", duration(1), 10000,
           "Longest time to connect; grows with each failure in a row.", "ms"),
    Option("socket_connection_setup_timeout_max_ms", duration(1), 30000, "Longest time to connect at all.", "ms"),
    Option("receive_message_max_bytes", integer(1024), 100000000, "A larger frame from a broker closes the connection.",
           "bytes"),
    Option("send_buffer_bytes", integer(-1, nullable=True), None,
           "SO_SNDBUF; None: 262144 to a loopback address, else the system's; -1: the system's.", "bytes"),
    Option("receive_buffer_bytes", integer(-1, nullable=True), None, "SO_RCVBUF; None or -1 leaves it to the system.",
           "bytes"),
    Option("socket_options", socket_options(), [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
           "Further arguments of `setsockopt` for every connection."),
)

_METRICS = (
    Option("metrics_enabled", boolean(), True, "Whether `metrics()` reports anything."),
    Option("metrics_num_samples", integer(1, 1000), 2, "Samples over which rates, averages and maxima are taken."),
    Option("metrics_sample_window_ms", duration(1), 30000, "Length of a sample.", "ms"),
)


def _later(name: str, default: object = None, doc: str = "", unit: str = "") -> Option:
    return Option(name, anything(), default, doc, unit, supported=False)


_PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")

_NOT_YET = (
    Option("security_protocol", choice(*_PROTOCOLS, fold=str.upper), "PLAINTEXT", "How to talk to brokers.",
           supported=False),
    _later("transactional_id", None, "Turns on transactions."),
    _later("transaction_timeout_ms", 60000, "How long a transaction may stay open.", "ms"),
    _later("transaction_two_phase_commit_enable", False, "KIP-939."),
    _later("partitioner_availability_timeout_ms", 0, "KIP-794.", "ms"),
    _later("partitioner_rack_aware", False, "KIP-1123."),
    _later("client_rack", "", "Rack of this client."),
    _later("metadata_cluster_check_enable", True, "KIP-1242."),
    _later("bootstrap_resolve_timeout_ms", 0, "", "ms"),
    _later("metric_reporters", []),
    _later("metrics_recording_level", "INFO"),
    _later("enable_metrics_push", False, "KIP-714."),
    _later("ssl_check_hostname", True),
    *map(_later, ("ssl_context", "ssl_cafile", "ssl_certfile", "ssl_keyfile", "ssl_crlfile", "ssl_password",
                  "ssl_ciphers", "ssl_protocol", "ssl_enabled_protocols", "ssl_cipher_suites",
                  "ssl_endpoint_identification_algorithm",
                  "ssl_keystore_location", "ssl_keystore_type", "ssl_keystore_password", "ssl_keystore_key",
                  "ssl_keystore_certificate_chain", "ssl_key_password", "ssl_truststore_location",
                  "ssl_truststore_type", "ssl_truststore_password", "ssl_truststore_certificates", "ssl_provider",
                  "ssl_keymanager_algorithm", "ssl_trustmanager_algorithm", "ssl_secure_random_implementation",
                  "ssl_engine_factory_class")),
    _later("sasl_kerberos_service_name", "kafka"),
    *map(_later, ("sasl_mechanism", "sasl_plain_username", "sasl_plain_password", "sasl_kerberos_name",
                  "sasl_kerberos_domain_name", "sasl_oauth_token_provider", "sasl_jaas_config",
                  "sasl_client_callback_handler_class", "sasl_login_callback_handler_class", "sasl_login_class",
                  "sasl_kerberos_kinit_cmd", "sasl_kerberos_ticket_renew_window_factor",
                  "sasl_kerberos_ticket_renew_jitter", "sasl_kerberos_min_time_before_relogin",
                  "sasl_login_refresh_window_factor", "sasl_login_refresh_window_jitter",
                  "sasl_login_refresh_min_period_seconds", "sasl_login_refresh_buffer_seconds",
                  "sasl_login_connect_timeout_ms", "sasl_login_read_timeout_ms", "sasl_login_retry_backoff_ms",
                  "sasl_login_retry_backoff_max_ms")),
    *(_later(f"sasl_oauthbearer_{name}") for name in (
        "token_endpoint_url", "scope", "scope_claim_name", "sub_claim_name", "client_credentials_client_id",
        "client_credentials_client_secret", "header_urlencode", "jwks_endpoint_url", "jwks_endpoint_refresh_ms",
        "jwks_endpoint_retry_backoff_ms", "jwks_endpoint_retry_backoff_max_ms", "clock_skew_seconds",
        "expected_audience", "expected_issuer", "jwt_retriever_class", "jwt_validator_class", "assertion_algorithm",
        "assertion_file", "assertion_template_file", "assertion_private_key_file",
        "assertion_private_key_passphrase", "assertion_claim_aud", "assertion_claim_exp_seconds",
        "assertion_claim_iss", "assertion_claim_jti_include", "assertion_claim_nbf_seconds", "assertion_claim_sub")),
    *map(_later, ("proxy_url", "socks5_proxy", "selector", "net", "kafka_client", "config_providers",
                  "security_providers")),
)

_OLD = (
    Option("api_version_auto_timeout_ms", duration(), None, "kafka-python 2.x.", "ms",
           replaced_by="bootstrap_timeout_ms"),
    Option("block_on_buffer_full", boolean(), None, "kafka-python 2.x.", replaced_by="max_block_ms"),
)

#: Every option by name, in the order of the documentation.
OPTIONS: dict[str, Option] = {
    option.name: option
    for group in (_CLUSTER, _DELIVERY, _BATCHING, _COMPRESSION, _PLUGS, _CONNECTIONS, _METRICS, _NOT_YET, _OLD)
    for option in group
}


class Defaults(Mapping[str, Any]):
    """Every option with the value it has unless it is given. Read-only; its copies are dicts of whoever makes them."""

    def __getitem__(self, name: str) -> Any:
        return OPTIONS[name].default

    def __iter__(self) -> Iterator[str]:
        return iter(OPTIONS)

    def __len__(self) -> int:
        return len(OPTIONS)

    def __repr__(self) -> str:
        return repr(self.copy())

    def copy(self) -> dict[str, Any]:
        return dict(self)

    __copy__ = copy

    def __deepcopy__(self, memo: dict[int, Any]) -> dict[str, Any]:
        return copy.deepcopy(self.copy(), memo)

    def __or__(self, other: Mapping[str, Any]) -> dict[str, Any]:
        return {**self, **other}

    def __ror__(self, other: Mapping[str, Any]) -> dict[str, Any]:
        return {**other, **self}
