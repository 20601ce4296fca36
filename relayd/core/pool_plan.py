"""Which processes should exist: whom to retire, whom to start, and what to load ahead. Pure; owned by `core/scheduler.py`.

It looks at the pool (`pool.py`, where the theory is) and changes nothing: its plan is carried out by the scheduler, after the
calls have had what places there are.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from relayd.anthropic.request import Held
from relayd.core.actions import Mode
from relayd.core.launch_keys import Kind
from relayd.core.pool import SETTLE_LIMIT_S, Pool
from relayd.core.session.record import Session
from relayd.core.session.reuse import mode_of
from relayd.core.session.states import AT_WORK, State

LOOK_AGAIN_S = 30.0  # for processes that become too old
LOOK_SOON_S = 0.05  # when something is missing and may be started at once
AT_ONCE_S = 0.15  # from an answer to the next call of a program that calls back to back, and the time that this needs
LAST_CONVERSATIONS = 8  # of a process: while it has these, its successor starts


@dataclass(frozen=True)
class Plan:
    """What the pool wants: these sessions gone, each for its reason, these prefixes loaded, then processes of these kinds."""

    retire: list[tuple[Session, str]]
    spawn: list[Kind]
    prime: list[tuple[Session, Held]] = field(default_factory=list)


class Planner:
    """See the module's text."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def __repr__(self) -> str:
        return f"<Planner {self._pool!r}>"

    def plan(self, now: float) -> Plan:
        """What to retire because it is too old or too much, and what to start: as soon as the last call has reached the model, so
        that it is there when that has answered. What is too much stays a moment longer: programs go on at once.
        """
        retire = [(s, "too old") for s in self._pool.sessions.values() if self._is_too_old(s, now)]
        retire += [(s, "it holds too much memory") for s in self._pool.sessions.values() if self._pool.is_too_large(s)]
        going = {s.slot for s, _ in retire}
        extra = [s for s in self._kept_too_many() if s.slot not in going]
        spared = self._spared(extra, going, now)
        is_hurried = self._is_hurried(now)
        prime = self._prime(spared, going, is_hurried, now)
        taken = {s.slot for s in spared}
        extra = [s for s in extra if s.slot not in taken]
        room = self._pool.config.max - len(self._pool.sessions)
        if now < self._pool.refill_at:
            useless = [(s, "it cannot be used again") for s in extra if not self._pool.may_go_on(s, now)]
            starts = self._successors() or self._early(now, going, taken, room, is_hurried)
            places = self._making_room(self._surplus(now, going)) if len(starts) > room else []
            return Plan(retire + useless + places, starts[: max(0, room)], prime)
        retire += [(s, "newer ones are kept") for s in extra]
        going = {s.slot for s, _ in retire}
        missing, surplus = self._at_a_time(self._missing(now, going, taken)), self._surplus(now, going)
        if len(missing) > room:
            return Plan(retire + self._making_room(surplus), missing[: max(0, room)], prime)
        return Plan(retire + [(s, "not needed any more") for s in surplus], missing, prime)

    def _early(self, now: float, going: set[str], taken: set[str], room: int, is_hurried: bool) -> list[Kind]:
        """What is missing already while calls come. One place stays for a call of another kind, and the processors for those that
        are on their way.
        """
        if is_hurried or room <= 1 or not self._pool.may_start(0.0, now):
            return []
        return self._at_a_time(self._missing(now, going, taken))[: room - 1]

    def _spared(self, extra: list[Session], going: set[str], now: float) -> list[Session]:
        """Of the sessions that are more than are kept, those that stand for a free process that is missing: the next call takes
        them up.
        """
        found, missing = [], self._missing(now, going)
        for session in extra:
            kind = (session.spec.key, Mode.PROMPT)
            if kind in missing and self._pool.may_go_on(session, now):
                missing.remove(kind)
                found.append(session)
        return found

    def _kept_too_many(self) -> list[Session]:
        """The sessions that rest with a conversation and are more than are kept, those that give way first."""
        kept = sorted((s for s in self._pool.sessions.values() if s.state is State.KEPT), key=self._pool.age)
        return kept[: max(0, len(kept) - self._pool.config.keeps)]

    def _prime(self, spared: list[Session], going: set[str], is_hurried: bool, now: float) -> list[tuple[Session, Held]]:
        """Which prefixes to load into which processes: those that wait at their prompt, and those that stand for one. While
        calls are hurried only into new ones, whose first call would be slowed by more.
        """
        waiting = [s for s in self._pool.sessions.values() if s.is_free and s.slot not in going] + spared
        if is_hurried:
            waiting = [s for s in waiting if not s.served] if self._pool.has_all_at_calls(now) else []
        found = ((session, self._pool.prefix_for(session, now)) for session in waiting)
        return [(session, prefix) for session, prefix in found if prefix is not None]

    def _is_hurried(self, now: float) -> bool:
        """True while a call is on its way to the model, or is likely to come: one was answered just now, and programs go on at
        once. What is loaded ahead would slow it, and has time while the model answers.
        """
        return any(s.is_on_the_way(now) or self._has_just_answered(s, now) for s in self._pool.sessions.values())

    def _has_just_answered(self, session: Session, now: float) -> bool:
        return session.state is State.KEPT and (now - session.since < AT_ONCE_S or self._pool.is_settling(session, now))

    def next_look(self, now: float) -> float:
        """When `plan` is worth asking again."""
        spared = self._spared(self._kept_too_many(), set(), now)
        missing = self._missing(now, set(), {s.slot for s in spared})
        if self._is_hurried(now) and self._prime(spared, set(), False, now):
            return now + LOOK_SOON_S
        settled_at = [s.since + SETTLE_LIMIT_S for s in self._pool.sessions.values() if self._pool.is_settling(s, now)]
        return min([now + LOOK_SOON_S if missing else now + LOOK_AGAIN_S, *settled_at])

    def _is_too_old(self, session: Session, now: float) -> bool:
        waits = session.is_free and session.state in (State.WAITING, State.READY, State.PRIMED)
        return waits and now - session.born > self._pool.config.slot_max_age_s

    def _wanted(self, now: float) -> list[Kind]:
        used = self._pool.recent.latest(now, self._pool.config.key_memory_s)
        kinds = [kind for kind in used if now >= self._pool.backoff.until(kind[0])]
        if not self._pool.types(now):
            kinds = list(dict.fromkeys((key, Mode.GATE) for key, _ in kinds))
        if not self._pool.launcher.can.gated:
            kinds = [kind for kind in kinds if kind[1] is Mode.PROMPT]
        return [kinds[i % len(kinds)] for i in range(self._pool.config.idle)] if kinds else []

    def _missing(self, now: float, going: set[str], coming: frozenset[str] | set[str] = frozenset()) -> list[Kind]:
        """The kinds of which too few are free. `coming`: sessions that are about to be."""
        sessions = [s for s in self._pool.sessions.values() if s.slot not in going]
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
        states = {s.state for s in self._pool.sessions.values()}
        if not states & AT_WORK:
            return missing
        return [] if State.SPAWNING in states else missing[:1]

    def _successors(self) -> list[Kind]:
        """A process in the place of one that will soon have served its last conversation, however busy all are: else a program
        that calls back to back would meet a start. One at a time.
        """
        last = self._pool.config.reuse - LAST_CONVERSATIONS
        if last <= LAST_CONVERSATIONS:
            return []
        live = [s for s in self._pool.sessions.values() if s.is_live and (s.served or mode_of(s) is Mode.PROMPT)]
        young = Counter(s.spec.key for s in live if s.served <= LAST_CONVERSATIONS)
        old = Counter(s.spec.key for s in live if s.served > last)
        return [(key, Mode.PROMPT) for key in old - young][:1]

    def _soon_free(self, sessions: list[Session], now: float) -> list[Kind]:
        """Of the sessions at work, those that will be more than are kept, and free for another conversation: a start in the place
        of one of them would slow the calls, and be one too many when these have ended.
        """
        if not self._pool.types(now):
            return []
        at_work = [s for s in sessions if s.state in AT_WORK and s.served < self._pool.config.reuse]
        kept = sum(s.state is State.KEPT for s in sessions)
        spare = kept + len(at_work) - self._pool.config.keeps
        return [(s.spec.key, Mode.PROMPT) for s in at_work[: max(0, spare)]]

    def _making_room(self, surplus: list[Session]) -> list[tuple[Session, str]]:
        """One of those that are not wanted gives its place, unless a process is ending already."""
        return [] if self._pool.is_making_room else [(session, "room for what is needed") for session in surplus[:1]]

    def _surplus(self, now: float, going: set[str]) -> list[Session]:
        """Free sessions that are not wanted any more, or more than are."""
        wanted, surplus = self._wanted(now), []
        free = [s for s in self._pool.sessions.values() if s.is_free and s.slot not in going]
        for session in sorted(free, key=lambda s: (s.state is State.SPAWNING, s.born)):
            kind = (session.spec.key, mode_of(session))
            if kind in wanted:
                wanted.remove(kind)
            elif now >= self._pool.backoff.until(session.spec.key):  # else it is the one that did start
                surplus.append(session)
        return surplus
