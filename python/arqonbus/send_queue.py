"""The send queue: requests waiting to be sent, and requests waiting for a response."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass

from .envelope import Envelope
from .errors import (
    ArqonBusError,
    BusError,
    ConnectionClosed,
    QueueFullError,
    RequestFailed,
    RequestTimeout,
    missing_feature,
)
from .outgoing import Line, Request
from .reconnect import MESSAGE_TOO_BIG
from .results import Queued

#: Id of the liveness probe; its response is not delivered.
PROBE_ID = "arq_probe"
#: Seconds that the server remembers an id.
_IDEMPOTENCE_WINDOW = 120.0
#: Maximum abandoned request ids remembered, so that late responses are not delivered as messages.
_ABANDONED_LIMIT = 1_000
#: Seconds per message at the minimum ordered send rate.
_ORDERED = 0.002
#: Default pause after a refusal, in seconds.
_DEFAULT_PAUSE = 1.0
#: A timer this late, in seconds, means that the process was suspended or blocked.
_STOOD_STILL = 0.05
#: Grace to read responses that arrived before the timeout: normally, and after a suspension; seconds.
_GRACE = 0.005
_LONG_GRACE = 0.5


@dataclass(frozen=True)
class QueueLimits:
    """Limits of the send queue, used while the connection is down or the server asked for a pause.

    >>> ArqonBusClient(queue=QueueLimits(messages=100, bytes=1_048_576))
    """

    messages: int = 1_000
    bytes: int = 4_194_304


class _Lane:
    """Requests waiting to be sent, in order, with a limit on unanswered ones."""

    def __init__(self, first: int, most: int, *, in_order: bool):
        """
        :param first: initial limit of unanswered requests; it grows up to ``most``
        :param in_order: no request may overtake a refused one. A partly refused burst may let a later one through, so
            only as many are in flight as the connection's latency requires, and one at a time after a refusal
        """
        self.waiting: list[Request] = []
        self.unanswered = 0
        self.window = first
        self._first = first
        self._most = most
        self._in_order = in_order
        self._is_slow = False

    @property
    def is_idle(self) -> bool:
        return not self.waiting and self.unanswered == 0

    def add(self, request: Request) -> None:
        if not self.waiting or self.waiting[-1].place < request.place:
            self.waiting.append(request)
        else:
            # Only refused requests go before others, and then before nearly all of them.
            at = next(n for n, other in enumerate(self.waiting) if other.place > request.place)
            self.waiting.insert(at, request)

    def answered(self, took: float) -> None:
        """:param took: seconds from sending to the response"""
        self.unanswered -= 1
        if not self._is_slow:
            window = int(took / _ORDERED) if self._in_order else self.window + 1
            self.window = min(self._most, max(1, window))

    def refused(self, *, is_new: bool) -> None:
        self.unanswered -= 1
        if is_new:
            self.window = 1 if self._in_order else max(1, self.window // 2)
        self._is_slow = self._is_slow or self._in_order

    def reset(self) -> None:
        self.unanswered = 0
        self.window = self._first
        self._is_slow = False


class SendQueue:
    """All unfinished requests of a client, in creation order.

    A lost connection returns the repeatable ones to their places in the queue, which preserves the order; the server's
    deduplication by id prevents storing a repeated one twice (PROTOCOL section 6).

    Requests that waited for a connection, and all joins, are paced: the number of unanswered ones is limited, and a
    request refused with ``RATE_LIMITED`` is sent again when the server allows it. Any other request is sent at once,
    and its refusal is raised to the caller.
    """

    def __init__(self, limits: QueueLimits, timeout: float, longest_pause: float):
        self._limits = limits
        self._timeout = timeout
        self._longest_pause = longest_pause
        self._requests: dict[str, Request] = {}
        self._abandoned: dict[str, None] = {}
        self._messages = _Lane(1, 32, in_order=True)
        self._joins = _Lane(16, 64, in_order=False)
        self._line: Line | None = None
        self._is_open = False
        self._places = 0
        self._waiting_bytes = 0
        self._paused_until = 0.0
        self._pauses = 0
        self._resume: asyncio.TimerHandle | None = None
        self._on_idle: list[asyncio.Future[None]] = []

    @property
    def queued(self) -> Queued:
        """Messages waiting to be sent; joins, which the server limits, do not count."""
        return Queued(len(self._messages.waiting), self._waiting_bytes)

    async def idle(self) -> None:
        """Waits until everything is answered, except requests that wait at the server."""
        while any(not request.waits for request in self._requests.values()):
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._on_idle.append(waiter)
            await waiter

    async def submit(self, request: Request) -> Envelope | None:
        """Sends a request as soon as possible, and waits for its response.

        Raises :class:`BusError` when it is refused, :class:`RequestTimeout`, :class:`QueueFullError`, or
        :class:`ConnectionClosed` when the response can no longer arrive.
        """
        if request.id in self._requests:
            raise ArqonBusError("ID_IN_USE", f"{request.id!r} is still on its way.")
        lane = self._lane(request)
        request.is_paced = request.is_join or not self._is_open or not lane.is_idle or self._now() < self._paused_until
        limits, queued = self._limits, self.queued
        if request.is_paced and not request.is_join:
            if queued.messages >= limits.messages or queued.bytes + request.size > limits.bytes:
                raise QueueFullError(
                    f"The queue is full: {queued.messages} messages, {queued.bytes} bytes wait to be sent. "
                    "Publish less, or raise 'queue'."
                )
        self._places += 1
        request.place = self._places
        self._requests[request.id] = request
        if not request.is_patient:
            self._arm(request)
        if request.is_paced:
            self._enqueue(request)
            self._pump()
        elif self._line is not None:
            self._send(request, self._line)
        try:
            return await request.future
        finally:
            self._abandon(request)

    def attach(self, line: Line) -> None:
        """Sets a new connection, on which only restoring requests may be sent yet."""
        self._line = line
        self._pump()

    def open(self) -> None:
        """The connection is up: sends the waiting requests, in order."""
        self._is_open = True
        self._pump()

    def lost(self, error: ConnectionClosed) -> None:
        """The connection is lost: repeatable requests wait for the next one, the rest fail with ``error``."""
        self._line = None
        self._is_open = False
        self._stop_pause()
        requests = list(self._requests.values())
        if error.close_code == MESSAGE_TOO_BIG:
            sent = [request for request in requests if request.is_sent]
            if sent:
                self._fail(max(sent, key=lambda request: request.size), _too_large())
        for request in requests:
            if request.future.done():
                continue
            was_sent, request.is_sent = request.is_sent, False
            if request.restoring or (was_sent and not request.repeatable):
                self._fail(request, error)
            elif was_sent:
                if request.unknown_since is None:
                    request.unknown_since = request.sent_at
                self._enqueue(request)
        self._messages.reset()
        self._joins.reset()

    def settle(self, envelope: Envelope) -> bool:
        """Passes a response to its request. Returns False when it answers none and is an ordinary message."""
        request_id, kind = envelope.get("request_id"), envelope["type"]
        if request_id is None:
            return False
        if request_id == PROBE_ID:
            return True
        if request_id in self._abandoned and kind in ("command_response", "ack", "private", "error"):
            # A private request is acked before it is replied to.
            if kind != "ack":
                del self._abandoned[request_id]
            return True
        request = self._requests.get(request_id)
        if request is None:
            return False
        if kind == "error" or envelope.get("status") == "error":
            error = BusError.from_envelope(envelope)
            if error.code == "RATE_LIMITED" and request.is_paced and request.is_sent:
                self._slow_down(request, error.retry_after)
            else:
                self._fail(request, error)
            return True
        if kind == "ack" and request.answer == "private":
            self._taken(request)
            return True
        if kind != (request.answer or "ack"):
            return False
        if kind == "private" and (envelope.get("metadata") or {}).get("failed") is True:
            self._fail(request, RequestFailed.from_envelope(envelope))
            return True
        self._pauses = 0
        if request.on_answer is not None:
            request.on_answer(envelope)
        self._finish(request, None if request.answer is None else envelope)
        return True

    def fail(self, error: Exception) -> None:
        """Fails all requests; nothing more will be sent."""
        self._line = None
        self._is_open = False
        self._stop_pause()
        self._messages.waiting.clear()
        self._joins.waiting.clear()
        self._waiting_bytes = 0
        for request in list(self._requests.values()):
            self._fail(request, error)

    def _pump(self) -> None:
        """Sends what is allowed now: messages first, since there may be many more joins than the caller waits for."""
        line = self._line
        if line is None or self._resume is not None:
            return
        rest = self._paused_until - self._now()
        if rest > 0:
            self._resume = asyncio.get_running_loop().call_later(rest, self._end_pause)
            return
        for lane in (self._messages, self._joins):
            while lane.unanswered < lane.window:
                request = next((one for one in lane.waiting if self._is_open or one.restoring), None)
                if request is None:
                    break
                self._dequeue(request)
                lane.unanswered += 1
                self._send(request, line)
            # The backlog is sent: back to the initial window.
            if lane.is_idle and self._is_open:
                lane.reset()

    def _end_pause(self) -> None:
        self._resume = None
        self._pump()

    def _stop_pause(self) -> None:
        if self._resume is not None:
            self._resume.cancel()
        self._resume = None
        self._paused_until = 0.0
        self._pauses = 0

    def _slow_down(self, request: Request, retry_after: float | None) -> None:
        """Handles a rate limit refusal: the request returns to its place in the queue."""
        now = self._now()
        is_new = now >= self._paused_until
        if is_new:
            self._pauses += 1
        request.is_sent = False
        self._lane(request).refused(is_new=is_new)
        self._enqueue(request)
        # Others may share the rate limit: repeated refusals lengthen the pause.
        wait = _DEFAULT_PAUSE if retry_after is None else retry_after
        wait *= (1 + random.random()) * 2 ** min(max(0, self._pauses - 2), 6)
        self._paused_until = max(self._paused_until, now + min(self._longest_pause, wait))
        self._pump()

    def _send(self, request: Request, line: Line) -> None:
        now = self._now()
        request.is_sent = True
        request.sent_at = now
        limit = line.max_message_bytes
        missing = request.needs - line.features
        if missing:
            self._fail(request, missing_feature(min(missing)))
        elif limit is not None and len(request.text) * 4 > limit and request.size > limit:
            self._fail(request, _too_large())
        elif request.unknown_since is not None and now - request.unknown_since >= _IDEMPOTENCE_WINDOW:
            # The server no longer remembers the id: sending it again might store it twice.
            message = f"Too late to repeat {request.command or request.id}; it may have had effect."
            self._fail(request, ArqonBusError("OUTCOME_UNKNOWN", message))
        elif request.answer is None and not request.is_paced:
            line.send(request.text, lambda: self._finish(request, None))
        else:
            # A paced request needs a response to tell whether it was accepted, so it requests an otherwise unused ack.
            line.send(f'{request.text[:-1]},"ack":true}}' if request.answer is None else request.text)
            if request.is_patient:
                self._arm(request)
            if request.waits and request.is_paced:
                # Do not block the lane while it waits.
                request.is_paced = False
                self._lane(request).unanswered -= 1

    def _arm(self, request: Request) -> None:
        self._disarm(request)
        seconds = self._timeout if request.timeout is None else request.timeout
        loop = asyncio.get_running_loop()
        due = loop.time() + seconds

        def overdue() -> None:
            # The response may be in the socket already: the timer fires before it is read.
            grace = _LONG_GRACE if loop.time() - due > _STOOD_STILL else _GRACE
            request.timer = loop.call_later(grace, expire)

        def expire() -> None:
            # On a slow connection a page of history may take longer than the timeout.
            may_wait = request.timeout is None and request.prolongations > 0
            if may_wait and self._line is not None and self._line.is_receiving():
                request.prolongations -= 1
                self._arm(request)
                return
            self._fail(request, RequestTimeout(f"No answer within {seconds:g} s.", request_id=request.id))

        request.timer = loop.call_later(seconds, overdue)

    def _disarm(self, request: Request) -> None:
        if request.timer is not None:
            request.timer.cancel()
        request.timer = None

    def _taken(self, request: Request) -> None:
        """The server has forwarded a private request; its reply may take longer."""
        self._pauses = 0
        if request.is_paced and request.is_sent:
            request.is_paced = False
            self._lane(request).answered(self._now() - request.sent_at)
            self._pump()

    def _fail(self, request: Request, error: Exception) -> None:
        self._remove(request)
        if not request.future.done():
            request.future.set_exception(error)
            # Mark the exception as retrieved: the future may have no waiter.
            request.future.exception()

    def _finish(self, request: Request, envelope: Envelope | None) -> None:
        self._remove(request)
        if not request.future.done():
            request.future.set_result(envelope)

    def _abandon(self, request: Request) -> None:
        """Abandons a request nobody waits for any more. A late response is dropped."""
        if self._requests.get(request.id) is request:
            self._remove(request)
        if request.is_sent and (request.future.cancelled() or isinstance(request.future.exception(), RequestTimeout)):
            self._abandoned[request.id] = None
            if len(self._abandoned) > _ABANDONED_LIMIT:
                del self._abandoned[next(iter(self._abandoned))]

    def _remove(self, request: Request) -> None:
        if self._requests.pop(request.id, None) is None:
            return
        self._disarm(request)
        if request.is_sent and request.is_paced:
            self._lane(request).answered(self._now() - request.sent_at)
            self._pump()
        elif not request.is_sent and request in self._lane(request).waiting:
            self._dequeue(request)
        if self._on_idle and all(other.waits for other in self._requests.values()):
            waiters, self._on_idle = self._on_idle, []
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)

    def _enqueue(self, request: Request) -> None:
        if request.is_patient:
            self._disarm(request)
        request.is_paced = True
        lane = self._lane(request)
        lane.add(request)
        if lane is self._messages:
            self._waiting_bytes += request.size

    def _dequeue(self, request: Request) -> None:
        lane = self._lane(request)
        lane.waiting.remove(request)
        if lane is self._messages:
            self._waiting_bytes -= request.size

    def _lane(self, request: Request) -> _Lane:
        return self._joins if request.is_join else self._messages

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()


def _too_large() -> ArqonBusError:
    return ArqonBusError("MESSAGE_TOO_LARGE", "The message is larger than the server takes; split it.")
