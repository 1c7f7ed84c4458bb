"""Publish options (DELIVERY): the ``options`` of an envelope."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypedDict

from .envelope import JsonObject
from .errors import invalid_argument
from .results import Position


class PublishOptions(TypedDict, total=False):
    """Options of :meth:`ArqonBusClient.publish` and :meth:`ArqonBusClient.send`. None is the same as not given.

    >>> options: PublishOptions = {"ttl_seconds": 60, "receipt": "workers"}
    >>> await client.publish("science:explore", {"n": 1}, **options)
    """

    #: Seconds after which it is no longer delivered, replayed or listed.
    ttl_seconds: float | None
    #: Store it only if the stream is at this position (sequence 0: is empty), or if its last message has this id
    #: (``{"last_id": ID}``); otherwise it is refused with ``CONFLICT``.
    expect: Position | Mapping[str, Any] | None
    #: Deliver only to connected subscribers: no sequence, no history, no groups.
    ephemeral: bool | None
    #: Clear the channel's retained value; the event itself is a normal one.
    clear: bool | None
    #: When to deliver it, with a time zone; a text is RFC 3339.
    deliver_at: datetime | str | None
    #: Seconds after which to deliver it.
    delay_seconds: float | None
    #: Request a receipt for its handling: true for a mailbox, the name of the group for an event.
    receipt: bool | str | None
    #: Makes it a request: ``{"timeout_ms": …, "group": …}``. :meth:`ArqonBusClient.request` sends one and waits.
    request: Mapping[str, Any] | None


_FEATURES = {"receipt": "receipts", "request": "requests"}


def wire_options(options: PublishOptions) -> JsonObject:
    """The ``options`` of an envelope; empty when there are none."""
    unknown = options.keys() - PublishOptions.__annotations__.keys()
    if unknown:
        known = ", ".join(PublishOptions.__annotations__)
        raise TypeError(f"There is no option {min(unknown)!r}; there are: {known}.")
    wire: JsonObject = {name: value for name, value in options.items() if value is not None and value is not False}
    expect, deliver_at = wire.get("expect"), wire.get("deliver_at")
    if isinstance(expect, Position):
        wire["expect"] = expect.to_wire()
    if isinstance(deliver_at, datetime):
        wire["deliver_at"] = wire_time(deliver_at, "deliver_at")
    return wire


def needed_features(options: PublishOptions) -> frozenset[str]:
    """The server features that these options require."""
    asked = [name for name, value in options.items() if value is not None and value is not False]
    return frozenset(["options", *(_FEATURES[name] for name in asked if name in _FEATURES)] if asked else [])


def wire_time(time: datetime, field: str) -> str:
    """Formats a time as RFC 3339. Raises ``INVALID_ARGUMENT`` without a time zone: the time would be ambiguous."""
    if time.tzinfo is None:
        raise invalid_argument(
            f'"{field}" has no time zone; write datetime.now(timezone.utc) or .astimezone().', field=field
        )
    return time.isoformat()
