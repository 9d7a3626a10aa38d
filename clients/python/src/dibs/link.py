"""The one channel of a client, and what every call on it carries."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import grpc

from dibs.errors import ServiceError
from dibs.options import Connection
from dibs.steps import Call
from dibs.tracing import Tracing
from dibs.v1.coordinator_pb2_grpc import CoordinatorServiceStub

_CHANNEL: dict[str, int | str] = {
    # A link that died without a word is found within 15 s, and the calls on it end.
    "grpc.keepalive_time_ms": 10_000,
    "grpc.keepalive_timeout_ms": 5_000,
    # A long wait has no data, and is still looked after.
    "grpc.http2.max_pings_without_data": 0,
    # Back at a service that restarts within a second; the default would wait up to two minutes.
    "grpc.initial_reconnect_backoff_ms": 100,
    "grpc.max_reconnect_backoff_ms": 1_000,
    # A client of its own: another one's failed tries to connect do not hold up this one's.
    "grpc.use_local_subchannel_pool": 1,
    # The service bounds the values.
    "grpc.max_receive_message_length": -1,
    "grpc.max_send_message_length": -1,
    # What may be sent again is known one storey up.
    "grpc.enable_retries": 0,
    "grpc.service_config": json.dumps({"loadBalancingConfig": [{"round_robin": {}}]}),
}


class ThreadLink:
    """A channel for threads."""

    def __init__(self, connection: Connection, tracing: Tracing) -> None:
        self._channel: Any = _open(grpc, connection)
        self._stub = _stub(self._channel, connection)
        #: For the user, whose calls are part of the trace that is current.
        self.stub = _stub(self._channel, connection, tracing)

    def call(self, call: Call) -> Future[Any]:
        """Sends a call. Its future fails with a ServiceError; cancelling it cancels the call."""
        future: Future[Any] = Future()
        try:
            sent = getattr(self._stub, call.method).future(call.request, **_terms(call))
        except ValueError as error:
            # gRPC's word for a channel that is closed.
            future.set_exception(ServiceError("CANCELLED", str(error)))
            return future

        def answered(reply: Any) -> None:
            # Whoever has cancelled the future wants no answer.
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(reply.result())
            except grpc.FutureCancelledError:
                future.set_exception(ServiceError("CANCELLED", "the call was cancelled"))
            except grpc.RpcError as error:
                future.set_exception(service_error(error))

        sent.add_done_callback(answered)
        future.add_done_callback(lambda done: done.cancelled() and sent.cancel())
        return future

    def close(self) -> None:
        self._channel.close()


class LoopLink:
    """A channel for the event loop that runs."""

    def __init__(self, connection: Connection, tracing: Tracing) -> None:
        self._channel: Any = _open(grpc.aio, connection)
        self._stub = _stub(self._channel, connection)
        #: For the user, whose calls are part of the trace that is current.
        self.stub = _stub(self._channel, connection, tracing)

    async def call(self, call: Call) -> Any:
        """Sends a call. Raises ServiceError; cancelling the task cancels the call."""
        try:
            sent = getattr(self._stub, call.method)(call.request, **_terms(call))
        except grpc.aio.UsageError as error:
            raise ServiceError("CANCELLED", str(error)) from error
        try:
            return await sent
        except grpc.RpcError as error:
            raise service_error(error) from error
        except asyncio.CancelledError:
            # An answer that has come just now may be a lease, which somebody has to give back.
            if sent.done() and not sent.cancelled() and await sent.code() == grpc.StatusCode.OK:
                return await sent
            raise

    async def close(self) -> None:
        await self._channel.close()


def service_error(error: Any) -> ServiceError:
    """What gRPC says, in the words of this package."""
    # Not dict(), which takes an asyncio call's metadata for something else than pairs.
    trailers = {key: value for key, value in error.trailing_metadata() or ()}  # noqa: C416
    pushback = str(trailers.get("grpc-retry-pushback-ms", ""))
    # Anything but a number of milliseconds, such as -1, says not to come back.
    retry_after = int(pushback) / 1_000 if pushback.isdecimal() else None
    return ServiceError(error.code().name, error.details() or "", retry_after)


def _open(by: Any, connection: Connection) -> Any:
    # How long an attempt to connect may take; gRPC's own 20 s would hold every call so long.
    options = [*_CHANNEL.items(), ("grpc.min_reconnect_backoff_ms", connection.connect_ms)]
    if connection.authorities is None:
        return by.insecure_channel(connection.target, options)
    credentials = grpc.ssl_channel_credentials(connection.authorities)
    return by.secure_channel(connection.target, credentials, options)


def _stub(channel: Any, connection: Connection, tracing: Tracing | None = None) -> Any:
    if connection.token != "":
        channel = _Bearing(channel, lambda: ("authorization", f"Bearer {connection.token}"))
    if tracing is not None:
        channel = _Bearing(channel, lambda: ("traceparent", tracing.of_caller().traceparent))
    return CoordinatorServiceStub(channel)


def _terms(call: Call) -> dict[str, Any]:
    metadata = () if call.traceparent == "" else (("traceparent", call.traceparent),)
    return {"timeout": call.timeout, "metadata": metadata}


class _Bearing:
    """A channel whose calls all carry one more piece of metadata; gRPC's interceptors cost a task a call."""

    def __init__(self, bearer: Any, metadata: Callable[[], tuple[str, str]]) -> None:
        self._bearer = bearer
        self._metadata = metadata

    def __getattr__(self, name: str) -> Any:
        """`unary_unary` and the like make a method, and `future` and the like are ways to call one."""
        made = getattr(self._bearer, name)
        if name in ("future", "with_call"):
            return _Bearing(made, self._metadata)
        return lambda *args, **kwargs: _Bearing(made(*args, **kwargs), self._metadata)

    def __call__(self, request: Any, *args: Any, metadata: Any = None, **kwargs: Any) -> Any:
        name, value = self._metadata()
        given = tuple(metadata or ())
        # What the caller says of it, and nothing at all, are not to be outdone.
        known = value == "" or any(name == theirs for theirs, _ in given)
        return self._bearer(request, *args, metadata=given if known else ((name, value), *given), **kwargs)
