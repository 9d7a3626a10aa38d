"""One call on its way, on a session or as a unary call."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Any

import grpc

from dibs.errors import ServiceError
from dibs.steps import Call
from dibs.v1 import coordinator_pb2 as pb

_NAMES = {code.value[0]: code.name for code in grpc.StatusCode}


@dataclass(frozen=True, eq=False)
class Sending:
    """A call, its answer, and until when to wait for it, as a time of `time.monotonic()`."""

    call: Call
    until: float
    future: Future[Any] = field(default_factory=Future)
    #: For a call with many answers: called with each of them, in a thread of the link.
    answered: Callable[[Any], None] | None = None
    #: The keys of such a call that have their answers.
    keys_answered: set[str] = field(default_factory=set)
    #: The endpoints at which nothing answered.
    tried: set[Any] = field(default_factory=set)

    def answer_one(self, answer: Any) -> None:
        """One of the answers to a call for many keys, a `GetOrLockManyResponse`."""
        assert self.answered is not None
        self.keys_answered.add(answer.key)
        self.answered(answer)

    def rest(self) -> Sending | None:
        """The call without keys that have answers, which could get leases for no caller; None if all have."""
        if not self.keys_answered:
            return self
        request = pb.GetOrLockManyRequest()
        request.CopyFrom(self.call.request)
        del request.keys[:]
        request.keys.extend(key for key in self.call.request.keys if key not in self.keys_answered)
        return replace(self, call=replace(self.call, request=request)) if request.keys else None

    def succeed(self, response: Any) -> bool:
        """False if its caller has left, and needs no answer."""
        if not self.future.set_running_or_notify_cancel():
            return False
        self.future.set_result(response)
        return True

    def fail(self, error: ServiceError) -> None:
        """Unless its caller has left."""
        if self.future.set_running_or_notify_cancel():
            self.future.set_exception(error)

    def on_cancel(self, left: Callable[[], object]) -> None:
        """Called when its caller leaves before the answer."""
        self.future.add_done_callback(lambda done: done.cancelled() and left())


def service_error(error: Any) -> ServiceError:
    """gRPC's error, in the words of this package."""
    # Not dict(), which takes an asyncio call's metadata for something else than pairs.
    trailers = {key: value for key, value in error.trailing_metadata() or ()}  # noqa: C416
    pushback = str(trailers.get("grpc-retry-pushback-ms", ""))
    # Anything but a number of milliseconds, such as -1, means not to retry.
    retry_after = int(pushback) / 1_000 if pushback.isdecimal() else None
    return ServiceError(error.code().name, error.details() or "", retry_after)


def error_of(error: pb.CallError) -> ServiceError:
    """The same for an error that came as a message."""
    after = error.retry_after_ms / 1_000 if error.HasField("retry_after_ms") else None
    return ServiceError(_NAMES.get(error.code, "UNKNOWN"), error.message, after)
