"""All calls of a client on one stream. Calls that gather while a message is sent leave with the next one."""

from __future__ import annotations

import itertools
import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from queue import SimpleQueue
from time import monotonic
from typing import Any

import grpc

from dibs.errors import ServiceError
from dibs.near_cache import LIVE_S, Asked, NearValues, Watch
from dibs.sending import Sending, error_of, service_error
from dibs.v1 import coordinator_pb2 as pb

_LOG = logging.getLogger("dibs")
#: The contract's bound for a message, unless it carries a single call.
_MESSAGE_BYTES_MAX = 1_000_000
#: Leases may still come for this many cancelled calls. Further ones expire by themselves.
_CANCELLED_MAX = 1_000
#: How often to check whether the session is confirmed. Time in which this process did not run does not count as
#: lateness.
_STEP_S = 0.1
_UNAUTHENTICATED = grpc.StatusCode.UNAUTHENTICATED.value[0]
_FIELDS = {
    "GetOrLock": "get_or_lock",
    "Publish": "publish",
    "Release": "release",
    "Extend": "extend",
    "Invalidate": "invalidate",
    "Explain": "explain",
    "GetOrLockMany": "get_or_lock_many",
}
#: With these, a stream will be refused again. Any other end is a broken connection.
_FOR_GOOD = ("INVALID_ARGUMENT", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "UNAUTHENTICATED", "UNIMPLEMENTED")


@dataclass(frozen=True, slots=True)
class _Open:
    """An open call."""

    sending: Sending
    #: None if its answer is not kept.
    asked: Asked | None


@dataclass(frozen=True)
class SessionEvents:
    """What a session reports to its link. Called in the session's own threads."""

    lease_lost: Callable[[pb.LeaseLost], None]
    #: Something has changed in a namespace that it watches.
    changed: Callable[[pb.Invalidated], None]
    #: It has ended, with these open calls; whether it was confirmed before, and whether it would be refused again.
    ended: Callable[[Session, list[Sending], ServiceError, bool, bool], None]
    #: The service has welcomed it.
    confirmed: Callable[[Session], None]
    #: New calls go elsewhere.
    leaving: Callable[[Session], None]
    #: The token of the stream is no longer valid. The call may be sent with the current one.
    refused: Callable[[Session, Sending], None]
    #: A lease came for a call whose caller had left.
    give_back: Callable[[str, str, str], None]


class Session:
    """One stream, from `start` on. Any thread may use it. It has two threads, one to read and one for deadlines."""

    def __init__(
        self, stub: Any, hello: pb.SessionHello, connect_s: float, events: SessionEvents, near: NearValues | None = None
    ) -> None:
        self._near = near
        self._watch = Watch()
        self._began_at = monotonic()
        #: The next session can take over the leases of this one with it.
        self.resume_token = ""
        self._events = events
        self._ids = itertools.count(1)
        # Reentrant, because giving up a call may cancel its future, whose callback comes back here.
        self._changed = threading.Condition(threading.RLock())
        self._pending: dict[int, _Open] = {}
        self._cancelled: OrderedDict[int, Sending] = OrderedDict()
        self._queue: SimpleQueue[pb.SessionCall | int | None] = SimpleQueue()
        self._confirmed = False
        self._leaving = False
        self._over = False
        #: Whether the calls that are open at the end belong to the one that ended it.
        self._aborted = False
        self._look_at = 0.0
        self._stream: Any = stub.Session(self._requests(hello))
        self._threads = [
            threading.Thread(target=self._read, name="dibs-session", daemon=True),
            threading.Thread(target=self._keep_deadlines, args=(connect_s,), name="dibs-deadlines", daemon=True),
        ]

    def start(self) -> None:
        """From here on it reports events, perhaps its end at once. So its owner must know it by then."""
        for thread in self._threads:
            thread.start()

    @property
    def is_open(self) -> bool:
        """The service has welcomed it, and it accepts calls."""
        return self._confirmed and not self._leaving and not self._over

    def send(self, sending: Sending) -> bool:
        """False if this session accepts no more calls."""
        call = sending.call
        message = pb.SessionCall(
            deadline_ms=max(1, int((sending.until - monotonic()) * 1_000)), traceparent=call.traceparent
        )
        getattr(message, _FIELDS[call.method]).CopyFrom(call.request)
        with self._changed:
            if self._over or self._leaving:
                return False
            message.id = next(self._ids)
            self._pending[message.id] = _Open(sending, None if self._near is None else self._near.ask())
            self._queue.put(message)
            if sending.until < self._look_at:
                self._changed.notify_all()
        sending.on_cancel(lambda: self._left(message.id))
        return True

    def leave(self) -> None:
        """Ends the stream once its calls have ended."""
        with self._changed:
            self._leaving = True
            self._end_if_left()
        self._unwatch()

    def abort(self, within: float) -> list[Sending]:
        """Ends the stream and its threads at once, and returns the open calls."""
        with self._changed:
            self._aborted = True
            pending = self._stop()
        self._stream.cancel()
        give_up_at = monotonic() + within
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(max(0.0, give_up_at - monotonic()))
        return pending

    def _requests(self, hello: pb.SessionHello) -> Iterator[pb.SessionRequest]:
        yield pb.SessionRequest(hello=hello)
        carried: pb.SessionCall | int | None = None
        ended = False
        while not ended:
            item = carried or self._queue.get()
            carried, message, size = None, pb.SessionRequest(), 0
            while item is not None:
                size += 0 if isinstance(item, int) else item.ByteSize()
                if message.calls and size > _MESSAGE_BYTES_MAX:
                    carried = item
                    break
                if isinstance(item, int):
                    message.cancelled_ids.append(item)
                else:
                    message.calls.append(item)
                if self._queue.empty():
                    break
                item = self._queue.get()
            ended = item is None
            if message.calls or message.cancelled_ids:
                yield message

    def _read(self) -> None:
        try:
            for message in self._stream:
                self._heard(message)
        except grpc.RpcError as error:
            self._ended(_end_of(service_error(error)))
        except Exception as error:
            # Such as an error of the user's metrics. Without a reader, no call would get its answer.
            _LOG.warning("the session ends, because it could not process a message: %r", error)
            self._ended(ServiceError("UNAVAILABLE", "the session could not process a message"))
            self._stream.cancel()
        else:
            self._ended(ServiceError("UNAVAILABLE", "the session was closed"))

    def _heard(self, message: pb.SessionResponse) -> None:
        if message.HasField("welcome"):
            self._hear(since=self._began_at)
            if self._near is not None:
                self._near.began()
            with self._changed:
                self._confirmed = True
                self.resume_token = message.welcome.resume_token
                self._changed.notify_all()
            self._events.confirmed(self)
        for reply in message.replies:
            self._replied(reply)
        for event in message.events:
            kind = event.WhichOneof("event")
            if kind == "lease_lost":
                self._events.lease_lost(event.lease_lost)
            elif kind == "invalidated" and self._near is not None:
                its = event.invalidated
                self._near.changed(its.namespace, its.keys, its.tags, its.all)
                self._events.changed(its)
            elif kind == "beat":
                self._hear(since=self._watch.heard_at)
            elif kind == "draining":
                self.leave()
                self._events.leaving(self)

    def _hear(self, since: float) -> None:
        """The welcome or a beat has come. The session was begun, or the last beat came, at `since`."""
        now = monotonic()
        # If it was due long ago, this process was held up. Changes that were sent before it may be read after it.
        if self._near is not None and now - since >= LIVE_S and not self._watch.ended:
            # What has come so far keeps the old watch, which stays too old.
            self._watch = Watch()
            self._near.missed()
        self._watch.heard_at = now

    def _unwatch(self) -> None:
        """It reports no more changes. Before its welcome no copy depends on it, so a failed attempt drops none."""
        if self._near is not None and not self._watch.ended:
            self._watch.ended = True
            if self._confirmed:
                self._near.missed()

    def _replied(self, reply: pb.SessionReply) -> None:
        with self._changed:
            if reply.more:
                # More answers come to a call for many keys.
                its, left = self._pending.get(reply.id), self._cancelled.get(reply.id)
            else:
                # By its own method, because `dict.pop` would leave the order of an OrderedDict broken.
                its, left = self._pending.pop(reply.id, None), self._cancelled.pop(reply.id, None)
            self._end_if_left()
        kind = reply.WhichOneof("response")
        sending = None if its is None else its.sending
        if sending is not None and kind == "error":
            if reply.error.code == _UNAUTHENTICATED:
                self.leave()
                self._events.refused(self, sending)
                return
            sending.fail(error_of(reply.error))
            return
        response = None if kind is None else getattr(reply, kind)
        if its is not None and sending is not None:
            if kind != _FIELDS[sending.call.method]:
                sending.fail(ServiceError("INTERNAL", "the reply is of another kind than the call"))
                return
            # Here, between the events that came before and those to come.
            self._fill(its, response)
            if sending.answered is not None:
                sending.answer_one(response)
                if not reply.more:
                    sending.succeed(None)
                return
            # False: its caller has just left.
            if sending.succeed(response):
                return
            left = sending
        if left is not None and response is not None:
            self._give_back(left, response)

    def _fill(self, its: _Open, response: Any) -> None:
        if self._near is None or its.asked is None:
            return
        request = its.sending.call.request
        if isinstance(response, pb.GetOrLockManyResponse):
            key, response = response.key, response.response
        elif isinstance(response, pb.GetOrLockResponse):
            key = request.key
        else:
            return
        self._near.answered(self._watch, request.namespace, key)
        self._near.fill(its.asked, self._watch, request.namespace, key, response.hit)

    def _give_back(self, left: Sending, response: Any) -> None:
        """The lease that has come for a call whose caller had left, if it is one."""
        request = left.call.request
        if isinstance(response, pb.GetOrLockManyResponse) and response.response.HasField("lease"):
            self._events.give_back(request.namespace, response.key, response.response.lease.token)
        if isinstance(response, pb.GetOrLockResponse) and response.HasField("lease"):
            self._events.give_back(request.namespace, request.key, response.lease.token)

    def _left(self, id_: int) -> None:
        """No caller waits for it any more. Tells the service."""
        with self._changed:
            its = self._pending.pop(id_, None)
            if its is None:
                return
            self._given_up(id_, its.sending)
            self._end_if_left()

    def _given_up(self, id_: int, sending: Sending) -> None:
        """Its lease may still come."""
        self._cancelled[id_] = sending
        if len(self._cancelled) > _CANCELLED_MAX:
            self._cancelled.popitem(last=False)
        self._queue.put(id_)

    def _end_if_left(self) -> None:
        if self._leaving and not self._pending:
            self._queue.put(None)

    def _keep_deadlines(self, connect_s: float) -> None:
        """Until the session is over: ends calls whose time is over, and a session that is not confirmed in time."""
        unconfirmed_s = 0.0
        while True:
            with self._changed:
                if self._over:
                    return
                now = monotonic()
                self._look_at = min((its.sending.until for its in self._pending.values()), default=now + 3_600)
                if not self._confirmed:
                    self._look_at = min(self._look_at, now + _STEP_S)
                self._changed.wait(max(0.0, self._look_at - now))
                late = [(id_, its.sending) for id_, its in self._pending.items() if its.sending.until <= monotonic()]
                for id_, sending in late:
                    del self._pending[id_]
                    self._given_up(id_, sending)
                self._end_if_left()
                unconfirmed_s += 0.0 if self._confirmed else min(monotonic() - now, 2 * _STEP_S)
                give_up = not self._confirmed and unconfirmed_s >= connect_s
            for _, sending in late:
                sending.fail(ServiceError("DEADLINE_EXCEEDED", "no answer came in time"))
            if give_up:
                self._ended(ServiceError("UNAVAILABLE", f"no session within {connect_s:g} s"))
                self._stream.cancel()
                return

    def _ended(self, error: ServiceError) -> None:
        with self._changed:
            if self._aborted or self._over:
                return
            pending = self._stop()
        self._events.ended(self, pending, error, self._confirmed, error.code in _FOR_GOOD)

    def _stop(self) -> list[Sending]:
        self._over = True
        pending, self._pending = [its.sending for its in self._pending.values()], {}
        self._queue.put(None)
        self._changed.notify_all()
        self._unwatch()
        return pending


def _end_of(error: ServiceError) -> ServiceError:
    return error if error.code in _FOR_GOOD else ServiceError("UNAVAILABLE", error.message, error.retry_after)
