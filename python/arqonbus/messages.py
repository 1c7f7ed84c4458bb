"""Publishing, private messages, and requests with replies."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, cast, overload

from .address import place
from .connection import encode
from .envelope import PROTOCOL_VERSION, Envelope, JsonObject, new_id
from .link import Link
from .requests import RequestHandler, Requests
from .results import Ack
from .send_queue import Answer, OnAnswer, Request


class MessageMethods:
    """What :class:`ArqonBusClient` sends. Times are in seconds."""

    def __init__(self, link: Link, requests: Requests, request_timeout: float) -> None:
        self._link = link
        self._requests = requests
        self._request_timeout = request_timeout

    async def send_json(self, frame: Mapping[str, Any], *, timeout: float | None = None) -> None:
        """Sends a frame as it is. Its answer, if any, comes through :meth:`recv_json`.

        >>> await client.send_json({"version": "1.0", "id": "arq_mine", "type": "command", "command": "ping"})
        """
        await self._link.send(encode(frame), self._request_timeout if timeout is None else timeout)

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
        :class:`BusError`, :class:`RequestTimeout`, :class:`QueueFullError` and :class:`ConnectionClosed`.

        >>> ack = await client.publish("science:explore", {"text": "hi"})
        >>> await client.publish("science:cursors", {"x": 3}, ack=False)

        :param timeout: seconds; by default the client's, which then counts only while there is a connection
        """
        frame: JsonObject = {"type": "event", **({} if address is None else place(address)), "payload": payload}
        return await self._post(frame, ack, id, metadata, timeout)

    async def send(
        self,
        to: str | Sequence[str],
        payload: Mapping[str, Any],
        *,
        ack: bool = True,
        id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        room: str | None = None,
        timeout: float | None = None,
    ) -> Ack:
        """Sends a private message to a client id, ``sub:SUBJECT``, or up to 100 of them.

        Who of several was not there is in ``Ack.undelivered``; nobody there is :class:`BusError` ``TARGET_NOT_FOUND``.

        >>> ack = await client.send(["arq_client_1", "sub:ada"], {"text": "psst"})

        :param room: only to those recipients who are members of this room
        """
        frame: JsonObject = {"type": "private", "to": _recipients(to), "payload": payload}
        if room is not None:
            frame["room"] = room
        answer = await self._post(frame, ack, id, metadata, timeout)
        return answer or Ack(frame["id"], None, None, 0, False, "none")

    async def telemetry(
        self,
        type: str,
        payload: Mapping[str, Any],
        *,
        at: str | None = None,
        ack: bool = True,
        id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        timeout: float | None = None,
    ) -> Ack | None:
        """Submits a telemetry event; without ``at`` the server routes it to its telemetry room.

        >>> await client.telemetry("build_finished", {"ok": True})
        """
        body = {"eventType": type, "payload": payload}
        frame: JsonObject = {"type": "telemetry", **({} if at is None else place(at)), "payload": body}
        return await self._post(frame, ack, id, metadata, timeout)

    async def request(
        self,
        to: str | Sequence[str],
        payload: Mapping[str, Any],
        *,
        id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        timeout: float | None = None,
    ) -> Envelope:
        """Sends a private message and waits for the first reply to it.

        Raises :class:`RequestFailed` when the other side says that it could not do it, and :class:`ConnectionClosed`
        when the connection is lost meanwhile: the reply would go to an old client id.

        >>> reply = await client.request("sub:calculator", {"numbers": [1, 2]}, timeout=5.0)
        >>> print(reply["payload"]["sum"])
        """
        marked = {**(metadata or {}), "request": True}
        frame: JsonObject = {"type": "private", "to": _recipients(to), "payload": payload, "metadata": marked}
        # Not repeatable: the reply would go to the client id of a connection that is gone.
        seconds = self._request_timeout if timeout is None else timeout
        request = _request({**frame, "ack": True}, "private", id, timeout=seconds)
        return cast(Envelope, await self._link.submit(request))

    def on_request(self, handler: RequestHandler) -> Callable[[], None]:
        """Answers requests of other clients; one handler at a time. Answers the way to remove it. Also a decorator.

        What the handler returns becomes the reply's payload. A :class:`RequestFailed` that it raises reaches the
        requester; any other error does not, since its text was not meant for others.

        >>> @client.on_request
        ... async def add(payload, message):
        ...     return {"sum": sum(payload["numbers"])}
        """
        return self._requests.handle(handler)

    async def reply(
        self,
        message: Envelope,
        payload: Mapping[str, Any],
        *,
        ack: bool = True,
        metadata: Mapping[str, Any] | None = None,
        timeout: float | None = None,
    ) -> Ack:
        """Answers a private message (or an event) with a private one that carries its id as ``request_id``.

        >>> @client.on("private")
        ... async def answer(message):
        ...     await client.reply(message, {"got": "it"})
        """
        frame: JsonObject = {"type": "private", "to": message["from"], "request_id": message["id"], "payload": payload}
        answer = await self._post(frame, ack, None, metadata, timeout)
        return answer or Ack(frame["id"], None, None, 0, False, "none")

    async def _post(
        self,
        frame: JsonObject,
        ack: bool,
        id: str | None,
        metadata: Mapping[str, Any] | None,
        timeout: float | None,
    ) -> Ack | None:
        if metadata is not None:
            frame["metadata"] = metadata
        frame["id"] = id or new_id()
        if ack:
            frame["ack"] = True
        request = _request(frame, "ack" if ack else None, frame["id"], repeatable=True, timeout=timeout)
        answer = await self._link.submit(request)
        return None if answer is None else Ack.from_envelope(answer)


def command_request(
    name: str, args: JsonObject, *, timeout: float | None, restoring: bool, repeatable: bool, on_answer: OnAnswer | None
) -> Request:
    """A command that changes something is not sent again after a loss: running it twice is not always harmless."""
    frame: JsonObject = {"type": "command", "command": name, "args": args}
    request = _request(frame, "command_response", None, repeatable=repeatable, timeout=timeout)
    request.command = name
    request.restoring = restoring
    request.on_answer = on_answer
    return request


def _request(
    frame: JsonObject, answer: Answer | None, id: str | None, *, repeatable: bool = False, timeout: float | None = None
) -> Request:
    frame = {"version": PROTOCOL_VERSION, **frame, "id": id or new_id()}
    return Request(frame["id"], encode(frame), answer, repeatable=repeatable, timeout=timeout)


def _recipients(to: str | Sequence[str]) -> str | list[str]:
    return to if isinstance(to, str) else list(to)
