# SPDX-License-Identifier: Apache-2.0
"""What is sent, and to how many partitions."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Load:
    """Attributes:
    payload: key of `records.PAYLOADS`.
    value_size: bytes of a value, where the payload lets one choose.
    key_size: bytes of a random key; 0 for none. Payloads of real data have keys of their own, used when not 0.
    headers: how many each record has.
    topics, partitions: topics, and partitions of each. A record of several topics chooses one at random.
    serializer: key of `serializers.SERIALIZERS`; records are objects then. Empty: records are bytes.
    """

    payload: str = "same"
    value_size: int = 100
    key_size: int = 0
    headers: int = 0
    topics: int = 1
    partitions: int = 1
    serializer: str = ""

    def topic_names(self, name: str) -> list[str]:
        return [name] if self.topics == 1 else [f"{name}-{number}" for number in range(self.topics)]
