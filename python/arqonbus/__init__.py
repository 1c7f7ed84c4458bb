"""ArqonBus for Python: rooms, channels, history, requests and commands over one WebSocket."""

from .address import Address, parse_address
from .client import ArqonBusClient
from .connection import Connection, Endpoint
from .envelope import ClientType, Envelope, JsonObject, new_id
from .errors import (
    ArqonBusError,
    AuthenticationError,
    BusError,
    CommandError,
    ConnectError,
    ConnectionClosed,
    QueueFullError,
    RefusedError,
    RequestError,
    RequestFailed,
    RequestTimeout,
    StreamReset,
)
from .history import History
from .reconnect import ReconnectPolicy
from .results import (
    Ack,
    Frame,
    HistoryPage,
    Joined,
    Position,
    Queued,
    Reconnecting,
    Reset,
    StoreChange,
    StoreEntry,
    StoreKeys,
)
from .send_queue import QueueLimits
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
    "CommandError",
    "ConnectError",
    "Connection",
    "ConnectionClosed",
    "Endpoint",
    "Envelope",
    "Frame",
    "History",
    "HistoryPage",
    "Joined",
    "JsonObject",
    "Position",
    "QueueFullError",
    "QueueLimits",
    "Queued",
    "ReconnectPolicy",
    "Reconnecting",
    "RefusedError",
    "RequestError",
    "RequestFailed",
    "RequestTimeout",
    "Reset",
    "StoreChange",
    "StoreEntry",
    "StoreKeys",
    "StoreWatch",
    "StreamReset",
    "Subscription",
    "new_id",
    "parse_address",
]
