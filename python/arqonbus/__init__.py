"""ArqonBus for Python: rooms, channels, history, requests and commands over one WebSocket."""

from .client import ArqonBusClient
from .connection import Connection, Endpoint
from .envelope import Address, ClientType, Envelope, JsonObject, new_id, parse_address
from .errors import (
    ArqonBusError,
    AuthenticationError,
    BusError,
    ConnectError,
    ConnectionClosed,
    RequestFailed,
    RequestTimeout,
    StreamReset,
)
from .reconnect import ReconnectPolicy
from .results import Ack, HistoryPage, Joined, Position, Reset, StoreChange, StoreEntry
from .subscription import Subscription
from .watch import StoreWatch

__version__ = "0.1.0"

__all__ = [
    "Ack",
    "Address",
    "ArqonBusClient",
    "ArqonBusError",
    "AuthenticationError",
    "BusError",
    "ClientType",
    "ConnectError",
    "Connection",
    "ConnectionClosed",
    "Endpoint",
    "Envelope",
    "HistoryPage",
    "Joined",
    "JsonObject",
    "Position",
    "ReconnectPolicy",
    "RequestFailed",
    "RequestTimeout",
    "Reset",
    "StoreChange",
    "StoreEntry",
    "StoreWatch",
    "StreamReset",
    "Subscription",
    "new_id",
    "parse_address",
]
