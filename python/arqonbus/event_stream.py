"""A session without a WebSocket: server-sent events for incoming frames, POST requests for outgoing ones."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import replace
from ssl import create_default_context
from urllib.parse import parse_qsl, urlencode, urlsplit

from .connection import PARTIAL_BYTES
from .endpoint import Endpoint
from .errors import ConnectError, ConnectionClosed
from .http1 import HttpLine, Response, Site
from .http_body import HttpError
from .server_events import EventTooLong, ServerEvent, ServerEvents
from .session_posts import SessionPosts, fields_of, headers_of, parsed, refusal_of

#: Query parameters of the WebSocket that also apply to the stream.
_KNOWN = ("client_type", "screen_name", "avatar", "personality", "client_key", "subject", "tenant")
#: Maximum length of a session id.
_MAX_SESSION = 256
_GOING_AWAY = 1001


class EventStream:
    """An open event stream and its POST requests. All failures are this package's exceptions.

    >>> stream = await EventStream.open(Endpoint("ws://127.0.0.1:9100"))
    >>> welcome = await stream.receive_text()
    """

    def __init__(self, line: HttpLine, response: Response, endpoint: Endpoint, site: Site):
        self._line = line
        self._response = response
        self._reading = ServerEvents()
        self._events: deque[ServerEvent] = deque()
        self._posts = SessionPosts(endpoint, site, self._end)
        self._is_greeted = False
        self._ended: tuple[int, str] | None = None
        self._received = 0
        self._told = 0
        #: When the last whole message arrived, and when any data did, in event loop time (seconds).
        self.last_message = self.last_received = asyncio.get_running_loop().time()

    @classmethod
    async def open(cls, endpoint: Endpoint, http: str | None = None) -> EventStream:
        """Connects. Raises the same errors as :meth:`Connection.open`.

        :param http: HTTP URL of the bus; defaults to the origin of the WebSocket's URL
        """
        try:
            site = Site.of(http or endpoint.url)
        except ValueError as error:
            raise ConnectError("CONNECTION_FAILED", f"{error}; write http://HOST:PORT or https://HOST.") from error
        where = f"{site.scheme}://{site.authority}{site.path}"
        try:
            return await asyncio.wait_for(cls._open(endpoint, site), endpoint.timeout)
        except (TimeoutError, asyncio.TimeoutError) as error:
            message = f"{where} did not answer within {endpoint.timeout:g} s."
            raise ConnectError("CONNECTION_FAILED", message, retryable=True) from error
        except (OSError, HttpError, UnicodeError) as error:
            message = f"Cannot read a stream from {where}: {error}"
            raise ConnectError("CONNECTION_FAILED", message, retryable=True) from error

    @classmethod
    async def _open(cls, endpoint: Endpoint, site: Site) -> EventStream:
        if site.scheme == "https" and endpoint.ssl is None:
            # Create it once for the stream and all POSTs: loading the system certificates is slow.
            endpoint = replace(endpoint, ssl=create_default_context())
        line = await HttpLine.open(site, endpoint.ssl)
        try:
            headers = {**headers_of(endpoint, endpoint.token), "Accept": "text/event-stream"}
            response = await line.ask("GET", f"/v1/stream?{_query_of(endpoint)}", headers)
            if response.status != 200:
                raise await refusal_of(response)
            kind = response.headers.get("content-type", "")
            if kind.partition(";")[0].strip().lower() != "text/event-stream":
                raise HttpError(f"it answered {kind[:100] or 'something'!r} instead of text/event-stream")
        except BaseException:
            line.abort()
            raise
        return cls(line, response, endpoint, site)

    @property
    def has_partial(self) -> bool:
        """Whether part of a large message has arrived."""
        return self._reading.waiting_bytes > PARTIAL_BYTES

    def is_receiving(self) -> bool:
        """Whether a large message is arriving, and more of it has arrived since the last call."""
        is_receiving = self.has_partial and self._received > self._told
        self._told = self._received
        return is_receiving

    async def send_text(self, text: str) -> None:
        """Queues a frame for posting, and waits while the queue is full. Raises :class:`ConnectionClosed`."""
        if self._ended is None:
            await self._posts.send(text)
        if self._ended is not None:
            raise self._closed()

    async def receive_text(self) -> str:
        """Returns the next frame. Raises :class:`ConnectionClosed` once the stream has ended. May be cancelled."""
        while True:
            while self._events and self._ended is None:
                event = self._events.popleft()
                if event.kind == "close":
                    self._end(*_end_in(event.data))
                elif event.data:
                    if not self._is_greeted:
                        self._greet(event.data)
                    if self._ended is None:
                        self.last_message = asyncio.get_running_loop().time()
                        return event.data
            if self._ended is not None:
                raise self._closed()
            try:
                part = await self._response.part()
                if part is None:
                    self._end(1006, "the stream ended")
                    continue
                self._received += len(part)
                self.last_received = asyncio.get_running_loop().time()
                self._events.extend(self._reading.feed(part))
            except (OSError, HttpError, EventTooLong) as error:
                self._end(1006, str(error))

    async def close(self) -> None:
        """Posts the queued frames and ends the session with 1000. May be called again."""
        if self._ended is None:
            await self._posts.leave()
        self._end(1000, "")

    def abort(self) -> None:
        """Drops a dead connection without notifying the server."""
        self._end(1006, "")

    def _greet(self, text: str) -> None:
        """Starts the posts with the session named in the welcome."""
        payload = fields_of(fields_of(parsed(text)).get("payload"))
        session, most = payload.get("session"), fields_of(payload.get("limits")).get("max_message_bytes")
        if not isinstance(session, str) or not 0 < len(session) <= _MAX_SESSION:
            self._end(1006, "the stream did not begin with a welcome that names its session")
            return
        self._is_greeted = True
        self._posts.begin(session, most if isinstance(most, int) else None)

    def _end(self, code: int, reason: str) -> None:
        if self._ended is not None:
            return
        self._ended = (code, reason)
        self._events.clear()
        self._posts.stop()
        # This wakes the reader.
        self._line.abort()

    def _closed(self) -> ConnectionClosed:
        code, reason = self._ended or (1006, "")
        return ConnectionClosed(f"The connection is closed ({code}{f': {reason}' if reason else ''}).", close_code=code)


def _query_of(endpoint: Endpoint) -> str:
    given = dict(parse_qsl(urlsplit(endpoint.address).query, keep_blank_values=True))
    query = {name: value for name, value in given.items() if name in _KNOWN}
    room, channel = given.get("room"), given.get("channel")
    if room is not None:
        query["join"] = room if channel is None else f"{room}:{channel}"
    return urlencode(query)


def _end_in(text: str) -> tuple[int, str]:
    fields = fields_of(parsed(text))
    code, reason = fields.get("code"), fields.get("reason")
    told = reason[:1_000] if isinstance(reason, str) else ""
    return (code, told) if isinstance(code, int) and not isinstance(code, bool) else (_GOING_AWAY, told)
