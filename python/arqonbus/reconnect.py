"""When to reconnect, and after what delay (PROTOCOL section 8)."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Plan = Literal["backoff", "after-notice", "after-refresh", "never"]

TOKEN_EXPIRED = 4401
HEARTBEAT_MISSED = 4408
MESSAGE_TOO_BIG = 1009

_PLANS: dict[int, Plan] = {
    1001: "after-notice",
    1008: "never",
    4401: "after-refresh",
    4403: "never",
}


def plan_after(close_code: int | None) -> Plan:
    """The action after ``close_code``; codes not in the table are connection losses: ``backoff``."""
    return _PLANS.get(close_code or 1006, "backoff")


@dataclass(frozen=True)
class ReconnectPolicy:
    """Exponential backoff with full jitter: attempt n waits a random time up to ``base * 2**n``, at most ``cap``.

    Times are in seconds. ``cap`` bounds every delay, including those requested by a server. ``max_attempts`` bounds the
    consecutive failures; None never gives up. ``draw`` returns numbers in [0, 1) and is replaced in tests.

    >>> ArqonBusClient(reconnect=ReconnectPolicy(base=0.1, cap=5.0, max_attempts=20))
    """

    base: float = 0.25
    cap: float = 30.0
    max_attempts: int | None = None
    draw: Callable[[], float] = random.random

    def delay(self, attempt: int) -> float:
        """Seconds before attempt ``attempt``, counted from 0.

        >>> 0 <= ReconnectPolicy().delay(3) <= 2.0
        True
        """
        # The exponent is bounded because 2.0**1024 overflows, which a day-long outage would reach.
        return self.draw() * min(self.cap, self.base * 2.0 ** min(attempt, 32))
