"""What goes wrong, as exceptions. Every one has ``code``, ``retryable`` and ``details``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .envelope import Envelope
    from .results import Reset


class ArqonBusError(Exception):
    """Base of everything this package raises.

    ``code`` is a stable name to branch on, ``retryable`` says whether the same request may succeed later, and
    ``details`` holds the facts (``field``, ``expected``, ``retry_after_ms``, ...).
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
    """The server refused a request (PROTOCOL section 8); ``code`` is its ``error_code``."""

    @classmethod
    def from_envelope(cls, envelope: Envelope) -> BusError:
        details = dict(envelope.get("payload") or {})
        retryable = details.pop("retryable", False) is True
        return cls(
            envelope.get("error_code", "INTERNAL_ERROR"),
            envelope.get("error", "The server refused the request without saying why."),
            retryable=retryable,
            details=details,
        )


class RequestFailed(ArqonBusError):
    """Another client answered a request with a failure: a private reply with ``metadata.failed``."""

    @classmethod
    def from_envelope(cls, envelope: Envelope) -> RequestFailed:
        details = dict(envelope.get("payload") or {})
        code = str(details.pop("error_code", "INTERNAL_ERROR"))
        return cls(code, str(details.pop("error", "The request failed.")), details=details)


class ConnectError(ArqonBusError):
    """No connection came about. ``code`` is ``CONNECTION_FAILED``, or what the server's HTTP answer said.

    ``details["status"]`` is the HTTP status when there was an answer, ``details["retry_after"]`` the seconds it asked
    to wait.
    """


class AuthenticationError(ConnectError):
    """The server answered 401: the token is missing, expired or invalid. ``code`` is ``AUTHENTICATION_FAILED``."""


class ConnectionClosed(ArqonBusError):
    """The connection ended and is not coming back, or ended before the answer to this request came.

    ``code`` is ``CONNECTION_CLOSED``; ``details["close_code"]`` is the WebSocket close code. With ``retryable`` the
    client is reconnecting: the request may be made again, and whether it took effect is unknown.
    """

    def __init__(self, message: str, *, close_code: int | None = None, retryable: bool = False):
        super().__init__("CONNECTION_CLOSED", message, retryable=retryable, details={"close_code": close_code})
        self.close_code = close_code


class RequestTimeout(ArqonBusError, TimeoutError):
    """No answer in time. ``code`` is ``TIMEOUT``; ``details["id"]`` is the id of the request, if one was sent.

    Whether the request took effect is unknown. A publish may be repeated with the same ``id`` within 120 seconds: the
    server stores and delivers it once.
    """

    def __init__(self, message: str, *, request_id: str | None = None):
        super().__init__("TIMEOUT", message, retryable=True, details={"id": request_id})


class StreamReset(ArqonBusError):
    """Messages of a subscription were lost for good; state built from them must be loaded anew.

    Raised at the place of the loss by an iteration that was given no ``on_reset``. The subscription goes on: iterate
    again for what follows. ``code`` is ``STREAM_RESET``.
    """

    def __init__(self, reset: Reset):
        super().__init__("STREAM_RESET", str(reset), retryable=True, details={"reason": reset.reason})
        self.reset = reset
