"""The generated stub for event loops, over the channel of a link. gRPC's own for asyncio does not survive a fork."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import AsyncIterator, Callable, Generator, Iterable, Iterator
from contextlib import suppress
from typing import Any, Generic, TypeVar

import grpc

R = TypeVar("R")

_ENDED = object()


class LoopChannel:
    """The factory of the generated stub's methods. `channel` returns the current one, because a fork replaces it."""

    def __init__(self, channel: Callable[[], Any]) -> None:
        self._channel = channel

    def unary_unary(self, *method: Any, **how: Any) -> Callable[..., Reply[Any]]:
        return lambda request, **terms: Reply(self._channel().unary_unary(*method, **how).future(request, **terms))

    def unary_stream(self, *method: Any, **how: Any) -> Callable[..., Replies[Any]]:
        return lambda request, **terms: Replies(self._channel().unary_stream(*method, **how)(request, **terms))

    def stream_stream(self, *method: Any, **how: Any) -> Callable[..., Replies[Any]]:
        def call(requests: Any, **terms: Any) -> Replies[Any]:
            return Replies(self._channel().stream_stream(*method, **how)(_iterated(requests), **terms))

        return call


class Reply(Generic[R]):
    """The answer to one call. Cancelling the task that awaits it cancels the call."""

    def __init__(self, call: Any) -> None:
        self._call = call

    def __await__(self) -> Generator[Any, None, R]:
        return self._reply().__await__()

    def cancel(self) -> bool:
        return bool(self._call.cancel())

    async def _reply(self) -> R:
        loop = asyncio.get_running_loop()
        arrival: asyncio.Future[None] = loop.create_future()
        self._call.add_done_callback(lambda _: _tell(loop, _arrive, arrival))
        try:
            await arrival
        except asyncio.CancelledError:
            self._call.cancel()
            raise
        try:
            return self._call.result()  # type: ignore[no-any-return]
        except grpc.FutureCancelledError:
            raise grpc.aio.AioRpcError(grpc.StatusCode.CANCELLED, _NONE, _NONE, "the call was cancelled") from None
        except grpc.RpcError as error:
            raise _as_in_loops(error) from error


class Replies(Generic[R]):
    """The answers on a stream, in order."""

    def __init__(self, call: Any) -> None:
        self._call = call

    def cancel(self) -> bool:
        return bool(self._call.cancel())

    async def __aiter__(self) -> AsyncIterator[R]:
        loop = asyncio.get_running_loop()
        come: asyncio.Queue[Any] = asyncio.Queue()

        def read() -> None:
            end: object = _ENDED
            try:
                for reply in self._call:
                    _tell(loop, come.put_nowait, reply)
            except grpc.RpcError as error:
                end = _as_in_loops(error)
            _tell(loop, come.put_nowait, end)

        threading.Thread(target=read, daemon=True).start()
        try:
            while (reply := await come.get()) is not _ENDED:
                if isinstance(reply, grpc.aio.AioRpcError):
                    raise reply
                yield reply
        finally:
            # For a caller that leaves before the end.
            self._call.cancel()


_NONE = grpc.aio.Metadata()


def _arrive(arrival: asyncio.Future[None]) -> None:
    if not arrival.done():
        arrival.set_result(None)


def _tell(loop: asyncio.AbstractEventLoop, what: Callable[..., object], *about: Any) -> None:
    # A loop that has been closed in the meantime waits for nothing.
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(what, *about)


def _as_in_loops(error: Any) -> grpc.aio.AioRpcError:
    def pairs(metadata: Any) -> grpc.aio.Metadata:
        return grpc.aio.Metadata(*((key, value) for key, value in metadata or ()))

    return grpc.aio.AioRpcError(
        error.code(), pairs(error.initial_metadata()), pairs(error.trailing_metadata()), error.details()
    )


def _iterated(requests: AsyncIterator[Any] | Iterable[Any]) -> Iterator[Any]:
    """Requests for gRPC's threads, which an event loop may make."""
    if not isinstance(requests, AsyncIterator):
        return iter(requests)
    made: queue.SimpleQueue[Any] = queue.SimpleQueue()

    async def make() -> None:
        try:
            async for request in requests:
                made.put(request)
        finally:
            made.put(_ENDED)

    making = asyncio.get_running_loop().create_task(make())

    def read() -> Iterator[Any]:
        # Keeps the task alive, which its loop does not.
        _ = making
        while (request := made.get()) is not _ENDED:
            yield request

    return read()
