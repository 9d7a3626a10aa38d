"""One channel, its session, and its open calls."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

import grpc

from dibs.channel import open_channel, stub_on
from dibs.connection import Connection
from dibs.errors import ServiceError
from dibs.near_cache import NearValues
from dibs.sending import Sending, service_error
from dibs.session import Session, SessionEvents
from dibs.steps import Call
from dibs.tracing import Tracing
from dibs.v1 import coordinator_pb2 as pb

if TYPE_CHECKING:
    from dibs.endpoint import Endpoint

#: What calls may take to end before a fork. They end at once, unless the process is starved.
_ABORT_S = 1.0
#: How long calls are sent one by one after a session was refused. It doubles each time: a token may have a successor
#: soon, and something on the way may refuse all sessions.
_REFUSED_S_MIN = 2.0
_REFUSED_S_MAX = 60.0
#: The same after a session that was late or broke off.
_LATE_S = 5.0
#: Values up to this size travel on the session. Every service accepts them.
_ON_SESSION_BYTES_MAX = 1_000_000


@dataclass(frozen=True)
class Sessions:
    """What a client's sessions tell the service and the client."""

    holder: Callable[[], str]
    #: A lease is over. Called in a thread of the session.
    lease_lost: Callable[[pb.LeaseLost], None]
    #: A session was welcomed. It reports changes from now on. Called in a thread of the session.
    began: Callable[[], None]
    #: A session reports a change. Called in a thread of the session.
    changed: Callable[[pb.Invalidated], None]
    #: Filled by the answers of the sessions, which watch its namespaces.
    near: NearValues | None = None


class UsedChannel:
    """One channel, its session, and its open calls."""

    def __init__(self, connection: Connection, tracing: Tracing, sessions: Sessions | None, at: Endpoint) -> None:
        self._connection = connection
        self._tls = None if connection.tls is None else connection.tls.current()
        self.channel: Any = open_channel(connection, self._tls)
        #: For the user's own calls, which a fork ends too.
        self.for_user = _Noting(self.channel, self._note)
        self.stub = stub_on(self.channel, connection, tracing)
        self._stub = stub_on(self.channel, connection)
        self._at = at
        self._connect_s = connection.connect_ms / 1_000
        self._sessions = sessions
        self._session: Session | None = None
        #: Sessions that accept no more calls, and still answer theirs.
        self._left: set[Session] = set()
        self._by_itself_until = 0.0
        self._refused_s = 0.0
        #: The last session failed, and the service has answered since. Calls do not wait for the next one.
        self._tries_behind = False
        self._sent: set[Any] = set()
        self._aborted = False
        self._retired = False
        self._interrupted: list[Sending] = []

    def send(self, sending: Sending, by_itself: bool) -> None:
        by_itself = by_itself or _is_large(sending.call)
        # Asked each time, because a session may fail before it takes the call.
        while self._sessions is not None and not by_itself and monotonic() >= self._by_itself_until:
            session = self._session or self._open_session(self._sessions)
            if self._tries_behind and not session.is_open:
                break
            if session.send(sending):
                return
            self._forget(session)
        self._send_by_itself(sending)

    def open(self) -> None:
        """Opens the session without a call, if there is none."""
        session = self._session
        if self._sessions is None:
            return
        if session is None:
            self._open_session(self._sessions)
        elif session.is_open:
            # A call by itself has failed here meanwhile.
            self._at.answers()

    def is_idle(self) -> bool:
        return self._session is None and not self._sent and not self._left

    def has_other_certificates(self) -> bool:
        return self._connection.tls is not None and self._connection.tls.current() is not self._tls

    def retire(self) -> None:
        """Accepts no more calls, and closes when the open ones have ended."""
        self._retired = True
        if self._session is not None:
            session = self._session
            session.leave()
            self._session_left(session)
        self._close_if_over()

    def _close_if_over(self) -> None:
        if self._retired and not self._sent and not self._left:
            self._at.retired.discard(self)
            self.channel.close()

    def _note(self, sent: Any) -> None:
        self._sent.add(sent)
        sent.add_done_callback(self._sent.discard)

    def abort(self) -> list[Sending]:
        """Ends all calls. They may continue elsewhere."""
        self._aborted = True
        interrupted = []
        for session in [*self._left, *([] if self._session is None else [self._session])]:
            interrupted += session.abort(_ABORT_S)
        self._keep_token()
        for sent in list(self._sent):
            sent.cancel()
        self.channel.close()
        # The thread that reads this channel ends with its last call.
        give_up_at = monotonic() + _ABORT_S
        while self._sent and monotonic() < give_up_at:
            sleep(0.001)
        return interrupted + self._interrupted

    def _open_session(self, sessions: Sessions) -> Session:
        watched = () if sessions.near is None else sessions.near.namespaces
        hello = pb.SessionHello(
            resume_token=self._at.resume_token, holder=sessions.holder(), watched_namespaces=watched
        )
        events = SessionEvents(
            lease_lost=sessions.lease_lost,
            changed=sessions.changed,
            ended=self._session_ended,
            confirmed=self._session_confirmed,
            leaving=self._session_left,
            refused=self._session_refused,
            give_back=self._at.link.give_back,
        )
        session = self._session = Session(self._stub, hello, self._connect_s, events, sessions.near)
        try:
            session.start()
        except BaseException:
            # The process may be out of threads. The next call tries again.
            self._session = None
            raise
        return session

    def _session_confirmed(self, session: Session) -> None:
        if self._sessions is not None:
            self._sessions.began()
        # It may be confirmed before it is known here as the current one.
        if session not in self._left:
            self._by_itself_until = self._refused_s = 0.0
            self._tries_behind = False
            self._at.answers()

    def _session_left(self, session: Session) -> None:
        if session in self._left:
            # Each refused call says so. The resume token is that of a later session by then.
            return
        self._at.broken_off = True
        self._left.add(session)
        if self._session is session:
            self._session = None
            self._at.leaves()
        # Its leases stay with it until it ends.
        self._at.resume_token = ""

    def _session_refused(self, session: Session, sending: Sending) -> None:
        self._session_left(session)
        self._at.link.send_by_itself([sending], self._at)

    def _session_ended(
        self, session: Session, pending: list[Sending], error: ServiceError, confirmed: bool, for_good: bool
    ) -> None:
        self._at.broken_off = True
        self._left.discard(session)
        if self._session is session:
            self._keep_token()
            self._session = None
            if confirmed:
                self._at.leaves()
        if confirmed:
            for sending in pending:
                sending.fail(error)
        else:
            # Something on the way breaks streams, or the service does not accept sessions here.
            self._by_itself_until = monotonic() + self._pause_after(error, for_good)
            self._at.fails()
            if for_good:
                self._at.link.send_by_itself(pending, self._at)
            else:
                self._at.link.send_elsewhere(pending, self._at)
        self._close_if_over()

    def _pause_after(self, error: ServiceError, for_good: bool) -> float:
        if not for_good:
            return _LATE_S
        # A service without sessions will not have any soon.
        longest = error.code == "UNIMPLEMENTED"
        self._refused_s = _REFUSED_S_MAX if longest else min(max(_REFUSED_S_MIN, 2 * self._refused_s), _REFUSED_S_MAX)
        return self._refused_s

    def _forget(self, session: Session) -> None:
        """It accepts no more calls, which it may not have reported yet."""
        if self._session is session:
            self._keep_token()
            self._session = None

    def _keep_token(self) -> None:
        if self._session is not None and self._session.resume_token != "":
            self._at.resume_token = self._session.resume_token

    def _send_by_itself(self, sending: Sending) -> None:
        call, future = sending.call, sending.future
        if sending.answered is not None:
            self._stream_by_itself(sending)
            return
        sent = getattr(self._stub, call.method).future(call.request, **_terms_of(sending))
        self._sent.add(sent)

        def answered(reply: Any) -> None:
            try:
                response = reply.result()
            except grpc.FutureCancelledError:
                if self._aborted and not future.cancelled():
                    self._interrupted.append(sending)
                else:
                    sending.fail(ServiceError("CANCELLED", "the call was cancelled"))
            except grpc.RpcError as error:
                self._failed(sending, service_error(error))
            else:
                self._works_by_itself()
                if call.method == "GetOrLock":
                    self._answers_by_itself(sending, call.request.key)
                if not sending.succeed(response) and call.method == "GetOrLock" and response.HasField("lease"):
                    self._at.link.give_back(call.request.namespace, call.request.key, response.lease.token)
            finally:
                self._sent.discard(reply)
                self._close_if_over()

        sent.add_done_callback(answered)
        sending.on_cancel(sent.cancel)

    def _works_by_itself(self) -> None:
        """A call by itself was answered. If sessions fail, something on the way breaks them."""
        if monotonic() < self._by_itself_until:
            self._tries_behind = True

    def _answers_by_itself(self, sending: Sending, key: str) -> None:
        """No session reports changes of this answer, and a copy from before may be older."""
        if self._sessions is not None and self._sessions.near is not None:
            self._sessions.near.answered(None, sending.call.request.namespace, key)

    def _failed(self, sending: Sending, error: ServiceError) -> None:
        self._at.broken_off |= error.unreachable or error.code == "UNAUTHENTICATED"
        if error.code == "UNAVAILABLE" and error.unreachable:
            self._at.fails()
            # Each is safe to repeat.
            if self._at.link.sent_elsewhere(sending, self._at):
                return
        sending.fail(error)

    def _stream_by_itself(self, sending: Sending) -> None:
        stream = getattr(self._stub, sending.call.method)(sending.call.request, **_terms_of(sending))
        self._sent.add(stream)

        def read() -> None:
            try:
                for answer in stream:
                    self._works_by_itself()
                    if answer.HasField("response"):
                        self._answers_by_itself(sending, answer.key)
                    sending.answer_one(answer)
            except grpc.RpcError as error:
                if stream.cancelled() and self._aborted and not sending.future.cancelled():
                    self._interrupted.append(sending)
                else:
                    self._failed(sending, service_error(error))
            else:
                sending.succeed(None)
            finally:
                self._sent.discard(stream)
                self._close_if_over()

        threading.Thread(target=read, name="dibs-stream", daemon=True).start()
        sending.on_cancel(stream.cancel)


class _Noting:
    """A channel that notes each call that is made on it."""

    def __init__(self, channel: Any, note: Callable[[Any], None]) -> None:
        self._channel = channel
        self._note = note

    def __getattr__(self, name: str) -> Any:
        """`unary_unary` and the like make a method, and `future` is a way to call one."""
        made = getattr(self._channel, name)
        return (
            _Noting(made, self._note)
            if name == "future"
            else lambda *args, **how: _Noting(made(*args, **how), self._note)
        )

    def __call__(self, *args: Any, **terms: Any) -> Any:
        call = self._channel(*args, **terms)
        self._note(call)
        return call


def _terms_of(sending: Sending) -> dict[str, Any]:
    """The metadata of a unary call, for gRPC."""
    traceparent = sending.call.traceparent
    metadata = () if traceparent == "" else (("traceparent", traceparent),)
    return {"timeout": max(0.001, sending.until - monotonic()), "metadata": metadata}


def _is_large(call: Call) -> bool:
    """A call that is too large for the service would end the session, and everything open on it."""
    return call.method == "Publish" and call.request.ByteSize() > _ON_SESSION_BYTES_MAX
