"""Requests that wait for their answers, matched by ``request_id``."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from .envelope import Envelope
from .errors import BusError, RequestFailed

#: What answers a request: a command by its response, a publish by its ack, a private request by a private reply.
Answer = Literal["command_response", "ack", "private"]

#: Called in the middle of dispatch, before any later frame is looked at.
OnAnswer = Callable[[Envelope], None]

#: How many requests given up on are remembered, so that late answers do not surface as messages.
_ABANDONED_LIMIT = 1_000


@dataclass
class Request:
    """One request. ``repeatable`` ones are sent again, under the same id, on the next connection."""

    id: str
    text: str
    answer: Answer
    repeatable: bool
    on_answer: OnAnswer | None = None
    future: asyncio.Future[Envelope] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Pending:
    """All unanswered requests of a client, in the order in which they were made."""

    def __init__(self) -> None:
        self._requests: dict[str, Request] = {}
        self._abandoned: dict[str, None] = {}

    def add(self, request: Request) -> None:
        self._requests[request.id] = request

    def abandon(self, request: Request) -> None:
        """Nobody waits any more. The late answer, if one comes, is swallowed."""
        if self._requests.get(request.id) is not request:
            return
        del self._requests[request.id]
        self._abandoned[request.id] = None
        if len(self._abandoned) > _ABANDONED_LIMIT:
            del self._abandoned[next(iter(self._abandoned))]

    def settle(self, envelope: Envelope) -> bool:
        """Gives an answer to its request. False when it answers none: then it is a message like any other."""
        request_id = envelope.get("request_id")
        if request_id is None:
            return False
        kind = envelope["type"]
        if request_id in self._abandoned and kind in ("command_response", "ack", "private", "error"):
            del self._abandoned[request_id]
            return True
        request = self._requests.get(request_id)
        if request is None or kind not in (request.answer, "error"):
            return False
        del self._requests[request_id]
        if request.future.done():
            return True
        if kind == "error" or envelope.get("status") == "error":
            request.future.set_exception(BusError.from_envelope(envelope))
        elif kind == "private" and (envelope.get("metadata") or {}).get("failed") is True:
            request.future.set_exception(RequestFailed.from_envelope(envelope))
        else:
            if request.on_answer is not None:
                request.on_answer(envelope)
            request.future.set_result(envelope)
        return True

    def repeatable(self) -> Iterator[Request]:
        """What to send again, in the order of the first sending."""
        return iter([request for request in self._requests.values() if request.repeatable])

    def fail(self, error: Exception, *, keep_repeatable: bool) -> None:
        """The connection is gone: fails the requests whose answers cannot come any more."""
        for request in list(self._requests.values()):
            if keep_repeatable and request.repeatable:
                continue
            del self._requests[request.id]
            if not request.future.done():
                request.future.set_exception(error)
