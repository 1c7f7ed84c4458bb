"""The frames of the wire as Python sees them (PROTOCOL section 2). Nothing here knows the rest of the package."""

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
    """Who sent a message, as the server knows it: nobody can claim to be somebody else.

    ``subject`` is who the token names, ``name`` how it calls itself on screen; both may be missing.

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

    ``version``, ``id``, ``type``, ``from``, ``timestamp`` and ``payload`` are always there. ``room``, ``channel``,
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
        """Who sent it; None for what the server says itself, and from a server that does not tell.

        >>> print(message.sender.subject)
        """
        told = self.metadata.get("sender")
        return Sender.from_wire(told) if isinstance(told, dict) else None


_origin = secrets.token_hex(8)
_counter = count(1)


def new_id() -> str:
    """A fresh envelope id, unique across processes: random bits for this process, a counter within it.

    >>> id = new_id()
    >>> await client.publish("science:explore", {"n": 1}, id=id)
    """
    return f"arq_py{_origin}_{next(_counter):08x}"


def new_client_key() -> str:
    """A secret of 32 characters by which the server knows this client again after a reconnect."""
    return secrets.token_hex(16)
