"""What a publication may ask for beside being delivered (DELIVERY): the ``options`` of an envelope."""

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

    #: Seconds after which it is neither delivered nor replayed nor listed any more.
    ttl_seconds: float | None
    #: It is stored only if the stream stands at this position (a sequence 0: is empty), or if its last message has this
    #: id (``{"last_id": ID}``); else it is refused with ``CONFLICT``.
    expect: Position | Mapping[str, Any] | None
    #: Only to who is there now: no sequence, no history, no groups.
    ephemeral: bool | None
    #: Takes the value away that the channel retains; the event itself is one like others.
    clear: bool | None
    #: When it is delivered, with a time zone; as text in RFC 3339.
    deliver_at: datetime | str | None
    #: Seconds after which it is delivered.
    delay_seconds: float | None
    #: Whether to be told what became of it: true for a mailbox, the name of the group for an event.
    receipt: bool | str | None
    #: It is a request: ``{"timeout_ms": …, "group": …}``. :meth:`ArqonBusClient.request` sends one and waits.
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
    """What a server has to offer for these options."""
    asked = [name for name, value in options.items() if value is not None and value is not False]
    return frozenset(["options", *(_FEATURES[name] for name in asked if name in _FEATURES)] if asked else [])


def wire_time(time: datetime, field: str) -> str:
    """RFC 3339. Raises ``INVALID_ARGUMENT`` for a time without a time zone: nobody knows when that is."""
    if time.tzinfo is None:
        raise invalid_argument(
            f'"{field}" has no time zone; write datetime.now(timezone.utc) or .astimezone().', field=field
        )
    return time.isoformat()
