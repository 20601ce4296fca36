"""One client's call from its request to its last byte, whole or streamed.

A stream's HTTP status is held back until there is content, an error, or `stream_hold_s` has passed:
an early failure is a real 4xx or 5xx, a late one an SSE `error` event. Pure; owned by `core/relay.py`.
"""

from __future__ import annotations

from enum import Enum
from typing import Protocol

from relayd.anthropic import answer as answers
from relayd.anthropic.answer import JSON_TYPE, Answer
from relayd.anthropic.blocks import Block
from relayd.anthropic.request import MessagesRequest
from relayd.anthropic.sse import SSE_TYPE
from relayd.claude.prompt import Draft
from relayd.config import Config
from relayd.core import actions as do
from relayd.core import demands
from relayd.core.actions import Action, Headers
from relayd.core.conversations import Name
from relayd.core.journal import CLIENT_LEFT, CallRecord, tokens_of
from relayd.core.turn import BlockShown, Failed, Finished, Part, TextShown
from relayd.errors import ApiError

# Roads into Claude Code
PARKED, WARM, READY, WAITING, COLD = "parked", "warm", "ready", "waiting", "cold"


class Stage(Enum):
    """How far the answer is."""

    QUEUED = "queued"  # no process yet
    HELD = "held"  # a process works on it, nothing sent
    STREAMING = "streaming"  # the stream's head is out
    DONE = "done"  # last byte handed over, or the client is gone


class Encoder(Protocol):
    """A shape that answers can have: `anthropic/sse.py` and `openai/encode.py`."""

    message_id: str
    route: str

    def whole(self, answer: Answer) -> bytes: ...
    def refusal(self, error: ApiError, request_id: str) -> bytes: ...
    def start(self) -> bytes: ...
    def text(self, piece: str) -> bytes: ...
    def block(self, block: Block) -> bytes: ...
    def stop_block(self) -> bytes: ...
    def finish(self, answer: Answer) -> bytes: ...
    def error(self, error: ApiError, request_id: str) -> bytes: ...
    def ping(self) -> bytes: ...


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
        self.conversation: Name | None = None
        self.retries = 0
        self.replayed = False
        self._shown = False  # content was sent
        self.draft: Draft | None = None  # what may be typed of its last message into a process that loads the rest
        self.stage = Stage.QUEUED
        self.slot: str | None = None
        self.resumed = False
        self.road = ""
        self.arrived = now
        self.started_at = self.first_at = now
        self.status = CLIENT_LEFT
        self.error = ""
        self.answer: Answer | None = None
        self._config = config
        self._encoder = encoder
        self._demand = demands.demands(request)
        self._validated = ""  # what a schema's check has said; empty before it
        self._kept: list[Part] = []  # parts of an answer that must be checked before any of it is shown

    def __repr__(self) -> str:
        return f"<Call {self.number} {self.stage.value} {self.request_id}>"

    def may_replay(self, part: Failed) -> bool:
        """True if its process is gone, no content was sent, and another may be asked: once, or if it held the conversation."""
        return (
            part.lost
            and self.stage is not Stage.DONE
            and not self._shown
            and (self.resumed or (part.unseen and not self.replayed))
        )

    def queued(self, now: float) -> list[Action]:
        """No process works on it: it is new, or must be answered by another one."""
        self.slot = None
        if self.stage is not Stage.STREAMING:
            self.stage = Stage.QUEUED
        return [do.SetTimer(self._timer("queue"), now + self._config.queue_wait_s)]

    def started(self, slot: str, road: str, now: float, by_keys: bool = False) -> list[Action]:
        """A process works on it, reached by this road. What it already holds, or what is typed, can be replayed elsewhere."""
        self.slot, self.road, self.resumed = slot, road, by_keys or road in (PARKED, WARM)
        self.started_at = now
        orders: list[Action] = [do.CancelTimer(self._timer("queue"))]
        if self.stage is Stage.STREAMING:
            return orders
        self.stage = Stage.HELD
        if self.request.stream:
            orders.append(do.SetTimer(self._timer("hold"), now + self._config.stream_hold_s))
        return orders

    def part(self, part: Part, now: float) -> list[Action]:
        """A part of the turn has come."""
        if self.stage is Stage.DONE:
            return []
        if self.first_at == self.arrived:
            self.first_at = now
        if isinstance(part, Failed):
            return self.fail(part.error, now)
        if isinstance(part, Finished):
            self.status, self.answer = 200, part.answer
        if not self.request.stream:
            return self._whole(part.answer, now) if isinstance(part, Finished) else []
        if self._demand and not isinstance(part, Finished):
            self._kept.append(part)
            return []
        kept, self._kept = [*self._kept, part], []
        return [order for p in kept for order in self._stream(p, now)]

    def problem(self, answer: Answer) -> str:
        """How the answer breaks what was demanded of it; empty if it does not."""
        if not self._demand:
            return ""
        verdict = demands.verdict(self.request, answer)
        self._validated = "validated" if verdict.whole else "not validated"
        return verdict.problem

    def insist(self) -> None:
        """The answer is thrown away: the same again, with an instruction."""
        if not self.retries:
            self.request = demands.insist(self.request)
        self.retries += 1
        self._kept = []

    def message_id(self, answer: Answer) -> str:
        """The id that the client has seen."""
        return self._encoder.message_id if self.request.stream else answer.id

    def due(self, name: str, now: float) -> list[Action]:
        """One of its timers has fired."""
        if name == "hold" and self.stage is Stage.HELD:
            return self._open_stream(now)
        if name == "ping" and self.stage is Stage.STREAMING:
            return [do.SendChunk(self.client, self._encoder.ping()), self._ping_timer(now)]
        return []

    def fail(self, error: ApiError, now: float) -> list[Action]:
        """End it with an error, in the form that is still possible."""
        if self.stage is Stage.DONE:
            return []
        self.status, self.error = error.status, error.kind
        if self.stage is Stage.STREAMING:
            data = self._encoder.stop_block() + self._encoder.error(error, self.request_id)
            return [do.SendChunk(self.client, data), do.EndStream(self.client), *self.close()]
        body = self._encoder.refusal(error, self.request_id)
        headers = [*self._headers(JSON_TYPE, now), *answers.error_headers(error)]
        return [do.Respond(self.client, error.status, headers, body), *self.close()]

    def close(self) -> list[Action]:
        """Nothing more will be sent."""
        self.stage = Stage.DONE
        return [do.CancelTimer(self._timer(name)) for name in ("queue", "hold", "ping")]

    def _whole(self, answer: Answer, now: float) -> list[Action]:
        return [do.Respond(self.client, 200, self._headers(JSON_TYPE, now), self._encoder.whole(answer)), *self.close()]

    def _stream(self, part: Part, now: float) -> list[Action]:
        orders = self._open_stream(now) if self.stage is not Stage.STREAMING else []
        self._shown = True
        if isinstance(part, TextShown):
            data = self._encoder.text(part.text)
        elif isinstance(part, BlockShown):
            data = self._encoder.block(part.block)
        else:
            assert isinstance(part, Finished)
            return [
                *orders,
                do.SendChunk(self.client, self._encoder.finish(part.answer)),
                do.EndStream(self.client),
                *self.close(),
            ]
        return [*orders, do.SendChunk(self.client, data), self._ping_timer(now)]

    def _open_stream(self, now: float) -> list[Action]:
        self.stage = Stage.STREAMING
        headers = [*self._headers(SSE_TYPE, now), ("cache-control", "no-cache")]
        return [
            do.CancelTimer(self._timer("hold")),
            do.StartStream(self.client, 200, headers),
            do.SendChunk(self.client, self._encoder.start()),
            self._ping_timer(now),
        ]

    def record(self, unix: float, now: float) -> CallRecord:
        """What is kept of it. `unix` is the time of its arrival."""
        answer = self.answer
        return CallRecord(
            at=unix,
            id=self.request_id,
            route=self._encoder.route,
            model=self.request.model,
            stream=self.request.stream,
            status=self.status,
            error=self.error,
            road=self.road,
            queue_s=self.started_at - self.arrived,
            first_s=self.first_at - self.arrived,
            total_s=now - self.arrived,
            stop_reason=answer.stop_reason if answer else "",
            tokens=tokens_of(answer.usage.as_json()) if answer else {},
        )

    def _headers(self, content_type: str, now: float) -> Headers:
        """With the times so far: for the process (`queue`), and from there (`claude`)."""
        queue, claude = 1000 * (self.started_at - self.arrived), 1000 * (now - self.started_at)
        timing = f'queue;dur={queue:.1f}, claude;dur={claude:.1f};desc="{self.road or "none"}"'
        headers = [("content-type", content_type), ("request-id", self.request_id), ("server-timing", timing)]
        if self.request.ignored:
            headers.append(("x-relayd-ignored", ", ".join(self.request.ignored)))
        if self.request.emulated:
            headers.append(("x-relayd-emulated", ", ".join(self.request.emulated)))
        if self.request.schema is not None:
            how = "instructed" if self.retries else "native"
            headers.append(("x-relayd-output-format", f"{how}, {self._validated}" if self._validated else how))
        return headers

    def _ping_timer(self, now: float) -> Action:
        return do.SetTimer(self._timer("ping"), now + self._config.ping_interval_s)

    def _timer(self, name: str) -> tuple[str, ...]:
        return ("call", str(self.number), name)
