"""What calls keep beginning with: system prompt and tools, by launch key. In memory only, bounded, forgotten when unused. Pure.

A process that has loaded a prefix ahead of the call saves it half of the way (`session/loading.py`). Loading costs a quarter of a
CPU second, so only what has come twice is worth it. Owned by `core/pool.py`; nothing here may reach a file or a log.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from relayd import codec
from relayd.anthropic.request import Held, MessagesRequest
from relayd.claude.launch import LaunchKey

PREFIXES_MAX = 16
PREFIX_MAX_CHARS = 1_000_000  # of system prompt and tools as JSON: 16 MB in all
TIMES_MIN = 2


@dataclass
class Use:
    """How often a prefix has come, and when last. Times are monotonic seconds."""

    prefix: Held
    key: LaunchKey
    times: int
    at: float


class Prefixes:
    """See the module's text."""

    def __init__(self) -> None:
        self._used: OrderedDict[bytes, Use] = OrderedDict()  # the one used longest ago first

    def __repr__(self) -> str:
        return f"<Prefixes {len(self._used)}>"

    def use(self, request: MessagesRequest, key: LaunchKey, now: float) -> None:
        """A call begins with this."""
        size = sum(map(len, request.system))
        if size > PREFIX_MAX_CHARS:
            return
        name = _name(request, key)
        if len(name) + size > PREFIX_MAX_CHARS:
            return
        use = self._used.setdefault(name, Use(Held(request.system, request.tools), key, 0, now))
        use.times, use.at = use.times + 1, now
        self._used.move_to_end(name)
        if len(self._used) > PREFIXES_MAX:
            self._used.popitem(last=False)

    def best(self, key: LaunchKey, now: float, memory_s: float) -> Held | None:
        """The prefix to load into a process of this key: the one used last, of those that come again and again."""
        while self._used and now - next(iter(self._used.values())).at > memory_s:
            self._used.popitem(last=False)
        fits = (use.prefix for use in reversed(self._used.values()) if use.key == key and use.times >= TIMES_MIN)
        return next(fits, None)


def _name(request: MessagesRequest, key: LaunchKey) -> bytes:
    tools = [[t.name, t.description, t.input_schema] for t in request.tools]
    return codec.canonical([str(key), list(request.system), tools])
