"""Publishing, private messages, and requests with replies."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, cast, overload

from .address import place
from .connection import encode
from .envelope import PROTOCOL_VERSION, Envelope, JsonObject, new_id
from .errors import invalid_argument
from .link import Link
from .options import PublishOptions, needed_features, wire_options
from .outgoing import Answer, OnAnswer, Request
from .receipts import Ack, Receipts
from .requests import SERVE_GROUP, Requests

if TYPE_CHECKING:
    from typing_extensions import Unpack

_ID = re.compile(r"arq_[A-Za-z0-9_-]{1,124}")
#: Maximum time a request may wait at the server, in milliseconds.
_MAX_REQUEST_MS = 300_000


class MessageMethods:
    """The sending methods of :class:`ArqonBusClient`. Times are in seconds."""

    def __init__(self, link: Link, requests: Requests, receipts: Receipts, request_timeout: float) -> None:
        self._link = link
        self._requests = requests
        self._receipts = receipts
        self._request_timeout = request_timeout

    async def send_json(self, frame: Mapping[str, Any], *, timeout: float | None = None) -> None:
        """Sends a frame unchanged. Its response, if any, arrives through :meth:`recv_json`.

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
        **options: Unpack[PublishOptions],
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
        **options: Unpack[PublishOptions],
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
        **options: Unpack[PublishOptions],
    ) -> Ack | None:
        """Publishes an event and waits for its :class:`Ack`; with ``ack=False`` only until it is sent.

        A room without a channel addresses every member of the room; None is the channel joined last. An unacknowledged
        event is sent again under the same id after a reconnect; it is stored and delivered once. Raises
        :class:`BusError`, :class:`RequestTimeout`, :class:`QueueFullError` and :class:`ConnectionClosed`.

        >>> ack = await client.publish("science:explore", {"text": "hi"})
        >>> await client.publish("science:cursors", {"x": 3}, ack=False, ephemeral=True)

        :param timeout: seconds; defaults to the client's ``request_timeout``, which then counts only while connected
        :param options: :class:`PublishOptions`: ``ttl_seconds``, ``expect``, ``ephemeral``, ``deliver_at``,
            ``delay_seconds``, ``receipt``
        """
        frame: JsonObject = {"type": "event", **({} if address is None else place(address)), "payload": payload}
        return await self._post(frame, ack, id, metadata, timeout, options)

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
        **options: Unpack[PublishOptions],
    ) -> Ack:
        """Sends a private message to a client id, ``sub:SUBJECT``, the mailbox ``@NAME``, or up to 100 of them.

        A mailbox keeps the message until NAME has read it; raises :class:`MailboxFull` when it does not fit.
        ``Ack.undelivered`` lists the recipients that were offline; when all were, raises :class:`BusError`
        ``TARGET_NOT_FOUND``.

        >>> ack = await client.send(["arq_client_1", "sub:ada"], {"text": "psst"})
        >>> mail = await client.send("@ada", {"text": "read this"}, receipt=True, ttl_seconds=86_400)
        >>> print((await mail.handled()).stage)

        :param room: deliver only to recipients who are members of this room
        :param options: :class:`PublishOptions`, as for :meth:`publish`
        """
        frame: JsonObject = {"type": "private", "to": _recipients(to), "payload": payload}
        if room is not None:
            frame["room"] = room
        answer = await self._post(frame, ack, id, metadata, timeout, options, needs=_mail_feature(frame["to"]))
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
        timeout_ms: float | None = None,
        timeout: float | None = None,
        group: str = SERVE_GROUP,
        ephemeral: bool = False,
    ) -> Envelope:
        """Sends a request and waits for the first reply.

        ``room:channel`` addresses the clients that serve requests there (one of them gets it; :class:`NoResponders`
        when there is none). A client id, ``sub:SUBJECT`` or the mailbox ``@NAME`` addresses that client or subject. An
        expired request is not delivered. Raises :class:`RequestFailed` when the other side reports a failure, and
        :class:`ConnectionClosed` when the connection is lost meanwhile: the reply would go to the old client id.

        >>> reply = await client.request("calc:add", {"numbers": [1, 2]}, timeout_ms=5_000)
        >>> print(reply["payload"]["sum"])

        :param timeout_ms: how long to wait for the reply, in milliseconds; defaults to the client's ``request_timeout``
        :param timeout: the same in seconds
        :param group: for a channel: the group that serves it
        :param ephemeral: for a channel: nothing is stored
        """
        if timeout_ms is not None and timeout is not None:
            raise invalid_argument('"timeout_ms" and "timeout" say the same; give one of them.', field="timeout_ms")
        seconds = self._request_timeout if timeout is None else timeout
        seconds = seconds if timeout_ms is None else timeout_ms / 1000
        limits: JsonObject = {"timeout_ms": min(_MAX_REQUEST_MS, max(1, round(seconds * 1000)))}
        frame: JsonObject
        if isinstance(to, str) and ":" in to and not to.startswith(("sub:", "@")):
            frame = {"type": "event", **place(to), "payload": payload}
            options = PublishOptions(request={**limits, "group": group}, ephemeral=ephemeral)
            needs = needed_features(options)
        else:
            frame = {"type": "private", "to": _recipients(to), "payload": payload}
            frame["metadata"] = {"request": True}
            options = PublishOptions(request=limits)
            # Clients recognize a request by the metadata flag, whether or not the server supports the option.
            needs = _mail_feature(to)
        if metadata is not None:
            frame["metadata"] = {**metadata, **frame.get("metadata", {})}
        # Not repeatable: the reply would go to the client id of a connection that is gone.
        request = _request({**frame, "ack": True}, "private", id, timeout=seconds, options=options, needs=needs)
        return cast(Envelope, await self._link.submit(request))

    async def reply(
        self,
        message: Envelope,
        payload: Mapping[str, Any],
        *,
        ack: bool = True,
        metadata: Mapping[str, Any] | None = None,
        timeout: float | None = None,
    ) -> Ack:
        """Replies to a private message (or an event) with a private message that carries its id as ``request_id``.

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
        options: PublishOptions | None = None,
        needs: frozenset[str] = frozenset(),
    ) -> Ack | None:
        if metadata is not None:
            frame["metadata"] = metadata
        frame["id"] = id or new_id()
        if ack:
            frame["ack"] = True
        needs |= needed_features(options or {})
        request = _request(
            frame, "ack" if ack else None, frame["id"], repeatable=True, timeout=timeout, options=options, needs=needs
        )
        awaited = self._receipts.expect(frame["id"]) if options and options.get("receipt") else None
        answer = await self._link.submit(request)
        return None if answer is None else Ack.from_envelope(answer, awaited)


def command_request(
    name: str,
    args: JsonObject,
    *,
    timeout: float | None,
    restoring: bool,
    repeatable: bool,
    needs: frozenset[str],
    waits: bool,
    on_answer: OnAnswer | None,
) -> Request:
    """Builds a command request. A command that changes something is not retried: it may not be idempotent."""
    frame: JsonObject = {"type": "command", "command": name, "args": args}
    request = _request(frame, "command_response", None, repeatable=repeatable, timeout=timeout)
    request.command = name
    request.restoring = restoring
    request.needs = needs
    request.waits = waits
    request.on_answer = on_answer
    return request


def _request(
    frame: JsonObject,
    answer: Answer | None,
    id: str | None,
    *,
    repeatable: bool = False,
    timeout: float | None = None,
    options: PublishOptions | None = None,
    needs: frozenset[str] = frozenset(),
) -> Request:
    if id and not (isinstance(id, str) and _ID.fullmatch(id)):
        # The server could not identify the message in its error.
        raise invalid_argument('An id is "arq_" and 1-124 letters, digits, "_" or "-".', field="id")
    frame = {"version": PROTOCOL_VERSION, **frame, "id": id or new_id()}
    wire = wire_options(options) if options else {}
    if wire:
        frame["options"] = wire
    request = Request(frame["id"], encode(frame), answer, repeatable=repeatable, timeout=timeout)
    request.needs = needs
    return request


def _recipients(to: str | Sequence[str]) -> str | list[str]:
    return to if isinstance(to, str) else list(to)


def _mail_feature(to: str | Sequence[str]) -> frozenset[str]:
    names = [to] if isinstance(to, str) else to
    return frozenset(["mailboxes"]) if any(name.startswith("@") for name in names) else frozenset()
