"""The errors of this package. The error of a caller's own rebuild goes to that caller unchanged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class DibsError(Exception):
    """Any error of this package."""


class ServiceError(DibsError):
    """A call that ended without an outcome. For bad input the message begins with the field and its bounds."""

    def __init__(self, code: str, message: str, retry_after: float | None = None) -> None:
        super().__init__(code, message, retry_after)
        #: The name of the gRPC status, such as `INVALID_ARGUMENT`.
        self.code = code
        #: The service's message, for people.
        self.message = message
        #: How long to wait before a retry, in seconds; None if a retry makes no sense or the service did not answer.
        self.retry_after = retry_after

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"

    @property
    def unreachable(self) -> bool:
        """No answer came: the service may be down, and it is unknown whether it did anything."""
        return self.retry_after is None and self.code in ("UNAVAILABLE", "DEADLINE_EXCEEDED")


class TokenError(ServiceError):
    """The client has no token at this moment. Nothing was sent, so this is not an answer of the service."""

    def __init__(self, message: str) -> None:
        super().__init__("UNAUTHENTICATED", message)
        # The argument for the constructor when it is unpickled.
        self.args = (message,)


class InvalidOptionError(ServiceError, ValueError):
    """An option is out of its bounds. Nothing was sent."""

    def __init__(self, message: str) -> None:
        super().__init__("INVALID_ARGUMENT", message)
        # The argument for the constructor when it is unpickled.
        self.args = (message,)


class BusyError(DibsError):
    """The wait ended without an answer: another caller is still rebuilding, or the service could not decide."""

    def __init__(self, reason: str, retry_after: float, holder_age: float) -> None:
        super().__init__(reason, retry_after, holder_age)
        #: `wait_ended`, `deadline_too_short`, `undecided`, `budget`, `draining`, `no_value` or `unspecified`.
        self.reason = reason
        #: How long to wait before a retry, in seconds.
        self.retry_after = retry_after
        #: How long the holder has had its lease, in seconds; 0 if there is none.
        self.holder_age = holder_age

    def __str__(self) -> str:
        return f"no answer within the wait ({self.reason}); retry in {self.retry_after:g} s"


class RebuildFailedError(DibsError):
    """Another caller's rebuild failed, and the key's back-off is running. The message is that caller's."""

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message, retry_after)
        self.message = message
        #: The remaining back-off, in seconds.
        self.retry_after = retry_after

    def __str__(self) -> str:
        return self.message


class LeaseLostError(DibsError):
    """Raise it in a rebuild that stops because `lost` is set. Its result would no longer be stored."""

    def __str__(self) -> str:
        return "the lease was lost: it ran out, or the key was invalidated"


class UndecodableError(DibsError):
    """The codec cannot read the value of a key, even after a rebuild. The codec's error is the cause."""

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key

    def __str__(self) -> str:
        return f'the codec cannot read the value of "{self.key}", although it was rebuilt'


class ManyError(DibsError):
    """Some keys of `get_or_rebuild_many` failed. Its cause is the error of the first of them."""

    def __init__(self, errors: Mapping[str, Exception], values: Mapping[str, Any]) -> None:
        super().__init__(errors, values)
        #: The error of each of these keys, as a call for it alone would raise it.
        self.errors = dict(errors)
        #: The values of all other keys.
        self.values = dict(values)

    def __str__(self) -> str:
        key, error = next(iter(self.errors.items()))
        count = len(self.errors) + len(self.values)
        return f'{len(self.errors)} of {count} keys failed; "{key}": {message_of(error)}'


def message_of(error: BaseException) -> str:
    """The error's message, or its type's name if it has none or its own code fails."""
    # The text of an error is its author's code, which must not hide the error itself.
    try:
        return str(error) or type(error).__name__
    except Exception:
        return type(error).__name__


class ReentrantRebuildError(DibsError):
    """A rebuild asks for its own key, directly or through another key. It would wait for itself."""

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key

    def __str__(self) -> str:
        return f'dibs: the rebuild of "{self.key}" asks for "{self.key}" itself'
