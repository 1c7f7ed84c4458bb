"""Requests of other clients, and the handler that answers them."""

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
#: Gets a request's payload and the message it came with; what it returns becomes the reply's payload.
RequestHandler = Callable[[JsonObject, Envelope], Awaitable[Reply] | Reply]

#: Sends a private envelope with these fields.
SendReply = Callable[[JsonObject], Awaitable[object]]

#: The group whose members answer the requests of a channel, unless another one is named.
SERVE_GROUP = "serve"

log = logging.getLogger("arqonbus")


class Requests:
    """Answers requests: envelopes with ``metadata.request``, whose reply is a private that names them."""

    def __init__(self, send: SendReply):
        self._send = send
        self._handler: RequestHandler | None = None
        self._answering: set[asyncio.Task[None]] = set()

    def handle(self, handler: RequestHandler) -> Callable[[], None]:
        """Sets the one handler; answers the way to remove it."""
        self._handler = handler

        def remove() -> None:
            if self._handler is handler:
                self._handler = None

        return remove

    def take(self, envelope: Envelope) -> bool:
        """Takes a private envelope if it is a request for the handler."""
        if self._handler is None or not envelope.metadata.get("request"):
            return False
        task = asyncio.create_task(self._answer(envelope, self._handler), name="arqonbus-request")
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)
        return True

    async def serve(self, message: Envelope, handler: RequestHandler) -> None:
        """Answers what the group of a channel has handed out, if it is a request: nobody waits for other events."""
        if message.metadata.get("request"):
            await self._answer(message, handler)

    async def idle(self) -> None:
        """Waits until the requests that have come are answered."""
        while self._answering:
            await asyncio.wait(tuple(self._answering))

    async def _answer(self, envelope: Envelope, handler: RequestHandler) -> None:
        fields: JsonObject = {"to": envelope["from"], "request_id": envelope["id"]}
        try:
            result = handler(envelope["payload"], envelope)
            fields["payload"] = (await result if inspect.isawaitable(result) else result) or {}
        except Exception as error:
            # The text of any other error was not meant for others.
            told = error if isinstance(error, RequestFailed) else RequestFailed("INTERNAL_ERROR", "The request failed.")
            if told is not error:
                log.exception("the request handler failed")
            fields["payload"] = {**told.details, "error": told.message, "error_code": told.code}
            fields["metadata"] = {"failed": True}
        try:
            await self._send(fields)
        except ConnectionClosed:
            return  # the client was closed, or the asker's connection is gone with this one
        except ArqonBusError as error:
            log.warning("a request could not be answered: %s", error)
