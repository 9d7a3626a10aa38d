"""A service over real gRPC that says what a test tells it to, one answer a call; the last one stays."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any

import grpc

from dibs.v1 import coordinator_pb2 as pb
from dibs.v1.coordinator_pb2_grpc import CoordinatorServiceServicer, add_CoordinatorServiceServicer_to_server


@dataclass(frozen=True)
class Refusal:
    """An error as the service ends a call with it."""

    code: grpc.StatusCode
    details: str = "gone"
    pushback_ms: int | None = None


def unavailable(pushback_ms: int | None = None) -> Refusal:
    return Refusal(grpc.StatusCode.UNAVAILABLE, pushback_ms=pushback_ms)


@dataclass
class Heard:
    """What one call was, as the service saw it."""

    method: str
    request: Any
    metadata: dict[str, str]
    cancelled: bool = False


@dataclass
class FakeService:
    """Starts with `start`; `target` says where it is."""

    target: str = ""
    heard: list[Heard] = field(default_factory=list)
    #: Opened by a test that has calls held back by HELD.
    gate: threading.Event = field(default_factory=threading.Event)
    takes_sessions: bool = True
    #: How it refuses them otherwise.
    session_refusal: Refusal = Refusal(grpc.StatusCode.UNIMPLEMENTED, "no sessions here")
    #: Cleared by a test whose sessions are confirmed late.
    welcome: threading.Event = field(default_factory=threading.Event)
    #: Sessions that are open, for events.
    sessions: list[_Session] = field(default_factory=list)
    #: The hello of each session.
    hellos: list[pb.SessionHello] = field(default_factory=list)
    _answers: dict[str, list[Any]] = field(default_factory=dict)
    _server: Any = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def start(self, credentials: grpc.ServerCredentials | None = None, listen: str = "127.0.0.1:0") -> FakeService:
        self.welcome.set()
        self._server = grpc.server(ThreadPoolExecutor(32))
        add_CoordinatorServiceServicer_to_server(_Servicer(self), self._server)  # type: ignore[abstract]
        if credentials is None:
            port = self._server.add_insecure_port(listen)
        else:
            port = self._server.add_secure_port(listen, credentials)
        self._server.start()
        self.target = f"127.0.0.1:{port}" if listen == "127.0.0.1:0" else listen
        return self

    def stop(self) -> None:
        self.gate.set()
        self.welcome.set()
        self._server.stop(None).wait()

    def will(self, method: str, *answers: Any) -> None:
        """The next answers of a method: a message, a Refusal, NEVER, or a function of the request."""
        self._answers[method] = list(answers)

    def requests(self, method: str) -> list[Any]:
        return [heard.request for heard in self.heard if heard.method == method]

    def answer(self, method: str, request: Any, context: grpc.ServicerContext) -> Any:
        heard = Heard(method, request, {str(key): str(value) for key, value in context.invocation_metadata()})
        over = threading.Event()
        context.add_callback(over.set)
        with self._lock:
            answers = self._answers.get(method, [])
            answer = answers.pop(0) if len(answers) > 1 else next(iter(answers), None)
            # Last: a test that has seen it may say what comes next.
            self.heard.append(heard)
        if callable(answer):
            answer = answer(request)
        if answer is NEVER:
            over.wait(30)
            heard.cancelled = True
            return None
        if isinstance(answer, Refusal):
            if answer.pushback_ms is not None:
                context.set_trailing_metadata((("grpc-retry-pushback-ms", str(answer.pushback_ms)),))
            context.abort(answer.code, answer.details)
        if answer is None:
            context.abort(grpc.StatusCode.INTERNAL, f"no answer was told for {method}")
        return answer

    def session(self, requests: Iterator[pb.SessionRequest], context: grpc.ServicerContext) -> Iterator[Any]:
        """Every call of a session is answered as if it had come by itself."""
        if not self.takes_sessions:
            context.abort(self.session_refusal.code, self.session_refusal.details)
        return _Session(self, context).responses(requests)

    def held(self, answer: Any) -> Callable[[Any], Any]:
        """That answer, once the gate is open."""

        def hold(_: Any) -> Any:
            self.gate.wait(30)
            return answer

        return hold


NEVER = object()
_METHODS = ("GetOrLock", "Publish", "Release", "Extend", "Invalidate", "Explain", "GetOrLockMany")
_NAMES = ("get_or_lock", "publish", "release", "extend", "invalidate", "explain", "get_or_lock_many")
_FIELDS = dict(zip(_NAMES, _METHODS, strict=True))


class _AbortedError(Exception):
    pass


class _CallContext:
    """What a call of a session sees of it, as if it were one by itself."""

    def __init__(self, session: grpc.ServicerContext, call: pb.SessionCall) -> None:
        self._metadata = [
            *session.invocation_metadata(),
            *([("traceparent", call.traceparent)] * bool(call.traceparent)),
        ]
        self._on_over: list[Callable[[], None]] = []
        self._is_over = False
        self._lock = threading.Lock()
        self.error: pb.CallError | None = None
        self._pushback_ms: int | None = None

    def invocation_metadata(self) -> list[tuple[Any, Any]]:
        return self._metadata

    def add_callback(self, over: Callable[[], None]) -> None:
        with self._lock:
            self._on_over.append(over)
            is_over = self._is_over
        # A call and its end may come in one message, and each call has a thread of its own.
        if is_over:
            over()

    def end(self) -> None:
        with self._lock:
            self._is_over = True
            on_over = [*self._on_over]
        for over in on_over:
            over()

    def set_trailing_metadata(self, trailers: tuple[tuple[str, str], ...]) -> None:
        self._pushback_ms = int(trailers[0][1])

    def abort(self, code: grpc.StatusCode, details: str) -> None:
        self.error = pb.CallError(code=code.value[0], message=details, retry_after_ms=self._pushback_ms)
        raise _AbortedError


class _Session:
    def __init__(self, fake: FakeService, context: grpc.ServicerContext) -> None:
        self._fake = fake
        self._context = context
        self._open: dict[int, _CallContext] = {}
        self._out: SimpleQueue[pb.SessionResponse | None] = SimpleQueue()
        context.add_callback(self._ended)

    def responses(self, requests: Iterator[pb.SessionRequest]) -> Iterator[pb.SessionResponse]:
        self._fake.hellos.append(next(requests).hello)
        self._fake.welcome.wait(30)
        self._fake.sessions.append(self)
        yield pb.SessionResponse(welcome=pb.SessionWelcome(resume_token=f"session {len(self._fake.hellos)}"))
        threading.Thread(target=self._listen, args=(requests,), daemon=True).start()
        while (response := self._out.get()) is not None:
            yield response

    def tell(self, event: pb.SessionEvent) -> None:
        self._out.put(pb.SessionResponse(events=[event]))

    def refuse_midway(self, first: pb.GetOrLockManyResponse) -> None:
        """Answers the only open call, one for many keys, with this answer and a refusal."""
        (id_,) = self._open
        refusal = pb.CallError(code=grpc.StatusCode.UNAUTHENTICATED.value[0], message="the token is known no more")
        more = pb.SessionReply(id=id_, more=True, get_or_lock_many=first)
        self._out.put(pb.SessionResponse(replies=[more, pb.SessionReply(id=id_, error=refusal)]))

    def end(self) -> None:
        """As a replica does that stops."""
        self._out.put(None)

    def _listen(self, requests: Iterator[pb.SessionRequest]) -> None:
        try:
            for message in requests:
                for call in message.calls:
                    context = self._open[call.id] = _CallContext(self._context, call)
                    threading.Thread(target=self._answer, args=(call, context), daemon=True).start()
                for id_ in message.cancelled_ids:
                    self._cancel(id_)
        except Exception:
            # The stream has been cancelled.
            return
        self._out.put(None)

    def _answer(self, call: pb.SessionCall, context: _CallContext) -> None:
        kind = call.WhichOneof("request")
        assert kind is not None
        reply = pb.SessionReply(id=call.id)
        try:
            response = self._fake.answer(_FIELDS[kind], getattr(call, kind), context)  # type: ignore[arg-type]
            if response is None:
                return
            if kind == "get_or_lock_many":
                # The last one is the end.
                *before, response = response
                for one in before:
                    more = pb.SessionReply(id=call.id, more=True, get_or_lock_many=one)
                    self._out.put(pb.SessionResponse(replies=[more]))
            getattr(reply, kind).CopyFrom(response)
        except _AbortedError:
            reply.error.CopyFrom(context.error)  # type: ignore[arg-type]
        self._open.pop(call.id, None)
        self._out.put(pb.SessionResponse(replies=[reply]))

    def _cancel(self, id_: int) -> None:
        context = self._open.pop(id_, None)
        if context is not None:
            context.end()

    def _ended(self) -> None:
        self._out.put(None)
        for id_ in list(self._open):
            self._cancel(id_)


class _Servicer(CoordinatorServiceServicer):
    def __init__(self, fake: FakeService) -> None:
        self._fake = fake

    def __getattribute__(self, name: str) -> Any:
        """All methods are one; those that are not called are the base's."""
        if name == "Session":
            return self._fake.session
        if name == "GetOrLockMany":
            return self._many
        if name in _METHODS:
            return lambda request, context: self._fake.answer(name, request, context)
        return super().__getattribute__(name)

    def _many(self, request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        yield from self._fake.answer("GetOrLockMany", request, context)


def each(answer_of: Callable[[str], pb.GetOrLockResponse | pb.CallError]) -> Callable[[Any], Any]:
    """An answer to GetOrLockMany: that of each key."""

    def answers(request: pb.GetOrLockManyRequest) -> list[pb.GetOrLockManyResponse]:
        all_answers = []
        for key in request.keys:
            its = answer_of(key)
            how = {"error": its} if isinstance(its, pb.CallError) else {"response": its}
            all_answers.append(pb.GetOrLockManyResponse(key=key, **how))
        return all_answers

    return answers


def hit(value: bytes) -> pb.GetOrLockResponse:
    return pb.GetOrLockResponse(hit=pb.Hit(value=value, freshness=pb.FRESHNESS_FRESH, fence=3))


def lease(token: str = "t", expires_in_ms: int = 10_000, previous: bytes | None = None) -> pb.GetOrLockResponse:
    old = None if previous is None else pb.Hit(value=previous, freshness=pb.FRESHNESS_STALE, fence=3)
    return pb.GetOrLockResponse(
        lease=pb.Lease(token=token, fence=4, expires_in_ms=expires_in_ms, reason=pb.LEASE_REASON_MISS, previous=old)
    )


def busy(retry_after_ms: int, reason: int = pb.BUSY_REASON_WAIT_ENDED) -> pb.GetOrLockResponse:
    return pb.GetOrLockResponse(
        busy=pb.Busy(retry_after_ms=retry_after_ms, holder_age_ms=7, reason=reason)  # type: ignore[arg-type]
    )


def published(outcome: int, counts: bool | None = None) -> pb.PublishResponse:
    return pb.PublishResponse(outcome=outcome, fence=4, counts=counts)  # type: ignore[arg-type]


STORED = published(pb.PUBLISH_OUTCOME_STORED, counts=True)
DUPLICATE = published(pb.PUBLISH_OUTCOME_DUPLICATE)
RELEASED = pb.ReleaseResponse(outcome=pb.RELEASE_OUTCOME_RELEASED)
EXTENDED = pb.ExtendResponse(outcome=pb.EXTEND_OUTCOME_EXTENDED, expires_in_ms=10_000)
LOST = pb.ExtendResponse(outcome=pb.EXTEND_OUTCOME_LOST)


def leases(key: str) -> pb.GetOrLockResponse:
    """The lease of each key."""
    return lease(f"token of {key}")
