"""What a turn knows of an answer, as the API's message. Pure.

It decides nothing: that an answer is complete, and by which channel, is `turn.py`'s to say, its only caller.
"""

from __future__ import annotations

from typing import Any

from relayd.anthropic import inexact
from relayd.anthropic.answer import Answer, Usage, new_id
from relayd.anthropic.blocks import Block
from relayd.claude.launch import LaunchKey
from relayd.claude.telemetry import RequestDone
from relayd.claude.transcript import AssistantLine, Refusal
from relayd.core.session.raw_inputs import RawInputs


def written(lines: list[AssistantLine], hidden: list[Block], key: LaunchKey, raw: RawInputs) -> Answer:
    """The answer that the transcript has in these lines (one at least), without the blocks that the client does not get.

    `raw` knows which tool calls have the model's own input for certain, and of which only the beginning is known.
    """
    last = lines[-1]
    content = tuple(b for line in lines for b in line.blocks if b.get("text") != "" and b not in hidden)
    stop_sequence = last.stop_sequence or _named_stop(last.stop_reason, key)
    is_unnamed = last.stop_reason == "stop_sequence" and stop_sequence is None
    return Answer(
        id=lines[0].message_id,
        model=last.model,
        content=content,
        stop_reason=last.stop_reason or "end_turn",
        usage=Usage(last.usage),
        stop_sequence=stop_sequence,
        stop_details=last.stop_details,
        inexact=(*inexact.doubtful(content, raw.proven, raw.incomplete), *(("stop_sequence",) if is_unnamed else ())),
    )


def shown(text: str, model: str, usage: dict[str, Any]) -> Answer:
    """An answer of one text, before the transcript has it."""
    return Answer(new_id("msg_01"), model, ({"type": "text", "text": text},), "end_turn", Usage(usage))


def empty(done: RequestDone | None, key: LaunchKey) -> Answer:
    """An answer without a block. It was cut if it has as many tokens as it might: none, for a call that warms the API's cache."""
    is_cut = done is not None and done.usage["output_tokens"] >= key.max_tokens
    return Answer(new_id("msg_01"), _model(done, key), (), "max_tokens" if is_cut else "end_turn", _usage(done))


def refused(refusal: Refusal, done: RequestDone | None, key: LaunchKey) -> Answer:
    """A refusal without a block: Claude Code makes an error of it, which says the rest."""
    return Answer(
        id=refusal.message_id or new_id("msg_01"),
        model=refusal.model or _model(done, key),
        content=(),
        stop_reason="refusal",
        usage=_usage(done),
        stop_details=refusal.stop_details,
    )


def _model(done: RequestDone | None, key: LaunchKey) -> str:
    return done.model if done else key.model


def _usage(done: RequestDone | None) -> Usage:
    return Usage(done.usage if done else {})


def _named_stop(reason: str | None, key: LaunchKey) -> str | None:
    """Which sequence was met, if there was one only.

    Of several it cannot be known. Claude Code drops the name that the API gives: it is null in the transcript and in the
    telemetry's raw response, and neither a hook nor a piece of the mod has it. The text ends before the sequence, and says
    nothing of it.
    """
    known = set(key.stop_sequences)
    return known.pop() if reason == "stop_sequence" and len(known) == 1 else None
