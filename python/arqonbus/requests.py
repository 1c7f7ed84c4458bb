"""Requests of other clients, and the handler that replies to them."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from .envelope import Envelope, JsonObject
from .errors import ArqonBusError, ConnectionClosed, RequestFailed

#: The payload of a reply; None for an empty one.
Reply = Mapping[str, Any] | None
#: Called with a request's payload and its message; the return value becomes the reply's payload.
RequestHandler = Callable[[JsonObject, Envelope], Awaitable[Reply] | Reply]

#: Sends a private envelope with these fields.
SendReply = Callable[[JsonObject], Awaitable[object]]

#: The default group that serves the requests of a channel.
SERVE_GROUP = "serve"

log = logging.getLogger("arqonbus")


class Requests:
    """Handles requests (envelopes with ``metadata.request``) and sends private replies that carry the request's id."""

    def __init__(self, send: SendReply):
        self._send = send
        self._handler: RequestHandler | None = None
        self._answering: set[asyncio.Task[None]] = set()

    def handle(self, handler: RequestHandler) -> Callable[[], None]:
        """Sets the handler, replacing any other; returns a function that removes it."""
        self._handler = handler

        def remove() -> None:
            if self._handler is handler:
                self._handler = None

        return remove

    def take(self, envelope: Envelope) -> bool:
        """Handles a private envelope if it is a request and there is a handler."""
        if self._handler is None or not envelope.metadata.get("request"):
            return False
        task = asyncio.create_task(self._answer(envelope, self._handler), name="arqonbus-request")
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)
        return True

    async def serve(self, message: Envelope, handler: RequestHandler) -> None:
        """Handles a group delivery if it is a request: other events need no reply."""
        if message.metadata.get("request"):
            await self._answer(message, handler)

    async def idle(self) -> None:
        """Waits until all received requests are replied to."""
        while self._answering:
            await asyncio.wait(tuple(self._answering))

    async def _answer(self, envelope: Envelope, handler: RequestHandler) -> None:
        fields: JsonObject = {"to": envelope["from"], "request_id": envelope["id"]}
        try:
            result = handler(envelope["payload"], envelope)
            fields["payload"] = (await result if inspect.isawaitable(result) else result) or {}
        except Exception as error:
            # The text of any other error may contain private information.
            told = error if isinstance(error, RequestFailed) else RequestFailed("INTERNAL_ERROR", "The request failed.")
            if told is not error:
                log.exception("the request handler failed")
            fields["payload"] = {**told.details, "error": told.message, "error_code": told.code}
            fields["metadata"] = {"failed": True}
        try:
            await self._send(fields)
        except ConnectionClosed:
            return  # the client was closed, or the requester's connection was lost with this one
        except ArqonBusError as error:
            log.warning("a request could not be answered: %s", error)
