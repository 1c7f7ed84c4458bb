"""The history of a channel, page by page."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

from .envelope import Envelope
from .errors import RequestTimeout
from .results import HistoryPage, PageCursor

#: Which end to start from; within a page, messages are always oldest first on the wire.
Order = Literal["oldest-first", "newest-first"]

#: Requests one page: limit, before, after.
AskPage = Callable[[int, PageCursor | None, PageCursor | None], Awaitable[HistoryPage]]


@dataclass(frozen=True)
class History:
    """The history of a channel, fetched page by page during iteration: message by message, or by :meth:`pages`.

    A page that times out is requested again in smaller pages.

    >>> async for message in client.history("science:explore"):
    ...     print(message["payload"])
    """

    _ask: AskPage
    _after: PageCursor
    _before: PageCursor | None
    _order: Order
    _page_size: int
    _limit: int | None

    async def __aiter__(self) -> AsyncIterator[Envelope]:
        async for page in self.pages():
            for envelope in page:
                yield envelope

    async def pages(self) -> AsyncIterator[list[Envelope]]:
        """Iterates over non-empty pages, in the requested order.

        >>> async for page in client.history("science:explore", page_size=50).pages():
        ...     print(len(page))
        """
        forward = self._order != "newest-first"
        size = self._page_size
        left = math.inf if self._limit is None else self._limit
        after: PageCursor | None = self._after if forward else None
        before: PageCursor | None = None if forward else self._before
        while left > 0:
            try:
                answer = await self._ask(int(min(size, left)), before, after)
            except RequestTimeout:
                if size <= 1:
                    raise
                size = math.ceil(size / 4)
                continue
            page = [envelope for envelope in answer.messages if self._is_within(envelope)]
            if page:
                yield page if forward else page[::-1]
            left -= len(page)
            cursor = answer.next if forward else answer.previous
            # A page with messages out of bounds is the last one.
            if cursor is None or len(page) < len(answer.messages):
                return
            after, before = (cursor, None) if forward else (None, cursor)

    def _is_within(self, envelope: Envelope) -> bool:
        # The server applies bounds by channel.
        sequence = envelope.metadata.get("sequence", 0)
        is_after = not isinstance(self._after, int) or sequence > self._after
        return is_after and (not isinstance(self._before, int) or sequence < self._before)
