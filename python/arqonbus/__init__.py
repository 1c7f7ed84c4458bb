"""ArqonBus for Python: rooms, channels, history, requests and commands over one WebSocket."""

from .address import Address, parse_address
from .client import ArqonBusClient
from .connection import Connection
from .delivery import Delivery
from .endpoint import Endpoint
from .envelope import ClientType, Envelope, JsonObject, Sender, new_id
from .errors import (
    ArqonBusError,
    AuthenticationError,
    BusError,
    CommandError,
    ConnectError,
    ConnectionClosed,
    LeaseLost,
    LoopDetected,
    MailboxFull,
    NoResponders,
    QueueFullError,
    RefusedError,
    RequestError,
    RequestFailed,
    RequestTimeout,
    SchemaMismatch,
    StreamError,
    StreamReset,
    StreamState,
)
from .group_subscription import GroupSubscription
from .history import History
from .leases import Lease
from .options import PublishOptions
from .presence import Member, PresenceChange, PresenceSet
from .receipts import Ack, Receipt
from .reconnect import ReconnectPolicy
from .results import (
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
from .token_stream import StreamEnd, TokenStream
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
    "Delivery",
    "Endpoint",
    "Envelope",
    "Frame",
    "GroupSubscription",
    "History",
    "HistoryPage",
    "Joined",
    "JsonObject",
    "Lease",
    "LeaseLost",
    "LoopDetected",
    "MailboxFull",
    "Member",
    "NoResponders",
    "Position",
    "PresenceChange",
    "PresenceSet",
    "PublishOptions",
    "QueueFullError",
    "QueueLimits",
    "Queued",
    "Receipt",
    "ReconnectPolicy",
    "Reconnecting",
    "RefusedError",
    "RequestError",
    "RequestFailed",
    "RequestTimeout",
    "Reset",
    "SchemaMismatch",
    "Sender",
    "StoreChange",
    "StoreEntry",
    "StoreKeys",
    "StoreWatch",
    "StreamEnd",
    "StreamError",
    "StreamReset",
    "StreamState",
    "Subscription",
    "TokenStream",
    "new_id",
    "parse_address",
]
