"""Publishing, private messages, and requests with replies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, overload

from .arguments import place
from .connection import encode
from .envelope import PROTOCOL_VERSION, Envelope, JsonObject, new_id
from .errors import ArqonBusError
from .link import Link
from .pending import Answer, OnAnswer, Request
from .results import Ack


class MessageMethods:
    """What :class:`ArqonBusClient` sends. Times are in seconds."""

    def __init__(self, link: Link, request_timeout: float) -> None:
        self._link = link
        self._request_timeout = request_timeout

    async def send_json(self, frame: Mapping[str, Any], *, timeout: float | None = None) -> None:
        """Sends a frame as it is. Its answer, if any, comes through :meth:`recv_json`."""
        await self._link.send(encode(frame), self._timeout(timeout))

    @overload
    async def publish(
        self,
        address: str | None,
        payload: Mapping[str, Any],
        *,
        ack: Literal[True] = True,
        id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        timeout: float | None = None,
    ) -> Ack: ...

    @overload
    async def publish(
        self,
        address: str | None,
        payload: Mapping[str, Any],
        *,
        ack: Literal[False],
        id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        timeout: float | None = None,
    ) -> None: ...

    async def publish(
        self,
        address: str | None,
        payload: Mapping[str, Any],
        *,
        ack: bool = True,
        id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        timeout: float | None = None,
    ) -> Ack | None:
        """Publishes an event and waits for its :class:`Ack`; with ``ack=False`` only until it is sent.

        A room without a channel reaches every member of the room; None is the channel joined last. Without an answer
        the event is sent again, under the same id, after a reconnect: it is stored and delivered once. Raises
        :class:`BusError` and :class:`RequestTimeout`.
        """
        frame: JsonObject = {"type": "event", **({} if address is None else place(address)), "payload": payload}
        if metadata is not None:
            frame["metadata"] = metadata
        if ack:
            return await self._send_acked(frame, id, timeout)
        await self._link.send(_text(frame, id or new_id(), self._link.max_message_bytes), self._timeout(timeout))
        return None

    async def send(
        self,
        to: str | Sequence[str],
        payload: Mapping[str, Any],
        *,
        id: str | None = None,
        timeout: float | None = None,
    ) -> Ack:
        """Sends a private message to a client id, ``sub:SUBJECT``, or up to 100 of them.

        Who of several was not there is in ``Ack.undelivered``; nobody there is :class:`BusError` ``TARGET_NOT_FOUND``.
        """
        frame: JsonObject = {"type": "private", "to": _recipients(to), "payload": payload}
        return await self._send_acked(frame, id, timeout)

    async def request(self, to: str, payload: Mapping[str, Any], *, timeout: float | None = None) -> Envelope:
        """Sends a private message and waits for the :meth:`reply` to it.

        It is marked as a request (``metadata.request``), which is what the TypeScript client's handlers look for.
        Raises :class:`RequestFailed` when the other side says that it could not do it, and :class:`ConnectionClosed` when the connection is lost meanwhile: the reply would go to an old client id.
        """
        frame: JsonObject = {"type": "private", "to": to, "payload": payload, "metadata": {"request": True}}
        request = _request(frame, "private", None, self._link.max_message_bytes, repeatable=False)
        return await self._link.request(request, self._timeout(timeout))

    async def reply(self, message: Envelope, payload: Mapping[str, Any], *, timeout: float | None = None) -> Ack:
        """Answers a private message (or an event) with a private one that carries its id as ``request_id``."""
        frame: JsonObject = {"type": "private", "to": message["from"], "request_id": message["id"], "payload": payload}
        return await self._send_acked(frame, None, timeout)

    async def _send_acked(self, frame: JsonObject, id: str | None, timeout: float | None) -> Ack:
        request = _request({**frame, "ack": True}, "ack", id, self._link.max_message_bytes, repeatable=True)
        return Ack.from_envelope(await self._link.request(request, self._timeout(timeout)))

    def _timeout(self, timeout: float | None) -> float:
        return self._request_timeout if timeout is None else timeout


def command_request(name: str, args: JsonObject, limit: int | None, on_answer: OnAnswer | None) -> Request:
    """A command is not sent again after a loss: running it twice is not always harmless."""
    frame: JsonObject = {"type": "command", "command": name, "args": args}
    return _request(frame, "command_response", None, limit, repeatable=False, on_answer=on_answer)


def _request(
    frame: JsonObject,
    answer: Answer,
    id: str | None,
    limit: int | None,
    *,
    repeatable: bool,
    on_answer: OnAnswer | None = None,
) -> Request:
    request_id = id or new_id()
    return Request(request_id, _text(frame, request_id, limit), answer, repeatable, on_answer)


def _text(frame: JsonObject, id: str, limit: int | None) -> str:
    """The frame's text. Too large a frame is refused here: the server would close the connection over it."""
    text = encode({"version": PROTOCOL_VERSION, "id": id, **frame})
    if limit is not None and len(text) * 4 > limit and len(text.encode()) > limit:
        raise ArqonBusError(
            "VALIDATION_ERROR",
            f"The message is larger than the {limit} bytes that this server accepts.",
            details={"expected": f"at most {limit} bytes"},
        )
    return text


def _recipients(to: str | Sequence[str]) -> str | list[str]:
    return to if isinstance(to, str) else list(to)
