"""Event callbacks."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from .errors import invalid_argument

Callback = Callable[[Any], Any]
C = TypeVar("C", bound=Callback)

KINDS = (
    "state",
    "welcome",
    "reconnecting",
    "frame",
    "event",
    "telemetry",
    "private",
    "notice",
    "receipt",
    "error",
    # Messages that go to recv_json(), and the older name of "notice".
    "message",
    "system",
)

log = logging.getLogger("arqonbus")


class Listeners:
    """Callbacks by kind. An exception in one is logged and does not affect the others."""

    def __init__(self) -> None:
        self._callbacks: dict[str, list[Callback]] = {kind: [] for kind in KINDS}
        self._running: set[asyncio.Task[None]] = set()

    def add(self, kind: str, callback: Callback) -> None:
        if kind not in self._callbacks:
            expected = ", ".join(KINDS)
            raise invalid_argument(f"There is no callback {kind!r}; there are: {expected}.")
        self._callbacks[kind].append(callback)

    def remove(self, kind: str, callback: Callback) -> None:
        if callback in self._callbacks.get(kind, ()):
            self._callbacks[kind].remove(callback)

    def emit(self, kind: str, value: object) -> list[asyncio.Task[None]]:
        """Calls plain functions now and starts coroutine functions as tasks, which it returns."""
        started: list[asyncio.Task[None]] = []
        for callback in tuple(self._callbacks[kind]):
            try:
                result = callback(value)
            except Exception:
                log.exception("callback for %r failed", kind)
                continue
            if inspect.isawaitable(result):
                task = asyncio.create_task(_finish(kind, result))
                if inspect.iscoroutine(result):
                    # A coroutine cancelled before its first step would warn that it was never awaited.
                    task.add_done_callback(_closing(result))
                # The event loop keeps only weak references: an unreferenced task may be garbage-collected early.
                self._running.add(task)
                task.add_done_callback(self._running.discard)
                started.append(task)
        return started

    async def stop(self) -> None:
        """Cancels the running callbacks, except the one that called this."""
        tasks = [task for task in self._running if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _closing(coroutine: Coroutine[Any, Any, Any]) -> Callable[[object], None]:
    return lambda _: coroutine.close()


async def _finish(kind: str, result: Any) -> None:
    try:
        await result
    except Exception:
        log.exception("callback for %r failed", kind)
