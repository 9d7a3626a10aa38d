"""What a client tells of what happens, for a user's own metrics."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any


class Hooks:
    """Override what you want to hear. What a hook raises is ignored. A hook must not block: the call waits for it."""

    def hit(self, namespace: str, key: str, freshness: str) -> None:
        """A value was there, `fresh` or `stale`."""

    def wait(self, namespace: str, key: str, waited: float, answered: bool) -> None:
        """Somebody else's rebuild was waited for, for so many seconds, with or without an answer in the end."""

    def publish(self, namespace: str, key: str, outcome: str, fence: int) -> None:
        """What became of a result that was handed over; `stored` is the rule."""

    def lease_lost(self, namespace: str, key: str) -> None:
        """The lease of a rebuild was lost while it ran."""

    def local_rebuild(self, namespace: str, key: str, cause: Exception) -> None:
        """The service could not be reached, so that this process rebuilds for itself."""

    def background_error(self, namespace: str, key: str, error: Exception) -> None:
        """A result could not be handed over, or a rebuild behind a stale value failed: no caller was told."""


def tell(hook: Callable[..., None], *event: Any) -> None:
    """Calls a hook so that its fault is nobody else's."""
    # A user's counter that fails must not fail the user's request.
    with contextlib.suppress(Exception):
        hook(*event)
