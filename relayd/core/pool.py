"""Which processes exist, and which of them a call may get. Pure; asked by `roads.py`, `dispatcher.py` and `ending.py`.

Theory
------
A process waits for a call, not a call for a process: `idle` processes wait, of the kinds that calls have used lately
(`launch_keys.py`), and at most `max` exist at a time, dying ones included. The pool finds, makes and counts; it never
tells a session anything. Which processes should exist is planned apart (`pool_plan.py`), and the scheduler carries that out.

The order of what a call may get is an order of speed and of regret. A free process of the call's kind costs nothing. A
new one costs 0.7 CPU seconds. If there is no room, a free process of another kind gives way, which costs the next call
of that kind a start; if there is none, the session that has rested longest with a conversation, whose next call will be
replayed. A session that rests takes up the call's conversation itself, if it may (`session/reuse.py`), before another is
started: that costs a third of a start, and a program that calls back to back never waits for one. A call that has got a
process which still boots changes over to one that has answered meanwhile. No more boot at once than there are processors:
of four calls that came together all four waited for what two of them could have had first. What calls keep beginning with is
loaded into free processes ahead (`prefixes.py`). A dying process is waited for: its place comes free within moments.

While calls use all processors, none of them gets a process that is new. One of the others will be free before it has booted,
and its first conversation, with nothing compiled yet, takes four times as long as the next: so it loads ahead first.

Processes that end before they served anyone slow their own launch key down, so that a broken `claude`, or a model name
that does not exist, is not started in a loop.
"""

from __future__ import annotations

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
from relayd.core.session.states import LEAVING, RESTING, State
from relayd.core.typing_trial import TypingTrial

SETTLE_LIMIT_S = 1.0  # for a process to put its turn away: 0.1 s when all is well
ANSWER_S = 0.3  # from there to the answer of a quick model: a process that is about to be free is better than a start
START_HOLD_S = 3.0  # from a call's arrival to the start of its process, however many others are on their way: they may be stuck


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
        self.config = config
        self._host = host
        self.recent = RecentKinds(keys, LaunchKey(config.warm_model, config.warm_max_tokens))
        self.backoff = Backoff()
        self._typing = TypingTrial()
        self.refill_at = 0.0
        self._for_batches: set[str] = set()  # sessions whose last call was a batch's: they give way before the others
        self._outdated: set[str] = set()  # sessions of the `claude` before the last update

    def __repr__(self) -> str:
        states = ",".join(s.state.value for s in self.sessions.values())
        return f"<Pool {len(self.sessions)}/{self.config.max} [{states}]>"

    @property
    def has_editor(self) -> bool:
        """True if processes have an editor that brings messages."""
        return bool(self._host.mover)

    @property
    def typed_messages_max(self) -> int:
        """How long a conversation may be that is loaded at the prompt; a longer one is replayed faster."""
        return self.config.typed_messages_max

    @property
    def has_room(self) -> bool:
        """True if another process may be started."""
        return len(self.sessions) < self.config.max

    @property
    def is_making_room(self) -> bool:
        """True while a process is ending, whose place comes free by itself."""
        return any(session.state in LEAVING for session in self.sessions.values())

    def may_start(self, waited_s: float, now: float) -> bool:
        """True if there are processors for a start, beside the processes that boot, have a call on its way to the model, or may
        be free for one in a moment. A call that has waited for too long gets its start in any case.
        """
        return len(self._busy(now)) < self._host.processors or waited_s >= START_HOLD_S

    def is_too_soon(self, found: Session, waited_s: float, now: float) -> bool:
        """True for a process that is not warm yet, while others use all processors for calls: one of them will be free before."""
        if found.served or waited_s >= START_HOLD_S or not self.has_all_at_calls(now):
            return False
        return found.state in (State.SPAWNING, State.PRIMING) or self.prefix_for(found, now) is not None

    def has_all_at_calls(self, now: float) -> bool:
        """True while all processors are used for calls that are on their way."""
        return sum(session.state is not State.SPAWNING for session in self._busy(now)) >= self._host.processors

    def prefix_for(self, session: Session, now: float) -> Held | None:
        """What to load ahead into a process that waits at its prompt, or rests; None if it has something loaded, or
        may not: with `reuse = 1` not even the beginning of one conversation is in the process of another.
        """
        waits = session.state is State.READY and session.is_free
        if not (waits or session.is_settled) or not self.types(now) or self.config.reuse == 1:
            return None
        prefix = self.prefixes.best(session.spec.key, now, self.config.key_memory_s)
        return prefix if prefix is not None and session.calls.may_offer(prefix.tools) else None

    def _busy(self, now: float) -> list[Session]:
        """Sessions that use a processor: they boot, have a call on its way to the model, or may be free for one in a moment."""
        return [s for s in self.sessions.values() if s.state is State.SPAWNING or self._is_at_call(s, now)]

    def _is_at_call(self, session: Session, now: float) -> bool:
        may_answer = session.state is State.RUNNING and now - session.told_at < ANSWER_S
        return may_answer or session.is_on_the_way(now) or self.is_settling(session, now)

    def reconfigure(self, config: Config) -> None:
        """Use another configuration from now on."""
        self.config = config
        self.launcher.reconfigure(config)

    def keys(self, now: float) -> list[LaunchKey]:
        """Launch keys used lately, the latest first."""
        return list(dict.fromkeys(key for key, _ in self.recent.latest(now, self.config.key_memory_s)))

    # Finding a process

    def use(self, kind: Kind, streams: bool, now: float) -> None:
        """A call needs a process of this kind: more of it are kept warm, but not before the call is on its way."""
        self.recent.use(kind, streams, now)
        self.refill_at = max(self.refill_at, now + self.config.refill_delay_s)

    def lend(self, session: Session, is_background: bool) -> None:
        """A call takes this process; `is_background` for one of a batch."""
        if is_background:
            self._for_batches.add(session.slot)
        else:
            self._for_batches.discard(session.slot)

    def own_of_batches(self, request: MessagesRequest, key: LaunchKey, now: float, promised: set[str]) -> Session | None:
        """A process that has answered for a batch, is promised to no other call, and may take up this one, now or in a moment: so
        a batch leaves the others alone.
        """
        own = (s for s in self.sessions.values() if s.slot in self._for_batches and s.slot not in promised)
        fits = (s for s in own if self._suits(s, request, key) and self.may_go_on(s, now))
        return min(fits, key=lambda s: (not s.is_settled, s.since), default=None)

    def free(self, request: MessagesRequest, key: LaunchKey, now: float, by_keys: bool) -> Session | None:
        """The process that serves this call best. `by_keys`: the message may be typed, so one at its prompt will do."""
        others = list(self.sessions.values())
        fits = [s for s in others if s.is_free and s.spec.key == key]
        fits = [s for s in fits if by_keys or mode_of(s) is not Mode.PROMPT]
        fits = [s for s in fits if s.calls.may_offer(request.tools)]
        fits = [s for s in fits if self._typing.may_wait_for(s, others)]
        found = min(fits, key=lambda s: (not self._tells(s, request), distance(s, request, now), s.born), default=None)
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
        fits = (s for s in self.sessions.values() if self.is_settling(s, now) and s.slot not in promised)
        return next((s for s in fits if self._suits(s, request, key) and self.may_go_on(s, now)), None)

    def booting_for_calls(self) -> list[Session]:
        """Sessions that boot while a call whose message may be typed waits for them, the oldest call first."""
        found = (s for s in self.sessions.values() if s.state is State.SPAWNING and s.assigned is not None and s.assigned.draft)
        return sorted(found, key=lambda s: s.call or 0)

    def sooner(self, session: Session, now: float, promised: set[str]) -> Session | None:
        """Another process, promised to nobody, that the call for which this one boots can have sooner: one that has answered
        needs less time for another conversation than one that boots needs after its boot.
        """
        assert session.assigned is not None
        request, key = session.assigned.request, session.spec.key
        found = self.free(request, key, now, by_keys=True)
        if found is None or is_far(found) or found.slot in promised:
            return self.settling(request, key, now, None, promised)
        return found

    def is_settling(self, session: Session, now: float) -> bool:
        """True for a moment after its answer, while it puts its turn away."""
        return session.state is State.KEPT and not session.is_settled and now - session.since < SETTLE_LIMIT_S

    def _suits(self, session: Session, request: MessagesRequest, key: LaunchKey) -> bool:
        """True if nothing is against it."""
        return self._tells(session, request) and session.spec.key == key and session.calls.may_offer(request.tools)

    def _tells(self, session: Session, request: MessagesRequest) -> bool:
        """False if a stream would come line by line: the process has no mod."""
        return self.launcher.tells_pieces(session) or not request.stream

    def _reusable(self, request: MessagesRequest, key: LaunchKey, now: float) -> Session | None:
        """The session that has rested longest with a conversation. If that goes on, it is replayed: cheaper than a start now."""
        kept = (s for s in self.sessions.values() if is_reusable(s) and self._suits(s, request, key))
        return min((s for s in kept if self.may_go_on(s, now)), key=self.age, default=None)

    def age(self, session: Session) -> tuple[bool, float]:
        """Who rests with a conversation and gives way first is the least: those of batches, then the one that rests longest."""
        return session.slot not in self._for_batches, session.since

    def may_go_on(self, session: Session, now: float) -> bool:
        """True if the process may take up another conversation, now or when it has put its turn away."""
        is_young = now - session.born <= self.config.slot_max_age_s and session.slot not in self._outdated
        is_there = session.is_settled or self.is_settling(session, now)
        return is_young and is_there and not self.is_too_large(session) and ended_well(session) and self.types(now)

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
        if self.is_making_room:
            return None
        free = [s for s in sessions if s.is_free]
        if free:
            return min(free, key=lambda s: s.born)
        if any(self.is_settling(s, now) for s in sessions):
            return None
        for state in (State.KEPT, State.PARKED):
            resting = [s for s in sessions if s.state is state]
            if resting:
                return min(resting, key=self.age)
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
        return self._typing.saw(session, self.config, now)

    def measured(self, slot: str, size_bytes: int) -> None:
        """How much memory a process holds."""
        if slot in self.sessions:
            self.sessions[slot].memory_bytes = size_bytes

    def is_too_large(self, session: Session) -> bool:
        """True for one that rests with more memory than a process may stay with."""
        return session.state is State.KEPT and session.memory_bytes > self.config.process_memory_max_bytes

    def types(self, now: float) -> bool:
        """True if messages may be typed, as far as is known."""
        return self.config.typing and self._typing.allows(now)

    def failed_unused(self, key: LaunchKey, reason: str, now: float) -> Action:
        """A process ended before it served anyone: report it, since no call does, and slow its key down."""
        self.failed += 1
        count, pause_s = self.backoff.failed(key, now)
        if count >= FAILURES_MAX:
            self.recent.forget(key)
        return do.Log("warning", f"a process ended before it served: {reason}; none of {key} is kept ready for {pause_s:.0f} s")

    def gone(self, session: Session) -> None:
        """A session is dead: forget it."""
        self.sessions.pop(session.slot, None)
        self.by_secret.pop(session.spec.secret, None)
        self._outdated.discard(session.slot)
        self._for_batches.discard(session.slot)
        if session.handed_over is not None:
            self.backoff.served(session.spec.key)

    def updated(self) -> list[Session]:
        """`claude` has been updated: the sessions that wait with the old one. Whether it takes typed texts must be seen anew."""
        self._typing = TypingTrial()
        self.backoff = Backoff()
        self._outdated = set(self.sessions)
        return [s for s in self.sessions.values() if s.is_free]

    # Making one

    def prepare(self, kind: Kind, now: float) -> list[Action]:
        """Start a session that no call waits for yet. Behind a gate the mod costs the call 0.1 s: only where calls stream."""
        streams = kind[1] is Mode.PROMPT or self.recent.streams(kind, now, self.config.key_memory_s)
        return self.spawn(kind, streams, now)[1]

    def spawn(self, kind: Kind, streams: bool, now: float) -> tuple[Session, list[Action]]:
        """A new session, and the orders that bring it to life. `streams`: its answer will be wanted piece by piece."""
        session, orders = self.launcher.launch(*kind, streams, now)
        self.spawned += 1
        self.sessions[session.slot] = session
        self.by_secret[session.spec.secret] = session
        return session, orders
