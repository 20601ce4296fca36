"""The state machine of one Claude Code process.

Rules. All transitions are in `transitions.TABLE`; `Session.handle` is the place that assigns the state.
An event that a state does not list is refused: a bug, after which `doom` leads to the grave. This file
knows no fds, clients or queues.

Theory. A slot boots until it waits at its gate, is given one conversation, runs its turn and is ended, or
kept for the next message of that conversation: no process is ever used for two. A turn that asks for tools is
parked between its answers, until the client's next call brings the results. Dying takes two facts, the
child's exit and the terminal's end, in either order. What a session wants done comes out as actions; what the
caller should know as parts of the turn.
"""

from __future__ import annotations

from typing import Any

from relayd.anthropic.answer import Answer
from relayd.anthropic.request import Message, MessagesRequest
from relayd.claude import compose, prompt, screens
from relayd.claude.compose import Scene
from relayd.claude.hooks import Displayed, Stopped, Submitted
from relayd.claude.launch import LaunchKey
from relayd.claude.screens import View
from relayd.claude.telemetry import RequestDone
from relayd.claude.transcript import TranscriptReader, UserLine
from relayd.config import Config
from relayd.core import actions as do
from relayd.core import events as ev
from relayd.core.actions import Action, Mode
from relayd.core.birth import Birth
from relayd.core.lineage import Lineage
from relayd.core.tape import Tape
from relayd.core.toolcalls import ToolCalls
from relayd.core.transitions import FREE, LIVE, TABLE, State
from relayd.core.turn import Failed, Finished, Part, Turn, Wait
from relayd.core.typist import Typist
from relayd.errors import ApiError, Refused, internal
from relayd.terminal.screen import Screen

FORGET = "forget"  # the timer of a process that rests with its answer on disk


class Session:
    """One process. `handle` takes an event and returns actions; parts of the turn collect in `parts`."""

    def __init__(self, birth: Birth, config: Config, now: float) -> None:
        self.birth = birth
        self.state = State.SPAWNING
        self.since = self.born = now
        self.call: int | None = None
        self.pid: int | None = None
        self.parts: list[Part] = []
        self.turn: Turn | None = None
        self.screen = Screen(config.columns, config.rows)
        self.tape = Tape(config.tape_max_bytes)
        self.handed_over: float | None = None
        self.calls = ToolCalls()
        self.lineage: Lineage | None = None
        self.day = ""  # the local date that Claude Code was told
        self.types_exactly: bool | None = None  # what its heading has shown
        self.taken: bool | None = None  # if what was typed last was taken, until the pool has heard of it
        self._typist = Typist(self.slot, config)
        self._config = config
        self._assigned: ev.TurnAssigned | None = None
        self._reader = TranscriptReader()
        self._progress = now
        self._wait = Wait.NOTHING
        self._dialog_since: float | None = None
        self._again: list[Any] = []

    def __repr__(self) -> str:
        call = f" call={self.call}" if self.call is not None else ""
        return f"<Session {self.slot[:8]} {self.state.value} {self.key}{call}>"

    @property
    def slot(self) -> str:
        """Its id, which is also the transcript's session id."""
        return self.birth.slot

    @property
    def key(self) -> LaunchKey:
        """What it is bound to."""
        return self.birth.key

    @property
    def is_free(self) -> bool:
        """True for a process that a call may take: it boots or waits, and is nobody's."""
        return self.state in FREE and self.call is None

    def start(self, now: float) -> list[Action]:
        """The orders that bring the process to life."""
        placeholder = compose.placeholder(self.birth.scene(self.slot, now))
        spawn = do.SpawnSlot(self.slot, self.birth.launch, self.birth.paths, placeholder, self.birth.mode)
        return [spawn, self._deadline("state", now + self._config.spawn_limit_s)]

    def handle(self, event: Any, now: float) -> list[Action]:
        """Apply one event and those that follow from it. Raises Refused for one that the state does not list."""
        self._again = [event]
        orders: list[Action] = []
        while self._again:
            current = self._again.pop(0)
            entry = TABLE[self.state].get(type(current))
            if entry is None:
                raise Refused(f"{self!r} cannot take {type(current).__name__}")
            target, effect = entry
            if target is not self.state:
                self.state, self.since = target, now
            orders += getattr(self, f"_{effect}")(current, now)
        return orders

    def doom(self, now: float) -> list[Action]:
        """After a bug: whatever the state was, the process is being killed now."""
        if self.state not in (State.REAPING, State.DRAINING, State.DEAD):
            self.state, self.since = State.KILLING, now
        return [self._deadline("state", now + self._config.kill_limit_s)]

    # Booting and hand-over

    def _spawned(self, event: ev.SlotSpawned, now: float) -> list[Action]:
        self.pid = event.pid
        return []

    def _not_spawned(self, event: ev.SpawnFailed, now: float) -> list[Action]:
        self._lose(f"Claude Code could not be started: {event.reason}")
        return self._bury(event, now)

    def _assign(self, event: ev.TurnAssigned, now: float) -> list[Action]:
        self.call, self._assigned = event.call, event
        return [do.HurryGate(self.slot)]

    def _assign_and_go(self, event: ev.TurnAssigned, now: float) -> list[Action]:
        self.call, self._assigned = event.call, event
        return self._hand_over(event, now)

    def _gate_opened(self, event: ev.GateOpened, now: float) -> list[Action]:
        if self._assigned is not None:
            self._again.append(self._assigned)
        return [do.CancelTimer(self._timer("state"))]

    def _hand_over(self, event: Any, now: float) -> list[Action]:
        assert self._assigned is not None
        request = self._assigned.request
        self.turn = Turn(self.key, request.stream)
        transcript = compose.conversation(self._begin(request, now), request)
        system = compose.system_prompt(request.system)
        return [
            *self.calls.offer(request.tools),
            do.HandOver(self.slot, transcript, system),
            self._deadline("state", now + self._config.start_limit_s),
        ]

    def _begin(self, request: MessagesRequest, now: float) -> Scene:
        self.handed_over = self._progress = now
        if request.tools or self._config.keeps:
            self.lineage = Lineage.of(request.system, request.tools, request.messages)
        scene = self.birth.scene(self.birth.conversation, now)
        self.day = scene.today
        self._assigned = None  # a conversation can be 32 MB; it is on its way now
        return scene

    def _load(self, event: ev.TurnAssigned, now: float) -> list[Action]:
        """The conversation without its last message, which is typed as soon as the first keys were taken."""
        request, self.call = event.request, event.call
        assert event.draft is not None
        self._typist.take(event.draft)
        self.turn = Turn(self.key, request.stream, behind=1)
        transcript = compose.opening(self._begin(request, now), request)
        return [
            *self.calls.offer(request.tools),
            do.HandOver(self.slot, transcript, b""),
            do.WritePty(self.slot, prompt.load_keys(self.birth.conversation)),
            self._deadline("state", now + self._config.submit_limit_s),
        ]

    def _type_last(self, event: Any, now: float) -> list[Action]:
        return [*self._typist.type(now), self._deadline("state", now + self._config.submit_limit_s)]

    def _look_at_prompt(self, event: ev.PromptSettled, now: float) -> list[Action]:
        orders = self._typist.look(self.screen, now)
        if orders is None:
            self._again.append(ev.PromptRefused())
        return orders or []

    def _hand_over_failed(self, event: ev.HandOverFailed, now: float) -> list[Action]:
        self._lose(f"the conversation could not be handed over: {event.reason}")
        return [do.Log("warning", f"{self!r} is lost: {event.reason}"), *self._kill(event, now)]

    def _detach(self, event: Any, now: float) -> list[Action]:
        """The call is gone before anything was handed over: the process is as good as new."""
        self.call = self._assigned = None
        return []

    # The running turn

    def _screen_changed(self, event: ev.PtyOutput, now: float) -> list[Action]:
        self.screen.feed(event.data)
        self.tape.add(event.data, self.screen)
        if not self.screen.title and self.state in LIVE:
            self._look()
        elif self.state is State.SPAWNING and self.birth.mode is Mode.PROMPT and not screens.is_busy(self.screen.title):
            self._arrive()
        elif self.state in (State.STARTING, State.LOADING) and any(map(screens.is_busy, self.screen.titles)):
            self._again.append(ev.TurnSeen())
        replies = self.screen.take_replies()
        orders: list[Action] = [do.WritePty(self.slot, replies)] if replies else []
        if self.state is State.RUNNING:
            orders += self._watch(now)
        elif self.state is State.TYPING:
            orders += self._typist.painted(event.data, self.screen, now)
        return orders

    def _look(self) -> None:
        """Before the title is set there is no conversation on the screen, so a dialog is Claude Code's own."""
        verdict = screens.look(self.screen.frame(), self.birth.workspace)
        if verdict.view in screens.TRUST_KEYS:
            self._again.append(ev.TrustAsked())
        elif verdict.view is not View.NOTHING:
            self._again.append(ev.ScreenBlocked(screens.to_api_error(verdict)))

    def _arrive(self) -> None:
        """At the prompt, once its heading is there."""
        self.types_exactly = screens.types_exactly(self.screen.frame())
        if self.types_exactly is False:
            if self.call is not None:
                self.parts.append(Failed(internal("Claude Code cannot take a conversation at its prompt"), lost=True))
            self._again.append(ev.Retired("its version adds to what is typed"))
        elif self.types_exactly:
            self._again.append(ev.PromptReached())

    def _trust(self, event: ev.TrustAsked, now: float) -> list[Action]:
        """Not at once: keys that come while the dialog is being painted reset it."""
        if self._dialog_since is not None:
            return []
        self._dialog_since = now
        return [self._deadline("dialog", now + self._config.dialog_settle_s)]

    def _settled(self, event: ev.DialogSettled, now: float) -> list[Action]:
        """One key, for what the screen shows now."""
        self._dialog_since = None
        verdict = screens.look(self.screen.frame(), self.birth.workspace)
        key = screens.TRUST_KEYS.get(verdict.view)
        if key is None or self.screen.title:
            return []
        log = do.Log("info", f"{self!r} answers the trust dialog of its own empty workspace")
        return [log, do.WritePty(self.slot, key), *self._trust(ev.TrustAsked(), now)]

    def _blocked(self, event: ev.ScreenBlocked, now: float) -> list[Action]:
        log = do.Log("warning", f"{self!r} is blocked: {event.error.message}")
        self.parts.append(Failed(event.error))
        return [log, *self._kill(event, now)]

    def _seen(self, event: Any, now: float) -> list[Action]:
        self._progress = now
        if self._typist.text is not None:
            self.taken = True
        return self._watch(now)

    def _told(self, event: ev.HookArrived, now: float) -> list[Action]:
        fact, turn = event.fact, self._turn()
        self._progress = now
        if isinstance(fact, Displayed):
            return self._progressed(turn.displayed(fact), now)
        if isinstance(fact, Submitted):  # nothing was typed, so nothing may be sent
            return self._progressed([Failed(internal("Claude Code has taken a prompt that nobody typed"))], now)
        parts = turn.stopped(fact) if isinstance(fact, Stopped) else turn.failed(fact)
        return self._progressed(parts, now)

    def _reported(self, event: ev.WireArrived, now: float) -> list[Action]:
        fact = event.fact
        self._progress = now
        orders: list[Action] = []
        if isinstance(fact, RequestDone) and fact.usage["output_tokens"] >= self.key.max_tokens:
            # Cut at the limit: Claude Code is about to go on by itself, on the user's account.
            self._turn().interrupted = True
            orders.append(do.WritePty(self.slot, screens.KEY_ESCAPE))
        return orders + self._progressed(self._turn().reported(fact), now)

    def _grew(self, event: ev.TranscriptGrew, now: float) -> list[Action]:
        entries = self._reader.feed(event.data)
        if entries:
            self._progress = now
        if any(isinstance(e, UserLine) and self._turn().was_forestalled(e, self.calls.handed) for e in entries):
            # The client's results came before it was known that Claude Code would not ask for them: another process gets them.
            return self._progressed([Failed(internal("Claude Code answered a tool call by itself"), lost=True)], now)
        return self._progressed(self._turn().read(entries), now)

    def _progressed(self, parts: list[Part], now: float) -> list[Action]:
        self.parts += parts
        for part in parts:
            if isinstance(part, Finished) and self._turn().can_park:
                self._again.append(ev.TurnParked(part.answer.content))
            elif isinstance(part, Finished) and self._can_keep(part.answer):
                self._again.append(ev.TurnKept(part.answer.content))
            elif isinstance(part, (Finished, Failed)):
                self._again.append(ev.TurnEnded())
        return self._watch(now)

    def _watch(self, now: float) -> list[Action]:
        """The deadlines that are in force now."""
        limit = min(now + self._config.silence_limit_s, self._progress + self._config.turn_limit_s)
        orders: list[Action] = [self._deadline("state", limit)]
        wait = self._turn().wait
        if wait is not self._wait and wait is not Wait.NOTHING:
            lag = self._config.transcript_lag_s if wait is Wait.TRANSCRIPT else self._config.failure_lag_s
            orders.append(self._deadline("lag", now + lag))
        self._wait = wait
        return orders

    def _late(self, event: ev.DeadlinePassed, now: float) -> list[Action]:
        """A deadline of the running turn."""
        if event.name == "lag":
            return self._progressed(self._turn().expire(), now)
        silent = now - self._progress < self._config.turn_limit_s
        limit = "silence_limit_s" if silent else "turn_limit_s"
        seen = screens.shorten(self.screen.frame().text()) if silent else ""
        error = _timeout(f"Claude Code gave no sign of progress ({limit})", seen)
        self.parts.append(Failed(error, lost=silent, unseen=silent and self._turn().is_unseen))
        self._again.append(ev.TurnEnded())
        return []

    # The next message

    def admits(self, submitted: Submitted) -> bool:
        """True if a prompt that Claude Code is about to send is the one that was typed, in its conversation."""
        return self.state is State.TYPING and submitted == Submitted(self._typist.text or "", self.birth.conversation)

    def _can_keep(self, answer: Answer) -> bool:
        fits = answer.stop_reason == "end_turn" and answer.content and self._turn().can_keep
        return bool(self._config.keeps and self.lineage is not None and fits)

    def _keep(self, event: ev.TurnKept, now: float) -> list[Action]:
        assert self.lineage is not None
        self.call = None
        self.lineage.add(Message("assistant", event.content))
        return [
            *self._typist.forget(now),
            self._deadline(FORGET, now + self._config.forget_after_s),
            do.CancelTimer(self._timer("lag")),
            self._deadline("state", now + self._config.kept_idle_s),
        ]

    def _type(self, event: ev.MessageBrought, now: float) -> list[Action]:
        assert self.lineage is not None
        self.call = event.call
        self._typist.take(event.draft)
        self.turn = self._turn().typed(event.streams)
        self.lineage.add(Message("user", ({"type": "text", "text": event.draft.text},)))
        self._progress = now
        self._wait = Wait.NOTHING
        return self._type_last(event, now)

    def _compare(self, event: ev.HookArrived, now: float) -> list[Action]:
        """Hooks of the turn before may still come."""
        if isinstance(event.fact, Submitted):
            self._again.append(ev.TurnSeen() if self.admits(event.fact) else ev.PromptRefused())
        return []

    def _not_taken(self, event: Any, now: float) -> list[Action]:
        self.parts.append(Failed(internal("Claude Code did not take the message"), lost=True))
        self.taken = False if isinstance(event, (ev.DeadlinePassed, ev.PromptRefused)) else None
        return [do.Log("warning", f"{self!r} did not take a typed message: {type(event).__name__}"), *self._kill(event, now)]

    def _tools_asked(self, event: ev.ToolsAsked, now: float) -> list[Action]:
        return self.calls.asked(event.client, event.fact)

    def _called(self, event: ev.ToolCalled, now: float) -> list[Action]:
        self._progress = now
        orders = self.calls.called(event.client, event.fact)
        if self.state is State.PARKED:
            return orders
        return orders + self._progressed(self._turn().called(event.fact.tool_use_id), now)

    def _park(self, event: ev.TurnParked, now: float) -> list[Action]:
        assert self.lineage is not None
        self.call = None
        self.calls.expect(event.content)
        self.lineage.add(Message("assistant", event.content))
        return [do.CancelTimer(self._timer("lag")), self._deadline("state", now + self._config.parked_limit_s)]

    def _resume(self, event: ev.ResultsBrought, now: float) -> list[Action]:
        assert self.lineage is not None
        self.call = event.call
        self.turn = self._turn().next(event.results, event.streams)
        self.lineage.add(Message("user", event.results))
        self._progress = now
        self._wait = Wait.NOTHING
        return [*self.calls.bring(event.results), *self._watch(now)]

    def _late_report(self, event: ev.WireArrived, now: float) -> list[Action]:
        self._turn().reported(event.fact)
        return []

    def _overheard(self, event: ev.TranscriptGrew, now: float) -> list[Action]:
        """A result that the client has not brought: Claude Code has answered a call by itself and goes on."""
        if any(isinstance(e, UserLine) for e in self._reader.feed(event.data)):
            self._again.append(ev.TurnEnded())
        return []

    def _interrupt(self, event: Any, now: float) -> list[Action]:
        self.call = None
        return [
            do.WritePty(self.slot, screens.KEY_ESCAPE),
            do.CancelTimer(self._timer("lag")),
            self._deadline("state", now + self._config.interrupt_limit_s),
        ]

    # Dying

    def _expired(self, event: ev.DeadlinePassed, now: float) -> list[Action]:
        limit = "spawn_limit_s" if self.handed_over is None else "start_limit_s"
        seen = screens.shorten(self.screen.frame().text())
        self.parts.append(Failed(_timeout(f"Claude Code did not start the turn in time ({limit})", seen), True, True))
        return [do.Log("warning", f"{self!r} passed {limit}"), *self._kill(event, now)]

    def _broke(self, event: ev.SlotBroke, now: float) -> list[Action]:
        """Nothing is known of what the process still does, so it gets no time to tidy up."""
        self._lose(f"Claude Code was given up: {event.reason}")
        return [do.Log("error", f"{self!r} was given up: {event.reason}"), *self._kill_at_gate(event, now)]

    def _kill(self, event: Any, now: float) -> list[Action]:
        return [
            do.SignalChild(self.slot, "TERM"),
            do.CancelTimer(self._timer("lag")),
            self._deadline("state", now + self._config.term_limit_s),
        ]

    def _kill_at_gate(self, event: Any, now: float) -> list[Action]:
        """A process that boots or is blocked at its gate cannot act on TERM, and has nothing to tidy up."""
        return [do.SignalChild(self.slot, "KILL"), self._deadline("state", now + self._config.kill_limit_s)]

    def _end_turn(self, event: Any, now: float) -> list[Action]:
        """Esc aborts a request that Claude Code may have started by itself."""
        return [do.WritePty(self.slot, screens.KEY_ESCAPE), *self._kill(event, now)]

    def _kill_harder(self, event: ev.DeadlinePassed, now: float) -> list[Action]:
        return [do.SignalChild(self.slot, "KILL"), self._deadline("state", now + self._config.kill_limit_s)]

    def _hung_up(self, event: ev.PtyClosed, now: float) -> list[Action]:
        """Most often the process has ended, and its status says more than a closed terminal."""
        return [do.CancelTimer(self._timer("lag")), self._deadline("state", now + self._config.exit_lag_s)]

    def _last_words(self, event: ev.TranscriptGrew, now: float) -> list[Action]:
        """What was on its way when the terminal closed may complete the answer."""
        if self.turn is not None:
            self.parts += self.turn.read(self._reader.feed(event.data))
        return []

    def _strayed(self, event: ev.HookArrived, now: float) -> list[Action]:
        self._lose("Claude Code has begun a turn that nobody ordered")
        return self._end_turn(event, now)

    def _lost_terminal(self, event: ev.DeadlinePassed, now: float) -> list[Action]:
        self._lose("Claude Code closed its terminal unexpectedly")
        return self._kill(event, now)

    def _lost_both(self, event: ev.ChildExited, now: float) -> list[Action]:
        self._lost_child(event, now)
        return self._bury(event, now)

    def _lost_child(self, event: ev.ChildExited, now: float) -> list[Action]:
        how = f"signal {-event.status}" if event.status < 0 else f"status {event.status}"
        seen = screens.shorten(self.screen.frame().text())
        self._lose(f"Claude Code ended unexpectedly ({how})" + (f"; its screen said: {seen}" if seen else ""))
        return [do.CancelTimer(self._timer("lag")), self._deadline("state", now + self._config.kill_limit_s)]

    def _lose(self, reason: str) -> None:
        if self.turn is not None:
            self.parts += self.turn.lost(reason)
        else:
            self.parts.append(Failed(ApiError(500, reason), lost=True, unseen=True))

    def _bury(self, event: Any, now: float) -> list[Action]:
        self._assigned = self.lineage = None
        return [
            *self._typist.forget(now),
            do.CancelTimer(self._timer("state")),
            do.CancelTimer(self._timer("lag")),
            do.CancelTimer(self._timer(FORGET)),
            do.RemoveSlot(self.slot),
        ]

    def _ignore(self, event: Any, now: float) -> list[Action]:
        return []

    def _drain_screen(self, event: ev.PtyOutput, now: float) -> list[Action]:
        self.screen.feed(event.data)
        return []

    def _turn(self) -> Turn:
        assert self.turn is not None
        return self.turn

    def _timer(self, name: str) -> tuple[str, ...]:
        return ("slot", self.slot, name)

    def _deadline(self, name: str, at: float) -> Action:
        return do.SetTimer(self._timer(name), at)


def _timeout(text: str, seen: str) -> ApiError:
    return ApiError(504, text + (f". Its screen says: {seen}" if seen else ""))
