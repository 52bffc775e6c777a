# SPDX-License-Identifier: Apache-2.0
"""A fast synchronous Kafka producer for Python."""

from ._core.future import RecordFuture
from ._core.metadata import RecordMetadata
from ._core.range import RangeFuture
from ._core.range_outcome import RangeFailures, RangeMetadata
from .interceptor import ProducerInterceptor
from .partitioner import Partitioner
from .producer import KafkaProducer
from .serializer import (
    BooleanSerializer,
    BytesSerializer,
    DefaultSerializer,
    DoubleSerializer,
    FloatSerializer,
    IntegerSerializer,
    JsonSerializer,
    LongSerializer,
    Serializer,
    ShortSerializer,
    StringSerializer,
    UUIDSerializer,
)
from .types import Headers, ProducerRecord, TopicPartition
from .version import __version__ as __version__

__all__ = [
    "BooleanSerializer",
    "BytesSerializer",
    "DefaultSerializer",
    "DoubleSerializer",
    "FloatSerializer",
    "Headers",
    "IntegerSerializer",
    "JsonSerializer",
    "KafkaProducer",
    "LongSerializer",
    "Partitioner",
    "ProducerInterceptor",
    "ProducerRecord",
    "RangeFailures",
    "RangeFuture",
    "RangeMetadata",
    "RecordFuture",
    "RecordMetadata",
    "Serializer",
    "ShortSerializer",
    "StringSerializer",
    "TopicPartition",
    "UUIDSerializer",
]
