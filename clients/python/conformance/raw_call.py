"""One unary call of the contract: JSON in and JSON out, as proto3 defines it."""

from __future__ import annotations

from typing import Any

import grpc
from google.protobuf.json_format import MessageToDict, ParseDict

from dibs.sending import service_error
from dibs.v1 import coordinator_pb2 as pb


async def raw_call(stub: Any, method: str, request: dict[str, Any], deadline_ms: int) -> dict[str, Any]:
    """Raises ServiceError."""
    message = ParseDict(request, getattr(pb, f"{method}Request")())
    try:
        call = getattr(stub, method)(message, timeout=deadline_ms / 1_000)
        if method == "GetOrLockMany":
            return {"responses": [MessageToDict(response) async for response in call]}
        return MessageToDict(await call)
    except grpc.RpcError as error:
        raise service_error(error) from error
