"""The addresses of a client's target, and which of them a call goes to."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Collection
from time import monotonic
from typing import Any

from dibs.addresses import Address, Name, listed, numeric, some_of
from dibs.connection import Connection
from dibs.endpoint import Endpoint
from dibs.key_share import hash_of, rank_of
from dibs.sending import Sending

#: How often a name is looked up again. Sooner if an address has failed.
_LOOK_UP_S = 30.0
_LOOK_UP_SOON_S = 1.0


class Endpoints:
    """The addresses of a target, each with its own session. All calls of a key go to the same one.

    If there are several, a thread opens their sessions in the background, and opens them again. Calls go to open ones.
    gRPC handles a name with one address, and every other target. Call everything with the link's gate held, unless it
    says otherwise.
    """

    def __init__(
        self, connection: Connection, make: Callable[[Address], Endpoint], gate: Any, *, sessions: bool
    ) -> None:
        self._make = make
        self._gate = gate
        self._connect_s = connection.connect_ms / 1_000
        self._name = Name.of(connection.target)
        self.all = tuple(make(address) for address in listed(connection.target))
        #: The target as gRPC sees it. It gets calls while no other endpoint does.
        self._whole = None if self._name is None else self.all[0]
        #: Addresses that a name no longer has. Their calls end, and they get no new ones.
        self._gone: list[Endpoint] = []
        #: Calls from before the name was looked up; None afterwards.
        self.waiting: list[Sending] | None = None if self._name is None else []
        self._looks_up_at = 0.0
        self._keeper: threading.Thread | None = None
        self._wake = threading.Event()
        self._over = False
        self._with_sessions = sessions
        self._key_affinity = connection.key_affinity
        self._salt = self._make_salt()

    def _make_salt(self) -> int:
        """Random, unless processes must agree, so that all replicas share a key that all processes want."""
        return 0 if self._key_affinity else random.getrandbits(32)

    @property
    def are_several(self) -> bool:
        return len(self.all) > 1

    def of(self, sending: Sending) -> Endpoint:
        """Where the call goes: among those that answer, else among those that may.

        The one with the highest rank has the key, so one that comes or goes moves no keys of the others.
        """
        return self._highest(_key_of(sending), self._likely(sending.tried)) if self.are_several else self.all[0]

    def groups(self, keys: list[str]) -> list[list[str]]:
        """The keys, grouped by where a call for each would go."""
        if not self.are_several:
            return [keys]
        likely, groups = self._likely(()), dict[Endpoint, list[str]]()
        for key in keys:
            groups.setdefault(self._highest(key, likely), []).append(key)
        return list(groups.values())

    def _likely(self, tried: Collection[Endpoint]) -> list[Endpoint]:
        others = [one for one in self.all if one not in tried] or list(self.all)
        if self._whole is not None and len(others) > 1:
            others = [one for one in others if one is not self._whole]
        now = monotonic()
        return [one for one in others if one.is_ready] or [one for one in others if one.down_until <= now] or others

    def _highest(self, key: str, likely: list[Endpoint]) -> Endpoint:
        its = hash_of(key) ^ self._salt
        return max(likely, key=lambda one: rank_of(its, one.seed))

    def for_user(self) -> Endpoint:
        """For the user's own calls."""
        return next((one for one in self.all if one.is_ready), self.all[0])

    def knows_another(self, sending: Sending) -> bool:
        """Whether there is an address that the call has not tried."""
        return self.are_several and any(one not in sending.tried for one in self.all)

    def keep(self) -> None:
        """From the first call on, there is a session with each."""
        if self._keeper is None and not self._over and (self.are_several or self._name is not None):
            keeper = threading.Thread(target=self._keep, name="dibs-endpoints", daemon=True)
            keeper.start()
            # Only now: the process may be out of threads, and then the next call tries again.
            self._keeper = keeper

    def look(self) -> None:
        """Something has changed. May be called without the gate."""
        self._wake.set()

    def close(self) -> None:
        self._over = True
        self._wake.set()

    def take_all(self) -> list[Any]:
        """All channels, to end them."""
        return [channel for one in [*self.all, *self._gone] for channel in one.take_all()]

    def take_waiting(self) -> list[Sending]:
        waiting = self.waiting or []
        self.waiting = None if self.waiting is None else []
        return waiting

    def after_fork_in_child(self, gate: Any) -> None:
        self._gate, self._wake, self._keeper, self._gone = gate, threading.Event(), None, []
        self._salt = self._make_salt()

    def _keep(self) -> None:
        pause = 0.0
        while True:
            self._wake.wait(pause)
            self._wake.clear()
            with self._gate:
                if self._over:
                    return
                due = self._name is not None and monotonic() >= self._looks_up_at
            if due:
                self._look_up()
            if self._key_affinity:
                self._look_up_list()
            pause = self._open()

    def _look_up(self) -> None:
        assert self._name is not None
        within = self._connect_s
        if self.waiting is not None:
            with self._gate:
                ends = [sending.until - monotonic() for sending in self.waiting or ()]
            within = max(0.0, min([within, *ends]))
        found = self._name.resolved(within)
        with self._gate:
            self._looks_up_at = monotonic() + _LOOK_UP_S
            if len(found) > 1 or self.are_several:
                self._replace(found)
            waiting, self.waiting = self.waiting or (), None
        for sending in waiting:
            self.all[0].link.send(sending)

    def _look_up_list(self) -> None:
        """Other processes may know the same replicas by other names, and the address of a name may change."""
        for one in self.all:
            name = Name.in_list(one.address.target)
            if one.may_have_moved and one is not self._whole and name is not None:
                one.may_have_moved = False
                # gRPC begins with the first one too.
                for found in name.resolved(self._connect_s)[:1]:
                    one.seed = hash_of(numeric(found.target) or found.target)

    def _replace(self, found: list[Address]) -> None:
        """A name that cannot be resolved now keeps its old addresses."""
        assert self._whole is not None
        if not found:
            return
        by_address = {one.address: one for one in [*self.all[1:], *self._gone]}
        chosen = some_of(found, [one.address for one in self.all[1:]])
        self._gone = [one for address, one in by_address.items() if address not in chosen and one.open is not None]
        made = (by_address.get(address) or self._make(address) for address in chosen)
        self.all = (self._whole, *made)

    def _open(self) -> float:
        """Opens missing sessions. Returns how long there is nothing to do then."""
        with self._gate:
            if not self.are_several or self._over:
                return max(0.0, self._looks_up_at - monotonic())
            wanted = [one for one in self.all if not one.is_ready and one is not self._whole and self._with_sessions]
            now = monotonic()
            for one in wanted:
                if one.down_until <= now:
                    # It reports a failure itself. Until then it is not opened again.
                    one.down_until = now + 2 * self._connect_s + 1
                    try:
                        one.channel().open()
                    except Exception:
                        # Such as a token that cannot be read now, which each call reports. The next attempt comes.
                        one.fails()
            if self._name is not None and wanted:
                self._looks_up_at = min(self._looks_up_at, now + _LOOK_UP_SOON_S)
            until = [one.down_until for one in wanted] + ([] if self._name is None else [self._looks_up_at])
            return max(0.0, min(until, default=now + 3_600) - now)


def _key_of(sending: Sending) -> str:
    request = sending.call.request
    if sending.call.method == "GetOrLockMany":
        return request.keys[0]  # type: ignore[no-any-return]
    return "" if sending.call.method == "Invalidate" else request.key
