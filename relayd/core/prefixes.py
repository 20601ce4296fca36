"""What calls keep beginning with: system prompt, tools, examples before the question, by launch key. In memory only. Pure.

A process that has loaded a prefix ahead of the call saves it half of the way (`session/loading.py`). Loading costs a quarter of a
CPU second, so only what has come twice is worth it. All is bounded, and forgotten when unused. Owned by `core/pool.py`;
nothing here may reach a file or a log.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from relayd import codec
from relayd.anthropic.conversation_rules import Message
from relayd.anthropic.request import Held, MessagesRequest
from relayd.claude.launch import LaunchKey

PREFIXES_MAX = 16
PREFIX_MAX_CHARS = 1_000_000  # of system prompt and tools as JSON: 16 MB in all
TIMES_MIN = 2
EXAMPLES_MAX = 64  # messages before the last one that are looked at, as examples that come with each question
EXAMPLES_MAX_CHARS = 100_000  # of their text: they are compared at each call


@dataclass
class Use:
    """How often a prefix has come, and when last. Times are monotonic seconds."""

    prefix: Held
    key: LaunchKey
    times: int
    at: float


class RecentPrefixes:
    """Prefixes of one sort, the one used longest ago first."""

    def __init__(self) -> None:
        self._used: OrderedDict[bytes, Use] = OrderedDict()

    def __repr__(self) -> str:
        return f"<RecentPrefixes {len(self._used)}>"

    def use(self, name: bytes, prefix: Held, key: LaunchKey, now: float) -> None:
        """A call begins with this; `name` is all of it, as JSON."""
        if len(name) > PREFIX_MAX_CHARS:
            return
        use = self._used.setdefault(name, Use(prefix, key, 0, now))
        use.times, use.at = use.times + 1, now
        self._used.move_to_end(name)
        if len(self._used) > PREFIXES_MAX:
            self._used.popitem(last=False)

    def best(self, key: LaunchKey, now: float, memory_s: float) -> Use | None:
        """The one used last, of those that come again and again with this key."""
        while self._used and now - next(iter(self._used.values())).at > memory_s:
            self._used.popitem(last=False)
        return next((use for use in reversed(self._used.values()) if use.key == key and use.times >= TIMES_MIN), None)


class Prefixes:
    """`beginnings` are system prompt and tools; `examples` have the messages before the last one, too. They do not crowd each
    other out: each message of a chat has a past of its own that never comes again.
    """

    def __init__(self) -> None:
        self.beginnings = RecentPrefixes()
        self.examples = RecentPrefixes()

    def __repr__(self) -> str:
        return f"<Prefixes {self.beginnings!r} {self.examples!r}>"

    def use(self, request: MessagesRequest, key: LaunchKey, now: float) -> None:
        """A call begins with this."""
        if sum(map(len, request.system)) > PREFIX_MAX_CHARS:
            return
        name, past = _beginning(request, key), request.messages[:-1]
        self.beginnings.use(name, Held(request.system, request.tools), key, now)
        if past and _may_be_examples(past):
            self.examples.use(name + _texts(past), Held(request.system, request.tools, past), key, now)

    def best(self, key: LaunchKey, now: float, memory_s: float) -> Held | None:
        """The prefix to load into a process of this key: what the last call began with, if that comes again and again."""
        # Of two that came with the same call the longer one.
        found = (self.examples.best(key, now, memory_s), self.beginnings.best(key, now, memory_s))
        latest = max((use for use in found if use is not None), key=lambda use: use.at, default=None)
        return latest.prefix if latest is not None else None


def _may_be_examples(past: tuple[Message, ...]) -> bool:
    """Texts only, and not too many."""
    if len(past) > EXAMPLES_MAX or any(block["type"] != "text" for message in past for block in message.content):
        return False
    return sum(len(block["text"]) for message in past for block in message.content) <= EXAMPLES_MAX_CHARS


def _beginning(request: MessagesRequest, key: LaunchKey) -> bytes:
    tools = [[t.name, t.description, t.input_schema] for t in request.tools]
    return codec.canonical([str(key), list(request.system), tools])


def _texts(past: tuple[Message, ...]) -> bytes:
    return codec.canonical([[m.role, [block["text"] for block in m.content]] for m in past])
