"""Exceptions. Every one has ``code``, ``retryable`` and ``details``."""

from __future__ import annotations

from typing import Any, Literal

from .envelope import Envelope
from .results import Reset


class ArqonBusError(Exception):
    """Base of everything this package raises.

    ``code`` is a stable name to branch on, ``retryable`` says whether the same request may succeed later, and
    ``details`` holds the facts (``field``, ``expected``, ``retry_after_ms``, ...). The base class itself is raised for
    what the client rejects before sending: ``INVALID_ARGUMENT``, ``MESSAGE_TOO_LARGE``, ``ID_IN_USE``,
    ``OUTCOME_UNKNOWN``, ``FEATURE_MISSING``.

    >>> try:
    ...     await client.publish("science:explore", {"n": 1})
    ... except ArqonBusError as error:
    ...     print(error.code, error.retryable)
    """

    def __init__(self, code: str, message: str, *, retryable: bool = False, details: dict[str, Any] | None = None):
        super().__init__(message)
        self.code = code
        self.message = message
        self.retryable = retryable
        self.details: dict[str, Any] = details or {}

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


class BusError(ArqonBusError):
    """The server refused a request (PROTOCOL section 8); ``code`` is its ``error_code``. Also ``RefusedError``.

    >>> try:
    ...     await client.publish("science:explore", {"n": 1})
    ... except BusError as error:
    ...     print(error.code, error.details, error.retry_after)
    """

    #: The command that was refused; empty for a message.
    command: str = ""

    @property
    def retry_after(self) -> float | None:
        """Seconds to wait before the next try (``RATE_LIMITED``); None when the server gives no time.

        >>> await asyncio.sleep(error.retry_after or 1.0)
        """
        wait = self.details.get("retry_after_ms")
        return wait / 1000 if isinstance(wait, int | float) else None

    @classmethod
    def from_envelope(cls, envelope: Envelope) -> BusError:
        details = dict(envelope.get("payload") or {})
        retryable = details.pop("retryable", False) is True
        code = str(envelope.get("error_code", "INTERNAL_ERROR"))
        kind = _KINDS.get(code, cls if envelope.get("command") is None else CommandError)
        error = kind(
            code,
            envelope.get("error", "The server refused the request without saying why."),
            retryable=retryable,
            details=details,
        )
        error.command = str(envelope.get("command", ""))
        return error


class CommandError(BusError):
    """A command was answered with ``status: "error"``.

    >>> try:
    ...     await client.delete_channel("science:explore")
    ... except CommandError as error:
    ...     print(error.command, error.code)
    """


class LeaseLost(CommandError):
    """``LEASE_LOST``: the lease is no longer held, and others may hold it by now.

    For a message of a group, its lease expired before it was acknowledged: it is redelivered to any free member. For
    ``client.leases``, the lease has expired or was released.

    >>> try:
    ...     await message.ack()
    ... except LeaseLost:
    ...     undo_what_was_done()
    """


class NoResponders(BusError):
    """``NO_RESPONDERS``: nobody serves requests at this address. The request may succeed later.

    >>> try:
    ...     reply = await client.request("calc:add", {"numbers": [1, 2]})
    ... except NoResponders:
    ...     print("nobody calculates now")
    """


class MailboxFull(BusError):
    """``MAILBOX_FULL``: the mailbox is full, and nothing of this message was stored there.

    >>> try:
    ...     await client.send("@ada", {"text": "hello"})
    ... except MailboxFull:
    ...     print("ada has to read first")
    """


class LoopDetected(BusError):
    """``LOOP_DETECTED``: the chain of messages that caused each other is too long.

    >>> try:
    ...     await client.publish("science:explore", answer)
    ... except LoopDetected as error:
    ...     print(error.details)
    """


class SchemaMismatch(BusError):
    """``SCHEMA_MISMATCH``: the payload violates the schema of the channel's rule; ``details`` names the field.

    >>> try:
    ...     await client.publish("orders:new", {"amount": "many"})
    ... except SchemaMismatch as error:
    ...     print(error.details)
    """


class RequestFailed(ArqonBusError):
    """A failure reply to a request, received or to be sent. Also ``RequestError``.

    A request handler raises it to reply with this ``code`` and message; :meth:`ArqonBusClient.request` raises it.

    >>> @client.on_request
    ... def divide(payload, message):
    ...     raise RequestFailed("DIVISION_BY_ZERO", "I cannot divide by zero.")
    """

    @classmethod
    def from_envelope(cls, envelope: Envelope) -> RequestFailed:
        details = dict(envelope.get("payload") or {})
        code = str(details.pop("error_code", "INTERNAL_ERROR"))
        retryable = details.get("retryable") is True
        return cls(code, str(details.pop("error", "The request failed.")), retryable=retryable, details=details)


class ConnectError(ArqonBusError):
    """Connecting failed (``CONNECTION_FAILED``, ``TOKEN_FAILED``, or the server's error code).

    ``details["status"]`` is the HTTP status when there was a response, ``details["retry_after"]`` the requested wait in
    seconds.

    >>> try:
    ...     await client.connect()
    ... except ConnectError as error:
    ...     print(error.code, error.status)
    """

    #: WebSocket close code, when there was a connection.
    close_code: int | None = None

    @property
    def status(self) -> int | None:
        """HTTP status of a refused handshake.

        >>> error.status
        503
        """
        return self.details.get("status")


class AuthenticationError(ConnectError):
    """The token is missing, expired or refused, and no other is available: HTTP 401, or close code 4401.

    >>> try:
    ...     await client.connect()
    ... except AuthenticationError:
    ...     log_in_again()
    """


class ConnectionClosed(ConnectError):
    """The connection ended permanently, or before the response to this request arrived.

    ``code`` is ``CONNECTION_LOST``, ``CLOSED`` when the client was closed, ``NOT_CONNECTED`` before it was connected;
    ``close_code`` is the WebSocket close code. With ``retryable`` the client is reconnecting: the request may be
    retried, and whether it took effect is unknown.

    >>> try:
    ...     await client.create_channel("science:new")
    ... except ConnectionClosed as error:
    ...     print(error.code, error.close_code, error.retryable)
    """

    def __init__(
        self, message: str, *, code: str = "CONNECTION_LOST", close_code: int | None = None, retryable: bool = False
    ):
        super().__init__(code, message, retryable=retryable, details={"close_code": close_code})
        self.close_code = close_code


class RequestTimeout(ArqonBusError, TimeoutError):
    """No response in time. ``code`` is ``TIMEOUT``; ``id`` is the id of the request, if one was sent.

    Whether the request took effect is unknown. A publish may be repeated with the same ``id`` within 120 seconds: the
    server stores and delivers it once.

    >>> try:
    ...     await client.publish("science:explore", payload, timeout=2.0)
    ... except RequestTimeout as error:
    ...     await client.publish("science:explore", payload, id=error.id)
    """

    def __init__(self, message: str, *, request_id: str | None = None):
        super().__init__("TIMEOUT", message, retryable=True, details={"id": request_id})
        self.id = request_id


class QueueFullError(ArqonBusError):
    """The send queue has reached the limit of messages or bytes set by the option ``queue``.

    >>> try:
    ...     await client.publish("science:explore", {"n": 1})
    ... except QueueFullError:
    ...     print(client.queued)
    """

    def __init__(self, message: str):
        super().__init__("QUEUE_FULL", message, retryable=True)


#: How a stream ended: ``orphaned`` when its writer was gone for too long.
StreamState = Literal["complete", "cancelled", "failed", "orphaned"]


class StreamError(ArqonBusError):
    """The stream being read ended as ``failed`` or ``orphaned``: its text may be incomplete.

    ``code`` is ``STREAM_ENDED``, ``state`` says how it ended.

    >>> try:
    ...     async for text in client.read_stream(id):
    ...         show(text)
    ... except StreamError as error:
    ...     show(f"… ({error.state})")
    """

    def __init__(self, state: StreamState):
        message = f"The stream ended as {state}; its text may not be whole."
        super().__init__("STREAM_ENDED", message, details={"state": state})
        self.state = state


class StreamReset(ArqonBusError):
    """Messages of a subscription were lost; state built from them must be reloaded.

    Raised by an iteration without ``on_reset``, at the place of the loss. The subscription continues: iterate again for
    what follows. ``code`` is ``STREAM_RESET``.

    >>> try:
    ...     message = await subscription.receive()
    ... except StreamReset as error:
    ...     reload(error.reset.reason, error.reset.position)
    """

    def __init__(self, reset: Reset):
        super().__init__("STREAM_RESET", str(reset), retryable=True, details={"reason": reset.reason})
        self.reset = reset


_KINDS: dict[str, type[BusError]] = {
    "LEASE_LOST": LeaseLost,
    "NO_RESPONDERS": NoResponders,
    "MAILBOX_FULL": MailboxFull,
    "LOOP_DETECTED": LoopDetected,
    "SCHEMA_MISMATCH": SchemaMismatch,
}

#: The TypeScript client's names for the same errors.
RefusedError = BusError
RequestError = RequestFailed


def closed_error(close_code: int | None = None) -> ConnectionClosed:
    return ConnectionClosed("The client is closed; make a new one.", code="CLOSED", close_code=close_code)


#: The server does not support a required feature.
FEATURE_MISSING = "FEATURE_MISSING"


def missing_feature(name: str) -> ArqonBusError:
    message = f'This server does not offer "{name}"; use a newer ArqonBus server.'
    return ArqonBusError(FEATURE_MISSING, message, details={"feature": name})


def invalid_argument(message: str, **details: Any) -> ArqonBusError:
    return ArqonBusError("INVALID_ARGUMENT", message, details=details)
