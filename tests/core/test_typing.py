"""Typing the next message: what may be typed, what is typed, and what Claude Code's list of prompts keeps of it."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.anthropic.conversation_rules import Message
from relayd.claude import prompt, prompt_history
from relayd.claude.capabilities import Capabilities
from relayd.config import Config
from relayd.core import actions as do
from relayd.core import events as ev
from relayd.core.relay import Relay
from relayd.core.session.states import State
from relayd.core.timers import SlotDue, SlotTimer
from relayd.http.messages import HttpRequest
from relayd.runtime.prompt_history import PromptHistory
from tests.core.test_pool_and_relay import BUSY, HEADERS, HEADING, NEAR, World
from tests.lab import warm_turns


def said(text: str, has_editor: bool = False) -> str | None:
    found = prompt.draft(Message("user", ({"type": "text", "text": text},)), has_editor)
    assert found is None or found.text == text
    return found.way.value if found else None


@pytest.mark.parametrize("text", ["hello", "nice :)", "two\nlines", "Größe 漢字 😀", '"quoted"', "(a) b", "7 of 9", "x" * 4000])
def test_plain_texts_may_be_typed(text: str) -> None:
    assert said(text) == said(text, has_editor=True) == "keys"


@pytest.mark.parametrize(
    "text",
    [
        *("!ls", "/help", "#note", "@file", "see @file", "?", "&x", " lead", "trail ", "line\n", "a\tb", "a\r\nb", "\x1b[A"),
        *("", "\n", "a\u2028b", "a\u200bb", "e\u0301", "ultrathink", "an ultraplan", "a workflow", "a.png", "b.JPG is here"),
        *("ends in \\", "x" * 4001, "\x03", "\x7f", "a\x00"),
    ],
)
def test_texts_that_keys_would_change_or_obey_are_not_typed(text: str) -> None:
    assert said(text) is None


@pytest.mark.parametrize(
    "text",
    [
        *("a\tb", "a\r\nb", "#note", "see @file now", "?", "&x", "- a\n- b", "e\u0301", "a.png", "b.JPG is here", "x" * 200_000),
        *("<b>", "@a and b", "* a :)", "- 10:30", "- then /help", "- in #chan", "- a@b.c"),
    ],
)
def test_what_keys_would_change_the_editor_may_carry(text: str) -> None:
    assert (said(text), said(text, has_editor=True)) == (None, "editor")


@pytest.mark.parametrize(
    "text",
    [
        *("see @/etc/passwd now", "@~/x y", "@../x y", "@a/../../x y", '@"/etc/a b" y', "see @file", "x\n@/etc", "@file"),
        *("!ls", "/help", ":smile", "a :smile:", " lead", "trail ", "line\n", "\tlead", "a\rb"),
        *("", "\n", "a\u2028b", "a\u200bb", "a\ufeff", "a\ud800", "a\u00a0b", "ultrathink", "an ultraplan", "a workflow"),
        *("ends in \\", "\x03", "\x7f", "a\x00", "a\x85b", "a\x0bb", "\x1b[A"),
    ],
)
def test_texts_that_the_editor_would_change_or_that_are_obeyed_are_replayed(text: str) -> None:
    assert said(text, has_editor=True) is None


@pytest.mark.parametrize(
    "message",
    [
        Message("assistant", ({"type": "text", "text": "x"},)),
        Message("system", ({"type": "text", "text": "x"},)),
        Message("user", ({"type": "text", "text": "x"}, {"type": "image", "source": {}})),
        Message("user", ({"type": "image", "source": {}},)),
        Message("user", ({"type": "tool_result", "tool_use_id": "t"},)),
    ],
)
def test_only_a_text_of_the_user_is_typed(message: Message) -> None:
    assert prompt.draft(message, has_editor=True) is None


@given(st.integers())
def test_the_pieces_are_the_text_and_none_is_long(seed: int) -> None:
    text = warm_turns.text(random.Random(seed))
    if said(text) is None:
        return
    keys = prompt.keys(text)
    assert keys.endswith(prompt.PASTE_END + prompt.ENTER)
    pieces = keys.removesuffix(prompt.ENTER).decode().split(prompt.PASTE_END.decode())
    assert pieces.pop() == ""
    assert all(p.startswith(prompt.PASTE_BEGIN.decode()) for p in pieces)
    bare = [p.removeprefix(prompt.PASTE_BEGIN.decode()) for p in pieces]
    assert "".join(bare) == text
    assert all(0 < len(p) <= prompt.PIECE_MAX_CHARS and p.count("\n") <= prompt.PIECE_MAX_BREAKS for p in bare)


def entry(text: str, project: str) -> bytes:
    return json.dumps({"display": text, "project": project}, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


def test_only_the_lines_of_our_workspace_are_taken_out() -> None:
    ours, theirs = entry("mine", "/s/workspace"), entry('about "project":"/s/workspace"', "/home/x")
    broken = b'{"project":"/s/workspace" half\n'
    data = theirs + ours + broken + theirs + ours + b"no newline"
    assert prompt_history.without(data, "/s/workspace") == theirs + broken + theirs + b"no newline"


def forgetting(path: pathlib.Path) -> PromptHistory:
    return PromptHistory(str(path), prompt_history.LOCK_SUFFIX, lambda data: prompt_history.without(data, "/w"))


def test_the_list_is_rewritten_under_its_lock_and_keeps_its_mode(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "history.jsonl"
    assert forgetting(path).forget()  # there is none
    path.write_bytes(entry("a", "/x") + entry("b", "/w"))
    path.chmod(0o640)
    lock = tmp_path / "history.jsonl.lock"
    lock.mkdir()
    assert not forgetting(path).forget()
    assert b'"b"' in path.read_bytes()
    lock.rmdir()
    assert forgetting(path).forget()
    assert (path.read_bytes(), path.stat().st_mode & 0o777, os.listdir(tmp_path)) == (entry("a", "/x"), 0o640, [path.name])


def test_a_link_to_the_list_stays_a_link(tmp_path: pathlib.Path) -> None:
    (tmp_path / "real.jsonl").write_bytes(entry("b", "/w"))
    (tmp_path / "history.jsonl").symlink_to(tmp_path / "real.jsonl")
    assert forgetting(tmp_path / "history.jsonl").forget()
    assert ((tmp_path / "history.jsonl").is_symlink(), (tmp_path / "real.jsonl").read_bytes()) == (True, b"")


# Which calls go this road


def conversation(world: World, *texts: str, **fields: Any) -> int:
    roles = ("user", "assistant")
    messages = [{"role": roles[n % 2], "content": text} for n, text in enumerate(texts)]
    return world.ask(messages=messages, **fields)


def world_of(**flags: Any) -> World:
    world = World(**({"typing": True, "kept": 2, "witness": True} | flags))
    world.boot()
    return world


def answered(world: World, *texts: str) -> str:
    """A call that a process at its prompt has answered with "two"; the process."""
    slot = world.slot_of(conversation(world, *texts))
    assert world.relay.pool.sessions[slot].state is State.LOADING
    world.tell(ev.PtyOutput(slot, BUSY))
    assert world.hook(slot, hook_event_name="UserPromptSubmit", prompt=texts[-1])[0].body == b"{}"
    world.tell(world.grew(slot, b'{"type":"user","message":{"content":"its own line"}}\n'))
    world.finish(slot, "two")
    return slot


def test_a_conversation_that_is_loaded_in_one_look_is_seen_too() -> None:
    """On a busy machine the busy title came and went in one read; nothing was typed, and the call waited for its limit."""
    world = world_of()
    slot = world.slot_of(conversation(world, "one"))
    orders = world.tell(ev.PtyOutput(slot, BUSY + "\x1b]0;✳ Claude Code\x07".encode()))
    assert do.WritePty(slot, prompt.keys("one")) in orders


def first_turn(**flags: Any) -> tuple[World, str]:
    world = world_of(**flags)
    slot = answered(world, "one")
    assert world.relay.pool.sessions[slot].state is State.KEPT
    return world, slot


def test_the_next_message_goes_to_the_process_that_has_answered() -> None:
    world, slot = first_turn()
    client = conversation(world, "one", "two", "three")
    assert (world.slot_of(client), world.relay.calls.by_number[2].road.value) == (slot, "warm")
    reply = world.hook(slot, hook_event_name="UserPromptSubmit", prompt="three")
    assert json.loads(next(o.body for o in reply if hasattr(o, "body"))) == {}
    world.tell(world.grew(slot, b'{"type":"user","message":{"content":"three"}}\n'))
    world.finish(slot, "four")
    assert world.answer(client)[0] == 200
    assert world.slot_of(conversation(world, "one", "two", "three", "four", "five")) == slot


@pytest.mark.parametrize(
    "other",
    [
        {"texts": ("one", "TWO", "three")},
        {"texts": ("One", "two", "three")},
        {"texts": ("one", "two", "/three")},
        {"texts": ("one", "two", "x", "two", "three")},
        {"texts": ("one", "two", "three"), "system": "Be brief."},
        {"texts": ("one", "two", "three"), "max_tokens": 1025},
        {"texts": ("one",)},
    ],
)
def test_no_other_conversation_gets_that_process(other: dict[str, Any]) -> None:
    world, slot = first_turn(reuse=1)
    texts = other.pop("texts")
    assert world.slot_of(conversation(world, *texts, **other)) != slot


def test_a_text_that_claude_code_has_changed_is_blocked_and_the_call_replayed() -> None:
    world, slot = first_turn()
    client = conversation(world, "one", "two", "three")
    reply = world.hook(slot, hook_event_name="UserPromptSubmit", prompt="thr")
    assert json.loads(next(o.body for o in reply if hasattr(o, "body")))["decision"] == "block"
    assert world.relay.pool.sessions[slot].state is State.KILLING
    other = world.slot_of(client)
    assert (other != slot, world.relay.calls.by_number[2].road.value) == (True, "waiting")
    world.finish(other, "four")
    assert world.answer(client)[0] == 200


def test_a_prompt_for_a_process_at_work_is_blocked() -> None:
    world = world_of()
    client = conversation(world, "!one")
    slot = world.slot_of(client)
    world.hook(slot, hook_event_name="MessageDisplay", message_id="u", index=0, final=False, delta="x")
    reply = world.hook(slot, hook_event_name="UserPromptSubmit", prompt="one")
    assert b"block" in next(o.body for o in reply if hasattr(o, "body") and o.client != client)
    assert world.answer(client)[0] == 500


def test_only_so_many_are_kept_and_they_make_room() -> None:
    world = world_of(kept=1, max=3, idle=2, refill_delay_s=0, reuse=1)
    slots = []
    for number in range(2):
        slots.append(answered(world, f"one {number}"))
        world.wait(0.1)
        world.boot()
    sessions = world.relay.pool.sessions
    assert [sessions[s].state for s in slots] == [State.KILLING, State.KEPT]
    for _ in range(2):
        for slot in [s.slot for s in sessions.values() if s.state is State.KILLING]:
            world.die(slot)
        world.wait(0.1)
        world.boot()
    world.boot()
    assert world.states() == ["kept", "ready", "ready"]
    taken = [world.slot_of(conversation(world, f"other {n}")) for n in range(2)]
    queued = conversation(world, "late")
    assert sessions[slots[1]].state is State.KILLING
    world.die(slots[1])
    assert world.slot_of(queued) not in taken


def test_the_files_of_a_kept_conversation_go_and_the_conversation_stays() -> None:
    world, slot = first_turn()
    assert do.ForgetTranscript(slot) in world.tell(ev.TimerFired(SlotTimer(slot, SlotDue.FORGET)))
    assert world.relay.pool.sessions[slot].state is State.KEPT
    assert world.slot_of(conversation(world, "one", "two", "three")) == slot


def test_after_an_update_nothing_is_typed_until_the_new_version_was_seen() -> None:
    world, slot = first_turn()
    world.tell(ev.ClaudeChanged("another"))
    assert world.slot_of(conversation(world, "one", "two", "three")) != slot


def test_a_kept_process_does_not_hold_up_the_end_of_the_daemon() -> None:
    world, slot = first_turn()
    world.tell(ev.ShutdownAsked())
    assert world.relay.pool.sessions[slot].state is State.KILLING


def test_a_process_that_is_kept_after_the_daemon_was_told_to_end_does_not_hold_it_up_either() -> None:
    """`service stop` under a call took 30 seconds, however soon the call had its answer: its process was kept for a next one."""
    world = world_of()
    client = conversation(world, "one")
    slot = world.slot_of(client)
    world.tell(ev.PtyOutput(slot, BUSY))
    world.hook(slot, hook_event_name="UserPromptSubmit", prompt="one")
    world.tell(world.grew(slot, b'{"type":"user","message":{"content":"its own line"}}\n'))
    world.tell(ev.ShutdownAsked())
    world.finish(slot, "two")
    assert world.answer(client)[0] == 200
    assert world.relay.pool.sessions[slot].state is State.KILLING
    world.die(slot)
    for other in list(world.relay.pool.sessions):
        world.die(other)
    assert any(isinstance(o, do.Finish) for o in world.orders)


def test_a_new_day_is_told_so_the_conversation_is_replayed() -> None:
    world, slot = first_turn(reuse=1)
    world.relay.pool.sessions[slot].day = "the day before"
    assert world.slot_of(conversation(world, "one", "two", "three")) != slot


def test_a_hook_without_its_prompt_is_refused() -> None:
    world, slot = first_turn()
    secret = world.relay.pool.sessions[slot].spec.secret
    request = HttpRequest("POST", f"/hooks/{secret}", "", HEADERS, b'{"hook_event_name":"UserPromptSubmit"}')
    orders = world.tell(ev.RequestArrived(99, request))
    assert [o.status for o in orders if hasattr(o, "status")] == [400]


# A process that stands at its prompt


def test_what_calls_need_is_what_is_kept_warm() -> None:
    world = world_of(idle=2, refill_delay_s=0)
    assert world.states() == ["ready", "waiting"]
    for number in range(2):
        answered(world, f"one {number}")
        world.wait(0.2)
        world.boot()
    assert world.states() == ["kept", "kept", "killing", "primed", "priming"]  # nobody needs the one at the gate


def test_long_conversations_are_replayed() -> None:
    world = world_of()
    for count, mode in ((79, do.Mode.PROMPT), (81, do.Mode.GATE)):
        slot = world.slot_of(conversation(world, *[f"message {n}" for n in range(count)]))
        assert world.relay.pool.sessions[slot].spec.mode is mode


def test_a_conversation_of_just_the_limit_is_typed() -> None:
    world = world_of(typed_messages_max=3)
    for count, mode in ((3, do.Mode.PROMPT), (5, do.Mode.GATE)):
        slot = world.slot_of(conversation(world, *[f"message {n}" for n in range(count)]))
        assert world.relay.pool.sessions[slot].spec.mode is mode


def blocks(*kinds: str) -> list[dict[str, Any]]:
    picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}}
    return [picture if kind == "picture" else {"type": "text", "text": kind} for kind in kinds]


def loaded(orders: list[Any]) -> list[tuple[Any, ...]]:
    """The messages of the transcript that was handed over: role, kinds of blocks, and if Claude Code leaves it out."""
    (order,) = [o for o in orders if isinstance(o, do.HandOver)]
    lines = [json.loads(line) for line in order.transcript.splitlines()]
    messages = [line for line in lines if line["type"] in ("user", "assistant")]
    return [(m["type"], [b.get("text", b["type"]) for b in m["message"]["content"]], m.get("isVirtual", False)) for m in messages]


UNSAID = ("assistant", ["(new)"], True)


@pytest.mark.parametrize(
    ("content", "before"),
    [
        (["what is it"], [UNSAID]),
        (["picture", "what is it"], [("user", ["image"], False), UNSAID]),
        (["one", "what is it"], [("user", ["one", " "], False), UNSAID]),
        (["one", "picture", "what is it"], [("user", ["one", "image"], False), UNSAID]),
    ],
)
def test_what_stands_before_the_last_text_is_loaded_and_not_typed(content: list[str], before: list[Any]) -> None:
    world = world_of()
    client = world.ask(messages=[{"role": "user", "content": blocks(*content)}])
    slot = world.slot_of(client)
    assert world.relay.pool.sessions[slot].state is State.LOADING
    assert loaded(world.orders) == before
    typed = world.tell(ev.PtyOutput(slot, BUSY))
    assert [o.data for o in typed if isinstance(o, do.WritePty)] == [prompt.keys("what is it")]


def test_a_kept_process_is_told_texts_only() -> None:
    world, slot = first_turn(reuse=1)
    talk = [{"role": "user", "content": "one"}, {"role": "assistant", "content": "two"}]
    assert world.slot_of(world.ask(messages=[*talk, {"role": "user", "content": blocks("picture", "three")}])) != slot


def test_the_editor_is_used_where_there_is_one() -> None:
    for mover, mode in (("", do.Mode.GATE), ("/bin/mv", do.Mode.PROMPT)):
        world = World(dataclasses.replace(NEAR, mover=mover), typing=True)
        world.boot()
        slot = world.slot_of(conversation(world, "a\ttab"))
        birth = world.relay.pool.sessions[slot].spec
        assert birth.mode is mode
        assert birth.launch.env.get("EDITOR") == (f"{mover} -f ../slots/{slot}/message" if mover else None)


@pytest.mark.parametrize(
    ("roles", "fits"), [(("user",), True), (("user", "assistant", "user"), True), (("user", "system", "user"), False)]
)
def test_a_history_must_end_in_an_answer_to_be_loaded(roles: tuple[str, ...], fits: bool) -> None:
    assert prompt.fits(tuple(Message(role, ({"type": "text", "text": "x"},)) for role in roles)) is fits


def test_a_history_that_was_not_loaded_is_not_spoken_to() -> None:
    """`/resume` fails, and the message goes to the conversation that was there before: blocked by its session id."""
    world = world_of()
    client = conversation(world, "one")
    slot = world.slot_of(client)
    world.tell(ev.PtyOutput(slot, BUSY))
    reply = world.hook(slot, hook_event_name="UserPromptSubmit", prompt="one", session_id=slot)
    assert json.loads(reply[0].body)["decision"] == "block"
    assert world.relay.calls.by_number[1].road.value == "waiting"
    world.finish(world.slot_of(client), "two")
    assert world.answer(client)[0] == 200


def test_a_process_that_does_not_take_the_keys_loses_the_call_to_another() -> None:
    world = world_of()
    client = conversation(world, "one")
    slot = world.slot_of(client)
    world.tell(ev.TimerFired(SlotTimer(slot, SlotDue.STATE)))
    assert world.relay.pool.sessions[slot].state is State.KILLING
    assert world.slot_of(client) != slot


def ignored(world: World, after: tuple[str, ...] = ("one",)) -> None:
    """A call whose text is not taken in time, and is answered by another process."""
    client = conversation(world, *after)
    slot = world.slot_of(client)
    assert world.relay.pool.sessions[slot].state in (State.LOADING, State.TYPING)
    world.tell(ev.TimerFired(SlotTimer(slot, SlotDue.STATE)))
    world.die(slot)
    other = world.slot_of(client)
    world.boot()
    world.finish(other)
    assert world.answer(client)[0] == 200
    world.wait(0.1)
    world.boot()


def rests(world: World) -> list[str]:
    return [o.text for o in world.orders if isinstance(o, do.Log) and "all calls are replayed" in o.text]


def is_replayed(world: World) -> bool:
    """True if the next call finds no process at its prompt."""
    client = conversation(world, "one")
    session = world.relay.pool.sessions[world.slot_of(client)]
    world.boot()
    world.finish(session.slot)
    world.wait(0.1)
    world.boot()
    return session.spec.mode is do.Mode.GATE


def bury(world: World) -> None:
    for slot in [s.slot for s in world.relay.pool.sessions.values() if s.state is State.KILLING]:
        world.die(slot)


def test_a_claude_code_that_has_never_taken_keys_is_left_alone_after_the_first_call() -> None:
    """Its user may have bound other keys, or a new version paint another prompt. Three calls in a row had to wait for that,
    again every ten minutes, each time with a warning.
    """
    world = world_of(idle=2, kept=0, refill_delay_s=0, key_memory_s=10_000)
    ignored(world)
    assert len(rests(world)) == 1
    assert is_replayed(world)
    assert "ready" not in world.states()
    for rest_s in (37, 75, 150, 300):
        bury(world)
        world.wait(rest_s - 2)
        assert is_replayed(world), rest_s
        bury(world)
        world.wait(3)
        world.boot()
        world.wait(0.1)
        world.boot()
        ignored(world)
        assert is_replayed(world)
    assert len(rests(world)) == 1


def test_one_that_has_taken_keys_is_forgiven_a_busy_machine() -> None:
    world = world_of(idle=2, kept=0, refill_delay_s=0, typed_refusals_max=2)
    answered(world, "one")
    bury(world)
    world.wait(0.1)
    world.boot()
    ignored(world)
    assert rests(world) == []
    ignored(world)
    assert len(rests(world)) == 1


STRANGE = b"\x1b]0;\xe2\x9c\xb3 Claude Code\x07\x1b[2J\x1b[HWhat shall we build?"


def test_a_screen_without_the_known_prompt_costs_one_call_its_patience() -> None:
    """Each call was given to such a process, waited for `spawn_limit_s`, and nothing turned that off."""
    world = World(typing=True, idle=1, max=9, kept=0, refill_delay_s=0)
    first, second = conversation(world, "one"), conversation(world, "one")
    slot = world.slot_of(first)
    assert world.relay.pool.sessions[slot].spec.mode is do.Mode.PROMPT
    assert world.relay.pool.sessions[world.slot_of(second)].spec.mode is do.Mode.GATE, "one is enough to try it"
    world.tell(ev.SlotSpawned(slot, 1))
    world.tell(ev.PtyOutput(slot, STRANGE))
    world.tell(ev.TimerFired(SlotTimer(slot, SlotDue.STATE)))
    (text,) = rests(world)
    assert "which says: What shall we build?; for 38 s" in text
    other = world.slot_of(first)
    assert world.relay.pool.sessions[other].spec.mode is do.Mode.GATE
    world.die(slot)
    for session in [s for s in world.relay.pool.sessions.values() if s.state is State.SPAWNING]:
        world.tell(ev.SlotSpawned(session.slot, 1))
        is_gated = session.spec.mode is do.Mode.GATE
        world.tell(ev.GateOpened(session.slot) if is_gated else ev.PtyOutput(session.slot, STRANGE))
    for each in (first, second):
        world.finish(world.slot_of(each))
        assert world.answer(each)[0] == 200
    world.wait(2)
    assert {s.spec.mode for s in world.relay.pool.sessions.values() if s.is_free} == {do.Mode.GATE}


def test_whether_there_is_a_prompt_again_is_tried_without_a_call() -> None:
    world = World(typing=True, idle=1, kept=0, refill_delay_s=0)
    for session in [s for s in world.relay.pool.sessions.values() if s.spec.mode is do.Mode.PROMPT]:
        world.tell(ev.SlotSpawned(session.slot, 1))
        world.tell(ev.TimerFired(SlotTimer(session.slot, SlotDue.STATE)))
        world.die(session.slot)
    assert len(rests(world)) == 1
    world.wait(601)
    booting = {s.slot for s in world.relay.pool.sessions.values() if s.spec.mode is do.Mode.PROMPT}
    assert booting
    client = conversation(world, "one")
    assert world.slot_of(client) not in booting
    world.boot()
    assert world.slot_of(client) in booting, "it was seen to reach its prompt"


def test_versions_that_ignore_the_prompt_in_a_transcript_are_never_typed_into() -> None:
    world = World(typing=True, kept=2)
    prompt_slot = next(s.slot for s in world.relay.pool.sessions.values() if s.spec.mode is do.Mode.PROMPT)
    world.tell(ev.SlotSpawned(prompt_slot, 1))
    world.tell(ev.PtyOutput(prompt_slot, HEADING.replace(b"330", b"257")))
    assert world.relay.pool.sessions[prompt_slot].state is State.KILLING
    world.die(prompt_slot)
    world.boot()
    slot = world.slot_of(conversation(world, "one"))
    world.finish(slot, "two")
    assert world.slot_of(conversation(world, "one", "two", "three")) != slot
    assert {s.spec.mode for s in world.relay.pool.sessions.values()} == {do.Mode.GATE}


def test_without_fifos_processes_wait_at_their_prompt() -> None:
    near = dataclasses.replace(NEAR, capabilities=Capabilities(gated=False))
    config = Config(idle=2)
    relay = Relay(config, near, [], 7421)
    relay.start(100.0)
    assert [s.spec.mode for s in relay.pool.sessions.values()] == [do.Mode.PROMPT] * 2


def test_what_claude_code_finds_of_its_surroundings_is_told_to_the_next_process() -> None:
    """On Windows relayd's own idea of them was wrong, so that each typed conversation got a reminder."""
    world = world_of()
    slot = answered(world, "one")
    snapshot = {"platform": "win32", "shell": "PowerShell", "osVersion": "Windows 11 Home 10.0.22631"}
    line = {"type": "attachment", "attachment": {"type": "environment", "snapshot": snapshot}}
    world.tell(world.grew(slot, json.dumps(line).encode() + b"\n"))
    client = conversation(world, "!one")
    (order,) = (o for o in world.orders if isinstance(o, do.HandOver) and o.slot == world.slot_of(client))
    assert b'"shell":"PowerShell","osVersion":"Windows 11 Home 10.0.22631"' in order.transcript
