"""Wire frames in Python (PROTOCOL section 2). This module imports nothing else from the package."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from itertools import count
from typing import Any, Literal

PROTOCOL_VERSION = "1.0"
SUBPROTOCOL = "arqonbus.v1"
WILDCARD = "*"

JsonObject = dict[str, Any]
ClientType = Literal["human", "ai-agent", "dashboard", "service"]


@dataclass(frozen=True)
class Sender:
    """The sender of a message, as verified by the server; it cannot be forged.

    ``subject`` comes from the token, ``name`` is the screen name; both may be missing.

    >>> message.sender
    Sender(subject='ada', name='Ada', type='human', role='user')
    """

    subject: str | None
    name: str | None
    type: str | None
    role: str | None

    @classmethod
    def from_wire(cls, told: JsonObject) -> Sender:
        return cls(told.get("subject"), told.get("name"), told.get("type"), told.get("role"))


class Envelope(dict[str, Any]):
    """One frame as received: a ``dict``.

    ``version``, ``id``, ``type``, ``from``, ``timestamp`` and ``payload`` are always present. ``room``, ``channel``,
    ``to``, ``command``, ``args``, ``request_id``, ``status``, ``error``, ``error_code``, ``ack`` and ``metadata``
    depend on the ``type``.

    >>> async for message in client.subscribe("science:explore"):
    ...     print(message.sender, message["payload"])
    """

    __slots__ = ()

    @property
    def metadata(self) -> JsonObject:
        """``metadata``, empty when there is none.

        >>> message.metadata.get("sequence")
        7
        """
        metadata = self.get("metadata")
        return metadata if isinstance(metadata, dict) else {}

    @property
    def sender(self) -> Sender | None:
        """The sender; None for the server's own messages, and from a server that does not send it.

        >>> print(message.sender.subject)
        """
        told = self.metadata.get("sender")
        return Sender.from_wire(told) if isinstance(told, dict) else None


_origin = secrets.token_hex(8)
_counter = count(1)


def new_id() -> str:
    """Returns a new envelope id, unique across processes: random bits per process, plus a counter.

    >>> id = new_id()
    >>> await client.publish("science:explore", {"n": 1}, id=id)
    """
    return f"arq_py{_origin}_{next(_counter):08x}"


def new_client_key() -> str:
    """A secret of 32 characters that identifies this client to the server after a reconnect."""
    return secrets.token_hex(16)
