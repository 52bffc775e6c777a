# SPDX-License-Identifier: Apache-2.0
"""Options: defaults, what is refused and in which words, what contradicts what."""

from __future__ import annotations

import copy
import dataclasses
import logging
import math
import pickle
import socket
import typing
import warnings
from typing import Any

import kafka
import pytest

from pykafka_fast import KafkaProducer
from pykafka_fast.config import OPTIONS, ProducerConfig, describe, parse_bootstrap, resolve
from pykafka_fast.errors import InvalidConfigError, KafkaConfigurationError, UnrecognizedConfigError
from pykafka_fast.option import FOREVER_MS
from pykafka_fast.producer_options import ProducerOptions

#: Options of kafka-python whose default is not ours, with ours: Java's default where there is one.
OTHER_DEFAULTS: dict[str, Any] = {
    "retries": 2**31 - 1, "linger_ms": 5, "partitioner": "sticky", "reconnect_backoff_max_ms": 1000,
    "client_id": None, "selector": None, "kafka_client": None,
}


class Interceptor:
    def on_send(self, record: Any) -> Any:
        return record


def refused(**configs: Any) -> str:
    with pytest.raises(KafkaConfigurationError) as caught:
        resolve(configs)
    return str(caught.value)


def test_defaults_are_javas() -> None:
    config = resolve({})
    assert (config.acks, config.enable_idempotence, config.retries) == (-1, True, 2**31 - 1)
    assert (config.linger_ms, config.batch_size, config.buffer_memory) == (5, 16384, 33554432)
    assert (config.max_request_size, config.batch_max_size) == (1048576, 262144)
    assert (config.request_timeout_ms, config.delivery_timeout_ms, config.max_block_ms) == (30000, 120000, 60000)
    assert (config.retry_backoff_ms, config.retry_backoff_max_ms) == (100, 1000)
    assert (config.reconnect_backoff_ms, config.reconnect_backoff_max_ms) == (50, 1000)
    assert (config.metadata_max_age_ms, config.metadata_max_idle_ms) == (300000, 300000)
    assert config.max_in_flight_requests_per_connection == 5
    assert config.addresses == [("localhost", 9092)]
    assert config.explicit == frozenset()


@pytest.mark.parametrize("name", sorted(kafka.KafkaProducer.DEFAULT_CONFIG))
def test_every_option_of_kafka_python_is_known_with_its_default(name: str) -> None:
    expected = OTHER_DEFAULTS.get(name, kafka.KafkaProducer.DEFAULT_CONFIG[name])
    assert OPTIONS[name].default == expected
    assert name in resolve({}).as_dict()


def test_every_default_is_a_value_its_option_takes() -> None:
    for name, option in OPTIONS.items():
        if option.replaced_by is None:
            assert option.resolve(option.default) == option.default, name


def test_attributes_table_and_typed_dict_are_alike() -> None:
    supported = {name for name, option in OPTIONS.items() if option.supported and option.replaced_by is None}
    fields = {field.name for field in dataclasses.fields(ProducerConfig)}
    assert fields - set(OPTIONS) == {"addresses", "explicit", "codec", "topic_codecs"}
    assert supported <= fields
    assert set(typing.get_type_hints(ProducerOptions)) == supported | {"security_protocol"}  # the one value it takes
    assert all(OPTIONS[name].doc for name in supported)


def test_the_dictionary_is_resolved_and_independent() -> None:
    config = resolve({"acks": "all", "bootstrap_servers": ["a:1", "b:2"]})
    known = config.as_dict()
    assert known["acks"] == -1
    assert known["bootstrap_servers"] == ["a:1", "b:2"]
    assert known["transactional_id"] is None
    assert known["compression_type"] is None
    assert "block_on_buffer_full" not in known
    known["bootstrap_servers"].append("c:3")
    known["socket_options"].clear()
    assert config.as_dict()["bootstrap_servers"] == ["a:1", "b:2"]
    assert resolve({}).socket_options == [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)]


def test_client_ids_count() -> None:
    first, second = resolve({}).client_id, resolve({}).client_id
    assert first.startswith("pykafka-fast-producer-")
    assert first != second
    assert resolve({"client_id": "mine"}).client_id == "mine"


@pytest.mark.parametrize(("name", "suggestion"), [
    ("lingr_ms", "'linger_ms'"), ("bootstrap.servers", "'bootstrap_servers'"), ("batchsize", "'batch_size'"),
    ("max.in.flight.requests.per.connection", "'max_in_flight_requests_per_connection'"),
])
def test_an_unknown_name_brings_near_misses(name: str, suggestion: str) -> None:
    with pytest.raises(UnrecognizedConfigError, match="Unrecognized configs") as caught:
        resolve({name: 1})
    assert repr(name) in str(caught.value)
    assert suggestion in str(caught.value)
    assert isinstance(caught.value, ValueError)


def test_an_unknown_name_says_where_all_names_are() -> None:
    assert "pykafka_fast.config.describe()" in refused(group_id="g")


def test_every_unknown_name_is_named() -> None:
    text = refused(zzzzzz=1, qqqqqq=2)
    assert "zzzzzz" in text
    assert "qqqqqq" in text
    assert "did you mean" not in text


@pytest.mark.parametrize(("name", "value", "right"), [
    ("linger_ms", "5", "a number of milliseconds"), ("linger_ms", True, "not bool"), ("linger_ms", -1, "at least 0"),
    ("linger_ms", math.nan, "number of milliseconds"), ("linger_ms", -math.inf, "number of milliseconds"),
    ("linger_ms", None, "not None"),
    ("request_timeout_ms", 1.5, "whole number"), ("batch_size", "1", "int"), ("batch_size", -1, "from 0"),
    ("batch_size", 16384.0, "int"), ("batch_size", 2**31, "2147483647"), ("batch_size", True, "not bool"),
    ("retries", -1, "from 0"), ("retries", math.nan, "int"), ("acks", 2, "'all'"), ("acks", "2", "'all'"),
    ("acks", True, "not bool"), ("acks", None, "not None"), ("enable_idempotence", 1, "True or False"),
    ("enable_idempotence", "true", "True or False"), ("max_in_flight_requests_per_connection", 0, "from 1"),
    ("buffer_memory", 100, "from 4096"), ("client_id", 5, "str"), ("metadata_max_idle_ms", 4999, "at least 5000"),
    ("client_dns_lookup", "first", "use_all_dns_ips"), ("metadata_recovery_strategy", "pray", "rebootstrap"),
    ("partitioner", "murmur", "'round_robin'"), ("partitioner", 3, "callable"), ("key_serializer", 3, "serialize"),
    ("key_serializer", "utf-8", "not a str"), ("interceptors", Interceptor(), "list"), ("interceptors", [3], "on_send"),
    ("interceptors", [Interceptor], "Interceptor()"), ("socket_options", [1], "setsockopt"),
    ("socket_options", 7, "setsockopt"), ("socket_options", (6, 1, 1), "; 6 is not"),
    ("socket_options", [(6, 1, 1), ("a", 1, 1)], "; ('a', 1, 1) is not"), ("socket_options", [(6, 1, "1")], "int or"),
    ("socket_options", [(6, 1, 2**31)], "is not such"), ("socket_options", [(6, 1, None, 4)], "is not such"),
    ("socket_options", [(6, b"1", b"")], "is not such"),
    ("api_version", 3, "(2, 8)"), ("api_version", "newest", "(2, 8)"),
    ("bootstrap_servers", 9092, "host:port"), ("bootstrap_servers", [], "at least one"),
    ("bootstrap_servers", "a:b", "port"), ("security_protocol", "HTTPS", "SASL_SSL"),
    ("compression_type", "rar", "zstd"), ("send_buffer_bytes", -2, "from -1"), ("metrics_num_samples", 0, "from 1"),
    ("partitioner", b"x", "not bytes"), ("partitioner", bytearray(b"x"), "not bytearray"),
    ("request_timeout_ms", 0, "at least 1"), ("socket_connection_setup_timeout_ms", 0, "at least 1"),
    ("socket_connection_setup_timeout_max_ms", 0, "at least 1"),
    ("client_id", "x" * 256, "at most 255 bytes"), ("client_id", "\xfc" * 128, "at most 255 bytes"),
    ("client_id", "a\0b", "NUL"), ("client_id", "\ud800", "surrogates"), ("client_id", b"me", "not bytes"),
    ("max_in_flight_requests_per_connection", 1_000_001, "from 1 to 1000000"),
    ("connections_max_idle_ms", 0, "at least 1, or -1 to turn it off"), ("connections_max_idle_ms", -2, "or -1"),
])
def test_a_bad_value_is_refused_with_name_value_and_what_is_right(name: str, value: Any, right: str) -> None:
    with pytest.raises(InvalidConfigError) as caught:
        resolve({name: value})
    assert f"{name}={value!r}" in str(caught.value)
    assert right in str(caught.value)


@pytest.mark.parametrize(("name", "value", "stored"), [
    ("linger_ms", 0.5, 0.5), ("linger_ms", 3.0, 3), ("linger_ms", 0, 0), ("request_timeout_ms", 1e4, 10000),
    ("max_block_ms", math.inf, FOREVER_MS), ("max_block_ms", 2**63 - 1, FOREVER_MS), ("max_block_ms", 0, 0),
    ("retries", math.inf, 2**31 - 1), ("retries", 3, 3), ("acks", "all", -1), ("acks", -1, -1), ("acks", "1", 1),
    ("acks", 0, 0), ("metadata_recovery_strategy", "NONE", "none"), ("api_version", "2.8", (2, 8)),
    ("api_version", "auto", None), ("api_version", [3, 9], (3, 9)), ("partitioner", None, "sticky"),
    ("partitioner", "random", "random"), ("socket_options", None, []),
    ("socket_options", ([6, 1, True], (1, 13, b"12345678")), [(6, 1, 1), (1, 13, b"12345678")]),
    ("send_buffer_bytes", -1, -1),
    ("connections_max_idle_ms", -1, -1), ("batch_size", 0, 0), ("client_id", None, None),
    ("client_id", "\xfc" * 127 + "x", "\xfc" * 127 + "x"), ("connections_max_idle_ms", 1, 1),
    ("max_in_flight_requests_per_connection", 1_000_000, 1_000_000),
])
def test_good_values_are_stored_in_one_form(name: str, value: Any, stored: Any) -> None:
    result = getattr(resolve({name: value}), name)
    if name == "client_id":
        assert result
    else:
        assert result == stored
        assert type(result) is type(stored)


def test_anything_that_acts_as_an_int_is_an_int() -> None:
    class Count:
        def __index__(self) -> int:
            return 7

    assert resolve({"retries": Count()}).retries == 7


@pytest.mark.parametrize(("name", "value"), [
    ("transactional_id", "tx"), ("security_protocol", "SSL"), ("security_protocol", "sasl_plaintext"),
    ("sasl_mechanism", "PLAIN"), ("ssl_cafile", "ca.pem"),
    ("proxy_url", "socks5://p"), ("metric_reporters", [object]), ("enable_metrics_push", True),
    ("partitioner_availability_timeout_ms", 100), ("transaction_timeout_ms", 1000), ("client_rack", "r1"),
    ("sasl_login_callback_handler_class", "com.example.Handler"), ("sasl_login_refresh_buffer_seconds", 300),
    ("sasl_kerberos_kinit_cmd", "/usr/bin/kinit"), ("sasl_oauthbearer_client_credentials_client_id", "me"),
    ("sasl_oauthbearer_assertion_algorithm", "RS256"), ("ssl_engine_factory_class", "com.example.Engine"),
])
def test_what_is_not_built_yet_is_refused(name: str, value: Any) -> None:
    text = refused(**{name: value})
    assert name in text
    assert "not yet supported" in text


@pytest.mark.parametrize("name", sorted(name for name, option in OPTIONS.items() if not option.supported))
def test_the_default_of_what_is_not_built_yet_is_taken(name: str) -> None:
    assert resolve({name: OPTIONS[name].default}).as_dict()[name] == OPTIONS[name].default


@pytest.mark.parametrize(("name", "value"), [("security_protocol", "plaintext")])
def test_other_spellings_of_the_default_are_taken(name: str, value: str) -> None:
    assert resolve({name: value}).as_dict()[name] == OPTIONS[name].default


def test_secrets_are_not_shown() -> None:
    for name in ("sasl_plain_password", "ssl_password", "ssl_keystore_key", "sasl_jaas_config"):
        text = refused(**{name: "s3cret"})
        assert name in text
        assert "s3cret" not in text


def test_names_of_kafka_python_2_warn_and_are_handed_on() -> None:
    with pytest.warns(DeprecationWarning, match="bootstrap_timeout_ms"):
        assert resolve({"api_version_auto_timeout_ms": 5}).bootstrap_timeout_ms == 5
    with pytest.warns(DeprecationWarning, match="max_block_ms"):
        assert resolve({"block_on_buffer_full": True}).max_block_ms == 60000
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert resolve({"buffer_memory": 65536}).buffer_memory == 65536


def test_delivery_must_have_time_for_a_request() -> None:
    text = refused(delivery_timeout_ms=30004)
    assert "delivery_timeout_ms=30004" in text
    assert "so 30005; raise it, or lower request_timeout_ms, too" in text
    assert resolve({"delivery_timeout_ms": 30005}).delivery_timeout_ms == 30005
    assert resolve({"delivery_timeout_ms": math.inf, "request_timeout_ms": 2**31 - 1}).delivery_timeout_ms == 2**31 - 1


def test_a_defaulted_delivery_timeout_gives_way(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert resolve({"request_timeout_ms": 200000, "linger_ms": 0.5}).delivery_timeout_ms == 200001
    assert "delivery_timeout_ms" in caplog.text


def test_the_api_timeout_is_not_below_a_requests() -> None:
    assert "default_api_timeout_ms=100" in refused(default_api_timeout_ms=100)
    assert resolve({"request_timeout_ms": 90000}).default_api_timeout_ms == 90000


def test_sizes_must_fit_into_each_other() -> None:
    text = refused(buffer_memory=8192)
    assert "buffer_memory=8192" in text
    assert "batch_size=16384" in text
    assert "at least batch_size=16384" in refused(batch_max_size=16383)
    assert "max_request_size=1048576" in refused(batch_max_size=1048577)
    assert "buffer_memory=100000" in refused(batch_max_size=100001, buffer_memory=100000)
    assert resolve({"batch_max_size": 16384}).batch_max_size == 16384


def test_a_defaulted_batch_max_size_fits_by_itself() -> None:
    assert resolve({"batch_size": 500000}).batch_max_size == 500000
    assert resolve({"batch_size": 0}).batch_max_size == 0  # one record per batch
    assert resolve({"max_request_size": 100000}).batch_max_size == 100000
    assert resolve({"buffer_memory": 65536}).batch_max_size == 65536
    small = resolve({"max_request_size": 1000})
    assert (small.batch_size, small.batch_max_size) == (1000, 1000)


def test_a_batch_larger_than_a_request_is_cut_down(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert resolve({"batch_size": 2000000}).batch_size == 1048576
    assert "batch_size=2000000" in caplog.text


def test_backoffs_keep_their_order(caplog: pytest.LogCaptureFixture) -> None:
    assert resolve({"reconnect_backoff_ms": 70}).reconnect_backoff_max_ms == 70
    with caplog.at_level(logging.WARNING):
        config = resolve({"retry_backoff_ms": 5000})
    assert (config.retry_backoff_ms, config.retry_backoff_max_ms) == (1000, 1000)
    assert "retry_backoff_ms=5000" in caplog.text


@pytest.mark.parametrize("conflict", [{"acks": 1}, {"acks": 0}, {"acks": "1"}, {"retries": 0},
                                      {"max_in_flight_requests_per_connection": 6}, {"api_version": (0, 10)}])
def test_idempotence_by_default_gives_way_and_by_wish_does_not(
        conflict: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        config = resolve(conflict)
    assert config.enable_idempotence is False
    name = next(iter(conflict))
    assert "Idempotence is turned off" in caplog.text
    assert name in caplog.text
    assert f"{name}=" in refused(enable_idempotence=True, **conflict)
    assert resolve({"enable_idempotence": False} | conflict).enable_idempotence is False


def test_all_conflicts_with_idempotence_are_named() -> None:
    text = refused(enable_idempotence=True, acks=1, retries=0, max_in_flight_requests_per_connection=9)
    assert "acks=1" in text
    assert "retries=0" in text
    assert "max_in_flight_requests_per_connection=9" in text


def test_without_idempotence_acks_stay_all() -> None:
    assert resolve({"enable_idempotence": False}).acks == -1


@pytest.mark.parametrize(("given", "addresses"), [
    ("localhost", [("localhost", 9092)]), ("a:1,b:2 , c", [("a", 1), ("b", 2), ("c", 9092)]),
    (["a:1", "b:2,a:1"], [("a", 1), ("b", 2)]), (("a",), [("a", 9092)]), ("[::1]:99", [("::1", 99)]),
    ("[fe80::1%eth0]", [("fe80::1%eth0", 9092)]), ("::1", [("::1", 9092)]), ("PLAINTEXT://a:1", [("a", 1)]),
    ("PLAINTEXT://[::1]:5", [("::1", 5)]), ("plaintext://a", [("a", 9092)]),
    ("a:65535", [("a", 65535)]), ("a:1,", [("a", 1)]),
])
def test_addresses_are_read(given: Any, addresses: list[tuple[str, int]]) -> None:
    assert parse_bootstrap(given) == addresses
    assert resolve({"bootstrap_servers": given}).addresses == addresses


@pytest.mark.parametrize("given", ["", ",", [], ":9092", "a:", "a:0", "a:65536", "a:x", "a:-1", "[::1", "[::1]x",
                                   "a b:1", "http://a/b", "SSL://a:1", "sasl_ssl://a:1", "SASL_PLAINTEXT://a",
                                   "user@a:1", "a:\u0661"])
def test_what_is_no_address_is_refused(given: Any) -> None:
    with pytest.raises(ValueError):
        parse_bootstrap(given)


@pytest.mark.parametrize("scheme", ["SSL", "sasl_plaintext", "Sasl_Ssl"])
def test_protocols_that_are_not_built_yet_are_named(scheme: str) -> None:
    assert f"{scheme.upper()} is not yet supported" in refused(bootstrap_servers=f"a:1,{scheme}://b:2")


@pytest.mark.parametrize("scheme", ["kafka+ssl", "tls", "http", "redis", "kafka", "1", ""])
def test_other_protocols_are_refused(scheme: str) -> None:
    text = refused(bootstrap_servers=["a:1", f"{scheme}://b:2"])
    assert f"{scheme}://b:2" in text
    assert "'host:port' or 'PLAINTEXT://host:port'" in text


@pytest.mark.parametrize("given", [None, 9092, b"a:1", [("a", 1)], {"a": 1}])
def test_addresses_are_text(given: Any) -> None:
    with pytest.raises(TypeError, match="host:port"):
        parse_bootstrap(given)


@pytest.mark.parametrize(("given", "wrong"), [
    ([("h", 9092)], "('h', 9092)"), (["a:1", None], "None"), (("h", 9092), "9092"), ([b"h:1"], "b'h:1'"),
])
def test_what_is_no_text_among_addresses_is_shown(given: Any, wrong: str) -> None:
    assert f"a list of such strings; {wrong} is not such a string" in refused(bootstrap_servers=given)


def test_the_documentation_lists_every_option() -> None:
    page = describe()
    assert page.count("\n|") == sum(option.supported and option.replaced_by is None for option in OPTIONS.values()) + 1
    for name in OPTIONS:
        assert name in page
    assert "| linger_ms | number, 0.. | `5` ms |" in page
    assert "| api_version | `(2, 8)`, `'2.8'`, `'auto'` or None | `None` | Below (0, 11) turns idempotence off" in page
    for line in page.splitlines()[:40]:
        assert line.replace("\\|", "").count("|") == 5


def test_the_defaults_are_read_only_and_their_copies_are_not() -> None:
    defaults = KafkaProducer.DEFAULT_CONFIG
    assert list(defaults) == list(OPTIONS)
    assert len(defaults) == len(OPTIONS)
    copies = [copy.copy(defaults), copy.deepcopy(defaults), dict(defaults), {**defaults}, defaults | {}, {} | defaults]
    for mine in copies:
        assert type(mine) is dict
        assert mine == defaults
        mine.update(linger_ms=7)  # as kafka-python's users do
        KafkaProducer(**mine).close()
    assert defaults["linger_ms"] == 5
    assert repr(defaults) == repr(dict(defaults))
    assert pickle.loads(pickle.dumps(defaults)) == defaults


@pytest.mark.parametrize("change", [
    {"batch_size": 500_000}, {"max_request_size": 100_000}, {"buffer_memory": 100_000}, {"request_timeout_ms": 150_000},
    {"acks": 1}, {"retries": 0}, {"max_in_flight_requests_per_connection": 10}, {"acks": 0, "compression_type": "gzip"},
])  # fmt: skip
def test_a_changed_copy_of_the_defaults_means_what_was_changed(change: dict[str, Any]) -> None:
    copied, alone = resolve({**KafkaProducer.DEFAULT_CONFIG, **change}), resolve(change)
    assert copied == dataclasses.replace(alone, client_id=copied.client_id)


SECURED = {"ssl_cafile": "/etc/ca.pem", "ssl_check_hostname": False, "sasl_plain_username": "me"}


def test_what_only_tls_would_use_is_unused_where_plaintext_was_written(caplog: pytest.LogCaptureFixture) -> None:
    """One configuration for several environments. Where nothing was written, TLS may have been meant."""
    config = resolve({"security_protocol": "plaintext", **SECURED})
    assert config.as_dict()["ssl_cafile"] is None
    assert [record.getMessage() for record in caplog.records] == [
        "sasl_plain_username, ssl_cafile, ssl_check_hostname: not used with security_protocol='PLAINTEXT'"]
    for name, value in SECURED.items():
        assert "security_protocol='PLAINTEXT'" in refused(**{name: value})
        assert "not yet supported" in refused(security_protocol="SSL", **{name: value})


def test_a_list_of_servers_that_changes_later_changes_nothing() -> None:
    given = ["a:1"]
    config = resolve({"bootstrap_servers": given})
    given.append("b:2")
    assert config.as_dict()["bootstrap_servers"] == ["a:1"]


@pytest.mark.parametrize("given", [{"a:1", "b:2"}, frozenset({"a:1", "b:2"}), (it for it in ("a:1", "b:2")),
                                   iter(["a:1", "b:2"])])  # fmt: skip
def test_servers_may_come_in_any_order_and_once(given: Any) -> None:
    config = resolve({"bootstrap_servers": given})
    assert sorted(config.addresses) == [("a", 1), ("b", 2)]
    assert sorted(config.as_dict()["bootstrap_servers"]) == ["a:1", "b:2"]


def test_the_defaults_can_be_given() -> None:
    assert resolve(KafkaProducer.DEFAULT_CONFIG).as_dict().keys() == resolve({}).as_dict().keys()
    KafkaProducer(**KafkaProducer.DEFAULT_CONFIG).close()
