"""One client's call from its request to its last byte, whole or streamed.

A stream's HTTP status is held back until there is content, an error, or `stream_hold_s` has passed:
an early failure is a real 4xx or 5xx, a late one an SSE `error` event. Pure; owned by `core/relay.py`.
"""

from __future__ import annotations

from enum import Enum

from relayd.anthropic import answer as answers
from relayd.anthropic.answer import JSON_TYPE, Answer
from relayd.anthropic.request import MessagesRequest
from relayd.anthropic.sse import SSE_TYPE, StreamEncoder
from relayd.config import Config
from relayd.core import actions as do
from relayd.core.actions import Action, Headers
from relayd.core.turn import BlockShown, Failed, Finished, Part, TextShown
from relayd.errors import ApiError


class Stage(Enum):
    """How far the answer is."""

    QUEUED = "queued"  # no process yet
    HELD = "held"  # a process works on it, nothing sent
    STREAMING = "streaming"  # the stream's head is out
    DONE = "done"  # last byte handed over, or the client is gone


class Call:
    """See the module's text. Every method returns the orders it brings."""

    def __init__(self, number: int, client: int, request_id: str, request: MessagesRequest, config: Config, now: float) -> None:
        self.number, self.client, self.request_id = number, client, request_id
        self.request = request
        self.arrived = now
        self.stage = Stage.QUEUED
        self.slot: str | None = None
        self.resumed = False
        self._config = config
        self._encoder = StreamEncoder(answers.new_id("msg_01"), request.model)

    def __repr__(self) -> str:
        return f"<Call {self.number} {self.stage.value} {self.request_id}>"

    @property
    def may_replay(self) -> bool:
        """True if its parked process is gone and nothing was sent: a replay is still possible."""
        return self.resumed and self.stage is Stage.HELD

    def queued(self, now: float) -> list[Action]:
        """No process is free."""
        self.stage, self.slot = Stage.QUEUED, None
        return [do.SetTimer(self._timer("queue"), now + self._config.queue_wait_s)]

    def started(self, slot: str, now: float, resumed: bool = False) -> list[Action]:
        """A process works on it; `resumed` if it had waited for this call's tool results."""
        self.slot, self.resumed = slot, resumed
        self.stage = Stage.HELD
        orders: list[Action] = [do.CancelTimer(self._timer("queue"))]
        if self.request.stream:
            orders.append(do.SetTimer(self._timer("hold"), now + self._config.stream_hold_s))
        return orders

    def part(self, part: Part, now: float) -> list[Action]:
        """A part of the turn has come."""
        if self.stage is Stage.DONE:
            return []
        if isinstance(part, Failed):
            return self.fail(part.error)
        if not self.request.stream:
            return self._whole(part.answer) if isinstance(part, Finished) else []
        return self._stream(part, now)

    def due(self, name: str, now: float) -> list[Action]:
        """One of its timers has fired."""
        if name == "hold" and self.stage is Stage.HELD:
            return self._open_stream(now)
        if name == "ping" and self.stage is Stage.STREAMING:
            return [do.SendChunk(self.client, self._encoder.ping()), self._ping_timer(now)]
        return []

    def fail(self, error: ApiError) -> list[Action]:
        """End it with an error, in the form that is still possible."""
        if self.stage is Stage.DONE:
            return []
        if self.stage is Stage.STREAMING:
            data = self._encoder.stop_block() + self._encoder.error(error, self.request_id)
            return [do.SendChunk(self.client, data), do.EndStream(self.client), *self.close()]
        body = answers.to_bytes(answers.error_json(error, self.request_id))
        headers = [*self._headers(JSON_TYPE), *answers.error_headers(error)]
        return [do.Respond(self.client, error.status, headers, body), *self.close()]

    def close(self) -> list[Action]:
        """Nothing more will be sent."""
        self.stage = Stage.DONE
        return [do.CancelTimer(self._timer(name)) for name in ("queue", "hold", "ping")]

    def _whole(self, answer: Answer) -> list[Action]:
        body = answers.to_bytes(answer.as_json())
        return [do.Respond(self.client, 200, self._headers(JSON_TYPE), body), *self.close()]

    def _stream(self, part: Part, now: float) -> list[Action]:
        orders = self._open_stream(now) if self.stage is not Stage.STREAMING else []
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
        headers = [*self._headers(SSE_TYPE), ("cache-control", "no-cache")]
        return [
            do.CancelTimer(self._timer("hold")),
            do.StartStream(self.client, 200, headers),
            do.SendChunk(self.client, self._encoder.start()),
            self._ping_timer(now),
        ]

    def _headers(self, content_type: str) -> Headers:
        headers = [("content-type", content_type), ("request-id", self.request_id)]
        if self.request.ignored:
            headers.append(("x-relayd-ignored", ", ".join(self.request.ignored)))
        return headers

    def _ping_timer(self, now: float) -> Action:
        return do.SetTimer(self._timer("ping"), now + self._config.ping_interval_s)

    def _timer(self, name: str) -> tuple[str, ...]:
        return ("call", str(self.number), name)
