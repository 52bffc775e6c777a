# SPDX-License-Identifier: Apache-2.0
"""InitProducerId: a fresh id for every idempotent producer, the next epoch for a transactional one."""

from __future__ import annotations

from ...protocol.init_producer_id import InitProducerIdRequest, InitProducerIdResponse
from ..batch import BatchError
from ..codes import Code
from .context import Context

__all__ = ["answer"]


def answer(context: Context) -> bytes:
    """Id and epoch. Without a transactional id, whatever id the request names is ignored, as Kafka does."""
    request = InitProducerIdRequest.decode(context.body, context.version, context.offset)
    fault = context.fault()
    if fault is not None and not fault.after_append:
        return _encode(context, fault.error)
    if request.transactional_id is None:
        response = _encode(context, Code.NONE, context.cluster.new_producer_id(), 0)
    elif request.transactional_id == "":
        context.violation("an empty transactional id")
        response = _encode(context, Code.INVALID_REQUEST)
    else:
        current = (request.producer_id, request.producer_epoch)
        try:
            identity = context.cluster.transactional_producer_id(request.transactional_id, current)
            response = _encode(context, Code.NONE, *identity)
        except BatchError as error:
            response = _encode(context, error.code)
    return response if fault is None else _encode(context, fault.error)


def _encode(context: Context, code: int, producer_id: int = -1, epoch: int = -1) -> bytes:
    return InitProducerIdResponse(code, producer_id, epoch, context.throttle_ms).encode(context.version)
