"""When to connect again, and after how long (PROTOCOL section 8)."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Plan = Literal["now", "backoff", "after-notice", "after-refresh", "never"]

_PLANS: dict[int, Plan] = {
    1001: "after-notice",
    1008: "never",
    1009: "backoff",
    4401: "after-refresh",
    4403: "never",
    4408: "now",
    4429: "backoff",
}


def plan_after(close_code: int | None) -> Plan:
    """What to do after ``close_code``; a code that the table does not name is a broken line: ``backoff``."""
    return _PLANS.get(close_code or 1006, "backoff")


@dataclass(frozen=True)
class ReconnectPolicy:
    """Exponential backoff with full jitter: attempt n waits a random time up to ``base * 2**n``, at most ``cap``.

    Times are in seconds. ``max_attempts`` bounds the failures in a row; None never gives up. ``draw`` gives numbers
    in [0, 1) and is there to be replaced in tests.
    """

    base: float = 0.5
    cap: float = 30.0
    max_attempts: int | None = None
    draw: Callable[[], float] = random.random

    def delay(self, attempt: int) -> float:
        """Seconds before attempt ``attempt``, counted from 0."""
        # The exponent is bounded because 2.0**1024 overflows, which a server away for a day would reach.
        return self.draw() * min(self.cap, self.base * 2.0 ** min(attempt, 32))
