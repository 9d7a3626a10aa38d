"""What the drivers know of the transport."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Protocol

from dibs.steps import Call


class Carrier(Protocol):
    """A link, or a double of it."""

    closed: bool

    def refuse(self) -> None: ...
    def call(self, call: Call) -> Future[Any]: ...
    def call_many(self, call: Call, answered: Callable[[Any], None]) -> Future[Any]: ...
    def groups(self, keys: list[str]) -> list[list[str]]: ...
    def give_back(self, namespace: str, key: str, token: str) -> None: ...
    def close(self) -> None: ...
