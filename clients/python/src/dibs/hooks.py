"""Events of a client, for your own metrics."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any


class Hooks:
    """Override the events that you need. Errors of a hook are ignored. The call waits for it, so it must not block."""

    def hit(self, namespace: str, key: str, freshness: str) -> None:
        """A value was found, `fresh` or `stale`."""

    def near_hit(self, namespace: str, key: str) -> None:
        """A fresh value was found in this process's memory. Counts as a `hit`, unless you override it."""
        self.hit(namespace, key, "fresh")

    def wait(self, namespace: str, key: str, waited: float, answered: bool) -> None:
        """The call waited this many seconds for another caller's rebuild, and got an answer from it or not."""

    def publish(
        self, namespace: str, key: str, outcome: str, fence: int, *, counts: bool | None, maybe_stored: bool
    ) -> None:
        """The result of a publish, such as `stored`.

        counts: False if it was stored, but an invalidation has come in the meantime. None: the service does not say.
        maybe_stored: with `not_stored`, the store was asked and its reply did not come.
        """

    def lease_lost(self, namespace: str, key: str) -> None:
        """The lease of a rebuild was lost during the rebuild."""

    def local_rebuild(self, namespace: str, key: str, cause: Exception) -> None:
        """The service could not be reached, so this process rebuilds for itself."""

    def undecodable(self, namespace: str, key: str, error: Exception) -> None:
        """The codec could not read a value. It counts as a miss and is rebuilt once."""

    def not_storable(self, namespace: str, key: str, error: Exception) -> None:
        """The service refused a result, for example because it is too large. The caller still gets it."""

    def background_error(self, namespace: str, key: str, error: Exception) -> None:
        """A publish failed, or a rebuild behind a stale value did. No caller got an error."""


def tell(hook: Callable[..., None], *event: Any, **more: Any) -> None:
    """Calls a hook and contains its fault."""
    # A user's failing counter must not fail the user's request.
    with contextlib.suppress(Exception):
        hook(*event, **more)
