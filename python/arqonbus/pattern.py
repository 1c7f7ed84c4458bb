"""Channel patterns: ``orders.*`` and ``orders.>`` (PROTOCOL section 5)."""

from __future__ import annotations

import re
from functools import lru_cache

_MAX_PATTERN = 128
#: Literal segments use the characters of channel names; ``*`` and ``>`` only replace whole segments.
_PATTERN = re.compile(r"(?:\*|[A-Za-z0-9][A-Za-z0-9_-]*)?(?:[./](?:\*|[A-Za-z0-9_-]*))*(?:[./]>)?")


def is_channel_pattern(text: str) -> bool:
    """Whether a text is a channel name with a segment ``*``, or a last segment ``>``. A lone ``*`` is the room."""
    if len(text) > _MAX_PATTERN or text == "*":
        return False
    if text == ">":
        return True
    return ("*" in text or ">" in text) and text[0] not in "./" and _PATTERN.fullmatch(text) is not None


def matches(pattern: str, channel: str) -> bool:
    """Whether a pattern matches a channel: ``*`` is one segment between ``.`` or ``/``, a last ``>`` one or more."""
    return _compiled(pattern).fullmatch(channel) is not None


@lru_cache(maxsize=1_024)
def _compiled(pattern: str) -> re.Pattern[str]:
    tokens = re.findall(r"[./]|[^./]+", pattern)
    parts = {"*": r"[^./]+", ">": r".+"}
    return re.compile("".join(parts.get(token) or re.escape(token) for token in tokens))
