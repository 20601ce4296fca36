"""Which launch keys calls have used lately: what the pool keeps warm, and what a restart begins with. Pure, bounded.

A launch key is what a process is bound to from its start (model, thinking, limits); together with the way in which the
process waits for its conversation it makes a *kind* of process. Owned by `core/pool.py`.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import astuple, dataclass

from relayd import codec
from relayd.anthropic.request import Thinking
from relayd.claude.launch import LaunchKey
from relayd.core.actions import Mode

Kind = tuple[LaunchKey, Mode]
KINDS_MAX = 32  # more can never be kept warm; a key can hold a schema of 96 KB
BACKOFF_FIRST_S = 1.0
BACKOFF_MAX_S = 60.0
FAILURES_MAX = 3  # after so many useless starts in a row a key is not kept warm until a call asks for it again


@dataclass(frozen=True)
class Use:
    """When calls have used a kind, and when one of them streamed, last. Monotonic seconds."""

    at: float
    streamed: float = -math.inf


def kind_for(key: LaunchKey, is_typed: bool) -> Kind:
    """The kind of process that serves a call best: one at its prompt for what is typed."""
    return key, Mode.PROMPT if is_typed else Mode.GATE


class RecentKinds:
    """The kinds that calls have used, the latest first. `keys` are those of the last run, `default` stands in for none."""

    def __init__(self, keys: list[LaunchKey], default: LaunchKey) -> None:
        self._default = default
        self._at_first = keys or [default]
        self._used: OrderedDict[Kind, Use] = OrderedDict()  # the one used longest ago first

    def __repr__(self) -> str:
        return f"<RecentKinds {len(self._used)}>"

    def use(self, kind: Kind, streams: bool, now: float) -> None:
        """A call needs a process of this kind; `streams`: its answer is wanted piece by piece."""
        before = self._used.get(kind, Use(now))
        self._used[kind] = Use(now, now if streams else before.streamed)
        self._used.move_to_end(kind)
        if len(self._used) > KINDS_MAX:
            self._used.popitem(last=False)

    def streams(self, kind: Kind, now: float, memory_s: float) -> bool:
        """True if a process of this kind shall stream piece by piece: a call has wanted that lately, or the kind is not known."""
        return kind not in self._used or now - self._used[kind].streamed <= memory_s

    def latest(self, now: float, memory_s: float) -> list[Kind]:
        """The kinds to keep warm, the latest first; before the first call those of the last run.

        `memory_s` is how long a kind is remembered, but for the last one.
        """
        while len(self._used) > 1 and now - next(iter(self._used.values())).at > memory_s:
            self._used.popitem(last=False)
        if not self._used:
            return [(key, mode) for key in self._at_first for mode in (Mode.PROMPT, Mode.GATE)]
        return list(reversed(self._used))

    def forget(self, key: LaunchKey) -> None:
        """Processes of this key do not start: keep it warm no more."""
        for kind in [kind for kind in self._used if kind[0] == key]:
            del self._used[kind]
        self._at_first = [known for known in self._at_first if known != key] or [self._default]


class Backoff:
    """Which launch keys have processes that end before they serve anyone, and until when none is started ahead of need.

    One bad key slows that key only: it is most often a model name that does not exist.
    """

    def __init__(self) -> None:
        self._failures: OrderedDict[LaunchKey, tuple[int, float]] = OrderedDict()  # how many in a row, and until when

    def __repr__(self) -> str:
        return f"<Backoff {len(self._failures)}>"

    def failed(self, key: LaunchKey, now: float) -> tuple[int, float]:
        """A process of this key was of no use: failures in a row, and the pause in seconds."""
        count = self._failures.pop(key, (0, 0.0))[0] + 1
        pause_s = min(BACKOFF_MAX_S, BACKOFF_FIRST_S * 2 ** (min(count, 10) - 1))
        self._failures[key] = (count, now + pause_s)
        if len(self._failures) > KINDS_MAX:
            self._failures.popitem(last=False)
        return count, pause_s

    def served(self, key: LaunchKey) -> None:
        """A process of this key has served a call."""
        self._failures.pop(key, None)

    def until(self, key: LaunchKey) -> float:
        """When the next may be started."""
        return self._failures.get(key, (0, 0.0))[1]


def dump_keys(keys: list[LaunchKey]) -> bytes:
    """Launch keys as JSON, for the next start."""
    return codec.dump([[k.model, k.max_tokens, *astuple(k.thinking), k.effort, k.tools] for k in keys])


def load_keys(data: bytes) -> list[LaunchKey]:
    """Launch keys of an earlier run; an unreadable file counts as empty."""
    try:
        return [
            LaunchKey(str(model), int(tokens), Thinking(str(kind), int(budget), str(display)), str(effort), tools=bool(tools))
            for model, tokens, kind, budget, display, effort, tools in codec.parse(data)
        ]
    except (ValueError, TypeError):
        return []
