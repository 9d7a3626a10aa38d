"""How long a thread waits."""

from __future__ import annotations

import math
from time import monotonic


class LeftError(Exception):
    """The time of the driving caller is over. The steps stay where they are, and the next one continues them."""


class VoidError(Exception):
    """The lease of the flight is void, and its driver is still in the rebuild. The others continue without it."""


def left_until(until: float) -> float | None:
    """The time until then in seconds, for waiting: None means forever."""
    return None if until == math.inf else max(0.0, until - monotonic())
