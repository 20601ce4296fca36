"""One turn of Claude Code: its channels merged into one answer. `running.py` feeds it and passes its parts on.

Theory
------
Claude Code tells of an answer on several channels, none of which has all of it in time (the table in `channels.py`). The
transcript is the authority: it alone holds what the next request must send back unchanged (signatures, inputs, blocks that nobody
shows), with usage and stop reason. The others are quick. So a stream gets pieces; where they stay away or are a line behind,
the hook's lines; and in the end the rest from the transcript. There is one text that was sent (`SentText`), and every channel
may only prolong it: what pieces sent is compared with the hook's lines as these come, and all of it with the transcript. What
the client has cannot be taken back, so a difference ends the turn (`differs`); it is never papered over.

The answer is the first message. After one that was cut, a refusal, an empty answer or a call that it cannot make Claude Code
goes on by itself, with another request; nothing of that is the client's, be it a text or a failure, and there is no Stop hook
to wait for. The transcript has all in its order (`_over`). The other channels do not say which request they tell of: once the
second one is known (`went_on`), they may only go on with what they had begun to tell.

The end (`_settle`) is looked for after each fact, in this order, because a later rule would wait for what never comes:

0. The raw answer is there, and is this one for certain: what the transcript does not have yet is taken from it. Its lines
   come later, and nobody waits for them.
1. The message went on, or says a reason after which it does: finished as written; without a line, if telemetry tells of it.
2. It failed: when telemetry has the status, and, for a usage limit, the transcript's line the time at which it ends.
3. It asks for tools: when the lines say so, the hook's text has caught up, and Claude Code has begun a call (or refused one
   by itself). No Stop hook comes, since for Claude Code the turn goes on. The lines may come one by one: a call that was
   begun and is not in them yet says that there are more.
4. It has a stop reason: when the Stop hook has come, too, and the text that it names is the transcript's last.
5. Early, without the transcript: where the text says all (no thinking, tools or stop sequences) the last MessageDisplay,
   with the Stop hook and telemetry's usage, or with pieces that have told the same text and its end, is the answer, 0.1 s
   before its lines. They come later, and nobody waits for them.

If the rest stays away: `wait` says what is missing after a sign of the end, `running.py` sets its deadline, and `expire` takes
what there is. A turn that gives no sign at all meets the limits of silence.

The lines of a tool's answer are hurried: some come with the result alone, which the client cannot bring before it has had them
(`tool_calls.py`). That is done when pieces or telemetry say that the answer is whole, and every 0.5 s while a call is open.

A process has several turns, and what is late belongs to the earlier one (`next`, `typed`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from relayd.anthropic.answer import Answer
from relayd.anthropic.blocks import Block
from relayd.claude.hooks import Displayed, Stopped, TurnFailed
from relayd.claude.launch import LaunchKey
from relayd.claude.pieces import Pieces
from relayd.claude.telemetry import RequestDone, RequestFailed
from relayd.claude.transcript import AssistantLine, Entry, ErrorLine, UserLine
from relayd.core.session.channels import SentText, ShownText, ToldAnswer, WrittenAnswer, trimmed
from relayd.core.session.failure import Failure
from relayd.core.session.live import Differs, LivePart, LivePieces
from relayd.core.session.parts import BlockShown, Failed, Finished, Part, Wait
from relayd.errors import ApiError, internal

STAYS = ("end_turn", "tool_use")
UNSIGNED_BLOCKS = ("thinking", "redacted_thinking")


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
    ) -> None:
        self._key = key
        self._behind = behind  # typed messages whose lines are still to come; until then lines are of earlier turns
        self._streams = streams  # text is wanted as it is shown
        self._brought: frozenset[str] = frozenset()  # tool calls whose results the client has brought
        self._owed = owed  # reports of earlier requests that are still to come
        self._shown = ShownText(earlier)
        self._sent = SentText()
        self._live = LivePieces(step, streams, key.tools)
        self._written = WrittenAnswer()
        self._told = ToldAnswer()
        self._past: frozenset[str] = frozenset()  # ids of answers whose lines may still come
        self._failure = Failure()
        self._stopped: Stopped | None = None
        self._done: RequestDone | None = None
        self._called: set[str] = set()  # calls that Claude Code has begun
        self._asked_again = False  # Claude Code has asked the model for more by itself
        self._over = False  # in the transcript, it has gone on to a message that is not ours
        self._answered_itself = False  # Claude Code has refused a tool call without asking
        self._ended = False
        self.lives_on = False  # its process will, and tell what the answer has cost, which need not be waited for
        self.has_media = False  # if the API refuses it, Claude Code asks again without; its transcript says so
        self._cites = False
        self.interrupted = False  # Esc was pressed: Claude Code may note that in its conversation

    def __repr__(self) -> str:
        return f"<Turn {self._key} {self._shown!r} {self._written!r} waits for {self.wait.value}>"

    def wait_for_blocks(self) -> None:
        """Texts may have citations, which only the transcript has: each is sent with its block."""
        self._cites = True
        self._live.stop()

    @property
    def wait(self) -> Wait:
        """What the turn waits for after a sign of its end."""
        if self._ended:
            return Wait.NOTHING
        if self._failure.is_told and not self._done:
            return Wait.STATUS
        if self._stopped or self._failure.is_told or self._asked_again:
            return Wait.TRANSCRIPT
        if self._written.goes_on or self._over:
            return Wait.REST
        return Wait.DISPLAY if self._written.asks_for_tools else Wait.NOTHING

    @property
    def can_park(self) -> bool:
        """True for an answer that asks for tools, if all of them are the client's to run."""
        is_spoilt = self._has_gone_on or self._live.raw.is_lost
        return self._written.asks_for_tools and not is_spoilt and self._caught_up_display

    @property
    def _has_all_calls(self) -> bool:
        """True once Claude Code has begun to run the tools: then their lines are written, which may come one by one."""
        calls = self._written.calls
        return bool(calls and (self._called or self._answered_itself)) and self._called <= calls

    @property
    def is_unseen(self) -> bool:
        """True if Claude Code has given no part of an answer."""
        return not (self._shown.is_used or self._written.is_used or self._done or self._live.is_used or self._asked_again)

    @property
    def can_keep(self) -> bool:
        """True for a turn that has ended in an answer of which Claude Code holds what the client has."""
        return self._ended and not (self._has_gone_on or self._written.hides_some or self._failure.is_told)

    @property
    def _has_gone_on(self) -> bool:
        return self._asked_again or self._over or self._answered_itself or self.interrupted

    @property
    def _caught_up_display(self) -> bool:
        return self._shown.is_closed or len(self._shown.text) >= len(self._sent.exact) or not trimmed(self._sent.exact)

    def typed(self, streams: bool, has_new_transcript: bool = False) -> Turn:
        """The turn of the next message: up to its own line, the last lines of this one may come, if not in another transcript."""
        turn = self.next((), streams)
        turn._behind = 1 if has_new_transcript else self._behind + 1
        return turn

    @property
    def owes_report(self) -> bool:
        """True if telemetry of an earlier answer is still to come, and comes first."""
        return self._owed > 0

    @property
    def awaits_report(self) -> bool:
        """True if telemetry of an answer that has been given is still to come."""
        return self.owes_report or self._done is None

    @property
    def can_be_followed(self) -> bool:
        """True if another conversation may follow in this process: it has ended well, with one request that did not fail."""
        return self.can_keep and not self._failure.is_reported and (self._written.is_used or bool(self._shown.text))

    @property
    def refused_before(self) -> ApiError | None:
        """The API's own refusal of the client's request, if Claude Code goes on by asking for something else."""
        return self._failure.reported_error

    def next(self, results: tuple[Block, ...], streams: bool) -> Turn:
        """The turn after the tools that this one asks for, with their results."""
        owed = 0 if self._done else self._owed + 1
        turn = Turn(self._key, streams, self._shown.message_ids, owed, step=self._live.step + 1)
        turn._brought = self._brought | {b["tool_use_id"] for b in results}
        turn.has_media = self.has_media
        turn._past, turn._behind = self._past | {self._told.message_id}, self._behind
        return turn

    @property
    def wants_pieces(self) -> bool:
        """True as long as pieces of the answer are of use."""
        return self._live.wants_more and not self._ended

    def streamed(self, fact: Pieces) -> list[Part]:
        """Pieces from the mod."""
        if self._ended:
            return []
        parts = self._through(self._live.take(fact, len(self._sent))) or self._go_on(is_behind=False)
        return parts + (self._settle() if self._live.has_end else [])

    def answered(self, line: AssistantLine) -> list[Part]:
        """The raw answer."""
        if line.message_id not in self._past:
            self._told.add(line)
        return self._settle()

    def _through(self, parts: list[LivePart]) -> list[Part]:
        """Parts of pieces, as far as no other channel has brought them before."""
        return self._sent.note(self._live.unsent(parts, len(self._sent)))

    def _go_on(self, is_behind: bool) -> list[Part]:
        """Text of the hooks, where pieces do not bring it, or are a line behind; but not past thinking that was asked for."""
        is_live = self._live.is_used and self._live.is_open and not is_behind
        must_wait = is_live or self._live.is_amid_block or self._shown.is_late
        if must_wait or not self._streams or self._key.thinking_asked or self._cites:
            return []
        return self._sent.up_to(self._shown.text)

    def displayed(self, fact: Displayed, is_late: bool) -> list[Part]:
        """Text from the MessageDisplay hook; deliveries may come out of order. `is_late`: an answer was complete before it."""
        if not self._shown.claims(fact) or self._ended:
            return []
        is_behind = self._live.told_chars < len(self._shown.text)
        self._shown.add(fact, is_late)
        if not self._shown.agrees(self._sent.text):
            if not self._shown.is_late:
                return self._differ("the text that was streamed differs from what Claude Code shows")
            self._shown.close()
        return self._go_on(is_behind) + self._settle()

    def read(self, entries: list[Entry]) -> list[Part]:
        """New lines of the transcript."""
        parts: list[Part] = []
        for entry in entries:
            if self._behind:
                self._behind -= isinstance(entry, UserLine) and not entry.results
            elif self._ended:
                break
            elif isinstance(entry, AssistantLine):
                parts += self._line(entry)
            elif isinstance(entry, ErrorLine) and not (self._asked_again or self._answered_itself):
                self._failure.written(entry)
                parts += self._fail(self._failure.error(self._key.model)) if entry.repaired else []
            elif isinstance(entry, ErrorLine) or not entry.results:
                self._over = True
            elif not self._brought.issuperset(entry.results):
                self._answered_itself = True
        return parts + self._settle()

    def goes_on(self, lines: list[UserLine], handed: set[str]) -> bool:
        """True if Claude Code goes on by itself after an answer that asks for tools: a line is of nothing that it was given."""
        for line in lines:
            if self._behind:
                self._behind -= not line.results
            elif not line.results or not handed.issuperset(line.results):
                return True
        return False

    def was_forestalled(self, line: UserLine, handed: set[str]) -> bool:
        """True if the line holds a result that the client has brought, but not from us: Claude Code had refused the call."""
        return any(i in self._brought and i not in handed for i in line.results)

    def went_on(self) -> list[Part]:
        """Claude Code has asked for more by itself. What told of an end before that told of this: the answer had not ended so."""
        self._asked_again, self._stopped, self._failure = True, None, Failure(is_closed=True)
        self._shown.close()
        self._told.close()
        return self._settle()

    def called(self, tool_use_id: str) -> list[Part]:
        """Claude Code runs a tool."""
        if not self._asked_again:
            self._called.add(tool_use_id)
        return self._settle()

    def stopped(self, fact: Stopped) -> list[Part]:
        """The Stop hook."""
        if not self._asked_again:
            self._stopped = self._stopped or fact
        return self._settle()

    def failed(self, fact: TurnFailed) -> list[Part]:
        """The StopFailure hook."""
        self._failure.told(fact)
        return self._settle()

    def reported(self, fact: RequestDone | RequestFailed) -> list[Part]:
        """Telemetry: the first success counts, the last failure. What fails after a success is another request."""
        if isinstance(fact, RequestDone) and self._owed:
            self._owed -= 1
        elif isinstance(fact, RequestDone):
            self._done = self._done or fact
        elif self._done:
            return self.went_on()
        else:
            self._failure.reported(fact)
        return self._settle()

    def expire(self) -> list[Part]:
        """What the turn waits for has not come in time: end it with what there is."""
        if self._ended:
            return []
        if self._written.stop_reason:
            return self._finish_as_written()
        if (refused := self._failure.refused(self._done, self._key)) is not None:
            return self._finish(refused)
        if self._failure.is_told:
            return self._fail(self._failure.error(self._key.model))
        return self._fail(internal("Claude Code ended the turn without writing its answer to the transcript"))

    def lost(self, reason: str) -> list[Part]:
        """The process is gone. An answer that is complete in the transcript is still an answer."""
        if self._ended:
            return []
        if self._written.stop_reason:
            return self._finish_as_written()
        return self._fail(internal(reason), lost=True, unseen=self.is_unseen)

    def _line(self, line: AssistantLine) -> list[Part]:
        self._over = self._over or not (self._written.claims(line) or line.message_id in self._past)
        if self._over or line.message_id in self._past:
            return []
        parts: list[Part] = []
        for block in self._written.add(line, self._live.raw):
            try:
                parts += self._exactly(block)
            except Differs as error:
                return parts + self._differ(str(error))
            parts += self._through(self._live.flow(len(self._sent)))
        return parts

    def _exactly(self, block: Block) -> Sequence[Part]:
        """A block of the transcript, as far as it was not sent before. Raises Differs."""
        shown = self._live.exact(block)
        if shown is not None:
            return shown
        if self._cites:
            return self._sent.whole(block)
        if block["type"] == "text":
            return self._sent.exactly(block["text"])
        if not self._sent.is_ahead or block["type"] == "tool_use":
            return [BlockShown(block)]  # a call that comes late follows text that came after it
        if block["type"] in UNSIGNED_BLOCKS:
            self._written.hide(block)  # not asked for, and text was sent before the transcript named it
            return []
        return self._fail(internal("a block came too late for its place in the stream"))

    def _settle(self) -> list[Part]:
        """The end, if everything for it is there."""
        if self._ended:
            return []
        may_ask_again = self.has_media or self._failure.reported_error is not None  # for something else
        told = None if may_ask_again else self._told.proven(self._live, self._shown.text, self._called)
        if told is not None and self._written.claims(told) and (self.lives_on and told.stop_reason in STAYS or self._done):
            parts = self._line(replace(told, blocks=told.blocks[self._live.in_transcript :]))
            return parts + (self._finish_as_written() if not self._ended else [])
        reason, asked_for_nothing = self._written.stop_reason, self._done and not self._key.max_tokens
        has_gone_on = self._over and (self._written.is_used or self._done)
        if has_gone_on or asked_for_nothing or (self._written.goes_on and self._failure.is_written):
            return self._finish_as_written()
        if self._failure.is_told:
            is_refused = self._failure.refusal is not None and self._done
            return self.expire() if self._failure.is_complete or is_refused else []
        if self._written.asks_for_tools:
            return self._finish_as_written() if self._caught_up_display and self._has_all_calls else []
        if reason:
            return self._finish_as_written() if self._stopped and self._caught_up(self._stopped) else []
        return self._settle_early()

    def _caught_up(self, stopped: Stopped) -> bool:
        return self._written.last_text == trimmed(stopped.text) and len(self._sent.exact) >= len(self._shown.text)

    def _settle_early(self) -> list[Part]:
        says_all = self._key.text_says_all and not self.has_media and not self._cites
        text, end = self._shown.text if self._shown.is_complete and says_all else "", self._live.end_of_text
        if text and self._stopped and self._done and not self._shown.is_late and trimmed(text) == trimmed(self._stopped.text):
            return self._finish(self._shown.answer(self._done.model, self._done.usage))
        if trimmed(text) and end and text == self._sent.text and self.lives_on:
            return self._finish(self._shown.answer(end.model, end.usage))
        return []

    def _finish_as_written(self) -> list[Part]:
        return self._finish(self._written.answer(self._key, self._done, self._live.raw))

    def _finish(self, answer: Answer) -> list[Part]:
        text = "".join(b["text"] for b in answer.content if b["type"] == "text")
        if not text.startswith(self._sent.text) or not self._live.is_settled:
            return self._differ("what was streamed differs from the transcript")
        self._ended = True
        return [*self._sent.up_to(text), Finished(answer)]

    def _differ(self, text: str) -> list[Part]:
        self._ended = True
        return [Failed(internal(text), differs=True)]

    def _fail(self, error: ApiError, lost: bool = False, unseen: bool = False) -> list[Part]:
        self._ended = True
        return [Failed(error, lost, unseen)]
