# SPDX-License-Identifier: Apache-2.0
"""What a damaged answer says to a client that reads it well: nothing, in almost all cases.

A broker that says, in a well-formed answer, that the producer was fenced or that it lives elsewhere now has to be
believed. Such answers are no test of bad input, so they are recognised here, at every version at which the bytes could
be read, and not sent.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pykafka_fast.errors import KafkaProtocolError
from pykafka_fast.protocol.api import APIS, ApiKey, is_flexible
from pykafka_fast.protocol.api_versions import ApiVersionsResponse
from pykafka_fast.protocol.header import decode_response_header
from pykafka_fast.protocol.init_producer_id import InitProducerIdResponse
from pykafka_fast.protocol.message import MessageReader
from pykafka_fast.protocol.metadata import MetadataResponse

__all__ = ["DECODERS", "ProduceAnswer", "has_to_be_believed", "is_whole"]

RETRIABLE = {0, 6, 7, 19}
"""Codes that only cost another try."""
THROTTLE_MAX_MS = 20


class _Lenient(MessageReader):
    """Texts need not be UTF-8: the data plane never looks."""

    def _text(self, size: int) -> str:
        return self.raw(size).decode("latin-1")


@dataclass
class ProduceAnswer:
    """The part of a Produce response a client acts on."""

    codes: set[int]
    throttle_ms: int

    @classmethod
    def decode(cls, data: bytes, version: int, offset: int) -> ProduceAnswer:
        """Read it all.

        Raises:
            KafkaProtocolError: it cannot be read.
        """
        reader = _Lenient(data, offset, "", is_flexible(ApiKey.PRODUCE, version))
        codes: set[int] = set()
        for _ in range(reader.count()):
            reader.uuid() if version >= 13 else reader.text()
            for _ in range(reader.count()):
                codes.add(cls._decode_partition(reader, version))
            reader.end()
        answer = cls(codes, reader.int32() if version >= 1 else 0)
        reader.end()
        return answer

    @staticmethod
    def _decode_partition(reader: MessageReader, version: int) -> int:
        reader.int32()
        code = reader.int16()
        reader.raw(24 if version >= 5 else 16 if version >= 2 else 8)
        if version >= 8:
            for _ in range(reader.count()):
                reader.int32()
                reader.optional_text()
                reader.end()
            reader.optional_text()
        reader.end()
        return code

    @property
    def is_harmless(self) -> bool:
        """Whether it costs a client nothing but another try."""
        return self.codes <= RETRIABLE and self.throttle_ms <= THROTTLE_MAX_MS


DECODERS: dict[ApiKey, Callable[[bytes, int, int], Any]] = {
    ApiKey.PRODUCE: ProduceAnswer.decode,
    ApiKey.METADATA: MetadataResponse.decode,
    ApiKey.API_VERSIONS: ApiVersionsResponse.decode,
    ApiKey.INIT_PRODUCER_ID: InitProducerIdResponse.decode,
}


def is_whole(data: bytes) -> bool:
    """Whether the size in front is there and not larger than what follows: the client need not wait for more."""
    return len(data) >= 4 and int.from_bytes(data[:4], "big", signed=True) <= len(data) - 4


def has_to_be_believed(api: ApiKey, data: bytes, correlation_id: int) -> bool:
    """Whether the bytes could be read as an answer that changes more than the next attempt."""
    frame = data[4 : 4 + int.from_bytes(data[:4], "big")]
    for version in range(APIS[api].min_version, APIS[api].max_version + 1):
        try:
            got, offset = decode_response_header(api, version, frame)
            if got != correlation_id:
                return False
            answer = DECODERS[api](frame, version, offset)
        except KafkaProtocolError:
            continue
        if not (isinstance(answer, ProduceAnswer) and answer.is_harmless):
            return True
    return False
