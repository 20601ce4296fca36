"""Which processes exist: born, kept warm, retired, counted. Pure; owned by `core/relay.py`.

`idle` waiting processes are kept for the launch keys used lately, at most `max` processes in all,
dying ones included. A key that calls used is kept warm for `key_memory_s`; the most recent first.
Processes that die before they served anyone slow the refill down, so that a broken `claude` is
not started in a loop.
"""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Callable, Mapping
from dataclasses import astuple, dataclass, field

from relayd import codec
from relayd.anthropic.request import Thinking
from relayd.claude import compose, launch
from relayd.claude.announced import Machine
from relayd.claude.compose import Scene
from relayd.claude.launch import Doors, LaunchKey
from relayd.config import Config
from relayd.core import actions as do
from relayd.core import events as ev
from relayd.core.actions import Action, Mode
from relayd.core.birth import Birth
from relayd.core.session import Session
from relayd.core.transitions import State

BACKOFF_FIRST_S = 1.0
BACKOFF_MAX_S = 60.0


@dataclass(frozen=True)
class Surroundings:
    """What the core must know of the machine. `timestamp`, `today` and `unix_time` map monotonic seconds to wall time."""

    claude: str
    state_dir: str
    config_dir: str
    workspace: str
    base_url: str
    environment: dict[str, str]
    telemetry: bool
    machine: Machine
    timestamp: Callable[[float], str]
    today: Callable[[float], str]
    unix_time: Callable[[float], float]
    token: str = ""  # what clients must send, if it is set
    assets: Mapping[str, tuple[str, bytes]] = field(default_factory=dict)  # the dashboard's files: content type and bytes
    gated: bool = True  # a process can wait for its conversation; else it starts with it, and none is kept warm
    mover: str = ""  # the path of `mv`, if there is one: messages may come by the editor
    no_tools: str = ""  # why calls with tools are refused, if this version cannot take them


Kind = tuple[LaunchKey, Mode]


class Pool:
    """The sessions by slot id and by secret."""

    def __init__(self, config: Config, surroundings: Surroundings, keys: list[LaunchKey]) -> None:
        self.sessions: dict[str, Session] = {}
        self.by_secret: dict[str, Session] = {}
        self.claude = surroundings.claude
        self._config = config
        self._surroundings = surroundings
        self._used: dict[Kind, float] = {}
        self._refusals = 0  # typed messages that were not taken, in a row
        self._rests_until = 0.0  # then nothing is typed for a while
        self._types: bool | None = None  # this version takes conversations at its prompt; None: not seen yet
        self._fallback = keys or [LaunchKey(config.warm_model, config.warm_max_tokens)]
        self._refill_at = 0.0
        self._backoff_s = 0.0
        self.open = True
        self.spawned = self.failed = 0

    def __repr__(self) -> str:
        states = ",".join(s.state.value for s in self.sessions.values())
        return f"<Pool {len(self.sessions)}/{self._config.max} [{states}]>"

    @property
    def has_editor(self) -> bool:
        """True if processes have an editor that brings messages."""
        return bool(self._surroundings.mover)

    def reconfigure(self, config: Config) -> None:
        """Other knobs from now on."""
        self._config = config

    def keys(self, now: float) -> list[LaunchKey]:
        """Launch keys used lately, the latest first; before the first call those of the last run."""
        return list(dict.fromkeys(key for key, _ in self._kinds(now)))

    def _kinds(self, now: float) -> list[Kind]:
        """What calls have needed lately."""
        for kind, used in list(self._used.items()):
            if now - used > self._config.key_memory_s and len(self._used) > 1:
                del self._used[kind]
        at_first = [(key, mode) for key in self._fallback for mode in (Mode.PROMPT, Mode.GATE)]
        return sorted(self._used, key=lambda kind: -self._used[kind]) or at_first

    def take(self, key: LaunchKey, by_keys: bool, now: float) -> tuple[Session | None, list[Action]]:
        """A process for a call: a waiting one, a booting one, or a new one; None if the call must queue."""
        self._used[(key, Mode.PROMPT if by_keys else Mode.GATE)] = now
        self._refill_at = max(self._refill_at, now + self._config.refill_delay_s)
        free = [s for s in self.sessions.values() if s.is_free and s.key == key and (by_keys or s.birth.mode is not Mode.PROMPT)]
        if free:
            return min(free, key=lambda s: (s.state is State.SPAWNING, s.birth.mode is not Mode.PROMPT, s.born)), []
        if len(self.sessions) < self._config.max:
            return self._spawn((key, Mode.GATE), now)
        return None, self._make_room(now)

    def learn(self, session: Session, now: float) -> list[Action]:
        """A process has shown its version, or what becomes of typed messages: may more be typed?"""
        if session.types_exactly is not None:
            self._types = session.types_exactly
        taken, session.taken = session.taken, None
        if taken is not None:
            self._refusals = 0 if taken else self._refusals + 1
        if self._refusals < self._config.typed_refusals_max:
            return []
        self._refusals = 0
        self._rests_until = now + self._config.typing_rest_s
        rest = f"for {self._config.typing_rest_s:.0f} s all calls are replayed"
        return [do.Log("warning", f"messages were not taken at the prompt: {rest} (see relayd doctor)")]

    def types(self, now: float) -> bool:
        """True if messages may be typed, as far as is known."""
        return self._config.typing and self._types is not False and now >= self._rests_until

    def parked(self, tool_use_ids: frozenset[str]) -> Session | None:
        """The session that waits for the results of exactly these tool calls."""
        waiting = (s for s in self.sessions.values() if s.state is State.PARKED)
        return next((s for s in waiting if s.calls.expected == tool_use_ids), None)

    def kept(self, key: LaunchKey, messages: int, now: float) -> list[Session]:
        """Sessions that have answered a conversation of so many messages, on this day: it changes what Claude Code tells."""
        today = self._surroundings.today(now)
        sessions = self.sessions.values() if self._types and self.types(now) else ()
        found = (s for s in sessions if s.state is State.KEPT and s.key == key and s.day == today)
        return [s for s in found if s.lineage is not None and s.lineage.messages == messages]

    def _make_room(self, now: float) -> list[Action]:
        """Give up the oldest free process of another key, unless one is dying already.

        If there is none, the session that has been kept or parked longest: its conversation will be replayed.
        """
        if any(s.state in (State.KILLING, State.REAPING, State.DRAINING) for s in self.sessions.values()):
            return []
        free = [s for s in self.sessions.values() if s.is_free]
        for state in (State.KEPT, State.PARKED):
            free = free or sorted((s for s in self.sessions.values() if s.state is state), key=lambda s: s.since)[:1]
        return min(free, key=lambda s: s.born).handle(ev.Retired("room for a call"), now) if free else []

    def maintain(self, now: float) -> list[Action]:
        """Replace what is too old, and refill."""
        orders: list[Action] = []
        for session in list(self.sessions.values()):
            if (
                session.state in (State.WAITING, State.READY)
                and session.is_free
                and now - session.born > self._config.slot_max_age_s
            ):
                orders += session.handle(ev.Retired("too old"), now)
        kept = sorted((s for s in self.sessions.values() if s.state is State.KEPT), key=lambda s: s.since)
        for session in kept[: max(0, len(kept) - self._config.keeps)]:
            orders += session.handle(ev.Retired("newer ones are kept"), now)
        if not self.open or now < self._refill_at:
            return orders
        return orders + self._refill(now)

    def next_look(self, now: float) -> float:
        """When `maintain` is worth calling again."""
        return max(self._refill_at, now + 0.05) if self._missing(now) else now + 30.0

    def _refill(self, now: float) -> list[Action]:
        orders: list[Action] = []
        for kind in self._missing(now):
            if len(self.sessions) >= self._config.max:
                for session in self._surplus(now)[:1]:
                    orders += session.handle(ev.Retired("room for what is needed"), now)
                break
            orders += self._spawn(kind, now)[1]
        else:
            for session in self._surplus(now):
                orders += session.handle(ev.Retired("not needed any more"), now)
        return orders

    def _wanted(self, now: float) -> list[Kind]:
        kinds = self._kinds(now)
        if not self.types(now):
            kinds = list(dict.fromkeys((key, Mode.GATE) for key, _ in kinds))
        if not self._surroundings.gated:
            kinds = [kind for kind in kinds if kind[1] is Mode.PROMPT]
        return [kinds[i % len(kinds)] for i in range(self._config.idle)] if kinds else []

    def _missing(self, now: float) -> list[Kind]:
        free = [(s.key, s.birth.mode) for s in self.sessions.values() if s.is_free]
        missing = []
        for kind in self._wanted(now):
            if kind in free:
                free.remove(kind)
            else:
                missing.append(kind)
        return missing

    def _surplus(self, now: float) -> list[Session]:
        """Free processes that are not wanted any more, or more than are."""
        wanted, surplus = self._wanted(now), []
        for session in sorted(
            (s for s in self.sessions.values() if s.is_free), key=lambda s: (s.state is State.SPAWNING, s.born)
        ):
            kind = (session.key, session.birth.mode)
            if kind in wanted:
                wanted.remove(kind)
            else:
                surplus.append(session)
        return surplus

    def changed(self, now: float) -> list[Action]:
        """`claude` has been updated: what waits is outdated."""
        orders: list[Action] = []
        self._types = None
        for session in list(self.sessions.values()):
            if session.is_free:
                orders += session.handle(ev.Retired("claude was updated"), now)
        return orders

    def gone(self, session: Session, now: float) -> None:
        """A process is dead; forget it, and slow down if it never served."""
        del self.sessions[session.slot]
        del self.by_secret[session.birth.secret]
        if session.handed_over is not None:
            self._backoff_s = 0.0

    def failed_unused(self, reason: str, now: float) -> do.Log:
        """A process ended before it served anyone: nobody else will tell."""
        self.failed += 1
        self._backoff_s = min(BACKOFF_MAX_S, max(BACKOFF_FIRST_S, self._backoff_s * 2))
        self._refill_at = now + self._backoff_s
        return do.Log("warning", f"a process ended before it served: {reason}; none is started for {self._backoff_s:.0f} s")

    def _spawn(self, kind: Kind, now: float) -> tuple[Session, list[Action]]:
        near = self._surroundings
        key, mode = kind
        if mode is Mode.GATE and not near.gated:
            mode = Mode.LATE
        slot, secret = str(uuid.uuid4()), secrets.token_urlsafe(16)
        conversation = str(uuid.uuid4()) if mode is Mode.PROMPT else slot
        paths = launch.slot_paths(near.state_dir, near.config_dir, near.workspace, slot, conversation)
        doors = Doors(
            hooks=f"{near.base_url}/hooks/{secret}",
            mcp=f"{near.base_url}/mcp/{secret}",
            telemetry=f"{near.base_url}/telemetry/{secret}/v1/logs" if near.telemetry else "",
        )
        sources = self._config.setting_sources
        order = launch.build(key, self.claude, slot, paths, near.workspace, doors, near.environment, sources, near.mover)
        if mode is Mode.PROMPT:
            order.files[paths.prompt] = compose.system_prompt(())
        birth = Birth(slot, conversation, secret, key, order, paths, near.workspace, mode, self._scene)
        session = Session(birth, self._config, now)
        self.spawned += 1
        self.sessions[slot] = session
        self.by_secret[secret] = session
        return session, session.start(now)

    def _scene(self, session_id: str, now: float) -> Scene:
        near = self._surroundings
        return Scene(session_id, near.workspace, near.timestamp(now), near.today(now), near.machine)


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
