"""Plays this client's part in the conformance scenarios.

Commands come as lines of JSON, answers and events go back as lines of JSON; the log goes to standard error.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from typing import Any

from actor import Actor
from further_calls import base64_of
from rebuild_script import PanicError, ScriptError, UnreadableError

from dibs import (
    BusyError,
    InvalidOptionError,
    ManyError,
    RebuildFailedError,
    ReentrantRebuildError,
    ServiceError,
    UndecodableError,
)


def emit(line: dict[str, Any]) -> None:
    """Prints one line of JSON."""
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def fault_of(error: BaseException) -> dict[str, Any]:
    """The result of a command, in the protocol's words."""
    if isinstance(error, (ScriptError, PanicError)):
        return {"kind": "rebuild", "message": str(error)}
    if isinstance(error, UnreadableError):
        return {"kind": "rebuild"}
    if isinstance(error, ReentrantRebuildError):
        return {"kind": "reentrant", "message": str(error)}
    if isinstance(error, UndecodableError):
        return {"kind": "undecodable"}
    if isinstance(error, InvalidOptionError):
        return {"kind": "invalid_option", "message": error.message}
    if isinstance(error, RebuildFailedError):
        after_ms = round(error.retry_after * 1_000)
        return {"kind": "rebuild_failed", "message": error.message, "retry_after_ms": after_ms}
    if isinstance(error, BusyError):
        return {"kind": "busy", "reason": error.reason, "retry_after_ms": round(error.retry_after * 1_000)}
    if isinstance(error, ManyError):
        errors = {key: fault_of(one) for key, one in error.errors.items()}
        values = {key: base64_of(value) for key, value in error.values.items()}
        return {"kind": "many", "message": str(error), "errors": errors, "values": values}
    if isinstance(error, ServiceError):
        hint = {} if error.retry_after is None else {"retry_after_ms": round(error.retry_after * 1_000)}
        return {"kind": "dibs", "code": error.code, "message": error.message, **hint}
    if isinstance(error, (asyncio.CancelledError, TimeoutError, asyncio.TimeoutError)):
        return {"kind": "cancelled"}
    return {"kind": "unexpected", "message": repr(error)}


class Warnings(logging.Handler):
    """Reports what the client logs to the scenario."""

    def emit(self, record: logging.LogRecord) -> None:
        emit({"event": "warning", "text": record.getMessage()})


async def play(actor: Actor, command: dict[str, Any]) -> None:
    """Executes one command and prints its answer."""
    id_, what = command.pop("id"), command.pop("do")
    try:
        emit({"id": id_, "result": await actor.act(what, command)})
    except (Exception, asyncio.CancelledError) as error:
        emit({"id": id_, "error": fault_of(error)})


async def main() -> None:
    """Runs until standard input ends."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=64 * 1024 * 1024)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    logging.getLogger("dibs").addHandler(Warnings(logging.WARNING))
    actor = Actor(emit)
    open_commands: set[asyncio.Task[None]] = set()
    emit({"event": "ready"})
    while line := await reader.readline():
        task = asyncio.create_task(play(actor, json.loads(line)))
        open_commands.add(task)
        task.add_done_callback(open_commands.discard)
    # The scenario is gone, and needs no answers of open commands.
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    asyncio.run(main())
