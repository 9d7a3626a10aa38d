"""Takes clients through a fork, because gRPC's threads and sockets do not survive one."""

from __future__ import annotations

import os
from typing import Protocol
from weakref import WeakSet


class Forked(Protocol):
    """Notified of a fork."""

    def _before_fork(self) -> None: ...
    def _after_fork_in_parent(self) -> None: ...
    def _after_fork_in_child(self) -> None: ...


_CLIENTS: WeakSet[Forked] = WeakSet()
#: Those that were notified before the current fork.
_told: list[Forked] = []


def survive_forks(client: Forked) -> None:
    """From now on the client is notified of each fork of this process."""
    _CLIENTS.add(client)


def _before() -> None:
    for client in list(_CLIENTS):
        client._before_fork()
        _told.append(client)


def _after_in_parent() -> None:
    while _told:
        _told.pop()._after_fork_in_parent()


def _after_in_child() -> None:
    while _told:
        _told.pop()._after_fork_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child)
