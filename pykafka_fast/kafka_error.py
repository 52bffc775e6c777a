# SPDX-License-Identifier: Apache-2.0
"""The roots of the exception tree. Users import everything from :mod:`pykafka_fast.errors`."""

from __future__ import annotations

from typing import Any, ClassVar


class KafkaError(Exception):
    """Root of everything this package raises of its own accord.

    ``str()`` is the class name, followed by the arguments if there are any. Two errors are equal when class and
    arguments are, and they can be hashed, pickled and copied.
    """

    #: The same request may succeed when it is sent again as it was.
    retriable: ClassVar[bool] = False
    #: What is known about the cluster is out of date; fetch metadata before trying again.
    invalid_metadata: ClassVar[bool] = False
    #: Set on delivery errors: the record may have been written although its delivery is reported as failed.
    in_doubt: bool = False
    #: Of :meth:`~pykafka_fast.KafkaProducer.send_many`: the row it is about.
    row: int | None = None
    #: Raised by ``send_many()`` after rows were taken: the future of those before ``row``. None: no row was taken.
    taken: Any = None

    def __str__(self) -> str:
        name = type(self).__name__
        if not self.args:
            return name
        return f"{name}: {self.args[0] if len(self.args) == 1 else self.args}"

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and isinstance(other, KafkaError) and self.args == other.args

    def __reduce__(self) -> tuple[Any, ...]:
        # But for `taken`: a future of this process means nothing elsewhere.
        return type(self), self.args, {name: value for name, value in vars(self).items() if name != "taken"}

    def __hash__(self) -> int:
        try:
            return hash((type(self), self.args))
        except TypeError:  # an argument that cannot be hashed; equal errors still hash alike
            return hash(type(self))


class RetriableError(KafkaError):
    """The same request may succeed later."""

    retriable = True


class InvalidMetadataError(RetriableError):
    """The same request may succeed after the metadata has been fetched again."""

    invalid_metadata = True


#: Kafka's error number to its class; filled as the classes are defined.
kafka_errors: dict[int, type[BrokerResponseError]] = {}


class BrokerResponseError(KafkaError):
    """An error a broker reported by number."""

    #: Kafka's number.
    errno: int | None = None
    #: Kafka's name of the number, for example ``MESSAGE_TOO_LARGE``.
    message: str | None = None
    #: What it means.
    description: str | None = None
    #: What to do about it when it comes to you in spite of the client's own retries; None: nothing in particular.
    remedy: str | None = None

    def __init_subclass__(
        cls, code: int | None = None, name: str | None = None, remedy: str | None = None, **kwargs: Any
    ) -> None:
        super().__init_subclass__(**kwargs)
        if code is None:
            return
        if code in kafka_errors:
            raise TypeError(f"error code {code} defined twice: {kafka_errors[code].__name__} and {cls.__name__}")
        cls.errno = code
        cls.message = name
        cls.description = " ".join((cls.__doc__ or "").split())
        cls.remedy = remedy
        kafka_errors[code] = cls

    def __str__(self) -> str:
        return f"[Error {self.errno}] {super().__str__()}"


class AuthorizationError(BrokerResponseError):
    """The broker knows who we are and does not permit it."""
