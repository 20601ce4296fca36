"""What the channels have told of one answer: the text that is shown, the lines of the transcript, the raw answer; and what was
sent of it. Pure. (Pieces: `live.py`. An API error: `failure.py`.)

    channel            brings                                                 when
    pieces (mod)       text, thinking, tool input; no signatures              as made; may stay away, or have a gap
    MessageDisplay     text alone, raw, in whole lines, numbered              as each line is complete; out of order at times
    transcript         blocks, usage, stop reason: exact                      about 0.1 s after the end of the message
    raw answer         the same but for thinking, which is redacted           earlier by half of that, where telemetry tells it
    Stop               that the turn ended well, and its last text            at the end; may overtake the last MessageDisplay
    StopFailure        that it failed, and Claude Code's words for it         at the end
    telemetry          a request's usage; a failure's status and own text     when the API request ends
    tools/call (MCP)   that Claude Code runs a tool                           when that call's block is whole

Each class keeps what has come and answers questions about it. What follows from that is decided in `turn.py`, which owns
them and says which channel is believed.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from relayd.anthropic.answer import Answer
from relayd.anthropic.blocks import Block
from relayd.claude import mcp
from relayd.claude.hooks import Displayed
from relayd.claude.launch import LaunchKey
from relayd.claude.telemetry import RequestDone
from relayd.claude.transcript import AssistantLine
from relayd.core.session import answers
from relayd.core.session.live import Differs, LivePart, LivePieces, TextShown
from relayd.core.session.parts import BlockShown, Part
from relayd.core.session.raw_inputs import RawInputs

# After these Claude Code goes on by itself or reports a failure; no Stop hook belongs to the message. Each line of the message
# names the reason, so that the line of what follows says which was the last.
GOES_ON = ("max_tokens", "refusal", "model_context_window_exceeded", "pause_turn")
TOLD_BLOCKS = ("text", "thinking", "tool_use")  # telemetry redacts thinking alone; what it does to other kinds is not known


class ShownText:
    """The text of the MessageDisplay hook. `earlier` are the ids of messages before, of which a piece may still come.

    Text that begins when an answer was told to be complete `is_late`. It may be of the message that Claude Code asks for next, so
    that it says nothing by itself, and the answer's own channels bring it: the whole answer is on its way.
    """

    def __init__(self, earlier: frozenset[str]) -> None:
        self.text = ""  # of the pieces up to the first that is missing
        self.is_complete = False  # the last of them says that it is the last
        self.is_late = self.is_closed = False
        self._earlier = earlier
        self._id: str | None = None
        self._count = 0
        self._early: dict[int, Displayed] = {}  # those behind a piece that is missing
        self._agreed = 0  # characters that were found to be those that were sent

    def __repr__(self) -> str:
        return f"<ShownText {len(self.text)} chars, {self._count} pieces>"

    def answer(self, model: str, usage: dict[str, Any]) -> Answer:
        """The answer, if its text says all."""
        return answers.shown(self.text, model, usage)

    @property
    def is_used(self) -> bool:
        """True once a piece has come."""
        return self._count > 0

    @property
    def message_ids(self) -> frozenset[str]:
        """The ids that the next answer must not take for its own."""
        return self._earlier | ({self._id} if self._id else set())

    def claims(self, piece: Displayed) -> bool:
        """True if the piece is of this answer; the first that is of no earlier one says which id it has."""
        if self._id is None and not self.is_closed and piece.message_id not in self._earlier:
            self._id = piece.message_id
        return piece.message_id == self._id

    def close(self) -> None:
        """What begins from now on is of another message, as is what began late."""
        self.is_closed = True
        if self.is_late:
            self.text, self._id, self.is_complete = "", None, False

    def add(self, piece: Displayed, is_late: bool) -> None:
        """A piece of this answer; deliveries may come out of order."""
        self.is_late = self.is_late or (is_late and not self._early and not self._count)
        self._early[piece.index] = piece
        while (found := self._early.pop(self._count, None)) is not None:
            self._count += 1
            self.text += found.delta
            self.is_complete = found.final

    def agrees(self, sent: str) -> bool:
        """True if what was sent is what is shown, as far as both go. Once it is not, this is not said again."""
        begin, self._agreed = self._agreed, min(len(sent), len(self.text))
        return sent[begin : self._agreed] == self.text[begin : self._agreed]


class WrittenAnswer:
    """The transcript's lines of the answer, with the client's names for its tools."""

    def __init__(self) -> None:
        self._lines: list[AssistantLine] = []
        self._hidden: list[Block] = []

    def __repr__(self) -> str:
        return f"<WrittenAnswer {len(self._lines)} lines, {self.stop_reason}>"

    @property
    def is_used(self) -> bool:
        """True once a line has come."""
        return bool(self._lines)

    @property
    def stop_reason(self) -> str | None:
        """Why the message has ended; None as long as it has not."""
        return self._lines[-1].stop_reason if self._lines else None

    @property
    def goes_on(self) -> bool:
        """True if it has ended so that Claude Code asks for more by itself."""
        return self.stop_reason in GOES_ON

    @property
    def asks_for_tools(self) -> bool:
        """True once it has ended in tool calls."""
        return self.stop_reason == "tool_use"

    @property
    def calls(self) -> frozenset[str]:
        """The ids of the tool calls that it asks for."""
        return frozenset(block["id"] for line in self._lines for block in line.blocks if block["type"] == "tool_use")

    @property
    def last_text(self) -> str:
        """Its last text that is not blank, trimmed: what the Stop hook names."""
        texts = [trimmed(b["text"]) for line in self._lines for b in line.blocks if b["type"] == "text"]
        return next((text for text in reversed(texts) if text), "")

    @property
    def hides_some(self) -> bool:
        """True if the client was not shown all of it."""
        return bool(self._hidden)

    def claims(self, line: AssistantLine) -> bool:
        """False for a line of another message."""
        return not self._lines or line.message_id == self._lines[0].message_id

    def add(self, line: AssistantLine, raw: RawInputs) -> tuple[Block, ...]:
        """A line of this answer; its blocks as the client knows them, and inputs of calls as the model wrote them."""
        self._lines.append(replace(line, blocks=tuple(raw.exact(mcp.to_client(block)) for block in line.blocks)))
        return self._lines[-1].blocks

    def hide(self, block: Block) -> None:
        """The stream could not show this block: it is no part of the client's conversation."""
        self._hidden.append(block)

    def answer(self, key: LaunchKey, done: RequestDone | None, raw: RawInputs) -> Answer:
        """The answer. Without a line it is an empty one (no block, so no line), of which telemetry alone tells."""
        return answers.written(self._lines, self._hidden, key, raw) if self._lines else answers.empty(done, key)


class SentText:
    """The text that was sent to the client, beside what the transcript has of it so far (`exact`). What was sent cannot be taken
    back: each channel may only prolong it.
    """

    def __init__(self) -> None:
        self.text = ""
        self.exact = ""

    def __repr__(self) -> str:
        return f"<SentText {len(self.text)} chars, {len(self.exact)} exact>"

    def __len__(self) -> int:
        return len(self.text)

    @property
    def is_ahead(self) -> bool:
        """True if text was sent that the transcript does not have yet."""
        return len(self.text) > len(self.exact)

    def up_to(self, text: str) -> list[Part]:
        """Send what is missing of a text that begins with what was sent."""
        piece = text[len(self.text) :]
        self.text += piece
        return [TextShown(piece)] if piece else []

    def note(self, parts: list[LivePart]) -> list[Part]:
        """Parts of pieces that are sent now."""
        self.text += "".join(part.text for part in parts if isinstance(part, TextShown))
        return [*parts]

    def exactly(self, text: str) -> list[Part]:
        """The transcript has some more text. Raises Differs."""
        self.exact += text
        if self.exact.startswith(self.text):
            return self.up_to(self.exact)
        if self.text.startswith(self.exact):
            return []
        raise Differs("the text that was streamed differs from the transcript")

    def whole(self, block: Block) -> list[Part]:
        """The transcript has a block of which nothing was sent."""
        text = block["text"] if block["type"] == "text" else ""
        self.exact += text
        self.text += text
        return [BlockShown(block)] if text or block["type"] != "text" else []


class ToldAnswer:
    """The API's answer by telemetry: all of it at once, and before the transcript has it, but without the text of its thinking.

    It counts if it is this answer's for certain (the hook shows just its text, and Claude Code has begun its calls), and if
    what it leaves out is known from pieces. Else the transcript is waited for, as where there is none.
    """

    def __init__(self) -> None:
        self._line: AssistantLine | None = None
        self._is_closed = False
        self.message_id = ""  # once it counts

    def __repr__(self) -> str:
        return f"<ToldAnswer {self._line is not None} {self.message_id}>"

    def add(self, line: AssistantLine) -> None:
        """It has come. The first counts: after some answers Claude Code goes on by itself."""
        self._line = self._line if self._line or self._is_closed else line

    def close(self) -> None:
        """If it has not come, it does not: what comes from now on answers another request."""
        self._is_closed = True

    def proven(self, live: LivePieces, shown: str, called: set[str]) -> AssistantLine | None:
        """The answer if it counts. `shown` is the hook's text; `called` are the calls that Claude Code has begun."""
        line = self._line
        if line is None or live.is_amid_answer or not all(block["type"] in TOLD_BLOCKS for block in line.blocks):
            return None
        text = "".join(b["text"] for b in line.blocks if b["type"] == "text")
        calls = {b["id"] for b in line.blocks if b["type"] == "tool_use"}
        is_ours = called and called <= calls if calls else trimmed(text)
        blocks = tuple(live.with_thought(number, block) for number, block in enumerate(line.blocks))
        if not is_ours or (trimmed(text) and text != shown) or None in blocks:
            return None
        self.message_id = line.message_id
        return replace(line, blocks=tuple(block for block in blocks if block is not None))


def trimmed(text: str) -> str:
    """As JavaScript's trim leaves it, which the Stop hook's text has been through."""
    return text.strip().strip("\ufeff").strip()
