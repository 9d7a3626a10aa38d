"""Detects a rebuild that asks for its own key, by the context that its tasks and threads inherit."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import Context, ContextVar, copy_context

from dibs.errors import ReentrantRebuildError


class _Frame:
    """A rebuild that the current context is inside of."""

    def __init__(self, of: tuple[int, str, str]) -> None:
        self.of = of
        # A child process that is forked inside has the context, but the rebuild does not wait for it.
        self.process = os.getpid()
        # A task that the rebuild started may outlive it, and may ask for the key then.
        self.running = True


_FRAMES: ContextVar[tuple[_Frame, ...]] = ContextVar("dibs_rebuilds", default=())


def refuse_reentry(client: object, namespace: str, *keys: str) -> None:
    """Raises ReentrantRebuildError if the current context is inside a rebuild of one of these keys."""
    frames = _FRAMES.get()
    if not frames:
        return
    rebuilt = {frame.of for frame in frames if frame.running and frame.process == os.getpid()}
    for key in keys:
        if (id(client), namespace or "default", key) in rebuilt:
            raise ReentrantRebuildError(key)


@contextmanager
def inside(client: object, namespace: str, *keys: str) -> Generator[None]:
    """Marks the code inside as the rebuild of these keys."""
    frames = [_Frame((id(client), namespace or "default", key)) for key in keys]
    token = _FRAMES.set((*_FRAMES.get(), *frames))
    try:
        yield
    finally:
        for frame in frames:
            frame.running = False
        _FRAMES.reset(token)


def outside() -> Context:
    """The current context without its rebuilds, for work that no rebuild waits for."""
    context = copy_context()
    context.run(_FRAMES.set, ())
    return context
