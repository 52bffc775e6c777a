# SPDX-License-Identifier: Apache-2.0
"""What an option of the producer is, and the kinds of values options take."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .compression import CODECS, check_level
from .errors import InvalidConfigError, InvalidTopicError
from .types import SocketOption, check_topic

INT32_MAX = 2**31 - 1
#: How options begin that only TLS or SASL would use.
SECURITY_PREFIXES = ("ssl_", "sasl_")
#: Longer times, infinity included, are treated as this one: about 31 years, safe to count in nanoseconds.
FOREVER_MS = 10**12
DEFAULT_PORT = 9092
#: The protocol would allow 32,767; pkf_wire_config in csrc/pkf_round.h has this much room.
MAX_CLIENT_ID_BYTES = 255


@dataclass(frozen=True, slots=True)
class Option:
    """One option.

    Attributes:
        name: as users write it.
        kind: what its values are; turns a user's value into the stored one or raises TypeError or ValueError whose
            text says what would be right.
        default: its value when the user gives none.
        doc: what it is for, for the documentation.
        unit: of a number: ``'ms'``, ``'bytes'``; empty if it has none.
        supported: False if only the default is accepted so far.
        replaced_by: for names of kafka-python 2.x: what to use instead; using the option warns.
    """

    name: str
    kind: Kind
    default: Any
    doc: str
    unit: str = ""
    supported: bool = True
    replaced_by: str | None = None

    def resolve(self, value: Any) -> Any:
        """The value to store for what the user gave.

        Raises:
            InvalidConfigError: not a value of this option, or one that is not supported yet.
        """
        if not self.supported and _same(value, self.default):
            return self.default
        try:
            resolved = self.kind.convert(value)
        except (TypeError, ValueError) as error:
            raise InvalidConfigError(
                f"{self.name}={shown(self, value)}: {error}; the default is {self.default!r}") from error
        if not self.supported and not _same(resolved, self.default):
            secured = self.name.startswith(SECURITY_PREFIXES)
            raise InvalidConfigError(
                f"{self.name}={shown(self, value)} is not yet supported; leave it out or use {self.default!r}" +
                (", or write security_protocol='PLAINTEXT', with which it is not used" if secured else ""))
        return resolved


def _same(value: Any, default: Any) -> bool:
    return value is default or (type(value) is type(default) and bool(value == default))


def shown(option: Option, value: Any) -> str:
    """The value as messages may show it: secrets are hidden."""
    secret = any(word in option.name for word in ("password", "passphrase", "secret", "jaas", "ssl_keystore_key"))
    return "[hidden]" if secret and value is not None else repr(value)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of value: how the documentation names it, and how a given value becomes the stored one."""

    text: str
    convert: Callable[[Any], Any]


def anything() -> Kind:
    """Takes every value: options that are only recognised."""
    return Kind("any", lambda value: value)


def boolean() -> Kind:
    """True or False, and nothing that is merely true or false."""

    def convert(value: Any) -> bool:
        if not isinstance(value, bool):
            raise TypeError(f"must be True or False, not {_type(value)}")
        return value

    return Kind("bool", convert)


def integer(low: int, high: int = INT32_MAX, *, infinity: int | None = None, nullable: bool = False) -> Kind:
    """An int from ``low`` to ``high``; ``infinity`` is what ``float('inf')`` stands for, if it is allowed."""
    wanted = f"an int from {low} to {high}" + (", or None" if nullable else "")

    def convert(value: Any) -> int | None:
        if value is None and nullable:
            return None
        if infinity is not None and isinstance(value, float) and value == math.inf:
            return infinity
        return int(_in_range(_index(value, wanted), low, high, wanted))

    return Kind(f"int, {low}..{'' if high == INT32_MAX else high}" + (", or None" if nullable else ""), convert)


def level() -> Kind:
    """A compression level; which there are depends on the codec."""

    def convert(value: Any) -> int | None:
        return None if value is None else _index(value, "an int, or None for the codec's default")

    return Kind("int by codec, or None", convert)


def java_level(low: int, high: int, standard: int | None = None) -> Kind:
    """A compression level as Java's options have them: an int in a range, or ``standard`` outside of it."""
    wanted = f"an int from {low} to {high}" + ("" if standard is None else f", or {standard} for the codec's default")

    def convert(value: Any) -> int:
        number = _index(value, wanted)
        return number if number == standard else int(_in_range(number, low, high, wanted))

    return Kind(f"int, {low}..{high}" + ("" if standard is None else f", or {standard}"), convert)


def duration(low: int = 0, high: int = FOREVER_MS, *, fraction: bool = False, off: int | None = None) -> Kind:
    """Milliseconds, whole unless ``fraction``. Times above ``high``, infinity included, count as ``high``.

    ``off`` is taken although it is below ``low``.
    """
    wanted = f"{'a number' if fraction else 'a whole number'} of milliseconds, at least {low}"
    if off is not None:
        wanted += f", or {off} to turn it off"

    def convert(value: Any) -> int | float:
        if isinstance(value, float) and value > -math.inf:  # not so is NaN
            number: int | float = high if value == math.inf else value
            whole = number == math.floor(number)
            if not whole and not fraction:
                raise ValueError(f"must be {wanted}")
            number = int(number) if whole else number
        else:
            number = _index(value, wanted)
        if number != off:
            _in_range(number, low, math.inf, wanted)
        return min(number, high)

    return Kind(f"{'number' if fraction else 'int'}, {low}.." + ("" if off is None else f", or {off}"), convert)


def choice(*values: str, fold: Callable[[str], str] | None = None, nullable: bool = False) -> Kind:
    """One of some words; ``fold`` brings other spellings to the one that is listed."""
    wanted = "one of " + ", ".join(map(repr, values)) + (" or None" if nullable else "")

    def convert(value: Any) -> str | None:
        if value is None and nullable:
            return None
        if not isinstance(value, str):
            raise TypeError(f"must be {wanted}, not {_type(value)}")
        word = fold(value) if fold else value
        if word not in values:
            raise ValueError(f"must be {wanted}")
        return word

    return Kind(" \\| ".join(f"`{value}`" for value in values) + (" \\| None" if nullable else ""), convert)


def codec() -> Kind:
    """A compression codec; ``'none'`` is stored as None."""
    word = choice("none", *CODECS, fold=str.lower, nullable=True)

    def convert(value: Any) -> str | None:
        name: str | None = word.convert(value)
        return None if name == "none" else name

    return Kind(word.text, convert)


def codec_by_topic() -> Kind:
    """A dict from topic to codec, or to a pair of codec and level; stored as pairs, None where nothing is said."""
    one = codec()

    def pair(value: Any) -> tuple[str | None, int | None]:
        name, level = value if isinstance(value, (tuple, list)) and len(value) == 2 else (value, None)
        name = one.convert(name)
        if level is not None:
            level = _index(level, "an int as level")
            check_level(name, level)
        return name, level

    def convert(value: Any) -> dict[str, tuple[str | None, int | None]]:
        if not isinstance(value, Mapping):
            raise TypeError(f"must be a dict such as {{'logs': 'zstd', 'events': ('gzip', 9)}}, not {_type(value)}")
        resolved = {}
        for topic, wanted in value.items():
            if not isinstance(topic, str):
                raise TypeError(f"must have names of topics as keys, not {_type(topic)}")
            try:
                check_topic(topic)
                resolved[topic] = pair(wanted)
            except InvalidTopicError as error:
                raise ValueError(error.args[0]) from error
            except (TypeError, ValueError) as error:
                raise ValueError(f"{topic!r}: {error}") from error
        return resolved

    return Kind("dict from topic to codec, or to (codec, level)", convert)


def client_id() -> Kind:
    """A str that fits where C keeps it for every request, or None."""
    wanted = f"a str of at most {MAX_CLIENT_ID_BYTES} bytes in UTF-8 and without NUL, or None"

    def convert(value: Any) -> str | None:
        if value is None:
            return None
        if not isinstance(value, str):
            raise TypeError(f"must be {wanted}, not {_type(value)}")
        if len(value.encode()) > MAX_CLIENT_ID_BYTES or "\0" in value:
            raise ValueError(f"must be {wanted}")
        return value

    return Kind(f"str, at most {MAX_CLIENT_ID_BYTES} bytes, or None", convert)


def acks() -> Kind:
    """How many acknowledgements: 0, 1, or 'all', which is -1."""
    known = {"all": -1, "-1": -1, "0": 0, "1": 1}

    def convert(value: Any) -> int:
        word = value if isinstance(value, str) else str(_index(value, "'all', -1, 0 or 1"))
        if word not in known:
            raise ValueError("must be 'all' (or -1), 0 or 1")
        return known[word]

    return Kind("`'all'` (-1), 0, 1", convert)


def plug(wanted: str, *methods: str, names: tuple[str, ...] = (), nullable: bool = True) -> Kind:
    """An object with one of ``methods``, a callable, or one of some names."""

    def convert(value: Any) -> Any:
        if value is None and nullable:
            return None
        if isinstance(value, str) and value in names:
            return value
        if isinstance(value, str):
            raise ValueError(f"must be {wanted}" if names else f"must be {wanted}, not a str")
        if isinstance(value, type) and any(hasattr(value, method) for method in methods):
            raise TypeError(f"must be {wanted}; {value.__name__} is a class: pass {value.__name__}()")
        fits = callable(value) or any(callable(getattr(value, method, None)) for method in methods)
        if not fits or isinstance(value, (bytes, bytearray)):  # which have a partition(), too
            raise TypeError(f"must be {wanted}, not {_type(value)}")
        return value

    return Kind(wanted, convert)


def plugs(wanted: str, *methods: str) -> Kind:
    """A list of objects with at least one of ``methods``."""

    def convert(value: Any) -> list[Any]:
        if not isinstance(value, (list, tuple)):
            raise TypeError(f"must be a list of {wanted}, not {_type(value)}")
        for item in value:
            if isinstance(item, type):
                raise TypeError(f"must hold instances; {item.__name__} is a class: use {item.__name__}()")
            if not any(callable(getattr(item, method, None)) for method in methods):
                raise TypeError(f"must hold {wanted}; {_type(item)} has none of {', '.join(methods)}")
        return list(value)

    return Kind(f"list of {wanted}", convert)


def socket_options() -> Kind:
    """What ``socket.setsockopt`` takes: tuples of level, option and value."""

    def convert(value: Any) -> list[SocketOption]:
        wanted = "a list of (level, option, value) tuples as socket.setsockopt takes them, of int, int and int or bytes"
        if value is None:
            return []
        if not isinstance(value, (list, tuple)):
            raise TypeError(f"must be {wanted}, not {_type(value)}")
        for item in value:
            if not _is_socket_option(item):
                raise ValueError(f"must be {wanted}; {item!r} is not such a tuple")
        return [tuple(item) for item in value]

    return Kind("list of setsockopt tuples", convert)


def _is_socket_option(item: Any) -> bool:
    if not isinstance(item, (tuple, list)) or len(item) != 3:
        return False
    numbers = item[:2] if isinstance(item[2], bytes) else item
    return all(isinstance(number, int) and abs(number) <= INT32_MAX for number in numbers)


def api_version() -> Kind:
    """A broker version as kafka-python writes it: ``(2, 8)``, ``'2.8'``, ``'auto'`` or None."""

    def convert(value: Any) -> tuple[int, ...] | None:
        if value is None or value == "auto":
            return None
        parts = value.split(".") if isinstance(value, str) else value
        if not isinstance(parts, (tuple, list)):
            raise TypeError(f"must be a tuple such as (2, 8), a str such as '2.8', 'auto' or None, not {_type(value)}")
        if not 2 <= len(parts) <= 4 or not all(str(part).isdigit() for part in parts):
            raise ValueError("must be two to four numbers such as (2, 8) or '2.8', or 'auto'")
        return tuple(int(part) for part in parts)

    return Kind("`(2, 8)`, `'2.8'`, `'auto'` or None", convert)


def bootstrap() -> Kind:
    """Addresses, as :func:`parse_bootstrap` reads them; stored as given."""

    def convert(value: Any) -> Any:
        given = list(value) if isinstance(value, (list, tuple, set, frozenset, Iterator)) else value
        parse_bootstrap(given)
        return given

    return Kind("str or list of str", convert)


_BRACKETED = re.compile(r"\[([^\[\]]+)\](?::(.*))?\Z")


def parse_bootstrap(value: Any) -> list[tuple[str, int]]:
    """Hosts and ports of ``bootstrap_servers``, in the order given and each once; no name is looked up.

    Args:
        value: ``'host[:port]'``, several of them with commas, or a list of such strings. The port is 9092 if none is
            given; ``PLAINTEXT://`` in front is dropped, TLS and SASL are not supported yet; an IPv6 address with a
            port stands in brackets.

    Raises:
        TypeError: neither a str nor a list of them.
        ValueError: an entry that is not an address, or no entry at all.
    """
    entries = [value] if isinstance(value, str) else value
    if not isinstance(entries, (list, tuple)):
        raise TypeError(f"must be 'host:port' or a list of such strings, not {_type(value)}")
    for entry in entries:
        if not isinstance(entry, str):
            raise TypeError(f"must be 'host:port' or a list of such strings; {entry!r} is not such a string")
    given = [part.strip() for entry in entries for part in entry.split(",")]
    addresses = list(dict.fromkeys(_address(part) for part in given if part))
    if not addresses:
        raise ValueError("must name at least one 'host:port'")
    return addresses


def host_port(host: str, port: int) -> str:
    """``host:port`` as ``parse_bootstrap`` reads it: an IPv6 address stands in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _address(entry: str) -> tuple[str, int]:
    rest = _without_protocol(entry).rstrip("/")
    bracketed = _BRACKETED.match(rest)
    if bracketed:
        host, port = bracketed[1], bracketed[2]
    elif rest.count(":") > 1:  # an IPv6 address without brackets cannot carry a port
        host, port = rest, None
    else:
        host, colon, tail = rest.partition(":")
        port = tail if colon else None
    if not host or any(character.isspace() or character in "[]/@?#" for character in host):
        raise ValueError(f"{entry!r} is not 'host:port'")
    if port is None:
        return host, DEFAULT_PORT
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise ValueError(f"{entry!r} has no port from 1 to 65535 after the colon")
    return host, int(port)


def _without_protocol(entry: str) -> str:
    protocol, separator, rest = entry.partition("://")
    if not separator:
        return entry
    if protocol.upper() in ("SSL", "SASL_PLAINTEXT", "SASL_SSL"):
        raise ValueError(
            f"{entry!r}: {protocol.upper()} is not yet supported, and plain text would not be understood there")
    if protocol.upper() != "PLAINTEXT":
        raise ValueError(f"{entry!r} is not 'host:port' or 'PLAINTEXT://host:port'")
    return rest


def _index(value: Any, wanted: str) -> int:
    if not isinstance(value, bool):
        try:
            return operator.index(value)
        except TypeError:
            pass
    raise TypeError(f"must be {wanted}, not {_type(value)}")


def _in_range(value: Any, low: float, high: float, wanted: str) -> Any:
    if not low <= value <= high:
        raise ValueError(f"must be {wanted}")
    return value


def _type(value: Any) -> str:
    return "None" if value is None else type(value).__name__
