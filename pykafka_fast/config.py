# SPDX-License-Identifier: Apache-2.0
"""From what the user passed to the configuration of a producer: one table, one pass, errors that say what is right."""

from __future__ import annotations

import difflib
import itertools
import logging
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from . import compression
from .errors import KafkaConfigurationError, UnrecognizedConfigError
from .option import INT32_MAX, SECURITY_PREFIXES, Option, parse_bootstrap
from .options import OPTIONS
from .types import SocketOption

__all__ = ["OPTIONS", "ProducerConfig", "describe", "parse_bootstrap", "resolve"]

logger = logging.getLogger(__name__)

_client_numbers = itertools.count(1)

#: The first broker version that can do idempotence, in kafka-python's way of writing it.
_IDEMPOTENCE_SINCE = (0, 11)
_MAX_IN_FLIGHT_IDEMPOTENT = 5


@dataclass(frozen=True)
class ProducerConfig:
    """The resolved options, one attribute each; ``*_ms`` in milliseconds, ``*_bytes`` and ``*_size`` in bytes.

    ``addresses`` are host and port of ``bootstrap_servers``; ``explicit`` names the options the user gave. ``codec`` is
    what topics are compressed with, ``topic_codecs`` for some of them; ``compression_threads`` is 0 if that is nothing.
    """

    bootstrap_servers: str | list[str]
    client_id: str
    client_dns_lookup: str
    allow_auto_create_topics: bool
    metadata_max_age_ms: int
    metadata_max_idle_ms: int
    metadata_recovery_strategy: str
    metadata_recovery_rebootstrap_trigger_ms: int
    api_version: tuple[int, ...] | None
    bootstrap_timeout_ms: int
    default_api_timeout_ms: int
    acks: int
    enable_idempotence: bool
    retries: int
    retry_backoff_ms: int
    retry_backoff_max_ms: int
    delivery_timeout_ms: int
    exit_timeout_ms: int
    request_timeout_ms: int
    max_block_ms: int
    max_in_flight_requests_per_connection: int
    max_request_size: int
    batch_size: int
    batch_max_size: int
    linger_ms: float
    buffer_memory: int
    partitioner: Any
    partitioner_ignore_keys: bool
    partitioner_adaptive_partitioning_enable: bool
    compression_type: str | None
    compression_level: int | None
    compression_by_topic: dict[str, tuple[str | None, int | None]]
    compression_threads: int
    compression_gzip_level: int
    compression_lz4_level: int
    compression_zstd_level: int
    key_serializer: Any
    value_serializer: Any
    interceptors: list[Any]
    connections_max_idle_ms: int
    reconnect_backoff_ms: int
    reconnect_backoff_max_ms: int
    socket_connection_setup_timeout_ms: int
    socket_connection_setup_timeout_max_ms: int
    receive_message_max_bytes: int
    send_buffer_bytes: int | None
    receive_buffer_bytes: int | None
    socket_options: list[SocketOption]
    metrics_enabled: bool
    metrics_num_samples: int
    metrics_sample_window_ms: int
    addresses: list[tuple[str, int]] = field(default_factory=list)
    explicit: frozenset[str] = frozenset()
    codec: compression.Choice = compression.NO_COMPRESSION
    topic_codecs: dict[str, compression.Choice] = field(default_factory=dict)

    def codec_of(self, topic: str) -> compression.Choice:
        """The number of the codec for the batches of a topic, 0 for none, and its level."""
        return self.topic_codecs.get(topic, self.codec)

    def as_dict(self) -> dict[str, Any]:
        """All options by name as kafka-python's ``producer.config`` has them, those not supported yet included."""
        known = {name: _copied(option.default) for name, option in OPTIONS.items() if option.replaced_by is None}
        known |= {name: _copied(getattr(self, name)) for name in _SUPPORTED}
        return known | {"compression_threads": self.compression_threads or None}


_DERIVED = ("addresses", "explicit", "codec", "topic_codecs")
_SUPPORTED = tuple(f.name for f in fields(ProducerConfig) if f.name not in _DERIVED)


def _copied(value: Any) -> Any:
    return value.copy() if isinstance(value, (list, dict)) else value


def resolve(configs: Mapping[str, Any]) -> ProducerConfig:
    """Check the user's options and fill in the rest.

    Args:
        configs: options by name; see :func:`describe`.

    Raises:
        UnrecognizedConfigError: a name nobody knows.
        InvalidConfigError: a value the option does not take, or one not supported yet.
        KafkaConfigurationError: options that contradict each other.
    """
    unknown = [name for name in configs if name not in OPTIONS]
    if unknown:
        raise UnrecognizedConfigError("Unrecognized configs: " + "; ".join(map(_near_misses, unknown)) +
                                      "; print(pykafka_fast.config.describe()) shows all there are")
    old = {name for name, value in configs.items() if value is None and OPTIONS[name].replaced_by}  # not given, then
    idle = _unused(configs)
    given = _replaced({name: OPTIONS[name].resolve(value) for name, value in configs.items() if name not in old | idle})
    if given.keys() >= set(_SUPPORTED):  # a copy of DEFAULT_CONFIG, in which only what was changed is meant
        given = {name: value for name, value in given.items() if value != OPTIONS[name].default}
    values = {name: _copied(OPTIONS[name].default) for name in _SUPPORTED}
    values.update((name, value) for name, value in given.items() if name in values)
    if values["partitioner"] is None:
        values["partitioner"] = OPTIONS["partitioner"].default
    for check in _CHECKS:
        check(values, given)
    if not values["client_id"]:
        values["client_id"] = f"pykafka-fast-producer-{next(_client_numbers)}"
    usual, by_topic = compression.choose(values)
    values["compression_threads"] = compression.threads(values["compression_threads"], usual, by_topic)
    return ProducerConfig(**values, addresses=parse_bootstrap(values["bootstrap_servers"]), explicit=frozenset(given),
                          codec=usual, topic_codecs=by_topic)


def _unused(configs: Mapping[str, Any]) -> set[str]:
    """What only TLS and SASL would use, where the user has written that there are none; Java goes on, too."""
    if str(configs.get("security_protocol")).upper() != "PLAINTEXT":
        return set()
    unused = {name for name, value in configs.items()
              if name.startswith(SECURITY_PREFIXES) and value != OPTIONS[name].default}
    if unused:
        logger.warning("%s: not used with security_protocol='PLAINTEXT'", ", ".join(sorted(unused)))
    return unused


def _near_misses(name: object) -> str:
    if not isinstance(name, str):
        return f"{name!r} (names are str)"
    spelled = name.lower().replace(".", "_").replace("-", "_")
    near = [spelled] if spelled in OPTIONS else difflib.get_close_matches(spelled, OPTIONS, n=3, cutoff=0.7)
    return f"{name!r}" + (f" (did you mean {' or '.join(map(repr, near))}?)" if near else "")


def _replaced(given: dict[str, Any]) -> dict[str, Any]:
    """Warn of options of kafka-python 2.x, and hand their values to the options that replaced them."""
    for name in [name for name in given if OPTIONS[name].replaced_by is not None]:
        value, replacement = given.pop(name), str(OPTIONS[name].replaced_by)
        warnings.warn(f"{name} is an option of kafka-python 2.x; use {replacement}", DeprecationWarning, stacklevel=4)
        if type(value) is not bool:
            given.setdefault(replacement, value)
    return given


def _check_backoffs(values: dict[str, Any], given: Mapping[str, Any]) -> None:
    if "reconnect_backoff_ms" in given and "reconnect_backoff_max_ms" not in given:
        values["reconnect_backoff_max_ms"] = values["reconnect_backoff_ms"]
    for first, longest in (("retry_backoff_ms", "retry_backoff_max_ms"),
                           ("reconnect_backoff_ms", "reconnect_backoff_max_ms"),
                           ("socket_connection_setup_timeout_ms", "socket_connection_setup_timeout_max_ms")):
        if values[first] > values[longest]:
            logger.warning("%s=%s is above %s=%s, which is used throughout", first, values[first], longest,
                           values[longest])
            values[first] = values[longest]


def _check_timeouts(values: dict[str, Any], given: Mapping[str, Any]) -> None:
    request_ms, delivery_ms = values["request_timeout_ms"], values["delivery_timeout_ms"]
    needed = min(values["linger_ms"] + request_ms, INT32_MAX)
    if delivery_ms < needed:
        if "delivery_timeout_ms" in given:
            raise KafkaConfigurationError(
                f"delivery_timeout_ms={delivery_ms} must be at least linger_ms={values['linger_ms']} + "
                f"request_timeout_ms={request_ms}, so {needed}; raise it, or lower request_timeout_ms, too")
        values["delivery_timeout_ms"] = int(-(-needed // 1))
        logger.warning("delivery_timeout_ms raised to %s, the sum of linger_ms and request_timeout_ms",
                       values["delivery_timeout_ms"])
    if values["default_api_timeout_ms"] < request_ms:
        if "default_api_timeout_ms" in given:
            raise KafkaConfigurationError(
                f"default_api_timeout_ms={values['default_api_timeout_ms']} must be at least "
                f"request_timeout_ms={request_ms}")
        values["default_api_timeout_ms"] = request_ms


def _check_sizes(values: dict[str, Any], given: Mapping[str, Any]) -> None:
    request, memory = values["max_request_size"], values["buffer_memory"]
    if values["batch_size"] > request:
        if "batch_size" in given:
            logger.warning("batch_size=%d is above max_request_size=%d, which is used instead", values["batch_size"],
                           request)
        values["batch_size"] = request
    batch = values["batch_size"]
    if memory < batch:
        raise KafkaConfigurationError(
            f"buffer_memory={memory} cannot hold one batch of batch_size={batch}; it should hold many")
    if "batch_max_size" not in given:
        values["batch_max_size"] = max(batch, min(values["batch_max_size"], request, memory)) if batch else 0
        return
    for name, right in (("max_request_size", request), ("buffer_memory", memory)):
        if values["batch_max_size"] > right:
            raise KafkaConfigurationError(
                f"batch_max_size={values['batch_max_size']} must not be above {name}={right}")
    if values["batch_max_size"] < batch:
        raise KafkaConfigurationError(
            f"batch_max_size={values['batch_max_size']} must be at least batch_size={batch}")


def _check_idempotence(values: dict[str, Any], given: Mapping[str, Any]) -> None:
    """Idempotence that was asked for must be possible; idempotence by default gives way to what was asked for."""
    if not values["enable_idempotence"]:
        return
    conflicts = [f"{name}={given[name]} (must be {right})" for name, wrong, right in _IDEMPOTENCE_NEEDS
                 if name in given and wrong(given[name])]
    if not conflicts:
        return
    if "enable_idempotence" in given:
        raise KafkaConfigurationError("enable_idempotence=True contradicts " + ", ".join(conflicts))
    logger.warning("Idempotence is turned off because of %s; set enable_idempotence=False to silence this",
                   ", ".join(conflicts))
    values["enable_idempotence"] = False


_IDEMPOTENCE_NEEDS: tuple[tuple[str, Callable[[Any], bool], str], ...] = (
    ("acks", lambda acks: bool(acks != -1), "'all'"),
    ("retries", lambda retries: bool(retries == 0), "above 0"),
    ("max_in_flight_requests_per_connection", lambda count: bool(count > _MAX_IN_FLIGHT_IDEMPOTENT),
     f"at most {_MAX_IN_FLIGHT_IDEMPOTENT}"),
    ("api_version", lambda version: version is not None and version < _IDEMPOTENCE_SINCE, "(0, 11) or newer"),
)

_CHECKS = (_check_backoffs, _check_timeouts, _check_sizes, _check_idempotence)


def describe() -> str:
    """The table of all options in Markdown, as the documentation shows it."""
    shown = [option for option in OPTIONS.values() if option.replaced_by is None]
    lines = ["| option | values | default | meaning |", "|---|---|---|---|"]
    lines += map(_row, (option for option in shown if option.supported))
    later = ", ".join(f"`{option.name}`" for option in shown if not option.supported)
    replaced = [option for option in OPTIONS.values() if option.replaced_by is not None]
    old = ", ".join(f"`{option.name}` (now `{option.replaced_by}`)" for option in replaced)
    lines += ["", f"Recognised, but nothing except the default is supported yet: {later}.", "",
              f"Of kafka-python 2.x, with a warning: {old}."]
    return "\n".join(lines) + "\n"


def _row(option: Option) -> str:
    unit = f" {option.unit}" if option.unit and option.default is not None else ""
    return f"| {option.name} | {option.kind.text} | `{option.default!r}`{unit} | {option.doc} |"
