"""The frames of the wire as Python sees them (PROTOCOL section 2). Nothing here knows the rest of the package."""

from __future__ import annotations

import secrets
from itertools import count
from typing import Any, Literal, TypedDict

PROTOCOL_VERSION = "1.0"
SUBPROTOCOL = "arqonbus.v1"
WILDCARD = "*"

JsonObject = dict[str, Any]
ClientType = Literal["human", "ai-agent", "dashboard", "service"]

_Owed = TypedDict(
    "_Owed",
    {"version": str, "id": str, "type": str, "from": str, "timestamp": str, "payload": JsonObject},
)


class Envelope(_Owed, total=False):
    """One frame as received: a plain ``dict``. Which of the optional keys are there depends on ``type``.

    >>> async for message in client.subscribe("science:explore"):
    ...     print(message["from"], message["payload"])
    """

    room: str
    channel: str
    to: str | list[str]
    command: str
    args: JsonObject
    request_id: str
    status: Literal["success", "error"]
    error: str
    error_code: str
    ack: bool
    metadata: JsonObject


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
