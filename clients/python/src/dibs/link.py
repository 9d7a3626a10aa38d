"""How the calls of a client travel: on a session or one by one, to one address or several."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from time import monotonic, sleep
from typing import Any

import grpc

from dibs.addresses import Address
from dibs.channel import stub_on
from dibs.connection import Connection
from dibs.endpoint import Endpoint
from dibs.endpoints import Endpoints
from dibs.errors import ServiceError
from dibs.loop_stub import LoopChannel
from dibs.sending import Sending
from dibs.steps import Call
from dibs.tracing import Tracing
from dibs.used_channel import Sessions, UsedChannel
from dibs.v1 import coordinator_pb2 as pb

#: How long gRPC's own threads may hold locks after a channel is closed. It does not report when they are done, and a
#: child that is forked before that hangs in its first channel.
_SETTLES_S = 0.05


class Link:
    """How the calls of one client travel, from any thread and any loop. Connects with the first call.

    They travel on a session, or one by one if there can be none. It is closed before a fork, so that neither process
    has threads or sockets of the other. Both connect again.
    """

    def __init__(self, connection: Connection, tracing: Tracing, sessions: Sessions | None) -> None:
        self._connection = connection
        self._tracing = tracing
        #: The client accepts no more calls from its user. Calls under way may still need some.
        self.closed = False
        self._over = False
        #: Calls that a fork has interrupted, which continue in the parent.
        self._interrupted: list[Sending] = []
        # Held around everything that may start a call, and from before a fork until after it.
        self._gate = threading.RLock()

        def endpoint_at(address: Address) -> Endpoint:
            return Endpoint(address, connection, tracing, sessions, self)

        self.endpoints = Endpoints(connection, endpoint_at, self._gate, sessions=sessions is not None)

    @property
    def stub(self) -> Any:
        """For the user, whose calls belong to the current trace."""
        return self._channel().stub

    @property
    def loop_stub(self) -> Any:
        """The same for an event loop. Its calls are awaited."""
        channel = LoopChannel(lambda: self._channel().for_user)
        return stub_on(channel, self._connection, self._tracing)

    def call(self, call: Call) -> Future[Any]:
        """Sends a call. Its future fails with a ServiceError; cancelling it cancels the call."""
        sending = Sending(call, monotonic() + call.timeout)
        self.send(sending)
        return sending.future

    def call_many(self, call: Call, answered: Callable[[Any], None]) -> Future[Any]:
        """Sends a GetOrLockMany. Calls `answered` with each answer, in a thread of the link. The future ends last."""
        sending = Sending(call, monotonic() + call.timeout, answered=answered)
        self.send(sending)
        return sending.future

    def groups(self, keys: list[str]) -> list[list[str]]:
        """The keys, grouped by the replica where the callers of each meet. Each group is a call of its own."""
        with self._gate:
            return self.endpoints.groups(keys)

    def ready(self, within: float) -> None:
        """Waits for the connection. Raises ServiceError if that takes longer."""
        with self._gate:
            self._check()
            channels = [one.channel().channel for one in self.endpoints.all]
        one_stands = threading.Event()
        futures = [grpc.channel_ready_future(channel) for channel in channels]
        for future in futures:
            future.add_done_callback(lambda _: one_stands.set())
        stands = one_stands.wait(within)
        for future in futures:
            future.cancel()
        if not stands:
            raise ServiceError("UNAVAILABLE", f"no connection to {self._connection.target} within {within:g} s")

    def refuse(self) -> None:
        """From now on the user's calls are refused, in every loop and thread."""
        self.closed = True

    def close(self) -> None:
        self.closed = True
        with self._gate:
            self._over = True
            self.endpoints.close()
            waiting, channels = self.endpoints.take_waiting(), self.endpoints.take_all()
        for sendings in (waiting, *(channel.abort() for channel in channels)):
            for sending in sendings:
                sending.fail(ServiceError("CANCELLED", "this client is closed"))

    def before_fork(self) -> None:
        self._gate.acquire()
        self._interrupted += self.endpoints.take_waiting()
        channels = self.endpoints.take_all()
        for channel in channels:
            self._interrupted += channel.abort()
        if channels:
            sleep(_SETTLES_S)

    def after_fork_in_parent(self) -> None:
        interrupted, self._interrupted = self._interrupted, []
        self._gate.release()
        # Each is safe to repeat, and their callers need not know.
        for sending in interrupted:
            if not sending.future.cancelled():
                self.send(sending)

    def after_fork_in_child(self) -> None:
        # The callers are threads of the parent, and its leases belong to the parent.
        self._interrupted = []
        self._gate = threading.RLock()
        self.endpoints.after_fork_in_child(self._gate)

    def send(self, sending: Sending, at: Endpoint | None = None) -> None:
        """On a session, or as a unary call at the endpoint `at`. If sent again, only for keys without an answer."""
        rest = sending.rest()
        if rest is None:
            sending.succeed(None)
            return
        sending = rest
        try:
            with self._gate:
                self._check()
                self.endpoints.keep()
                if self.endpoints.waiting is not None:
                    self.endpoints.waiting.append(sending)
                elif at is None:
                    self.endpoints.of(sending).channel().send(sending, by_itself=False)
                else:
                    at.channel().send(sending, by_itself=True)
        except ServiceError as error:
            sending.fail(error)
        except ValueError as error:
            # gRPC's error for a closed channel, and for metadata that cannot be sent.
            sending.fail(ServiceError("CANCELLED", str(error)))
        except Exception as error:
            # Such as a thread that cannot be started. Without an answer, its caller would wait forever.
            sending.fail(ServiceError("UNAVAILABLE", f"the call could not be sent: {error!r}"))

    def send_by_itself(self, sendings: list[Sending], at: Endpoint) -> None:
        """Calls of a session that was refused."""
        for sending in sendings:
            if not sending.future.cancelled():
                self.send(sending, at)

    def send_elsewhere(self, sendings: list[Sending], before: Endpoint) -> None:
        """Calls of a session that failed: something on the way breaks it, or nothing answers there."""
        for sending in sendings:
            if not self.sent_elsewhere(sending, before) and not sending.future.cancelled():
                self.send(sending, before)

    def sent_elsewhere(self, sending: Sending, before: Endpoint) -> bool:
        """Whether a call that got no answer there goes to another address."""
        sending.tried.add(before)
        if sending.future.cancelled() or not self.endpoints.knows_another(sending):
            return False
        self.send(sending)
        return True

    def _channel(self) -> UsedChannel:
        with self._gate:
            self._check()
            return self.endpoints.for_user().channel()

    def _check(self) -> None:
        if self._over:
            raise ServiceError("CANCELLED", "this client is closed")

    def give_back(self, namespace: str, key: str, token: str) -> None:
        """A lease that came for a caller that had just left."""
        release = Call("Release", pb.ReleaseRequest(namespace=namespace, key=key, token=token), 5.0)
        # Not in a thread that a fork waits for.
        threading.Thread(target=self.call, args=(release,), daemon=True).start()
