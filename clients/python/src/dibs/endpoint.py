"""One address of the service."""

from __future__ import annotations

from dataclasses import replace
from time import monotonic
from typing import TYPE_CHECKING

from dibs.addresses import Address, numeric
from dibs.connection import Connection
from dibs.key_share import hash_of
from dibs.tracing import Tracing
from dibs.used_channel import Sessions, UsedChannel

if TYPE_CHECKING:
    from dibs.link import Link

#: How long until an address that failed is tried again: at once if it restarts, rarely if it is gone.
_AGAIN_MIN_S = 1.0
_AGAIN_MAX_S = 30.0


class Endpoint:
    """One address, with its channel and its session. Connects with its first call."""

    def __init__(
        self, address: Address, connection: Connection, tracing: Tracing, sessions: Sessions | None, link: Link
    ) -> None:
        self.address = address
        self.link = link
        self._connection = replace(connection, target=address.target, name=address.name)
        self._tracing = tracing
        self._sessions = sessions
        self.open: UsedChannel | None = None
        #: Channels that accept no more calls, and still answer theirs.
        self.retired: set[UsedChannel] = set()
        #: A call broke off or was refused, so the next call checks whether the certificates have changed.
        self.broken_off = False
        #: The resume token of the previous session, whose leases the next one takes over.
        self.resume_token = ""
        #: Calls are answered here.
        self.is_ready = False
        self.down_until = 0.0
        self._again_s = 0.0
        #: Its address determines which keys it has. The address of a name is looked up if other processes must agree.
        self.seed = hash_of(numeric(address.target) or address.target)
        #: It has been opened since its name was looked up.
        self.may_have_moved = False

    def channel(self) -> UsedChannel:
        # If nothing is open, the connection may have been made again, or will be.
        if self.open is not None and (self.broken_off or self.open.is_idle()):
            self.broken_off = False
            if self.open.has_other_certificates():
                self.retired.add(self.open)
                self.open.retire()
                self.open = None
        if self.open is None:
            self.open = UsedChannel(self._connection, self._tracing, self._sessions, self)
        return self.open

    def take_all(self) -> list[UsedChannel]:
        """All channels, to end them."""
        channels = [*self.retired, *([] if self.open is None else [self.open])]
        self.retired, self.open = set(), None
        self.is_ready = False
        return channels

    def answers(self) -> None:
        """There is a session."""
        self.is_ready, self.down_until, self._again_s = True, 0.0, 0.0
        self.may_have_moved = True
        self.link.endpoints.look()

    def fails(self) -> None:
        """Nothing answers here now."""
        self.is_ready = False
        self._again_s = min(max(_AGAIN_MIN_S, 2 * self._again_s), _AGAIN_MAX_S)
        self.down_until = monotonic() + self._again_s
        self.link.endpoints.look()

    def leaves(self) -> None:
        """An open session has ended. Another one may be open soon."""
        self.is_ready = False
        self.down_until = monotonic() + _AGAIN_MIN_S
        self.link.endpoints.look()
