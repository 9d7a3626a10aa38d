"""The message of a failed rebuild for its waiters."""

from __future__ import annotations

from datetime import timedelta

from dibs.errors import message_of
from dibs.v1 import coordinator_pb2 as pb

#: The contract's bounds.
_MESSAGE_BYTES_MAX = 4_096
_RETRY_AFTER_S_MAX = 300.0


def failure_of(error: BaseException) -> pb.Failure:
    """The message, cut to 4096 bytes between two characters, and `retry_after`, if the error has one."""
    data = message_of(error).encode("utf-8", "replace")[:_MESSAGE_BYTES_MAX]
    # A character that is cut at the end is left out.
    return pb.Failure(message=data.decode("utf-8", "ignore"), retry_after_ms=_retry_after_ms(error))


def _retry_after_ms(error: BaseException) -> int | None:
    """An error may set how long to leave the source alone: `retry_after`, 0 to 300 seconds."""
    try:
        after = getattr(error, "retry_after", None)
        if isinstance(after, timedelta):
            after = after.total_seconds()
        if isinstance(after, bool) or not isinstance(after, (int, float)) or not 0 <= after <= _RETRY_AFTER_S_MAX:
            return None
        return round(after * 1_000)
    except Exception:
        # A property that fails sets nothing.
        return None
