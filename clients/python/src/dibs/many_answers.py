"""The first answers of many keys, which are requested together. Driven by an event loop."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from time import monotonic
from typing import Any

from dibs.errors import ServiceError
from dibs.fetch_loop import WAY_S, First, asked_wait_ms
from dibs.loop import Crew
from dibs.options import Terms
from dibs.sending import Sending, error_of
from dibs.steps import Call
from dibs.v1 import coordinator_pb2 as pb

#: The contract's bound for one call.
_KEYS_MAX = 1_000
#: How long keys with an immediate lease wait for keys that the service has not decided.
_LOOK_S_MAX = 1.0
_LOOK_PAUSE_S = 0.020


@dataclass(frozen=True)
class _Busy:
    key: str
    reason: int


class ManyAnswers:
    """Asks for many keys.

    The first request does not wait, so that all available leases come at once and their keys are rebuilt together. Then
    one call waits for the keys that other callers rebuild.
    """

    def __init__(self, crew: Crew, terms: Terms, until: float, traceparent: str) -> None:
        """`terms` are those of any of the keys. `until` is when the wait is over, a time of `time.monotonic()`."""
        self._crew = crew
        self._terms = terms
        self._until = until
        self._traceparent = traceparent
        self._request_id = str(uuid.uuid4())
        self._open: dict[str, Sending] = {}
        #: Keys that will be rebuilt here, because a lease has come. Grows in a thread of the link.
        self.granted: set[str] = set()
        #: Keys that may be rebuilt here without the service.
        self.unanswered: set[str] = set()

    def of(self, key: str) -> First:
        """Call it for each key before `ask`."""
        call = Call("GetOrLock", pb.GetOrLockRequest(namespace=self._terms.namespace, key=key), 0.0)
        sending = self._open[key] = Sending(call, self._until)
        return First(self._request_id, sending.future, monotonic())

    def leave(self) -> None:
        """No caller waits for the answers any more. Leases that still come are given back."""
        for sending in list(self._open.values()):
            sending.future.cancel()

    async def ask(self, first: Callable[[], None]) -> None:
        """Asks for all keys. Calls `first` when it is known which of them are available at once, at least once.

        Calls it also when a replica takes too long to say so, because the leases of the others are held meanwhile.
        """
        pieces, waits = self._pieces(self._open), self._terms.wait_ms != 0
        too_long = asyncio.get_running_loop().call_later(_LOOK_S_MAX + WAY_S, first)
        looks = len(pieces)

        async def look_and_wait(keys: list[str]) -> None:
            nonlocal looks
            held = await self._look(keys)
            looks -= 1
            if looks == 0:
                too_long.cancel()
                first()
            # Not after all looks, because one at a replica that hangs would use up the wait of these.
            await asyncio.gather(*(self._pass(its, look=False) for its in self._pieces(held)))

        try:
            if waits:
                await asyncio.gather(*(look_and_wait(keys) for keys in pieces))
            else:
                await asyncio.gather(*(self._pass(keys, look=False) for keys in pieces))
        finally:
            too_long.cancel()
            # If this was cancelled, no caller waits for an answer that does not come.
            self._fail(list(self._open), ServiceError("CANCELLED", "the caller has left"))
            if not waits:
                first()

    async def _look(self, keys: list[str]) -> list[str]:
        """Asks without a wait, and again while no other caller has the lease of a key.

        A service under load has not decided all of a thousand keys at once. Returns the keys to wait for.
        """
        until, held = min(monotonic() + _LOOK_S_MAX, self._until), []
        while True:
            busy = await self._pass(keys, look=True)
            keys = [its.key for its in busy if its.reason == pb.BUSY_REASON_UNDECIDED]
            held += [its.key for its in busy if its.reason != pb.BUSY_REASON_UNDECIDED]
            if not keys or monotonic() >= until:
                return held + keys
            await asyncio.sleep(_LOOK_PAUSE_S)

    async def _pass(self, keys: Iterable[str], look: bool) -> list[_Busy]:
        """One call, and another one if it breaks off, because another replica may answer.

        Returns the busy keys, which a look does not settle.
        """
        left, busy = dict.fromkeys(keys), list[_Busy]()

        def answered(answer: pb.GetOrLockManyResponse) -> None:
            """In a thread of the link, as the answers come."""
            left.pop(answer.key, None)
            if look and answer.WhichOneof("result") == "response" and answer.response.HasField("busy"):
                busy.append(_Busy(answer.key, answer.response.busy.reason))
            else:
                self._settle(answer)

        may_repeat = True
        while left:
            count = len(left)
            sent = self._crew.link.call_many(self._question(list(left), look), answered)
            try:
                await self._crew.arrival(sent)
            except asyncio.CancelledError:
                sent.cancel()
                raise
            error = sent.exception()
            if error is None:
                self._fail(list(left), ServiceError("INTERNAL", "the service has left out this key"))
                return busy
            broke_off = isinstance(error, ServiceError) and error.unreachable and error.code == "UNAVAILABLE"
            if not broke_off or not (may_repeat or len(left) < count):
                self._fail(list(left), error)
                return busy
            may_repeat = len(left) < count
        return busy

    def _question(self, keys: list[str], look: bool) -> Call:
        terms, left = self._terms, max(0.0, self._until - monotonic())
        request = pb.GetOrLockManyRequest(
            namespace=terms.namespace,
            keys=keys,
            wait_ms=0 if look else asked_wait_ms(left, in_pieces=terms.wait_ms is None),
            lease_ms=terms.lease_ms,
            stale=terms.stale,
            read=terms.read,
            request_id=self._request_id,
            holder=terms.holder,
            intent=pb.INTENT_REFRESH if terms.refresh else pb.INTENT_REBUILD,
        )
        return Call("GetOrLockMany", request, left + WAY_S, self._traceparent)

    def _settle(self, answer: pb.GetOrLockManyResponse) -> None:
        sending = self._open.pop(answer.key, None)
        is_lease = answer.WhichOneof("result") == "response" and answer.response.HasField("lease")
        if sending is None:
            # Its caller left while the answer was on its way through a thread. Each key has only one answer.
            if is_lease:
                self._crew.link.give_back(self._terms.namespace, answer.key, answer.response.lease.token)
            return
        if answer.WhichOneof("result") == "error":
            sending.fail(error_of(answer.error))
            return
        if is_lease:
            self.granted.add(answer.key)
        # Its caller may have just left.
        if not sending.succeed(answer.response) and is_lease:
            request = sending.call.request
            self._crew.link.give_back(request.namespace, request.key, answer.response.lease.token)

    def _fail(self, keys: list[str], error: Any) -> None:
        for key in keys:
            sending = self._open.pop(key, None)
            if sending is not None:
                self.unanswered.add(key)
                sending.fail(error)

    def _pieces(self, keys: Iterable[str]) -> list[list[str]]:
        groups = self._crew.link.groups(list(keys))
        return [group[at : at + _KEYS_MAX] for group in groups for at in range(0, len(group), _KEYS_MAX)]
