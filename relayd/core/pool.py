"""Which processes exist, and which should. Pure; asked by `roads.py`, `scheduler.py` and `ending.py`.

Theory
------
A process waits for a call, not a call for a process: `idle` processes wait, of the kinds that calls have used lately
(`launch_keys.py`), and at most `max` exist at a time, dying ones included. The pool finds, makes and counts; it never
tells a session anything. Whom it wants to be gone it names, with a reason, and the scheduler retires them.

The order of what a call may get is an order of speed and of regret. A free process of the call's kind costs nothing. A
new one costs 0.7 CPU seconds. If there is no room, a free process of another kind gives way, which costs the next call
of that kind a start; if there is none, the session that has rested longest with a conversation, whose next call will be
replayed. A session that rests takes up the call's conversation itself, if it may (`session/reuse.py`), before another is
started: that costs a third of a start, and a program that calls back to back never waits for one. What its calls keep
beginning with is loaded into free processes ahead (`prefixes.py`). A dying process is waited for: its place comes free
within moments.

Processes that end before they served anyone slow their own launch key down, so that a broken `claude`, or a model name
that does not exist, is not started in a loop.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from relayd.anthropic.request import Held, MessagesRequest
from relayd.claude.launch import LaunchKey
from relayd.config import Config
from relayd.core import actions as do
from relayd.core.actions import Action, Mode
from relayd.core.host import Host
from relayd.core.launch_keys import FAILURES_MAX, Backoff, Kind, RecentKinds
from relayd.core.launcher import Launcher
from relayd.core.prefixes import Prefixes
from relayd.core.session.record import Session
from relayd.core.session.reuse import distance, ended_well, is_far, is_reusable, mode_of
from relayd.core.session.states import AT_WORK, LEAVING, RESTING, State
from relayd.core.typing_trial import TypingTrial

LOOK_AGAIN_S = 30.0  # for processes that become too old
SETTLE_LIMIT_S = 1.0  # for a process to put its turn away: 0.1 s when all is well
LAST_CONVERSATIONS = 5  # of a process: while it has these, its successor starts
LOOK_SOON_S = 0.05  # when something is missing and may be started at once
UPSTREAM_S = 0.15  # from a turn's first sign to its request to the model, or longer, while Claude Code needs the processor


@dataclass(frozen=True)
class Plan:
    """What the pool wants: these sessions gone, each for its reason, these prefixes loaded, then processes of these kinds."""

    retire: list[tuple[Session, str]]
    spawn: list[Kind]
    prime: list[tuple[Session, Held]] = field(default_factory=list)


class Pool:
    """The sessions by slot id and by secret."""

    def __init__(self, config: Config, host: Host, keys: list[LaunchKey]) -> None:
        self.sessions: dict[str, Session] = {}
        self.by_secret: dict[str, Session] = {}
        self.claude = host.claude
        self.spawned = self.failed = 0
        self.prefixes = Prefixes()
        self.launcher = Launcher(config, host)
        self.differed = 0  # streams that had to end since they were not what Claude Code had in the end
        self._config = config
        self._host = host
        self._recent = RecentKinds(keys, LaunchKey(config.warm_model, config.warm_max_tokens))
        self._backoff = Backoff()
        self._typing = TypingTrial()
        self._refill_at = 0.0
        self._for_batches: set[str] = set()  # sessions whose last call was a batch's: they give way before the others
        self._outdated: set[str] = set()  # sessions of the `claude` before the last update

    def __repr__(self) -> str:
        states = ",".join(s.state.value for s in self.sessions.values())
        return f"<Pool {len(self.sessions)}/{self._config.max} [{states}]>"

    @property
    def has_editor(self) -> bool:
        """True if processes have an editor that brings messages."""
        return bool(self._host.mover)

    @property
    def typed_messages_max(self) -> int:
        """How long a conversation may be that is loaded at the prompt; a longer one is replayed faster."""
        return self._config.typed_messages_max

    @property
    def has_room(self) -> bool:
        """True if another process may be started."""
        return len(self.sessions) < self._config.max

    def reconfigure(self, config: Config) -> None:
        """Use another configuration from now on."""
        self._config = config
        self.launcher.reconfigure(config)

    def keys(self, now: float) -> list[LaunchKey]:
        """Launch keys used lately, the latest first."""
        return list(dict.fromkeys(key for key, _ in self._recent.latest(now, self._config.key_memory_s)))

    # Finding a process

    def use(self, kind: Kind, streams: bool, now: float) -> None:
        """A call needs a process of this kind: more of it are kept warm, but not before the call is on its way."""
        self._recent.use(kind, streams, now)
        self._refill_at = max(self._refill_at, now + self._config.refill_delay_s)

    def lend(self, session: Session, is_background: bool) -> None:
        """A call takes this process; `is_background` for one of a batch."""
        if is_background:
            self._for_batches.add(session.slot)
        else:
            self._for_batches.discard(session.slot)

    def own_of_batches(self, request: MessagesRequest, key: LaunchKey, now: float) -> Session | None:
        """The process that has answered a batch last and may take up this call, so that a batch leaves the others alone."""
        found = self._reusable(request, key, now)
        return found if found is not None and found.slot in self._for_batches else None

    def free(self, request: MessagesRequest, key: LaunchKey, now: float, by_keys: bool) -> Session | None:
        """The process that serves this call best. `by_keys`: the message may be typed, so one at its prompt will do."""
        others = list(self.sessions.values())
        fits = [s for s in others if s.is_free and s.spec.key == key]
        fits = [s for s in fits if by_keys or mode_of(s) is not Mode.PROMPT]
        fits = [s for s in fits if s.calls.may_offer(request.tools)]
        fits = [s for s in fits if self._typing.may_wait_for(s, others)]
        found = min(fits, key=lambda s: (distance(s, request, now), s.born), default=None)
        if by_keys and (found is None or is_far(found)):
            return self._reusable(request, key, now) or found
        return found

    def settling(
        self, request: MessagesRequest, key: LaunchKey, now: float, found: Session | None, promised: set[str]
    ) -> Session | None:
        """A process that has just answered, is promised to no other call, and will be there for this one before `found` is, or
        before a new one.
        """
        if found is not None and not is_far(found):
            return None
        fits = (s for s in self.sessions.values() if self._is_settling(s, now) and s.slot not in promised)
        return next((s for s in fits if self._suits(s, request, key) and self._may_go_on(s, now)), None)

    def _is_settling(self, session: Session, now: float) -> bool:
        """True for a moment after its answer, while it puts its turn away."""
        return session.state is State.KEPT and not session.is_settled and now - session.since < SETTLE_LIMIT_S

    def _suits(self, session: Session, request: MessagesRequest, key: LaunchKey) -> bool:
        """True if nothing is against it: of a process without the mod a stream would come line by line."""
        is_told = self.launcher.tells_pieces(session) or not request.stream
        return is_told and session.spec.key == key and session.calls.may_offer(request.tools)

    def _reusable(self, request: MessagesRequest, key: LaunchKey, now: float) -> Session | None:
        """The session that has rested longest with a conversation. If that goes on, it is replayed: cheaper than a start now."""
        kept = (s for s in self.sessions.values() if is_reusable(s) and self._suits(s, request, key))
        return min((s for s in kept if self._may_go_on(s, now)), key=self._age, default=None)

    def _age(self, session: Session) -> tuple[bool, float]:
        """Who rests with a conversation and gives way first is the least: those of batches, then the one that rests longest."""
        return session.slot not in self._for_batches, session.since

    def _may_go_on(self, session: Session, now: float) -> bool:
        """True if the process may take up another conversation, now or when it has put its turn away."""
        is_young = now - session.born <= self._config.slot_max_age_s and session.slot not in self._outdated
        is_there = session.is_settled or self._is_settling(session, now)
        return is_young and is_there and not self._is_too_large(session) and ended_well(session) and self.types(now)

    def parked(self, tool_use_ids: frozenset[str]) -> Session | None:
        """The session that waits for the results of exactly these tool calls."""
        waiting = (s for s in self.sessions.values() if s.state is State.PARKED)
        return next((s for s in waiting if s.calls.expected == tool_use_ids), None)

    def kept(self, key: LaunchKey, messages: int, now: float) -> list[Session]:
        """Sessions that hold an answered conversation of so many messages, of this day: Claude Code tells the model the date."""
        if not (self._typing.is_exact and self.types(now)):
            return []
        today = self._host.today(now)
        found = (s for s in self.sessions.values() if s.state is State.KEPT and s.spec.key == key and s.day == today)
        return [s for s in found if s.digest is not None and s.digest.messages == messages]

    def to_make_room(self, now: float) -> Session | None:
        """The session that gives way to a call: see the theory. None if one is leaving already, or all are at work, or one has
        just answered and may take up the call in a moment.
        """
        sessions = list(self.sessions.values())
        if any(s.state in LEAVING for s in sessions):
            return None
        free = [s for s in sessions if s.is_free]
        if free:
            return min(free, key=lambda s: s.born)
        if any(self._is_settling(s, now) for s in sessions):
            return None
        for state in (State.KEPT, State.PARKED):
            resting = [s for s in sessions if s.state is state]
            if resting:
                return min(resting, key=self._age)
        return None

    def without_call(self) -> list[Session]:
        """Sessions that wait for a call: free ones, and those that hold a conversation for the next message."""
        return [s for s in self.sessions.values() if s.is_free or s.state in RESTING]

    def live(self) -> list[Session]:
        """Sessions that have not begun to end."""
        return [s for s in self.sessions.values() if s.is_live]

    # What processes teach

    def learn(self, session: Session, now: float) -> list[Action]:
        """A session has shown its version, its surroundings, or whether what was typed was taken: may more be typed?"""
        self.launcher.machine = session.reader.machine or self.launcher.machine
        return self._typing.saw(session, self._config, now)

    def measured(self, slot: str, size_bytes: int) -> None:
        """How much memory a process holds."""
        if slot in self.sessions:
            self.sessions[slot].memory_bytes = size_bytes

    def types(self, now: float) -> bool:
        """True if messages may be typed, as far as is known."""
        return self._config.typing and self._typing.allows(now)

    def failed_unused(self, key: LaunchKey, reason: str, now: float) -> Action:
        """A process ended before it served anyone: report it, since no call does, and slow its key down."""
        self.failed += 1
        count, pause_s = self._backoff.failed(key, now)
        if count >= FAILURES_MAX:
            self._recent.forget(key)
        return do.Log("warning", f"a process ended before it served: {reason}; none of {key} is kept ready for {pause_s:.0f} s")

    def gone(self, session: Session) -> None:
        """A session is dead: forget it."""
        self.sessions.pop(session.slot, None)
        self.by_secret.pop(session.spec.secret, None)
        self._outdated.discard(session.slot)
        self._for_batches.discard(session.slot)
        if session.handed_over is not None:
            self._backoff.served(session.spec.key)

    def updated(self) -> list[Session]:
        """`claude` has been updated: the sessions that wait with the old one. Whether it takes typed texts must be seen anew."""
        self._typing = TypingTrial()
        self._backoff = Backoff()
        self._outdated = set(self.sessions)
        return [s for s in self.sessions.values() if s.is_free]

    # What should exist

    def plan(self, now: float) -> Plan:
        """What to retire because it is too old or too much, and what to start."""
        retire = [(s, "too old") for s in self.sessions.values() if self._is_too_old(s, now)]
        retire += [(s, "it holds too much memory") for s in self.sessions.values() if self._is_too_large(s)]
        going = {s.slot for s, _ in retire}
        extra = [s for s in self._kept_too_many() if s.slot not in going]
        spared = self._spared(extra, going, now)
        prime = self._prime(spared, going, now) if not self._is_hurried(now) else []
        taken = {s.slot for s in spared}
        extra = [s for s in extra if s.slot not in taken]
        if now < self._refill_at:
            useless = [(s, "it cannot be used again") for s in extra if not self._may_go_on(s, now)]
            return Plan(retire + useless, self._successors(), prime)
        retire += [(s, "newer ones are kept") for s in extra]
        going = {s.slot for s, _ in retire}
        missing, surplus = self._at_a_time(self._missing(now, going, taken)), self._surplus(now, going)
        room = self._config.max - len(self.sessions)
        if len(missing) > room:
            return Plan(retire + [(s, "room for what is needed") for s in surplus[:1]], missing[: max(0, room)], prime)
        return Plan(retire + [(s, "not needed any more") for s in surplus], missing, prime)

    def _spared(self, extra: list[Session], going: set[str], now: float) -> list[Session]:
        """Of the sessions that are more than are kept, those that stand for a free process that is missing: the next call takes
        them up.
        """
        found, missing = [], self._missing(now, going)
        for session in extra:
            kind = (session.spec.key, Mode.PROMPT)
            if kind in missing and self._may_go_on(session, now):
                missing.remove(kind)
                found.append(session)
        return found

    def _kept_too_many(self) -> list[Session]:
        """The sessions that rest with a conversation and are more than are kept, those that give way first."""
        kept = sorted((s for s in self.sessions.values() if s.state is State.KEPT), key=self._age)
        return kept[: max(0, len(kept) - self._config.keeps)]

    def _prime(self, spared: list[Session], going: set[str], now: float) -> list[tuple[Session, Held]]:
        """Which prefixes to load into which processes: those that wait at their prompt, and those that stand for one."""
        if not self.types(now):
            return []
        found: list[tuple[Session, Held]] = []
        ready = [s for s in self.sessions.values() if s.state is State.READY and s.is_free and s.slot not in going]
        for session in ready + [s for s in spared if s.is_settled]:
            prefix = self.prefixes.best(session.spec.key, now, self._config.key_memory_s)
            if prefix is not None and session.calls.may_offer(prefix.tools):
                found.append((session, prefix))
        return found

    def _is_hurried(self, now: float) -> bool:
        """True while a call is on its way to the model: what is loaded ahead would slow it."""
        on_the_way = [s for s in self.sessions.values() if s.state in AT_WORK]
        return any(s.state is not State.RUNNING or now - s.since < UPSTREAM_S for s in on_the_way)

    def next_look(self, now: float) -> float:
        """When `plan` is worth asking again."""
        spared = self._spared(self._kept_too_many(), set(), now)
        missing = self._missing(now, set(), {s.slot for s in spared})
        if self._is_hurried(now) and self._prime(spared, set(), now):
            return now + LOOK_SOON_S
        settled_at = [s.since + SETTLE_LIMIT_S for s in self.sessions.values() if self._is_settling(s, now)]
        return min([max(self._refill_at, now + LOOK_SOON_S) if missing else now + LOOK_AGAIN_S, *settled_at])

    def _is_too_old(self, session: Session, now: float) -> bool:
        waits = session.is_free and session.state in (State.WAITING, State.READY, State.PRIMED)
        return waits and now - session.born > self._config.slot_max_age_s

    def _is_too_large(self, session: Session) -> bool:
        return session.state is State.KEPT and session.memory_bytes > self._config.process_memory_max_bytes

    def _wanted(self, now: float) -> list[Kind]:
        kinds = [k for k in self._recent.latest(now, self._config.key_memory_s) if now >= self._backoff.until(k[0])]
        if not self.types(now):
            kinds = list(dict.fromkeys((key, Mode.GATE) for key, _ in kinds))
        if not self.launcher.can.gated:
            kinds = [kind for kind in kinds if kind[1] is Mode.PROMPT]
        return [kinds[i % len(kinds)] for i in range(self._config.idle)] if kinds else []

    def _missing(self, now: float, going: set[str], coming: frozenset[str] | set[str] = frozenset()) -> list[Kind]:
        """The kinds of which too few are free. `coming`: sessions that are about to be."""
        sessions = [s for s in self.sessions.values() if s.slot not in going]
        free = [(s.spec.key, mode_of(s)) for s in sessions if s.is_free or s.slot in coming]
        free += self._soon_free(sessions, now)
        missing = []
        for kind in self._wanted(now):
            if kind in free:
                free.remove(kind)
            else:
                missing.append(kind)
        return missing

    def _at_a_time(self, missing: list[Kind]) -> list[Kind]:
        """Beside calls one process starts after another: two at once take twice as long, and the next call waits for both."""
        states = {s.state for s in self.sessions.values()}
        if not states & AT_WORK:
            return missing
        return [] if State.SPAWNING in states else missing[:1]

    def _successors(self) -> list[Kind]:
        """A process in the place of one that will soon have served its last conversation, however busy all are: else a program
        that calls back to back would meet a start. One at a time.
        """
        last = self._config.reuse - LAST_CONVERSATIONS
        if not self.has_room or last <= LAST_CONVERSATIONS:
            return []
        live = [s for s in self.sessions.values() if s.is_live and mode_of(s) is Mode.PROMPT]
        young = Counter(s.spec.key for s in live if s.served <= LAST_CONVERSATIONS)
        old = Counter(s.spec.key for s in live if s.served > last)
        return [(key, Mode.PROMPT) for key in old - young][:1]

    def _soon_free(self, sessions: list[Session], now: float) -> list[Kind]:
        """Of the sessions at work, those that will be more than are kept, and free for another conversation: a start in the place
        of one of them would slow the calls, and be one too many when these have ended.
        """
        if not self.types(now):
            return []
        at_work = [s for s in sessions if s.state in AT_WORK and s.served < self._config.reuse]
        kept = sum(s.state is State.KEPT for s in sessions)
        spare = kept + len(at_work) - self._config.keeps
        return [(s.spec.key, Mode.PROMPT) for s in at_work[: max(0, spare)]]

    def _surplus(self, now: float, going: set[str]) -> list[Session]:
        """Free sessions that are not wanted any more, or more than are."""
        wanted, surplus = self._wanted(now), []
        free = [s for s in self.sessions.values() if s.is_free and s.slot not in going]
        for session in sorted(free, key=lambda s: (s.state is State.SPAWNING, s.born)):
            kind = (session.spec.key, mode_of(session))
            if kind in wanted:
                wanted.remove(kind)
            elif now >= self._backoff.until(session.spec.key):  # else it is the one that did start
                surplus.append(session)
        return surplus

    # Making one

    def prepare(self, kind: Kind, now: float) -> list[Action]:
        """Start a session that no call waits for yet. Behind a gate the mod costs the call 0.1 s: only where calls stream."""
        streams = kind[1] is Mode.PROMPT or self._recent.streams(kind, now, self._config.key_memory_s)
        return self.spawn(kind, streams, now)[1]

    def spawn(self, kind: Kind, streams: bool, now: float) -> tuple[Session, list[Action]]:
        """A new session, and the orders that bring it to life. `streams`: its answer will be wanted piece by piece."""
        session, orders = self.launcher.launch(*kind, streams, now)
        self.spawned += 1
        self.sessions[session.slot] = session
        self.by_secret[session.spec.secret] = session
        return session, orders
