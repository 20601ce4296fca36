"""One turn of Claude Code: its channels merged into one answer.

Rules. The transcript is the authority on blocks, usage and stop reason. Pieces (`live.py`) bring a stream's blocks as
they are made, hooks the text line by line, which is what a stream gets where pieces stay away; what was sent early must
be a prefix of the transcript's text, or the turn fails. The first message is the answer: Claude Code goes on by itself
after `max_tokens`, a refusal or an empty answer, and none of that is the client's.

The end. A message is complete when the transcript has it with a stop reason and the Stop hook's text.
The transcript lags by 0.1 s; where the text alone is the answer (thinking off, one text block) the
hook's text and the telemetry's usage say the same earlier, and the turn ends on them. An answer that asks
for tools is complete with its transcript lines, which are written at once; `next` is the turn after it.

It knows no processes and no clients. `running.py` feeds it and passes its parts on.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from relayd.anthropic.answer import Answer
from relayd.anthropic.blocks import Block
from relayd.claude import failures, mcp
from relayd.claude.hooks import Displayed, Stopped, TurnFailed
from relayd.claude.launch import LaunchKey
from relayd.claude.pieces import Pieces
from relayd.claude.telemetry import RequestDone, RequestFailed
from relayd.claude.transcript import AssistantLine, Entry, ErrorLine, Refusal, UserLine
from relayd.core.session import answers
from relayd.core.session.live import Differs, LivePart, LivePieces, TextShown
from relayd.errors import ApiError, internal

# After these Claude Code starts another request by itself or reports a failure; no Stop hook belongs to the message. Each
# line of the message names the reason, so that the line of what follows says which was the last.
GOES_ON = ("max_tokens", "refusal", "model_context_window_exceeded", "pause_turn")
UNSIGNED_BLOCKS = ("thinking", "redacted_thinking")


@dataclass(frozen=True)
class BlockShown:
    """A whole block of another kind."""

    block: Block


@dataclass(frozen=True)
class Finished:
    """The answer, complete and exact."""

    answer: Answer


@dataclass(frozen=True)
class Failed:
    """The turn has failed; `lost` if the process has, so that another may answer."""

    error: ApiError
    lost: bool = False
    unseen: bool = False  # no part of an answer came
    differs: bool = False  # what was streamed is not what Claude Code has in the end


Part = LivePart | BlockShown | Finished | Failed


class Wait(Enum):
    """What an ended turn still waits for."""

    NOTHING = "nothing"
    TRANSCRIPT = "its transcript lines"
    STATUS = "the status of its API error"
    REST = "what follows its last line"
    DISPLAY = "the last hooks of its text"


class Turn:
    """See the module's text. Each input returns the parts that it brings."""

    def __init__(
        self,
        key: LaunchKey,
        streams: bool = True,
        earlier: frozenset[str] = frozenset(),
        owed: int = 0,
        behind: int = 0,
        step: int = 0,
        has_media: bool = False,
    ) -> None:
        self._key = key
        self._has_media = has_media  # if the API refuses it, Claude Code asks again without; its transcript says so
        self._behind = behind  # typed messages whose lines are still to come; until then lines are of earlier turns
        self._streams = streams  # text is wanted as it is shown
        self._brought: frozenset[str] = frozenset()  # tool calls whose results the client has brought
        self._earlier = earlier  # display ids of the messages before
        self._owed = owed  # reports of earlier requests that are still to come
        self._display_id: str | None = None
        self._displayed: list[Displayed] = []
        self._early: dict[int, Displayed] = {}
        self._shown = ""  # text of the hooks, in order
        self._sent = ""  # text already given out
        self._live = LivePieces(step, streams, key.tools)
        self._agreed = 0  # characters that were sent and are those of the hooks
        self._exact = ""  # text of the transcript
        self._lines: list[AssistantLine] = []
        self._hidden: list[Block] = []  # blocks that a stream could not show: no part of the client's conversation
        self._stopped: Stopped | None = None
        self._failed: TurnFailed | None = None
        self._done: RequestDone | None = None
        self._wire_failed: RequestFailed | None = None
        self._error_line: ErrorLine | None = None
        self._called: set[str] = set()  # calls that Claude Code has begun
        self._over = False  # Claude Code has gone on to a message that is not ours
        self._answered_itself = False  # Claude Code has refused a tool call without asking
        self._ended = False
        self.interrupted = False  # Esc was pressed: Claude Code may note that in its conversation

    def __repr__(self) -> str:
        return f"<Turn {self._key} shown={len(self._shown)} lines={len(self._lines)} waits for {self.wait.value}>"

    @property
    def wait(self) -> Wait:
        """What the turn waits for after a sign of its end."""
        if self._ended:
            return Wait.NOTHING
        if self._failed and not self._done:
            return Wait.STATUS
        if self._stopped or self._failed:
            return Wait.TRANSCRIPT
        reason = self._lines[-1].stop_reason if self._lines else None
        return Wait.REST if reason in GOES_ON else Wait.DISPLAY if reason == "tool_use" else Wait.NOTHING

    @property
    def can_park(self) -> bool:
        """True for an answer that asks for tools, if all of them are the client's to run."""
        is_spoilt = self._answered_itself or self.interrupted or self._live.raw.is_lost
        asks_for_tools = bool(self._lines) and self._lines[-1].stop_reason == "tool_use"
        return asks_for_tools and not is_spoilt and self._caught_up_display

    @property
    def _has_all_calls(self) -> bool:
        """True once Claude Code has begun to run the tools: then their lines are written, which may come one by one."""
        calls = {block["id"] for line in self._lines for block in line.blocks if block["type"] == "tool_use"}
        return bool(calls and (self._called or self._answered_itself)) and self._called <= calls

    @property
    def is_unseen(self) -> bool:
        """True if Claude Code has given no part of an answer."""
        return not (self._displayed or self._lines or self._done or self._live.is_used)

    @property
    def can_keep(self) -> bool:
        """True for a turn that has ended in an answer of which Claude Code holds what the client has."""
        return self._ended and not (self._over or self._hidden or self._answered_itself or self._failed or self.interrupted)

    @property
    def _caught_up_display(self) -> bool:
        return len(self._shown) >= len(self._exact) or not _trim(self._exact)

    def typed(self, streams: bool) -> Turn:
        """The turn of the next message: the last lines of this one may still come, up to that message's own."""
        turn = self.next((), streams)
        turn._behind = self._behind + 1
        return turn

    def next(self, results: tuple[Block, ...], streams: bool) -> Turn:
        """The turn after the tools that this one asks for, with their results."""
        shown = frozenset((self._display_id,)) if self._display_id else frozenset()
        owed = 0 if self._done else self._owed + 1
        turn = Turn(self._key, streams, self._earlier | shown, owed, step=self._live.step + 1, has_media=self._has_media)
        turn._brought = frozenset(b["tool_use_id"] for b in results)
        return turn

    @property
    def wants_pieces(self) -> bool:
        """True as long as pieces of the answer are of use."""
        return self._live.wants_more and not self._ended

    def streamed(self, fact: Pieces) -> list[Part]:
        """Pieces from the mod."""
        if self._ended:
            return []
        return self._through(self._live.take(fact, len(self._sent))) or self._go_on(is_behind=False)

    def _through(self, parts: list[LivePart]) -> list[Part]:
        """Parts of pieces, without the text that another channel has brought before."""
        found: list[Part] = []
        begin = self._live.given_chars - sum(len(part.text) for part in parts if isinstance(part, TextShown))
        for part in parts:
            if isinstance(part, TextShown):
                begin += len(part.text)
                late = begin - len(self._sent)
                found += self._send(part.text[-late:]) if late > 0 else []
            else:
                found.append(part)
        return found

    def _go_on(self, is_behind: bool) -> list[Part]:
        """Text of the hooks, where pieces do not bring it, or are a line behind; but not past thinking that was asked for."""
        is_live = self._live.is_used and self._live.is_open and not is_behind
        if not self._streams or self._key.thinking_asked or is_live or self._live.is_amid_block:
            return []
        return self._send_up_to(self._shown)

    def displayed(self, fact: Displayed) -> list[Part]:
        """Text from the MessageDisplay hook; deliveries may come out of order."""
        if self._display_id is None and fact.message_id not in self._earlier:
            self._display_id = fact.message_id
        if fact.message_id != self._display_id or self._ended:
            return []
        self._early[fact.index] = fact
        is_behind = self._live.told_chars < len(self._shown)
        while (piece := self._early.pop(len(self._displayed), None)) is not None:
            self._displayed.append(piece)
            self._shown += piece.delta
        if not self._agrees():
            return self._differ("the text that was streamed differs from what Claude Code shows")
        return self._go_on(is_behind) + self._settle()

    def _agrees(self) -> bool:
        """True if what was sent is what the hooks show, as far as both go."""
        begin, self._agreed = self._agreed, min(len(self._sent), len(self._shown))
        return self._sent[begin : self._agreed] == self._shown[begin : self._agreed]

    def read(self, entries: list[Entry]) -> list[Part]:
        """New lines of the transcript."""
        parts: list[Part] = []
        for entry in entries:
            if self._ended:
                break
            if self._behind:
                self._behind -= isinstance(entry, UserLine) and not entry.results
            elif isinstance(entry, AssistantLine):
                parts += self._line(entry)
            elif isinstance(entry, ErrorLine):
                parts += self._error(entry)
            elif not entry.results:
                self._over = True
            elif not self._brought.issuperset(entry.results):
                self._answered_itself = True
        return parts + self._settle()

    def _error(self, line: ErrorLine) -> list[Part]:
        self._failed = self._failed or TurnFailed(line.error, line.repaired, line.text)
        self._error_line = line
        return self._fail(failures.to_api_error(self._failed, None, self._key.model)) if line.repaired else []

    def was_forestalled(self, line: UserLine, handed: set[str]) -> bool:
        """True if the line holds a result that the client has brought, but not from us: Claude Code had refused the call."""
        return any(i in self._brought and i not in handed for i in line.results)

    def called(self, tool_use_id: str) -> list[Part]:
        """Claude Code runs a tool."""
        self._called.add(tool_use_id)
        return self._settle()

    def stopped(self, fact: Stopped) -> list[Part]:
        """The Stop hook."""
        self._stopped = self._stopped or fact
        return self._settle()

    def failed(self, fact: TurnFailed) -> list[Part]:
        """The StopFailure hook."""
        self._failed = fact
        return self._settle()

    def reported(self, fact: RequestDone | RequestFailed) -> list[Part]:
        """Telemetry: the first success counts, the last failure."""
        if isinstance(fact, RequestDone) and self._owed:
            self._owed -= 1
        elif isinstance(fact, RequestDone):
            self._done = self._done or fact
        else:
            self._wire_failed = fact
        return self._settle()

    def expire(self) -> list[Part]:
        """What the turn waits for has not come in time: end it with what there is."""
        if self._ended:
            return []
        if self._lines and self._lines[-1].stop_reason:
            return self._finish(self._answer())
        if self._refusal is not None:
            return self._finish(answers.refused(self._refusal, self._done, self._key))
        if self._failed:
            error = failures.to_api_error(self._failed, self._wire_failed, self._key.model)
            error.resets_at = self._error_line.resets_at if self._error_line else None
            return self._fail(error)
        return self._fail(internal("Claude Code ended the turn without writing its answer to the transcript"))

    def lost(self, reason: str) -> list[Part]:
        """The process is gone. An answer that is complete in the transcript is still an answer."""
        if self._ended:
            return []
        if self._lines and self._lines[-1].stop_reason:
            return self._finish(self._answer())
        return self._fail(internal(reason), lost=True, unseen=self.is_unseen)

    def _line(self, line: AssistantLine) -> list[Part]:
        if self._lines and line.message_id != self._lines[0].message_id:
            self._over = True
        if self._over:
            return []
        line = replace(line, blocks=tuple(self._live.raw.exact(mcp.to_client(b)) for b in line.blocks))
        self._lines.append(line)
        parts: list[Part] = []
        for block in line.blocks:
            try:
                shown = self._live.exact(block)
            except Differs as error:
                return parts + self._differ(str(error))
            if shown is not None:
                parts += shown
            else:
                parts += self._exact_text(block["text"]) if block["type"] == "text" else self._exact_block(block)
            parts += self._through(self._live.flow(len(self._sent)))
        return parts

    def _exact_text(self, text: str) -> list[Part]:
        self._exact += text
        if self._exact.startswith(self._sent):
            return self._send_up_to(self._exact)
        if self._sent.startswith(self._exact):
            return []
        return self._differ("the text that was streamed differs from the transcript")

    def _exact_block(self, block: Block) -> list[Part]:
        if len(self._sent) <= len(self._exact) or block["type"] == "tool_use":
            return [BlockShown(block)]  # a call that comes late follows text that came after it
        if block["type"] in UNSIGNED_BLOCKS:
            self._hidden.append(block)  # not asked for, and text was sent before the transcript named it
            return []
        return self._fail(internal("a block came too late for its place in the stream"))

    def _send_up_to(self, text: str) -> list[Part]:
        return self._send(text[len(self._sent) :])

    def _send(self, piece: str) -> list[Part]:
        self._sent += piece
        return [TextShown(piece)] if piece else []

    def _settle(self) -> list[Part]:
        """The end, if everything for it is there."""
        if self._ended:
            return []
        reason = self._lines[-1].stop_reason if self._lines else None
        asked_for_nothing = self._done and not self._key.max_tokens
        if self._over or asked_for_nothing or (reason in GOES_ON and self._error_line):
            return self._finish(self._answer())
        if self._failed:
            if self._refusal is not None and self._done:
                return self.expire()
            complete = self._wire_failed and (self._error_line or not failures.names_a_reset(self._failed))
            return self.expire() if complete else []
        if reason == "tool_use":
            return self._finish(self._answer()) if self._caught_up_display and self._has_all_calls else []
        if reason:
            return self._finish(self._answer()) if self._stopped and self._caught_up(self._stopped) else []
        return self._settle_early()

    def _caught_up(self, stopped: Stopped) -> bool:
        texts = [b["text"] for line in self._lines for b in line.blocks if b["type"] == "text"]
        last = next((t for t in reversed(texts) if _trim(t)), "")
        return _trim(last) == _trim(stopped.text) and len(self._exact) >= len(self._shown)

    def _settle_early(self) -> list[Part]:
        says_all = self._key.text_says_all and not self._has_media
        if not (self._stopped and self._done and says_all and self._displayed and self._displayed[-1].final):
            return []
        if not self._shown or _trim(self._shown) != _trim(self._stopped.text):
            return []
        return self._finish(answers.shown(self._shown, self._done))

    def _answer(self) -> Answer:
        if not self._lines:  # an empty answer: no block, so no line
            return answers.empty(self._done, self._key)
        return answers.written(self._lines, self._hidden, self._key, self._live.raw.proven)

    @property
    def _refusal(self) -> Refusal | None:
        return self._error_line.refusal if self._error_line else None

    def _finish(self, answer: Answer) -> list[Part]:
        text = "".join(b["text"] for b in answer.content if b["type"] == "text")
        if not text.startswith(self._sent) or not self._live.is_settled:
            return self._differ("what was streamed differs from the transcript")
        self._ended = True
        return [*self._send_up_to(text), Finished(answer)]

    def _differ(self, text: str) -> list[Part]:
        self._ended = True
        return [Failed(internal(text), differs=True)]

    def _fail(self, error: ApiError, lost: bool = False, unseen: bool = False) -> list[Part]:
        self._ended = True
        return [Failed(error, lost, unseen)]


def _trim(text: str) -> str:  # as JavaScript's trim, which the hook's text has been through
    return text.strip().strip("\ufeff").strip()
