"""How a gRPC channel is made, and what every call on it carries."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import grpc

from dibs.connection import Connection, Tls, is_sendable, stays_here
from dibs.errors import TokenError
from dibs.tracing import Tracing
from dibs.v1.coordinator_pb2_grpc import CoordinatorServiceStub
from dibs.version import VERSION

_CHANNEL: dict[str, int | str] = {
    # A dead connection is noticed within 15 s, and its calls end.
    "grpc.keepalive_time_ms": 10_000,
    "grpc.keepalive_timeout_ms": 5_000,
    # A long wait has no data, and is still watched.
    "grpc.http2.max_pings_without_data": 0,
    # Reconnects within a second to a service that restarts. The default would wait up to two minutes.
    "grpc.initial_reconnect_backoff_ms": 100,
    "grpc.max_reconnect_backoff_ms": 1_000,
    # A separate pool, so that failed attempts of another client do not hold up this one.
    "grpc.use_local_subchannel_pool": 1,
    # The service bounds the values.
    "grpc.max_receive_message_length": -1,
    "grpc.max_send_message_length": -1,
    # One layer above knows what may be sent again.
    "grpc.enable_retries": 0,
    "grpc.service_config": json.dumps({"loadBalancingConfig": [{"round_robin": {}}]}),
}


def open_channel(connection: Connection, tls: Tls | None) -> Any:
    # How long an attempt to connect may take. gRPC's own 20 s would hold every call as long.
    options = [
        *_CHANNEL.items(),
        ("grpc.min_reconnect_backoff_ms", connection.connect_ms),
        # Precedes gRPC's own.
        ("grpc.primary_user_agent", f"dibs-client-python/{VERSION}"),
        # gRPC would send even this to the proxy of `http_proxy`: with the token, and to a service that it cannot reach.
        *([("grpc.enable_http_proxy", 0)] if stays_here(connection.target) else []),
        # A certificate belongs to the name, and not to the address.
        *([] if connection.name is None else [("grpc.default_authority", connection.name)]),
    ]
    if tls is None:
        return grpc.insecure_channel(connection.target, options)
    credentials = grpc.ssl_channel_credentials(tls.authorities, tls.key, tls.certificate)
    return grpc.secure_channel(connection.target, credentials, options)


def stub_on(channel: Any, connection: Connection, tracing: Tracing | None = None) -> Any:
    token = connection.token
    if token is not None:
        channel = _Bearing(channel, lambda: ("authorization", _bearer(token)))
    if tracing is not None:
        channel = _Bearing(channel, lambda: ("traceparent", tracing.of_caller().traceparent))
    return CoordinatorServiceStub(channel)


def _bearer(token: Callable[[], str]) -> str:
    try:
        text = token()
    except Exception as error:
        # Its message may contain a secret. The cause is there for a debugger.
        raise TokenError(f"token: its function raised {type(error).__name__}") from error
    # gRPC's own error would show the text that it refuses.
    if not is_sendable(text):
        raise TokenError("token: is empty, or has characters other than visible ASCII")
    return f"Bearer {text}"


class _Bearing:
    """A channel whose calls all carry one more piece of metadata. gRPC's interceptors cost a task per call."""

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
        # What the caller sets, even nothing, takes precedence.
        known = value == "" or any(name == theirs for theirs, _ in given)
        return self._bearer(request, *args, metadata=given if known else ((name, value), *given), **kwargs)
