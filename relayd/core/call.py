"""One client's call from its request to its last byte, whole or streamed.

A stream's HTTP status is held back until there is content, an error, or `stream_hold_s` has passed:
an early failure is a real 4xx or 5xx, a late one an SSE `error` event. An answer that must keep to a constraint (a schema, a
forced tool) is shown only when it was checked; a head that goes out before says that it may be asked for again with an
instruction. Pure; made and owned by `core/call_table.py`.
"""

from __future__ import annotations

from enum import Enum

from relayd.anthropic import answer as answers
from relayd.anthropic.answer import JSON_TYPE, SSE_TYPE, Answer
from relayd.anthropic.request import MessagesRequest
from relayd.claude.prompt import Draft
from relayd.config import Config
from relayd.core import actions as do
from relayd.core import output_constraints
from relayd.core.actions import Action, Headers
from relayd.core.conversations import Conversation
from relayd.core.encoder import OPENAI_REQUEST_ID, Encoder, Stored, encoded
from relayd.core.forwarded import Forwarded
from relayd.core.session.parts import Failed, Finished, Part, Shown, Witnessed
from relayd.core.timers import CallDue, CallTimer
from relayd.errors import ApiError

INEXACT = "x-relayd-inexact"
WITNESS = "x-relayd-witness"


class Road(Enum):
    """How a call reaches Claude Code, the fastest first."""

    PARKED = "parked"  # its tool results continue the turn that asked for them
    WARM = "warm"  # a session holds just this conversation, and only its last message is typed
    PRIMED = "primed"  # a process has loaded what the call begins with, and its last message is typed
    REUSED = "reused"  # a process that has answered another conversation loads this one, and its last message is typed
    READY = "ready"  # a process at its prompt loads the conversation, and its last message is typed
    WAITING = "waiting"  # a process at its gate gets the whole conversation
    COLD = "cold"  # a process must be started, or is still booting
    FALLBACK = "fallback"  # it does not reach it: another API answers


class Stage(Enum):
    """How far the answer is."""

    QUEUED = "queued"  # no process yet
    HELD = "held"  # a process works on it, nothing sent
    STREAMING = "streaming"  # the stream's head is out
    DONE = "done"  # last byte handed over, or the client is gone


class Call:
    """See the module's text. Methods that act return the orders they bring."""

    def __init__(
        self,
        number: int,
        client: int,
        request_id: str,
        request: MessagesRequest,
        encoder: Encoder,
        config: Config,
        now: float,
    ) -> None:
        self.number, self.client, self.request_id = number, client, request_id
        self.request = request
        self.lease: Conversation | None = None  # of the stored conversation that it continues
        self.retries = 0  # how often its answer broke a constraint
        self.replays = 0  # how often it was given to another process
        self.needs_new_process = False  # the one before gave no sign of life; those that wait may be stuck, too
        self.has_shown_content = False
        self.draft: Draft | None = None  # what may be typed of its last message into a process that loads the rest
        self.stage = Stage.QUEUED
        self.slot: str | None = None
        self.road: Road | None = None
        self.needs_keys = False  # what its process holds or gets by keys can be replayed in another
        self.arrived = now
        self.started_at = self.first_at = now
        self.status: int | None = None  # none as long as nobody was answered
        self.error = ""
        self.answer: Answer | None = None
        self.key = ""  # the name of the key that its client has sent
        self.cost_usd = 0.0  # as far as Claude Code has told it
        self.forwarded: Forwarded | None = None  # what another API answers instead of Claude Code
        self._road_before: Road | None = None
        self._config = config
        self.route = encoder.route
        self._encoder = encoder
        self._witness = "unseen"  # what is known of the request that the model has got
        self._constraint = output_constraints.constraint(request)
        self._validated = ""  # what a schema's check has said; empty before it
        self._orders: list[Action] = []
        self._held_back: list[Part] = []  # parts of an answer that must be checked before any of it is shown

    def __repr__(self) -> str:
        return f"<Call {self.number} {self.stage.value} {self.request_id}>"

    @property
    def is_background(self) -> bool:
        """True for a request of a batch, for which nobody waits: its client is a number below zero."""
        return self.client < 0

    def queued(self, now: float) -> list[Action]:
        """It waits for a process: it is new, or must be answered by another one."""
        self.slot = None
        if self.stage is not Stage.STREAMING:
            self.stage = Stage.QUEUED
        return [do.SetTimer(self._timer(CallDue.QUEUE), now + self._config.queue_wait_s)]

    def started(self, slot: str, road: Road, now: float, needs_keys: bool = False) -> list[Action]:
        """A process works on it, reached by this road."""
        self.slot, self.road = slot, road
        self.needs_keys = needs_keys or road in (Road.PARKED, Road.WARM)
        self.started_at = now
        orders: list[Action] = [do.CancelTimer(self._timer(CallDue.QUEUE))]
        if self.stage is Stage.STREAMING:
            return orders
        self.stage = Stage.HELD
        if self.request.stream:
            orders.append(do.SetTimer(self._timer(CallDue.HOLD), now + self._config.stream_hold_s))
        return orders

    def part(self, part: Part, now: float) -> list[Action]:
        """A part of the turn has come."""
        if self.stage is Stage.DONE:
            return []
        if isinstance(part, Witnessed):
            self._witness = part.word
            return []
        if self.first_at == self.arrived:
            self.first_at = now
        if isinstance(part, Failed):
            return self.fail(part.error, now)
        if isinstance(part, Finished):
            self.status, self.answer = 200, part.answer
        if not self.request.stream:
            return self._whole(part.answer, now) if isinstance(part, Finished) else []
        if self._constraint and not isinstance(part, Finished):
            self._held_back.append(part)
            return []
        parts, self._held_back = [*self._held_back, part], []
        for shown in parts:
            self._stream(shown, now)
        return self._take()

    def problem(self, answer: Answer) -> str:
        """How the answer breaks its constraint; empty if it does not."""
        if not self._constraint:
            return ""
        verdict = output_constraints.judge(self.request, answer)
        self._validated = "validated" if verdict.whole else "not validated"
        return verdict.problem

    def insist(self) -> None:
        """Throw the answer away and ask for the same again, with an instruction."""
        if not self.retries:
            self.request = output_constraints.insist(self.request)
        self.retries += 1
        self._held_back = []

    def message_id(self, answer: Answer) -> str:
        """The id that the client has seen."""
        return self._encoder.message_id if self.request.stream else answer.id

    def stored(self, answer: Answer) -> Stored | None:
        """What of the answer is kept under its id."""
        return self._encoder.stored(answer)

    def hold_due(self, now: float) -> list[Action]:
        """Nothing has come for a while: send the head of the stream, so that the client sees a sign of life."""
        if self.stage is Stage.HELD:
            self._open_stream(now)
        return self._take()

    def ping_due(self, now: float) -> list[Action]:
        """A stream has been silent."""
        if self.stage is not Stage.STREAMING:
            return []
        return [do.SendChunk(self.client, self._encoder.ping()), self._ping_timer(now)]

    def fail(self, error: ApiError, now: float) -> list[Action]:
        """End it with an error, in the form that is still possible."""
        if self.stage is Stage.DONE:
            return self._take()
        self.status, self.error = error.status, error.kind
        if self.stage is Stage.STREAMING:
            data = self._encoder.stop_block() + self._encoder.error(error, self.request_id)
            self._orders += [do.SendChunk(self.client, data), do.EndStream(self.client)]
        else:
            body = self._encoder.refusal(error, self.request_id)
            headers = [*self._headers(JSON_TYPE, now), *answers.error_headers(error)]
            self._orders.append(do.Respond(self.client, error.status, headers, body))
        self.stage = Stage.DONE  # whatever goes wrong from here on, the client has its error
        self._orders += self.close()
        return self._take()

    def close(self) -> list[Action]:
        """Nothing more will be sent."""
        self.stage = Stage.DONE
        orders: list[Action] = [do.CancelTimer(self._timer(due)) for due in (CallDue.QUEUE, CallDue.HOLD, CallDue.PING)]
        if self.forwarded is not None:
            orders += [do.CancelTimer(self._timer(CallDue.FALLBACK)), do.StopForward(self.number)]
        return orders

    # Answered by another API, whose bytes are passed on

    def forward(self, forwarded: Forwarded) -> list[Action]:
        """Claude Code cannot answer it, and nothing was sent: another API is asked."""
        self._road_before = self.road
        self.forwarded, self.slot, self.road = forwarded, None, Road.FALLBACK
        self.stage = Stage.HELD
        return [do.CancelTimer(self._timer(due)) for due in (CallDue.QUEUE, CallDue.HOLD)]

    def not_forwarded(self, error: ApiError, now: float) -> list[Action]:
        """Nothing has come of it: the error is Claude Code's own, and the call's road the one that led there."""
        self.road = self._road_before
        return self.fail(error, now)

    def pass_on(self, data: bytes, headers: Headers, now: float) -> list[Action]:
        """A piece of its stream, with the head before the first one."""
        head: list[Action] = []
        if self.stage is not Stage.STREAMING:
            self.first_at, self.stage, self.has_shown_content = now, Stage.STREAMING, True
            head = [do.StartStream(self.client, 200, headers)]
        return [*head, do.SendChunk(self.client, data)]

    def pass_end(self, answer: Answer, error: str) -> list[Action]:
        """The stream is complete; `error` is the type of the error that it has ended with, if there was one."""
        self.status, self.answer, self.error = 200, answer, error
        return [do.EndStream(self.client), *self.close()]

    def pass_whole(self, body: bytes, answer: Answer, headers: Headers, now: float) -> list[Action]:
        """A complete answer."""
        self.status, self.answer, self.first_at = 200, answer, now
        return [do.Respond(self.client, 200, headers, body), *self.close()]

    def _take(self) -> list[Action]:
        """The orders so far. They are noted as they are made, so that a bug in the middle loses none that the stage tells of."""
        orders, self._orders = self._orders, []
        return orders

    def _whole(self, answer: Answer, now: float) -> list[Action]:
        self._orders.append(do.Respond(self.client, 200, self._headers(JSON_TYPE, now), self._encoder.whole(answer)))
        self.stage = Stage.DONE  # whatever goes wrong from here on, the client has its answer
        self._orders += self.close()
        return self._take()

    def _stream(self, part: Part, now: float) -> None:
        if self.stage is not Stage.STREAMING:
            self._open_stream(now)
        match part:
            case Finished(answer):
                self._finish(answer)
            case Failed(error):
                self._orders += self.fail(error, now)
            case Witnessed():
                pass
            case shown:
                self._send(shown, now)

    def _send(self, part: Shown, now: float) -> None:
        """The encoder comes last: it knows what the client has seen, so nothing may go wrong between it and the order."""
        ping = self._ping_timer(now)
        self.has_shown_content = True
        data = encoded(self._encoder, part)
        if data:  # else it is a part that this shape does not show
            self._orders += [do.SendChunk(self.client, data), ping]

    def _finish(self, answer: Answer) -> None:
        self.has_shown_content = True
        names = self._inexact_answer()
        note = f": {INEXACT}: {', '.join(names)}\n\n".encode() if names else b""  # a comment: the head is out
        self._orders += [do.SendChunk(self.client, note + self._encoder.finish(answer)), do.EndStream(self.client)]
        self.stage = Stage.DONE  # whatever goes wrong from here on, the client has its answer
        self._orders += self.close()

    def _open_stream(self, now: float) -> None:
        hold, start = self._timer(CallDue.HOLD), self._encoder.start()
        headers = [*self._headers(SSE_TYPE, now), ("cache-control", "no-cache")]
        self._orders += [
            do.CancelTimer(hold),
            do.StartStream(self.client, 200, headers),
            do.SendChunk(self.client, start),
            self._ping_timer(now),
        ]
        self.stage = Stage.STREAMING

    def basic_headers(self, content_type: str, now: float) -> Headers:
        """With the times so far: for the process (`queue`), and from there (`claude`)."""
        queue, claude = 1000 * (self.started_at - self.arrived), 1000 * (now - self.started_at)
        timing = f'queue;dur={queue:.1f}, claude;dur={claude:.1f};desc="{self.road.value if self.road else "none"}"'
        return [("content-type", content_type), ("request-id", self.request_id), ("server-timing", timing)]

    def _headers(self, content_type: str, now: float) -> Headers:
        headers = self.basic_headers(content_type, now)
        headers += [(OPENAI_REQUEST_ID, self.request_id)] if self.route != "messages" else []
        if self.request.ignored:
            headers.append(("x-relayd-ignored", ", ".join(self.request.ignored)))
        inexact = (*self.request.inexact, *self._inexact_answer())
        if inexact:
            headers.append((INEXACT, ", ".join(inexact)))
        if self.status in (None, 200):
            headers.append((WITNESS, self._witness))
        emulated = list(self.request.emulated)
        if self._constraint and self.answer is None and not self.retries and not self.status:
            emulated.append(f"{self._constraint} (if needed)")
        if emulated:
            headers.append(("x-relayd-emulated", ", ".join(emulated)))
        if self.request.schema is not None:
            how = "instructed" if self.retries else "native"
            headers.append(("x-relayd-output-format", f"{how}, {self._validated}" if self._validated else how))
        return headers

    def _inexact_answer(self) -> tuple[str, ...]:
        """What the answer may not have as the API gave it. OpenAI's shapes have no place for the name of a stop sequence."""
        found = self.answer.inexact if self.answer else ()
        return tuple(name for name in found if name != "stop_sequence" or self.route == "messages")

    def _ping_timer(self, now: float) -> Action:
        return do.SetTimer(self._timer(CallDue.PING), now + self._config.ping_interval_s)

    def _timer(self, due: CallDue) -> CallTimer:
        return CallTimer(self.number, due)
