# SPDX-License-Identifier: Apache-2.0
"""The slow decoders, against what other clients compressed."""

import pytest

from tests.reference.compression import CODECS
from tests.reference.golden import GOLDEN, Golden
from tests.reference.message_set import decode_message_set
from tests.reference.record_batch import decode_batch


def test_everything_that_exists_is_there() -> None:
    found = {(golden.magic, CODECS[golden.codec]) for golden in GOLDEN}
    every = {(magic, name) for magic in (0, 1, 2) for name in CODECS[1:]}
    assert found == every - {(0, "zstd"), (1, "zstd")}
    assert {golden.origin.split()[0] for golden in GOLDEN} == {"kafka-python", "aiokafka", "librdkafka", "Kafka's"}


@pytest.mark.parametrize("golden", GOLDEN, ids=str)
def test_what_others_compressed(golden: Golden) -> None:
    if golden.magic == 2:
        batch = decode_batch(golden.data)
        assert batch.attributes & 7 == golden.codec
        read = [(record.timestamp, record.key, record.value) for record in batch.records]
    else:
        message_set = decode_message_set(golden.data)
        assert (message_set.magic, message_set.codec) == (golden.magic, golden.codec)
        read = [(message.timestamp, message.key, message.value) for message in message_set.messages]
    assert [(key, value) for _, key, value in read] == [(key, value) for _, key, value in golden.records]
    for (time, _, _), (wanted, _, _) in zip(read, golden.records, strict=True):
        assert wanted in (time, None)
