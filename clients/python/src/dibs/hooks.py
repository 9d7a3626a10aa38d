"""What a client tells of what happens, for a user's own metrics."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any


class Hooks:
    """Override what you want to hear. What a hook raises is ignored. A hook must not block: the call waits for it."""

    def hit(self, namespace: str, key: str, freshness: str) -> None:
        """A value was there, `fresh` or `stale`."""

    def near_hit(self, namespace: str, key: str) -> None:
        """A fresh value was in this process's memory. Counts as a `hit`, unless you override it."""
        self.hit(namespace, key, "fresh")

    def wait(self, namespace: str, key: str, waited: float, answered: bool) -> None:
        """The call waited so many seconds for another caller's rebuild, and got an answer from it or not."""

    def publish(
        self, namespace: str, key: str, outcome: str, fence: int, *, counts: bool | None, maybe_stored: bool
    ) -> None:
        """What became of a result that was published, such as `stored`.

        counts: False where it was stored, but an invalidation has come meanwhile. None: the service does not say.
        maybe_stored: with `not_stored`, the store was asked and its reply did not come.
        """

    def lease_lost(self, namespace: str, key: str) -> None:
        """The lease of a rebuild was lost while it ran."""

    def local_rebuild(self, namespace: str, key: str, cause: Exception) -> None:
        """The service could not be reached, so that this process rebuilds for itself."""

    def undecodable(self, namespace: str, key: str, error: Exception) -> None:
        """The codec could not read a value: it counts as a miss, and is rebuilt once."""

    def not_storable(self, namespace: str, key: str, error: Exception) -> None:
        """The service refused a result, as when it is too large. The caller still gets it."""

    def background_error(self, namespace: str, key: str, error: Exception) -> None:
        """A result could not be published, or a rebuild behind a stale value failed: no caller was told."""


def tell(hook: Callable[..., None], *event: Any, **more: Any) -> None:
    """Calls a hook, whose fault stays its own."""
    # A user's counter that fails must not fail the user's request.
    with contextlib.suppress(Exception):
        hook(*event, **more)
