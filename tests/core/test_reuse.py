"""One process, several conversations: what is loaded ahead, what is taken up after an answer, and what ends a process instead."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from relayd.anthropic.conversation_rules import Message
from relayd.anthropic.request import Held, MessagesRequest
from relayd.claude import mod
from relayd.claude.hooks import Displayed
from relayd.claude.telemetry import RequestFailed
from relayd.core import actions as do
from relayd.core import events as ev
from relayd.core.pool import SETTLE_LIMIT_S
from relayd.core.prefixes import EXAMPLES_MAX, PREFIX_MAX_CHARS, PREFIXES_MAX, Prefixes
from relayd.core.session.channels import ShownText, WrittenAnswer
from relayd.core.session.record import Session
from relayd.core.session.reuse import is_reusable
from relayd.core.session.states import State
from relayd.core.session.table import drive
from relayd.core.timers import RelayDue, RelayTimer, SlotDue, SlotTimer
from tests.core.session.test_session import DONE, KEY, REQUEST
from tests.core.test_pool_and_relay import BUSY, IDLE, NEAR, World
from tests.core.test_typing import conversation, world_of

BRIEF = {"system": "Be brief."}


def sessions(world: World, *states: State) -> list[Session]:
    return [s for s in world.relay.pool.sessions.values() if s.state in states]


def call(world: World, text: str, **fields: Any) -> Session:
    """A call is given to a process; that one."""
    client = world.ask(text, **fields)
    world.boot()
    return world.relay.pool.sessions[world.slot_of(client)]


def carry(world: World, session: Session) -> list[do.Action]:
    """The process loads, if it must, and takes the text; the orders of the way."""
    begun = len(world.orders)
    if session.state is State.LOADING:
        world.tell(ev.PtyOutput(session.slot, b"\x1b]0;\xe2\xa0\x82 Claude Code\x07"))
    if session.state is State.TYPING:
        world.hook(session.slot, hook_event_name="UserPromptSubmit", prompt=session.prompt.text)
        world.tell(world.grew(session.slot, b'{"type":"user","message":{"content":"its own line"}}\n'))
    return world.orders[begun:]


def answer(world: World, session: Session, text: str = "ok") -> None:
    carry(world, session)
    world.finish(session.slot, text)
    assert session.state is State.KEPT


def handed(world: World, slot: str) -> list[do.HandOver]:
    return [o for o in world.orders if isinstance(o, do.HandOver) and o.slot == slot]


def typed(orders: list[do.Action], slot: str) -> bytes:
    return b"".join(o.data for o in orders if isinstance(o, do.WritePty) and o.slot == slot)


def test_the_next_conversation_is_taken_up_by_a_process_that_has_answered() -> None:
    """A program that called back to back waited for a start each time: 0.7 CPU seconds, thrown away after one answer."""
    world = world_of(idle=0, kept=1, max=2, refill_delay_s=60)
    world.boot()
    first = call(world, "one", system="secret of one")
    answer(world, first)
    second = call(world, "two", system="secret of two")
    answer(world, second)
    begun = len(world.orders)
    third = call(world, "three", system="of three")
    assert third is first  # it has rested longest, and more rest than are kept
    (order,) = [o for o in world.orders[begun:] if isinstance(o, do.HandOver)]
    assert order.files is not None
    assert order.files.session_id == third.conversation != third.spec.conversation
    assert f"/resume {third.conversation}".encode() in typed(world.orders[begun:], third.slot)
    assert b"secret of one" not in order.transcript
    assert all(json.loads(line)["sessionId"] == third.conversation for line in order.transcript.splitlines())
    answer(world, third, "to three")
    assert [o.status for o in world.orders if isinstance(o, do.Respond) and b'"type":"message"' in o.body] == [200, 200, 200]


def test_a_process_that_has_not_put_its_turn_away_is_waited_for() -> None:
    """With four clients the answers were given while Claude Code was still busy: `/resume` came too early, nothing was loaded.
    After three calls that waited for five seconds nothing was typed for ten minutes: 1.1 calls a second instead of 3.2.
    """
    world = world_of(idle=0, kept=1, max=1, refill_delay_s=60)
    world.boot()
    session = call(world, "one")
    carry(world, session)
    world.finish(session.slot)
    assert session.state is State.KEPT
    world.tell(ev.PtyOutput(session.slot, BUSY))  # or still
    client = world.ask("two")
    assert (session.call, session.state) == (None, State.KEPT)
    world.tell(ev.PtyOutput(session.slot, IDLE))
    assert world.slot_of(client) == session.slot
    assert session.state is State.LOADING


@pytest.mark.parametrize("way", ["another conversation", "the next message"])
def test_a_title_that_has_not_shown_the_turn_yet_does_not_say_that_it_is_over(way: str) -> None:
    """On a busy machine an answer was whole while the title was still that of the loaded conversation. The process was given the
    next call at once, typed into the middle of its turn, and stood still: that call took nine seconds.
    """
    world = world_of(idle=0, kept=1, max=1, refill_delay_s=60)
    session = call(world, "one")
    answer(world, session)
    world.ask("two")
    world.load(session.slot)  # the load begins and ends; nothing of the turn is shown
    carry(world, session)
    world.told(session.slot)
    world.answered(session.slot, "three")
    assert session.state is State.KEPT
    begun = len(world.orders)
    client = world.ask("four") if way == "another conversation" else conversation(world, "two", "three", "four")
    assert typed(world.orders[begun:], session.slot) == b""
    world.tell(ev.PtyOutput(session.slot, BUSY))
    assert typed(world.orders[begun:], session.slot) == b""
    world.tell(ev.PtyOutput(session.slot, IDLE))
    assert world.slot_of(client) == session.slot
    assert typed(world.orders[begun:], session.slot)


def putting_away(world: World, text: str = "one", **fields: Any) -> Session:
    """A process that has just answered, and has not put its turn away."""
    session = call(world, text, **fields)
    carry(world, session)
    world.finish(session.slot)
    world.tell(ev.PtyOutput(session.slot, BUSY))
    assert session.state is State.KEPT
    return session


def test_a_process_that_is_putting_its_turn_away_is_sooner_there_than_a_start() -> None:
    """Of 200 calls by four clients 12 met a start of three to five seconds, each while a process was about to be free."""
    world = world_of(idle=0, kept=1, max=4, refill_delay_s=60)
    session = putting_away(world)
    waiting, another, different = world.ask("two"), world.ask("three"), world.ask("four", max_tokens=7)
    assert (session.call, session.state) == (None, State.KEPT)
    starting = [s for s in world.relay.pool.sessions.values() if s is not session]
    assert [world.slot_of(another), world.slot_of(different)] == [s.slot for s in starting]  # the one promise is given
    world.tell(ev.PtyOutput(session.slot, IDLE))
    assert world.slot_of(waiting) == session.slot


def test_one_that_does_not_put_its_turn_away_is_not_waited_for() -> None:
    world = world_of(idle=0, kept=1, max=2, refill_delay_s=60)
    session = putting_away(world)
    waiting = world.ask("two")
    looks = [o.at for o in world.orders if isinstance(o, do.SetTimer) and o.key == RelayTimer(RelayDue.REFILL)]
    assert looks[-1] <= session.since + SETTLE_LIMIT_S
    world.wait(SETTLE_LIMIT_S)
    assert world.slot_of(waiting) != session.slot


def test_processes_that_are_putting_their_turns_away_are_not_taken_for_useless() -> None:
    """With more of them than are kept the oldest was ended, and the next call met a start."""
    world = world_of(idle=0, kept=1, max=3, refill_delay_s=60)
    clients = [world.ask(text) for text in ("one", "two")]
    world.boot()
    both = [world.relay.pool.sessions[world.slot_of(client)] for client in clients]
    for session in both:
        carry(world, session)
        world.finish(session.slot)
        world.tell(ev.PtyOutput(session.slot, BUSY))
    world.wait(0.1)
    assert [session.state for session in both] == [State.KEPT, State.KEPT]


def test_a_process_with_few_conversations_left_has_a_successor_before_it_ends() -> None:
    """A program that called back to back met a start at every fiftieth call."""
    world = world_of(idle=0, kept=1, max=3, refill_delay_s=60, reuse=20)
    session = call(world, "one")
    answer(world, session)
    for served, processes in ((12, 1), (13, 2), (14, 2)):
        session.served = served
        world.wait(0.0)
        assert len(world.relay.pool.sessions) == processes


def test_a_stream_is_not_given_to_a_process_without_the_mod() -> None:
    """It came line by line: the process had been started for a whole answer."""
    flags = {"typing": True, "kept": 1, "idle": 0, "max": 2, "witness": True, "live": True, "refill_delay_s": 60}
    world = World(replace(NEAR, mod_directory="/state/mod"), **flags)
    first = call(world, "one")
    answer(world, first)
    streamed = call(world, "two", stream=True)
    assert streamed is not first
    assert mod.ADDRESS in streamed.spec.launch.env
    assert call(world, "three") is first


def test_beside_a_call_one_process_starts_after_another() -> None:
    """Two starts at once during a program's first call made its second one wait for 1.5 seconds."""
    world = world_of(idle=0, kept=0, max=6, refill_delay_s=1)
    call(world, "one")
    world.relay.reconfigure(replace(world.config, idle=4))
    for processes in (2, 3, 4):
        world.wait(1.0)
        assert len(world.relay.pool.sessions) == processes
        assert len(sessions(world, State.SPAWNING)) == 1
        world.boot()


@pytest.mark.parametrize("has_tool", [False, True])
def test_a_turn_leaves_no_deadline_to_the_next(has_tool: bool) -> None:
    """The limit for a request that is told late fired in the next but one turn, whose request had not come yet: that answer
    went out unproven, and its process was ended. One call in thirty of a program that called back to back met a start by it.
    """
    world = world_of(idle=0, kept=1, max=1, refill_delay_s=60)
    session = call(world, "one", stream=True)
    carry(world, session)
    world.hook(session.slot, hook_event_name="MessageDisplay", message_id="u", index=0, final=True, delta="early")
    session.call = None
    turn_over = ev.TurnParked(()) if has_tool else ev.TurnKept(())
    world.take(drive(session, turn_over, world.now))
    left, was_set = set[SlotDue](), set[SlotDue]()
    for order in world.orders:
        match order:
            case do.SetTimer(SlotTimer(_, due)):
                left.add(due)
                was_set.add(due)
            case do.CancelTimer(SlotTimer(_, due)):
                left.discard(due)
            case _:
                pass
    assert not left & {SlotDue.LINES, SlotDue.LAG, SlotDue.WITNESS}
    assert {SlotDue.STATE, SlotDue.WITNESS} <= was_set


def test_a_prompt_in_the_wrong_conversation_is_blocked() -> None:
    world = world_of(idle=0, kept=1, max=1, refill_delay_s=60)
    world.boot()
    session = call(world, "one")
    answer(world, session)
    assert call(world, "two") is session
    world.tell(ev.PtyOutput(session.slot, b"\x1b]0;\xe2\xa0\x82 Claude Code\x07"))
    before = session.spec.conversation  # what Claude Code still has
    reply = world.hook(session.slot, hook_event_name="UserPromptSubmit", prompt="two", session_id=before)
    assert any(b"block" in o.body for o in reply if isinstance(o, do.Respond))
    assert session.state is State.KILLING


def two_calls(**flags: Any) -> tuple[World, Session, int, Session]:
    """One call runs in a process, another waits for one that boots; those."""
    world = world_of(idle=0, kept=2, max=3, refill_delay_s=60, **flags)
    world.boot()
    running = call(world, "one")
    carry(world, running)
    client = world.ask("two")
    booting = world.relay.pool.sessions[world.slot_of(client)]
    assert booting.state is State.SPAWNING
    return world, running, client, booting


def test_a_call_whose_process_boots_changes_over_to_one_that_has_answered() -> None:
    """Of four clients that began at once two met a start, and waited for it three to five times as long as for any later
    answer, while the others' processes answered two or three calls.
    """
    world, running, client, booting = two_calls()
    world.tell(ev.PtyOutput(running.slot, BUSY))
    world.finish(running.slot, is_settled=False)
    assert (booting.call, booting.state) == (None, State.SPAWNING)
    third = world.ask("three")
    assert booting.call is not None  # what has booted for one call serves the next
    world.tell(ev.PtyOutput(running.slot, IDLE))
    assert (world.slot_of(client), running.state) == (running.slot, State.LOADING)
    assert world.slot_of(third) == booting.slot
    assert len(world.relay.pool.sessions) == 2


def test_a_process_that_does_not_put_its_turn_away_costs_the_call_a_moment() -> None:
    world, running, client, booting = two_calls()
    world.tell(ev.PtyOutput(running.slot, BUSY))
    world.finish(running.slot, is_settled=False)
    assert booting.call is None
    world.wait(SETTLE_LIMIT_S + 0.01)
    world.tell(ev.TimerFired(RelayTimer(RelayDue.REFILL)))
    assert world.slot_of(client) == booting.slot


def test_one_process_that_has_answered_calls_over_one_call_only() -> None:
    world, running, first, booting = two_calls()
    second = world.ask("three")
    other = world.relay.pool.sessions[world.slot_of(second)]
    world.tell(ev.PtyOutput(running.slot, BUSY))
    world.finish(running.slot, is_settled=False)
    assert (booting.call, other.call is not None) == (None, True)  # the older one
    world.tell(ev.PtyOutput(running.slot, IDLE))
    assert world.slot_of(first) == running.slot
    assert world.slot_of(second) == other.slot


def test_what_cannot_be_typed_does_not_change_over() -> None:
    world, running, client, _ = two_calls()
    other = world.ask("\x1b[A")
    slot = world.slot_of(other)
    world.finish(running.slot)
    assert world.slot_of(other) == slot
    assert world.slot_of(client) == running.slot


def test_a_bug_in_changing_over_costs_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    world, running, client, booting = two_calls()
    monkeypatch.setattr(world.relay.pool, "sooner", lambda *_: 1 / 0)
    world.finish(running.slot)
    (error,) = [o for o in world.orders if isinstance(o, do.Respond) and o.client == client]
    assert error.status == 500
    assert booting.call is None


def with_common_beginnings(**flags: Any) -> World:
    """A world whose calls keep beginning with the same."""
    world = world_of(idle=1, kept=2, refill_delay_s=0, **flags)
    world.boot()
    for number in range(2):
        answer(world, call(world, f"call {number}", **BRIEF))
        world.wait(0.2)
        world.boot()
    return world


def primed(**flags: Any) -> tuple[World, Session]:
    """The same, and the process that has loaded that."""
    world = with_common_beginnings(**flags)
    (waiting,) = sessions(world, State.PRIMED)
    return world, waiting


def test_where_each_conversation_has_a_process_of_its_own_nothing_is_loaded_ahead() -> None:
    """With `reuse = 1` a process that had loaded what one program's calls begin with took up a call of another."""
    world = with_common_beginnings(max=4, reuse=1)
    assert sessions(world, State.READY)
    assert not sessions(world, State.PRIMED)


def test_what_calls_keep_beginning_with_is_loaded_ahead_and_then_only_typed() -> None:
    world, waiting = primed(max=4)
    (loaded,) = handed(world, waiting.slot)
    assert b"Be brief." in loaded.transcript
    assert not [line for line in loaded.transcript.splitlines() if b'"type":"user"' in line]
    begun = len(world.orders)
    third = call(world, "call 2", **BRIEF)
    assert third is waiting
    orders = world.orders[begun:]
    assert (third.state, [o for o in orders if isinstance(o, do.HandOver) and o.slot == third.slot]) == (State.TYPING, [])
    assert b"call 2" in typed(orders, third.slot)
    answer(world, third)
    record = world.relay.pool.sessions[third.slot]
    assert world.relay.journal.roads["primed"] == 1
    assert record.served == 1


def test_a_call_that_begins_otherwise_has_its_own_conversation_loaded() -> None:
    world, waiting = primed(max=3)
    other = call(world, "other", system="Be long.")
    assert other is waiting
    assert other.state is State.LOADING
    assert b"Be long." in handed(world, other.slot)[-1].transcript
    answer(world, other)
    assert world.relay.journal.roads["reused"] == 1


def test_a_process_of_yesterday_loads_again() -> None:
    """Claude Code tells the model the date."""
    world, waiting = primed(max=3)
    waiting.day = "the day before"
    assert call(world, "call 2", **BRIEF).state is State.LOADING


def test_a_call_may_take_a_process_that_is_still_loading() -> None:
    world = world_of(idle=1, kept=0, max=1, refill_delay_s=0)
    (session,) = world.relay.pool.sessions.values()
    drive(session, ev.PrefixAssigned(Held(("Be brief.",))), world.now)
    assert session.state is State.PRIMING
    client = world.ask("now", **BRIEF)
    assert (world.slot_of(client), session.state) == (session.slot, State.PRIMING)
    world.load(session.slot)
    assert session.state is State.TYPING


def test_a_request_that_nobody_ordered_ends_a_process_that_waits() -> None:
    world = world_of(idle=1, kept=0, max=1, refill_delay_s=0)
    world.boot()
    (session,) = world.relay.pool.sessions.values()
    drive(session, ev.PrefixAssigned(Held(("Be brief.",))), world.now)
    world.load(session.slot)
    assert session.state is State.PRIMED
    drive(session, ev.WireArrived(DONE), world.now)
    assert session.state is State.KILLING


def test_a_prefix_that_does_not_load_costs_its_process_only() -> None:
    world = world_of(idle=1, kept=0, max=1, refill_delay_s=0)
    world.boot()
    (session,) = world.relay.pool.sessions.values()
    drive(session, ev.PrefixAssigned(Held(("Be brief.",))), world.now)
    client = world.ask("now", **BRIEF)
    world.tell(ev.TimerFired(SlotTimer(session.slot, SlotDue.STATE)))
    assert session.state is State.KILLING
    world.die(session.slot)
    world.boot()
    other = world.relay.pool.sessions[world.slot_of(client)]
    assert other is not session


def test_a_text_that_cannot_be_typed_does_not_go_to_a_process_at_its_prompt() -> None:
    """A process that began at a gate, and had loaded a prefix after its first answer, got a call that had to be replayed: 500."""
    world = world_of(idle=1, kept=0, max=2, refill_delay_s=60)
    world.boot()
    session = call(world, "\x1b[A", **BRIEF)
    assert session.spec.mode is do.Mode.GATE
    world.boot()
    session.state = State.KEPT
    drive(session, ev.PrefixAssigned(Held(("Be brief.",))), world.now)
    session.call = None
    world.load(session.slot)
    assert session.state is State.PRIMED
    request = replace(REQUEST, system=("Be brief.",))
    assert world.relay.pool.free(request, session.spec.key, world.now, by_keys=False) is not session
    assert world.relay.pool.free(request, session.spec.key, world.now, by_keys=True) is session


def kept() -> tuple[World, Session]:
    world = world_of(idle=0, kept=1, max=1, refill_delay_s=60)
    world.boot()
    session = call(world, "one")
    answer(world, session)
    assert is_reusable(session)
    return world, session


@pytest.mark.parametrize("end", ["dies", "strays"])
def test_a_process_that_is_lost_while_it_loads_gives_its_call_to_another(end: str) -> None:
    """Its last turn was that of the conversation before, which had ended: nobody told the call, and it waited for its limit."""
    world, session = kept()
    drive(session, ev.PrefixAssigned(Held(("Be brief.",))), world.now)
    client = world.ask("now", **BRIEF)
    assert (world.slot_of(client), session.state) == (session.slot, State.PRIMING)
    if end == "strays":
        drive(session, ev.WireArrived(DONE), world.now) if session.current_turn().awaits_report else None
        world.relay.engine.driver.drive(session, ev.WireArrived(DONE), world.now)
        assert session.state is State.KILLING
    world.die(session.slot)
    world.boot()
    assert world.slot_of(client) != session.slot


def _failed_before(session: Session) -> None:
    session.current_turn()._failure.reported(RequestFailed(429, "slow down", ""))


def _was_interrupted(session: Session) -> None:
    session.current_turn().interrupted = True


def _has_served_enough(session: Session) -> None:
    session.served = session.spec.config.reuse


def _answered_nothing(session: Session) -> None:
    session.current_turn()._written = WrittenAnswer()
    session.current_turn()._shown = ShownText(frozenset())


@pytest.mark.parametrize("change", [_failed_before, _was_interrupted, _has_served_enough, _answered_nothing])
def test_where_something_may_be_left_over_the_process_ends_with_its_conversation(change: Any) -> None:
    """Each of these leaked when it was tried: words of one conversation, or its limits, reached the next."""
    world, session = kept()
    change(session)
    assert not is_reusable(session)
    client = world.ask("two")
    assert session.state is State.KILLING
    world.die(session.slot)
    world.boot()
    assert world.slot_of(client) != session.slot


def test_a_process_that_was_told_of_other_tools_is_not_reused() -> None:
    """Claude Code went on to send those that it had been told of."""
    world = world_of(idle=0, kept=1, max=1, refill_delay_s=60)
    tools = [[{"name": name, "input_schema": {"type": "object"}}] for name in ("one", "two")]
    session = call(world, "one", tools=tools[0])
    world.boot()
    answer(world, session)
    assert session.calls.may_offer(session.calls._tools or ())
    world.ask("two", tools=tools[1])
    assert session.state is State.KILLING


def test_late_words_of_the_answer_before_do_not_reach_the_next() -> None:
    world, session = kept()
    (before,) = session.current_turn()._shown.message_ids
    assert call(world, "two") is session
    carry(world, session)
    drive(session, ev.HookArrived(session.slot, Displayed(before, 1, True, "secret of one")), world.now)
    world.finish(session.slot, "to two")
    told = [o.body for o in world.orders if isinstance(o, do.Respond)]
    assert any(b"to two" in body for body in told)
    assert not any(b"secret" in body for body in told)


def test_prefixes_are_bounded_and_forgotten() -> None:
    found = Prefixes()
    big = replace(REQUEST, system=("x" * (PREFIX_MAX_CHARS + 1),))
    for _ in range(3):
        found.use(big, KEY, 0.0)
    assert found.best(KEY, 0.0, 900.0) is None
    for number in range(PREFIXES_MAX + 5):
        for _ in range(2):
            found.use(replace(REQUEST, system=(f"s{number}",)), KEY, float(number))
    assert len(found.beginnings._used) == PREFIXES_MAX
    assert found.best(KEY, 20.0, 900.0) == Held((f"s{PREFIXES_MAX + 4}",))
    assert found.best(KEY, 5000.0, 900.0) is None
    found.use(replace(REQUEST, system=("once",)), KEY, 5000.0)
    assert found.best(KEY, 5000.0, 900.0) is None  # what came once may never come again


def with_examples(text: str, shots: int = 2) -> MessagesRequest:
    said = [Message(role, ({"type": "text", "text": f"{role} {n}"},)) for n in range(shots) for role in ("user", "assistant")]
    return replace(REQUEST, system=("Be brief.",), messages=(*said, Message("user", ({"type": "text", "text": text},))))


def test_examples_before_each_question_are_a_prefix_and_a_chat_is_none() -> None:
    """A program with ten examples before each question loaded all of them anew at each call."""
    found = Prefixes()
    for number in range(2):
        found.use(with_examples(f"question {number}"), KEY, float(number))
    assert found.best(KEY, 2.0, 900.0) == Held(("Be brief.",), (), with_examples("").messages[:-1])
    for shots in range(3, 3 + 2 * PREFIXES_MAX):  # a chat: its past is another one each time
        found.use(with_examples("go on", shots), KEY, float(shots))
    assert found.best(KEY, 60.0, 900.0) == Held(("Be brief.",))
    assert len(found.examples._used) == PREFIXES_MAX
    long = with_examples("go on", EXAMPLES_MAX)
    picture = replace(long, messages=(Message("user", ({"type": "image"},)), *with_examples("it").messages[1:]))
    for other in (long, picture):
        for _ in range(2):
            found.use(other, KEY, 100.0)
        assert found.best(KEY, 100.0, 900.0) == Held(("Be brief.",))


def test_a_process_that_has_loaded_the_examples_only_types() -> None:
    world = world_of(idle=1, kept=0, max=1, refill_delay_s=0)
    world.boot()
    (session,) = world.relay.pool.sessions.values()
    shots = [{"role": "user", "content": "one?"}, {"role": "assistant", "content": "1"}]
    past = tuple(Message(m["role"], ({"type": "text", "text": m["content"]},)) for m in shots)
    drive(session, ev.PrefixAssigned(Held(("Be brief.",), (), past)), world.now)
    world.load(session.slot)
    assert call(world, "", **BRIEF, messages=[*shots, {"role": "user", "content": "two?"}]) is session
    assert session.state is State.TYPING
    assert session.prompt.text == "two?"


def test_a_process_that_has_grown_too_large_ends_after_its_answer() -> None:
    """Only the number of its conversations was bounded: a few with a megabyte each filled the machine."""
    world, session = kept()
    limit = world.config.process_memory_max_bytes
    world.tell(ev.MemoryMeasured(session.slot, limit))
    assert session.state is State.KEPT
    assert any(isinstance(o, do.MeasureMemory) and o.slot == session.slot for o in world.orders)
    world.tell(ev.MemoryMeasured(session.slot, limit + 1))
    world.wait(0.0)
    assert session.state is State.KILLING
    world.tell(ev.MemoryMeasured("of nobody", limit + 1))


def test_a_process_that_is_too_large_takes_no_further_conversation() -> None:
    world, session = kept()
    session.memory_bytes = world.config.process_memory_max_bytes + 1
    client = world.ask("two")
    world.die(session.slot)
    world.boot()
    assert world.slot_of(client) != session.slot


def test_late_lines_of_the_conversation_before_are_none_of_the_next() -> None:
    """Four clients at once: what had been read of the old transcript in the same turn of the loop was told after the process had
    taken up the next call. The old user line passed for its own, its own for one of Claude Code's: a 200 without a word.
    """
    world, session = kept()
    before = session.conversation
    client = world.ask("two")
    assert session.state is State.LOADING
    world.tell(ev.TranscriptGrew(session.slot, before, b'{"type":"user","message":{"content":"one"}}\n'))
    carry(world, session)
    world.finish(session.slot, "to two")
    assert [block["text"] for block in world.answer(client)[1]["content"]] == ["to two"]


def test_a_turn_that_went_on_without_an_answer_is_no_empty_answer() -> None:
    """Nothing but a line that was not its own: it was taken for an answer without a word, and nobody was told."""
    world, session = kept()
    client = world.ask("two")
    carry(world, session)
    world.tell(world.grew(session.slot, b'{"type":"user","message":{"content":"not ours"}}\n'))
    world.tell(ev.TimerFired(SlotTimer(session.slot, SlotDue.LAG)))
    world.die(session.slot)
    assert world.answer(client)[0] == 500
