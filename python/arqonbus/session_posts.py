"""Posts outgoing frames to the session of an event stream: in order, batched, one POST at a time."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from .endpoint import Endpoint, refusal
from .errors import ArqonBusError, ConnectError
from .http1 import HttpLine, Response, Site
from .http_body import HttpError
from .reconnect import MESSAGE_TOO_BIG

#: Maximum envelopes per POST, and its maximum bytes until the welcome gives the server's limit.
_MAX_ENVELOPES = 500
_FIRST_POST_BYTES = 65_536
_MAX_POST_BYTES = 16 * 1_048_576
#: Back-pressure limit in bytes: while more is queued, no frame is accepted. A single frame may be larger.
HIGH_WATER_BYTES = 262_144
#: Maximum response size of a POST, in bytes.
_MAX_ANSWER_BYTES = 65_536
#: Default wait after a rate limit refusal, and the longest wait that one may request; seconds.
_RETRY = 0.25
_MAX_RETRY = 10.0
#: Timeout of a POST, and additional seconds per byte: large ones take long on slow connections.
_POST_TIME = 30.0
_SECONDS_PER_BYTE = 1 / 4_096
#: An idle connection older than this is not reused: the server may be closing it. Seconds.
_IDLE = 2.0
#: Timeout of the final requests on close, seconds.
_LEAVE_TIME = 5.0
_TOO_LARGE = 413
#: Possible failures of a request, including a token that is not a valid header value.
_FAILURES = (HttpError, OSError, UnicodeError, asyncio.TimeoutError, ArqonBusError)

#: Called when the line ends, with the close code and the reason.
OnEnd = Callable[[int, str], None]


class SessionPosts:
    """The sending half of an event stream. Sending starts when :meth:`begin` sets the session."""

    def __init__(self, endpoint: Endpoint, site: Site, on_end: OnEnd):
        self._endpoint = endpoint
        self._site = site
        self._on_end = on_end
        self._token = endpoint.token
        self._session: str | None = None
        self._max_bytes = _FIRST_POST_BYTES
        self._queue: deque[bytes] = deque()
        self._bytes = 0
        self._room = asyncio.Event()
        self._room.set()
        self._task: asyncio.Task[None] | None = None
        self._line: HttpLine | None = None
        self._idle_since = 0.0
        self._is_over = False

    def begin(self, session: str, max_bytes: int | None) -> None:
        """Starts sending, with the session id and the maximum POST size from the welcome."""
        self._session = session
        if max_bytes is not None and max_bytes > 0:
            self._max_bytes = min(max_bytes, _MAX_POST_BYTES)
        self._start()

    async def send(self, text: str) -> None:
        """Queues a frame, once there is room for it. A frame after the end is dropped."""
        while not self._room.is_set():
            await self._room.wait()
        if self._is_over:
            return
        data = text.encode()
        self._queue.append(data)
        self._count(len(data))
        self._start()

    async def leave(self) -> None:
        """Posts the queued frames, then ends the session at the server. Takes at most ten seconds; never raises."""
        if self._task is not None:
            await asyncio.wait((self._task,), timeout=_LEAVE_TIME)
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))
        if self._session is None or self._is_over:
            return
        try:
            await asyncio.wait_for(self._ask("DELETE", None), _LEAVE_TIME)
        except _FAILURES:
            # The server will notice that the stream has ended.
            return

    def stop(self) -> None:
        """Ends sending: queued frames are dropped."""
        self._is_over = True
        self._queue.clear()
        self._count(-self._bytes)
        if self._line is not None:
            self._line.abort()
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()

    def _count(self, size: int) -> None:
        self._bytes += size
        if self._bytes > HIGH_WATER_BYTES:
            self._room.clear()
        else:
            self._room.set()

    def _start(self) -> None:
        if self._task is None and self._session is not None and self._queue and not self._is_over:
            self._task = asyncio.create_task(self._post_all(), name="arqonbus-posts")

    async def _post_all(self) -> None:
        try:
            while self._queue and not self._is_over:
                await self._post_some()
        except _FAILURES as error:
            # It is unknown whether the POST was accepted; frames that requested an ack are sent again on the next line.
            self._on_end(1006, f"A post failed: {str(error) or 'it was not answered in time'}")
        finally:
            self._task = None

    async def _post_some(self) -> None:
        frames, renewed = self._next()
        body = frames[0] if len(frames) == 1 else b"[" + b",".join(frames) + b"]"
        status, answer = await asyncio.wait_for(self._ask("POST", body), _POST_TIME + len(body) * _SECONDS_PER_BYTE)
        if status == 429:
            await asyncio.sleep(_wait_of(answer))
            return
        if status != 202:
            self._on_end(MESSAGE_TOO_BIG if status == _TOO_LARGE else 1006, refusal(status, "", answer).message)
            return
        for frame in frames:
            # stop() may have emptied the queue meanwhile.
            if self._queue:
                self._queue.popleft()
                self._count(-len(frame))
        self._token = renewed or self._token

    def _next(self) -> tuple[list[bytes], str | None]:
        """As many frames as fit in one POST; a token renewal is the last frame sent with the old token."""
        frames: list[bytes] = []
        size = 2
        for frame in self._queue:
            if frames and (len(frames) == _MAX_ENVELOPES or size + len(frame) + 1 > self._max_bytes):
                break
            frames.append(frame)
            size += len(frame) + 1
            renewed = _renewal_in(frame)
            if renewed is not None:
                return frames, renewed
        return frames, None

    async def _ask(self, method: str, body: bytes | None) -> tuple[int, bytes]:
        """Sends one request to the session; returns the status and the body of the response."""
        target = f"/v1/sessions/{quote(self._session or '', safe='')}"
        headers = headers_of(self._endpoint, self._token)
        if body is not None:
            headers["Content-Type"] = "application/json"
        line = self._line if self._is_fresh() else None
        if line is None:
            if self._line is not None:
                self._line.abort()
            self._line = line = await HttpLine.open(self._site, self._endpoint.ssl)
        try:
            response = await line.ask(method, target, headers, body)
            answer = await response.whole(_MAX_ANSWER_BYTES)
        except BaseException:
            self._drop()
            raise
        # The stream may have ended while the final request was in flight.
        if self._is_over or _is_last(response):
            self._drop()
        self._idle_since = asyncio.get_running_loop().time()
        return response.status, answer

    def _is_fresh(self) -> bool:
        idle = asyncio.get_running_loop().time() - self._idle_since
        return self._line is not None and self._line.is_open and idle < _IDLE

    def _drop(self) -> None:
        if self._line is not None:
            self._line.abort()
            self._line = None


def headers_of(endpoint: Endpoint, token: str | None) -> dict[str, str]:
    """The user's headers and the token. They are sent only to the site."""
    headers = dict(endpoint.headers)
    if token is not None:
        headers = {name: value for name, value in headers.items() if name.lower() != "authorization"}
        headers["Authorization"] = f"Bearer {token}"
    return headers


async def refusal_of(response: Response) -> ConnectError:
    """Converts a response without a stream to an exception."""
    try:
        body = await response.whole(_MAX_ANSWER_BYTES)
    except HttpError:
        body = b""
    return refusal(response.status, response.headers.get("retry-after", ""), body)


def _is_last(response: Response) -> bool:
    return not response.is_whole or "close" in response.headers.get("connection", "").lower()


def _wait_of(answer: bytes) -> float:
    details = fields_of(fields_of(parsed(answer)).get("details"))
    wait = details.get("retry_after_ms")
    if not isinstance(wait, int | float) or not wait > 0:
        return _RETRY
    return min(wait, _MAX_RETRY * 1000) / 1000


def _renewal_in(frame: bytes) -> str | None:
    """The token in a ``refresh_token`` command: it is used for requests after the response."""
    if b'"refresh_token"' not in frame:
        return None
    fields = fields_of(parsed(frame))
    token = fields_of(fields.get("args")).get("token")
    return token if fields.get("command") == "refresh_token" and isinstance(token, str) else None


def parsed(text: str | bytes) -> Any:
    """Parses JSON; None when it is invalid."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def fields_of(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
