"""One logical connection that outlives its sockets: requests, loss, reconnection."""

from __future__ import annotations

import asyncio
import logging
from asyncio import sleep as pause
from typing import Literal, Protocol

from .connection import Connection
from .dialer import Dialer
from .envelope import Envelope
from .errors import ArqonBusError, AuthenticationError, ConnectError, ConnectionClosed, RequestTimeout
from .pending import Pending, Request
from .reconnect import ReconnectPolicy, plan_after

#: ``waiting`` is the pause before an attempt to reconnect. ``closed`` is final.
State = Literal["idle", "connecting", "open", "waiting", "closed"]

#: A connection that lasted this many seconds counts as a success, and the backoff begins anew.
_STABLE_AFTER = 10.0
#: Tokens refused in a row before a provider is no longer asked.
_TOKEN_ATTEMPTS = 3

log = logging.getLogger("arqonbus")


class LinkEvents(Protocol):
    """Whoever owns the link. None of these may fail, and only :meth:`restore` may wait."""

    def received(self, envelope: Envelope) -> None:
        """A frame, the welcome of each connection included."""

    def lost(self) -> None:
        """The connection is gone; another may follow."""

    async def restore(self) -> None:
        """Brings a new connection to the state of the last one, before anybody else may use it."""

    def state_changed(self, state: State) -> None: ...

    def ended(self, error: ArqonBusError | None) -> None:
        """It is over: by :meth:`Link.close`, or by ``error``."""


class Link:
    """States: idle → connecting → open → (waiting → connecting → open)* → closed."""

    def __init__(self, dialer: Dialer, policy: ReconnectPolicy | None, events: LinkEvents, pending: Pending):
        self.state: State = "idle"
        self.pending = pending
        #: Largest frame that the server accepts, as its welcome says; None before that.
        self.max_message_bytes: int | None = None
        #: Milliseconds that a shutdown notice asked to wait before reconnecting.
        self.reconnect_after_ms: float | None = None
        self._dialer = dialer
        self._policy = policy
        self._events = events
        self._connection: Connection | None = None
        self._ready = asyncio.Event()
        self._runner: asyncio.Task[None] | None = None
        self._closing = False
        self._failures = 0
        self._refusals = 0
        self._error: ArqonBusError | None = None

    async def open(self) -> None:
        """Connects for the first time; the first failure is raised, not retried."""
        if self.state != "idle":
            raise ArqonBusError("INVALID_STATE", "This client has been connected before; make a new one.")
        self._enter("connecting")
        try:
            connection, welcome = await self._dialer.dial()
        except BaseException as error:
            self._finish(error if isinstance(error, ArqonBusError) else None)
            raise
        self._runner = asyncio.create_task(self._run(connection, welcome), name="arqonbus-link")
        try:
            await self._until_ready(None)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Closes for good: unanswered requests fail with :class:`ConnectionClosed`."""
        self._closing = True
        if self._connection is not None:
            await self._connection.close()
        if self._runner is not None:
            self._runner.cancel()
            await asyncio.wait((self._runner,))
        self._finish(None)

    async def send(self, text: str, timeout: float) -> None:
        """Sends a frame that nothing answers, on a connection that is open or opens within ``timeout`` seconds."""
        await self._until_ready(timeout)
        await self._transmit(text, timeout)

    async def request(self, request: Request, timeout: float, *, restoring: bool = False) -> Envelope:
        """Sends a request and waits for its answer, ``timeout`` seconds in all.

        Raises :class:`BusError` when it is refused, :class:`RequestTimeout`, or :class:`ConnectionClosed` when the
        answer cannot come any more. ``restoring`` requests do not wait for the restoration that they are part of.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        if not restoring:
            await self._until_ready(timeout, request.id)
        self.pending.add(request)
        try:
            try:
                await self._transmit(request.text, max(0.0, deadline - loop.time()), request.id)
            except ConnectionClosed:
                if not request.repeatable or self.state == "closed":
                    raise
            await asyncio.wait((request.future,), timeout=max(0.0, deadline - loop.time()))
            if not request.future.done():
                raise _timeout(timeout, request.id)
            return request.future.result()
        finally:
            self.pending.abandon(request)
            if request.future.done() and not request.future.cancelled():
                request.future.exception()  # taken note of, even when the caller was cancelled

    async def _transmit(self, text: str, timeout: float, request_id: str | None = None) -> None:
        if self._connection is None:
            raise self._gone()
        try:
            await asyncio.wait_for(self._connection.send_text(text), timeout)
        except ConnectionClosed as closed:
            raise self._gone(closed.close_code) from closed
        except (TimeoutError, asyncio.TimeoutError) as error:
            raise _timeout(timeout, request_id) from error

    async def _until_ready(self, timeout: float | None, request_id: str | None = None) -> None:
        if self._ready.is_set():
            return
        if self._runner is None or self._runner.done():
            raise self._gone()
        ready = asyncio.ensure_future(self._ready.wait())
        try:
            await asyncio.wait((ready, self._runner), timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ready.cancel()
        if self._ready.is_set():
            return
        if self._runner.done():
            raise self._error or self._gone()
        raise _timeout(timeout or 0.0, request_id)

    async def _run(self, connection: Connection, welcome: Envelope) -> None:
        error: ArqonBusError | None = None
        loop = asyncio.get_running_loop()
        try:
            # A cancelled wait_for may return all the same on Python < 3.12, so that closing has to be looked at too.
            while not self._closing:
                opened = loop.time()
                code = await self._serve(connection, welcome)
                if self._closing:
                    return
                self._failures = 0 if loop.time() - opened >= _STABLE_AFTER else self._failures + 1
                connection, welcome = await self._reconnect(code)
            await connection.close()
        except ArqonBusError as fatal:
            error = fatal
        finally:
            self._finish(error)

    async def _serve(self, connection: Connection, welcome: Envelope) -> int | None:
        """Reads one connection to its end; answers the close code."""
        self._connection = connection
        self._refusals = 0
        self.max_message_bytes = welcome["payload"].get("limits", {}).get("max_message_bytes")
        self._dispatch(welcome)
        restoring = asyncio.create_task(self._restore(), name="arqonbus-restore")
        try:
            while True:
                try:
                    self._dispatch(await connection.receive())
                except ValueError:
                    log.warning("a frame that is not JSON was ignored")
        except ConnectionClosed as closed:
            self.pending.fail(self._gone(closed.close_code), keep_repeatable=closed.close_code != 1009)
            return closed.close_code
        finally:
            self._connection = None
            self._ready.clear()
            restoring.cancel()
            await asyncio.wait((restoring,))
            self._events.lost()
            await connection.close()

    def _dispatch(self, envelope: Envelope) -> None:
        try:
            self._events.received(envelope)
        except Exception:
            log.exception("a frame could not be processed")

    async def _restore(self) -> None:
        try:
            await self._events.restore()
            for request in self.pending.repeatable():
                await self._transmit(request.text, self._dialer.timeout)
        except ArqonBusError as error:
            # Only a lost connection ends here; the reader meets it too, and goes on from there.
            log.info("the connection could not be restored: %s", error)
            if self._connection is not None:
                await self._connection.close()
            return
        self._ready.set()
        self._enter("open")

    async def _reconnect(self, close_code: int | None) -> tuple[Connection, Envelope]:
        plan = plan_after(close_code)
        policy = self._policy
        if policy is None or plan == "never":
            raise ConnectionClosed(f"The server closed the connection ({close_code}).", close_code=close_code)
        if plan == "after-refresh" and not self._dialer.can_refresh:
            raise AuthenticationError("AUTHENTICATION_FAILED", "The token has expired, and there is no other.")
        delay = 0.0 if plan in ("now", "after-refresh") and self._failures <= 1 else policy.delay(self._failures)
        if plan == "after-notice" and self.reconnect_after_ms is not None:
            delay = self.reconnect_after_ms / 1000
        self.reconnect_after_ms = None
        while True:
            self._enter("waiting")
            await pause(delay)
            self._enter("connecting")
            try:
                return await self._dialer.dial()
            except ConnectError as error:
                self._failures += 1
                if not self._worth_another(error, policy):
                    raise
                delay = max(policy.delay(self._failures), float(error.details.get("retry_after", 0)))

    def _worth_another(self, error: ConnectError, policy: ReconnectPolicy) -> bool:
        if policy.max_attempts is not None and self._failures >= policy.max_attempts:
            return False
        if isinstance(error, AuthenticationError):
            self._refusals += 1
            return self._dialer.can_refresh and self._refusals < _TOKEN_ATTEMPTS
        return error.retryable

    def _gone(self, close_code: int | None = None) -> ConnectionClosed:
        """Why a request cannot go out or be answered now."""
        if self.state == "idle":
            return ConnectionClosed("The client is not connected yet; call connect() or use 'async with'.")
        if self._closing or self.state == "closed":
            return ConnectionClosed("The client is closed.", close_code=close_code)
        retryable = self._policy is not None and plan_after(close_code) != "never"
        return ConnectionClosed("The connection was lost.", close_code=close_code, retryable=retryable)

    def _enter(self, state: State) -> None:
        if self.state not in (state, "closed"):
            self.state = state
            self._events.state_changed(state)

    def _finish(self, error: ArqonBusError | None) -> None:
        if self.state == "closed":
            return
        self._error = error
        self._enter("closed")
        self.pending.fail(error or self._gone(), keep_repeatable=False)
        self._events.ended(error)


def _timeout(seconds: float, request_id: str | None) -> RequestTimeout:
    return RequestTimeout(f"No answer within {seconds:g} s.", request_id=request_id)
