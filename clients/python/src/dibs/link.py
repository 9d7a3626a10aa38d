"""How the calls of a client travel: on a session, or one by one, over one channel."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from time import monotonic
from typing import Any

import grpc

from dibs.channel import stub_on
from dibs.connection import Connection
from dibs.errors import ServiceError
from dibs.loop_stub import LoopChannel
from dibs.sending import Sending
from dibs.steps import Call
from dibs.tracing import Tracing
from dibs.used_channel import Sessions, UsedChannel
from dibs.v1 import coordinator_pb2 as pb


class Link:
    """How the calls of one client travel, from any thread and any loop. Connects with the first call.

    They travel on a session, and one by one where that cannot be had. A fork closes it before, so that neither process
    has threads or sockets of the other; both connect again.
    """

    def __init__(self, connection: Connection, tracing: Tracing, sessions: Sessions | None) -> None:
        self._connection = connection
        self._tracing = tracing
        self._sessions = sessions
        self._open: UsedChannel | None = None
        #: Those that take no more calls, and still answer theirs.
        self.retired: set[UsedChannel] = set()
        #: Something broke off, or was refused: the next call looks whether the certificates have changed.
        self.broken_off = False
        #: The client takes no more calls from its user; those under way may still need some.
        self.closed = False
        self._over = False
        #: Of the session before, whose leases the next one takes up.
        self.resume_token = ""
        #: Calls that a fork has interrupted, which go on in the parent.
        self._interrupted: list[Sending] = []
        # Held around everything that may start a call, and from before a fork until after it.
        self._gate = threading.RLock()

    @property
    def stub(self) -> Any:
        """For the user, whose calls are part of the trace that is current."""
        return self._channel().stub

    @property
    def loop_stub(self) -> Any:
        """The same for an event loop, whose calls are awaited."""
        channel = LoopChannel(lambda: self._channel().for_user)
        return stub_on(channel, self._connection, self._tracing)

    def call(self, call: Call) -> Future[Any]:
        """Sends a call. Its future fails with a ServiceError; cancelling it cancels the call."""
        sending = Sending(call, monotonic() + call.timeout)
        self._send(sending)
        return sending.future

    def call_many(self, call: Call, answered: Callable[[Any], None]) -> Future[Any]:
        """Sends a GetOrLockMany. `answered` is told each answer, in a thread of the link. The future ends with them."""
        sending = Sending(call, monotonic() + call.timeout, answered=answered)
        self._send(sending)
        return sending.future

    def ready(self, within: float) -> None:
        """Waits until the connection stands. Raises ServiceError where that takes longer."""
        try:
            grpc.channel_ready_future(self._channel().channel).result(timeout=within)
        except grpc.FutureTimeoutError:
            message = f"no connection to {self._connection.target} within {within:g} s"
            raise ServiceError("UNAVAILABLE", message) from None

    def refuse(self) -> None:
        """From now on the user's calls are refused, in every loop and thread."""
        self.closed = True

    def close(self) -> None:
        self.closed = True
        with self._gate:
            self._over = True
            channels = self._take_all()
        for channel in channels:
            for sending in channel.abort():
                sending.fail(ServiceError("CANCELLED", "this client is closed"))

    def before_fork(self) -> None:
        self._gate.acquire()
        for channel in self._take_all():
            self._interrupted += channel.abort()

    def after_fork_in_parent(self) -> None:
        interrupted, self._interrupted = self._interrupted, []
        self._gate.release()
        # Each is safe to repeat, and none of their callers need know.
        for sending in interrupted:
            if not sending.future.cancelled():
                self._send(sending)

    def after_fork_in_child(self) -> None:
        # The callers are threads of the parent, and its leases are the parent's.
        self._interrupted, self.resume_token = [], ""
        self._gate = threading.RLock()

    def _send(self, sending: Sending, by_itself: bool = False) -> None:
        try:
            with self._gate:
                self._channel().send(sending, by_itself)
        except ServiceError as error:
            sending.fail(error)
        except ValueError as error:
            # gRPC's word for a channel that is closed, and for metadata that cannot be sent.
            sending.fail(ServiceError("CANCELLED", str(error)))

    def _channel(self) -> UsedChannel:
        with self._gate:
            # Where nothing is open, the connection may have been made anew, or will be.
            if self._open is not None and (self.broken_off or self._open.is_idle()):
                self.broken_off = False
                if self._open.has_other_certificates():
                    self.retired.add(self._open)
                    self._open.retire()
                    self._open = None
            if self._open is None:
                if self._over:
                    raise ServiceError("CANCELLED", "this client is closed")
                self._open = UsedChannel(self._connection, self._tracing, self._sessions, self)
            return self._open

    def _take_all(self) -> list[UsedChannel]:
        channels = [*self.retired, *([] if self._open is None else [self._open])]
        self.retired, self._open = set(), None
        return channels

    def give_back(self, namespace: str, key: str, token: str) -> None:
        """A lease that came for a caller that had just left."""
        release = Call("Release", pb.ReleaseRequest(namespace=namespace, key=key, token=token), 5.0)
        # Not in a thread that a fork waits for.
        threading.Thread(target=self.call, args=(release,), daemon=True).start()

    def send_by_itself(self, sendings: list[Sending]) -> None:
        """Calls of a session that could not be had."""
        for sending in sendings:
            if not sending.future.cancelled():
                self._send(sending, by_itself=True)
