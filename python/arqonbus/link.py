"""One logical connection across many sockets: connecting, loss, reconnecting."""

from __future__ import annotations

import asyncio
import json
import logging
from asyncio import sleep as pause
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Literal, Protocol

from .dialer import Dialer
from .envelope import PROTOCOL_VERSION, Envelope
from .errors import ArqonBusError, AuthenticationError, ConnectError, ConnectionClosed, RequestTimeout, closed_error
from .line import Line
from .outgoing import Request
from .reconnect import HEARTBEAT_MISSED, TOKEN_EXPIRED, ReconnectPolicy, plan_after
from .results import Frame, Reconnecting
from .send_queue import PROBE_ID, SendQueue

#: ``idle`` → ``connecting`` → ``open`` ⇄ ``reconnecting`` → ``closed``. A failed first connection returns to ``idle``;
#: ``closed`` is final.
State = Literal["idle", "connecting", "open", "reconnecting", "closed"]

#: A connection that lasted this many seconds was stable: its loss resets the backoff.
_STABLE_AFTER = 5.0
#: Grace period after a missed server ping, and timeout of a probe; seconds.
_GRACE = 5.0
_PROBE_TIME = 10.0
#: A timer this late means that the process was suspended or blocked; then this much time is allowed to read pending
#: data; seconds.
_STOOD_STILL = 0.05
_READING_TIME = 0.5
_PROBE = json.dumps({"version": PROTOCOL_VERSION, "id": PROBE_ID, "type": "command", "command": "ping", "args": {}})

log = logging.getLogger("arqonbus")


class LinkEvents(Protocol):
    """The owner of the link. None of these may raise, and only :meth:`restore` may wait."""

    def frame(self, frame: Frame) -> list[Awaitable[object]]:
        """Called with a received frame before it is processed. Reading waits for the returned awaitables."""

    def received(self, envelope: Envelope) -> None:
        """Called with every frame, including the welcome of each connection."""

    def lost(self) -> None:
        """The connection is lost; another may follow."""

    async def restore(self) -> None:
        """Restores the state of the last connection on a new one, before other requests may use it."""

    def state_changed(self, state: State) -> None: ...

    def reconnecting(self, info: Reconnecting) -> None:
        """An attempt failed or the connection was lost; another attempt follows."""

    def ended(self, error: ArqonBusError | None) -> None:
        """The link has ended: by :meth:`Link.close`, or by ``error``."""


class _Outbox:
    """Outgoing frames, written in order by a separate task."""

    def __init__(self, connection: Line, max_message_bytes: int | None, features: frozenset[str]):
        self.max_message_bytes = max_message_bytes
        self.features = features
        self._connection = connection
        self._frames: deque[tuple[str, Callable[[], None] | None]] = deque()
        self._some = asyncio.Event()

    def send(self, text: str, on_sent: Callable[[], None] | None = None) -> None:
        self._frames.append((text, on_sent))
        self._some.set()

    def is_receiving(self) -> bool:
        return self._connection.is_receiving()

    async def write(self) -> None:
        """Writes until the connection is lost; the reader handles the loss."""
        try:
            while True:
                await self._some.wait()
                self._some.clear()
                while self._frames:
                    text, on_sent = self._frames.popleft()
                    await self._connection.send_text(text)
                    if on_sent is not None:
                        on_sent()
        except ConnectionClosed:
            return


class Link:
    """Maintains one connection: connects, monitors it, and reconnects according to the close code."""

    def __init__(self, dialer: Dialer, policy: ReconnectPolicy | None, events: LinkEvents, queue: SendQueue):
        self.state: State = "idle"
        #: Reconnect delay requested by a shutdown notice, in milliseconds.
        self.reconnect_after_ms: float | None = None
        self._dialer = dialer
        self._policy = policy
        self._events = events
        self._queue = queue
        self._connection: Line | None = None
        self._outbox: _Outbox | None = None
        self._waiters: set[asyncio.Future[None]] = set()
        self._runner: asyncio.Task[None] | None = None
        self._closing = False
        self._failures = 0
        self._was_welcomed = False
        self._opened_at: float | None = None
        self._is_dead = False
        self._holds = 0
        self._error: ArqonBusError | None = None

    async def open(self, *, retry: bool = False, timeout: float | None = None) -> None:
        """Connects, or waits for a connection attempt in progress.

        Without ``retry`` it raises when every address has failed; with it, it keeps trying until ``timeout``.
        """
        if self.state == "closed":
            raise closed_error()
        if self.state == "idle":
            self._failures = 0
            self._enter("connecting")
            self._runner = asyncio.create_task(self._run(retry), name="arqonbus-link")
        try:
            await self._until_open(timeout)
        except BaseException:
            # No caller is waiting for the first connection any more.
            if self.state == "connecting" and not self._waiters:
                await self._stop_runner()
                self._enter("idle")
            raise

    async def close(self) -> None:
        """Closes permanently: unanswered requests fail with :class:`ConnectionClosed`."""
        self._closing = True
        if self._connection is not None:
            await self._connection.close()
        await self._stop_runner()
        self._finish(None)

    async def submit(self, request: Request) -> Envelope | None:
        """Sends a request as soon as possible, and waits for its response."""
        if self.state == "closed":
            raise self._error or closed_error()
        if self.state == "idle":
            message = "The client is not connected yet; call connect() or use 'async with'."
            raise ConnectionClosed(message, code="NOT_CONNECTED", retryable=True)
        return await self._queue.submit(request)

    async def send(self, text: str, timeout: float) -> None:
        """Sends a frame without a response, on a connection that is open or opens within ``timeout`` seconds."""
        await self._until_open(timeout)
        if self._outbox is not None:
            sent = asyncio.Event()
            self._outbox.send(text, sent.set)
            try:
                await asyncio.wait_for(sent.wait(), timeout)
            except (TimeoutError, asyncio.TimeoutError) as error:
                raise RequestTimeout(f"The frame could not be sent within {timeout:g} s.") from error

    async def _stop_runner(self) -> None:
        runner, self._runner = self._runner, None
        # On Python < 3.12 a wait that has just completed may swallow a cancellation.
        while runner is not None and runner is not asyncio.current_task() and not runner.done():
            runner.cancel()
            await asyncio.wait((runner,), timeout=0.05)

    async def _until_open(self, timeout: float | None) -> None:
        if self.state == "open":
            return
        if self.state == "closed":
            raise self._error or closed_error()
        if self.state == "idle":
            message = "The client is not connected yet; call connect() or use 'async with'."
            raise ConnectionClosed(message, code="NOT_CONNECTED", retryable=True)
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        try:
            await asyncio.wait((waiter,), timeout=timeout)
        finally:
            self._waiters.discard(waiter)
        if not waiter.done():
            raise RequestTimeout(f"No connection within {timeout:g} s.")
        waiter.result()

    async def _run(self, retry: bool) -> None:
        """Connects repeatedly, until it is closed or an error is permanent."""
        try:
            while not self._closing:
                failure, notice = await self._attempt()
                if self._closing:
                    return
                is_first = self.state == "connecting"
                is_once = is_first and not retry
                if not failure.retryable or self._failures >= self._allowed(is_once):
                    self._give_up(failure, is_first)
                    return
                delay = 0.0 if is_once else self._delay(notice)
                self._failures += 1
                attempt = self._failures
                if not is_first:
                    self._enter("reconnecting")
                self._events.reconnecting(Reconnecting(attempt, delay, failure))
                await pause(delay)
        except Exception as error:
            log.exception("the connection could not be kept")
            self._give_up(ConnectError("CONNECTION_FAILED", str(error)), self.state == "connecting")

    async def _attempt(self) -> tuple[ConnectError, float | None]:
        """Runs one connection. Returns why it ended, and the delay from a shutdown notice."""
        tokens = self._dialer.tokens
        try:
            connection, welcome, text = await self._dialer.dial()
        except ConnectError as error:
            if error.code != "TOKEN_FAILED":
                self._dialer.addresses.bar(float(error.details.get("retry_after") or 0))
                self._dialer.addresses.move_on()
            if isinstance(error, AuthenticationError):
                tokens.forget()
                error.retryable = tokens.renewable
            elif self._was_welcomed:
                # It worked before, so keep trying: a proxy may be answering for a bus that is being replaced.
                error.retryable = True
            return error, None
        self._was_welcomed = True
        code = await self._serve(connection, welcome, text)
        self._dialer.addresses.move_on(None if self._opened_at is None else (self._policy or ReconnectPolicy()).draw)
        plan = plan_after(code)
        notice = self.reconnect_after_ms if plan == "after-notice" else None
        self.reconnect_after_ms = None
        loop = asyncio.get_running_loop()
        if self._opened_at is not None and loop.time() - self._opened_at >= _STABLE_AFTER:
            self._failures = 0
        self._opened_at = None
        if code == TOKEN_EXPIRED:
            tokens.forget()
            expired = AuthenticationError(
                "AUTHENTICATION_FAILED",
                "The token has expired." if tokens.renewable else "The token has expired, and there is no other.",
                retryable=tokens.renewable,
                details={"close_code": code},
            )
            expired.close_code = code
            return expired, None
        message = f"The connection was lost ({code})."
        lost = ConnectionClosed(message, close_code=code, retryable=plan != "never")
        return lost, None if notice is None else notice / 1000

    def _allowed(self, is_once: bool) -> float:
        """The number of consecutive failures allowed; without retry each address is tried once."""
        if is_once:
            return len(self._dialer.addresses) - 1
        if self._policy is None:
            return 0
        return float("inf") if self._policy.max_attempts is None else self._policy.max_attempts

    def _delay(self, notice: float | None) -> float:
        """The delay of a server notice is already jittered; other delays are jittered here. The cap applies to both."""
        policy = self._policy or ReconnectPolicy()
        addresses = self._dialer.addresses
        if notice is None:
            notice = policy.delay(self._failures // len(addresses))
        return min(policy.cap, addresses.wait + notice)

    async def _serve(self, connection: Line, welcome: Envelope, text: str) -> int | None:
        """Reads one connection until it ends; returns the close code."""
        limits = welcome["payload"].get("limits") or {}
        features = frozenset(str(name) for name in welcome["payload"].get("features") or ())
        self._connection = connection
        self._outbox = outbox = _Outbox(connection, limits.get("max_message_bytes"), features)
        self._is_dead = False
        self._queue.attach(outbox)
        silence = float(limits.get("ping_interval_ms") or 20_000) / 1000 + _GRACE
        tasks = [
            asyncio.create_task(outbox.write(), name="arqonbus-write"),
            asyncio.create_task(self._watch(connection, outbox, silence), name="arqonbus-watch"),
        ]
        code: int | None = None
        try:
            await self._dispatch(text, welcome)
            tasks.append(asyncio.create_task(self._restore(), name="arqonbus-restore"))
            while True:
                text = await connection.receive_text()
                envelope = _read(text)
                if envelope is None:
                    log.warning("a frame that is no envelope was ignored")
                else:
                    await self._dispatch(text, envelope)
        except ConnectionClosed as closed:
            code = HEARTBEAT_MISSED if self._is_dead else closed.close_code
            return code
        finally:
            self._connection = self._outbox = None
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            self._events.lost()
            self._queue.lost(self._lost_error(code))
            await connection.close()

    def _lost_error(self, code: int | None) -> ConnectionClosed:
        if self._closing:
            return closed_error(code)
        retryable = self._policy is not None and plan_after(code) != "never"
        message = "The line broke before the answer came; the request may have had effect."
        return ConnectionClosed(message, close_code=code, retryable=retryable)

    async def _dispatch(self, text: str, envelope: Envelope) -> None:
        try:
            waits = [asyncio.ensure_future(wait) for wait in self._events.frame(Frame(text, envelope))]
            if waits:
                self._holds += 1
                try:
                    # Not gather(): a callback may close the client, and must not be cancelled by it.
                    await asyncio.wait(waits)
                finally:
                    self._holds -= 1
            self._events.received(envelope)
        except Exception:
            log.exception("a frame could not be processed")

    async def _restore(self) -> None:
        await self._events.restore()
        if self._outbox is None:
            return
        self._opened_at = asyncio.get_running_loop().time()
        self._queue.open()
        self._enter("open")
        for waiter in tuple(self._waiters):
            if not waiter.done():
                waiter.set_result(None)

    async def _watch(self, connection: Line, outbox: _Outbox, silence: float) -> None:
        """Detects a dead connection: silence, followed by an unanswered probe."""
        loop = asyncio.get_running_loop()
        while True:
            # While a large message arrives, the server gets no responses from this side: the probe is a sign of life.
            heard = connection.last_message if connection.has_partial else connection.last_received
            rest = heard + silence - loop.time()
            if rest > 0:
                await asyncio.sleep(rest)
                continue
            before = connection.last_received
            outbox.send(_PROBE)
            due = loop.time() + _PROBE_TIME
            await asyncio.sleep(_PROBE_TIME)
            if loop.time() - due > _STOOD_STILL:
                await asyncio.sleep(_READING_TIME)
            if connection.last_received == before and self._holds == 0:
                self._is_dead = True
                connection.abort()
                return

    def _enter(self, state: State) -> None:
        if self.state not in (state, "closed"):
            self.state = state
            self._events.state_changed(state)

    def _give_up(self, error: ArqonBusError, is_first: bool) -> None:
        if not is_first:
            self._finish(error)
            return
        waiters = tuple(self._waiters)
        self._runner = None
        self._queue.fail(error)
        self._enter("idle")
        self._reject(waiters, error)

    def _finish(self, error: ArqonBusError | None) -> None:
        if self.state == "closed":
            return
        self._error = error
        waiters = tuple(self._waiters)
        self._queue.fail(error or closed_error())
        self._enter("closed")
        self._events.ended(error)
        self._reject(waiters, error or closed_error())

    @staticmethod
    def _reject(waiters: tuple[asyncio.Future[None], ...], error: Exception) -> None:
        for waiter in waiters:
            if not waiter.done():
                waiter.set_exception(error)
                waiter.exception()


def _read(text: str) -> Envelope | None:
    try:
        frame = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if isinstance(frame, dict) and isinstance(frame.get("type"), str) and isinstance(frame.get("payload"), dict):
        return Envelope(frame)
    return None
