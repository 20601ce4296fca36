"""The hub: the only module that knows calls and sessions both.

`Relay.handle(event, now)` takes one fact and returns orders; it opens nothing and reads no clock,
so a run can be replayed from a log. It owns the tables (calls, queue, pool) and moves parts of a
turn from its session to its call; what they mean is decided there, not here. An unexpected
exception dooms the one call or session it happened in, never the daemon.
"""

from __future__ import annotations

import traceback
from collections import deque
from collections.abc import Callable
from typing import Any

from relayd import codec
from relayd.anthropic import answer as answers
from relayd.anthropic.answer import JSON_TYPE, Answer
from relayd.anthropic.request import Held, MessagesRequest
from relayd.claude import hooks, mcp, prompt, telemetry
from relayd.claude.launch import LaunchKey, key_of
from relayd.config import Config
from relayd.core import actions as do
from relayd.core import events as ev
from relayd.core import intake
from relayd.core.actions import Action, Mode
from relayd.core.call import COLD, PARKED, READY, WAITING, WARM, Call, Stage
from relayd.core.conversations import Conversations
from relayd.core.desk import ANSWERS, Desk, Load
from relayd.core.journal import CallRecord, Journal
from relayd.core.lineage import Lineage
from relayd.core.pool import Pool, Surroundings, dump_keys
from relayd.core.rates import RateLimit
from relayd.core.session import FORGET, Session
from relayd.core.tokens import TokenEstimate
from relayd.core.transitions import LIVE, State
from relayd.core.turn import Failed, Finished, Part
from relayd.core.typist import ENTER
from relayd.core.viewers import Viewers
from relayd.errors import ApiError, internal, invalid, overloaded
from relayd.http import guard, routes, websocket
from relayd.http.messages import HttpRequest
from relayd.openai import encode

REMEMBERED_KEYS = 4
ROADS = {State.READY: READY, State.WAITING: WAITING}


class Relay:
    """See the module's text."""

    def __init__(self, config: Config, surroundings: Surroundings, keys: list[LaunchKey], port: int) -> None:
        self.pool = Pool(config, surroundings, keys)
        self.calls: dict[int, Call] = {}
        self.queue: deque[int] = deque()
        self.conversations = Conversations(config)
        self.served = 0
        self.journal = Journal(config.recent_calls_max)
        self._rate = RateLimit(config.rate_probe_s)
        self._tokens = TokenEstimate()
        self.desk = Desk(config, self.pool, self.conversations, self.journal, self._rate, self._tokens)
        self._by_client: dict[int, int] = {}
        self._pages: dict[int, str] = {}  # connections of web pages that may use the daemon, with their origins
        self._origins = frozenset(o.strip() for o in config.allowed_origins.split(",") if o.strip())
        self._unix_time = surroundings.unix_time
        self._token = surroundings.token
        self._no_tools = surroundings.no_tools
        self._assets = surroundings.assets
        self.viewers = Viewers(surroundings.token, self.pool.sessions)
        self._config = config
        self._port = port
        self._numbers = 0
        self._ending = False
        self._look_at = 0.0
        self._remembered: list[LaunchKey] = []

    def __repr__(self) -> str:
        return f"<Relay calls={len(self.calls)} queued={len(self.queue)} {self.pool!r}>"

    def reconfigure(self, config: Config) -> None:
        """Other knobs from now on; calls and processes that run keep theirs."""
        self._config = config
        for part in (self.pool, self.conversations, self.desk):
            part.reconfigure(config)

    def start(self, now: float) -> list[Action]:
        """The first orders: warm the pool."""
        return self._schedule(now)

    def handle(self, event: Any, now: float) -> list[Action]:
        """The orders that a fact brings, in the order they must be carried out."""
        handler = HANDLERS.get(type(event))
        if handler is not None:
            orders = handler(self, event, now)
        else:
            session = self.pool.sessions.get(event.slot)
            orders = self._session(session, event, now) if session else []
            if self.viewers and isinstance(event, ev.PtyOutput):
                orders += self.viewers.output(event.slot, event.data)
        orders += self._schedule(now)
        return [self._for_page(order) for order in orders] if self._pages else orders

    def _for_page(self, order: Action) -> Action:
        """An answer to a web page's request must say that the page may read it."""
        if isinstance(order, (do.Respond, do.StartStream)) and order.client in self._pages:
            order.headers.extend(guard.page_headers(self._pages[order.client]))
        return order

    # Requests

    def _request(self, event: ev.RequestArrived, now: float) -> list[Action]:
        return self._answer(event, answers.new_id("req_01"), now)

    def _answer(self, event: ev.RequestArrived, request_id: str, now: float) -> list[Action]:
        name = ""
        try:
            page = guard.check(event.request.method, event.request.headers, self._port, self._origins)
            if page:
                self._pages[event.client] = page
            if event.request.method == "OPTIONS":
                return [do.Respond(event.client, 204, [("request-id", request_id)], b"")]
            route = routes.match(event.request.method, event.request.path)
            name = route.name
            if self._token and name not in routes.OPEN:
                guard.check_token(event.request.headers, self._token)
            return ROUTE_HANDLERS[route.name](self, event, route, request_id, now)
        except ApiError as error:
            return self._turn_away(event.client, error, request_id, name, now)
        except Exception:
            log = do.Log("error", f"{request_id} met a bug: {traceback.format_exc()}")
            return [log, *self._turn_away(event.client, internal("Internal server error"), request_id, name, now)]

    def _turn_away(self, client: int, error: ApiError, request_id: str, route: str, now: float) -> list[Action]:
        """A request that is answered with an error at once."""
        orders = [self._error(client, error, request_id, route == "chat")]
        if route in ("messages", "chat"):
            record = CallRecord(self._unix_time(now), request_id, route, status=error.status, error=error.kind)
            orders += self._write_down(record)
        return orders

    def _refused(self, event: ev.RequestRefused, now: float) -> list[Action]:
        request_id = answers.new_id("req_01")
        return [self._error(event.client, ApiError(event.status, event.message), request_id)]

    def _error(self, client: int, error: ApiError, request_id: str, chat: bool = False) -> Action:
        body = encode.error_body(error, request_id) if chat else codec.dump(answers.error_json(error, request_id))
        headers = [("content-type", JSON_TYPE), ("request-id", request_id), *answers.error_headers(error)]
        return do.Respond(client, error.status, headers, body)

    def _json(self, client: int, body: bytes, request_id: str) -> Action:
        return do.Respond(client, 200, [("content-type", JSON_TYPE), ("request-id", request_id)], body)

    def _ask(self, event: ev.RequestArrived, route: routes.Route, request_id: str, now: float) -> list[Action]:
        """A small question, answered at once."""
        told = self.desk.answer(route, event.request, self._load(), now)
        headers = [("content-type", told.content_type), ("request-id", request_id), *told.headers]
        return [do.Respond(event.client, 200, headers, told.body)]

    def _page(self, event: ev.RequestArrived, route: routes.Route, request_id: str, now: float) -> list[Action]:
        """A file of the dashboard, or a page of the manual."""
        name = f"manual:{route.argument}" if route.name == "docs" else route.argument
        if name not in self._assets:
            raise ApiError(404, "Not Found")
        kind, data = self._assets[name]
        headers = [("content-type", kind), ("request-id", request_id), ("cache-control", "no-cache"), *guard.PAGE_POLICY]
        return [do.Respond(event.client, 200, headers, data)]

    def _live(self, event: ev.RequestArrived, route: routes.Route, request_id: str, now: float) -> list[Action]:
        """A dashboard looks on from now on."""
        if not websocket.is_upgrade(event.request.headers):
            raise ApiError(400, "this path is for WebSockets")
        return self.viewers.opened(event.client, now)

    def _frame(self, event: ev.FrameArrived, now: float) -> list[Action]:
        return self.viewers.told(event.client, event.text, now)

    def _caught_up(self, event: ev.ViewerCaughtUp, now: float) -> list[Action]:
        return self.viewers.caught_up(event.client)

    def _load(self) -> Load:
        return Load(len(self.calls), len(self.queue), self.served, self._ending)

    def _messages(self, event: ev.RequestArrived, route: routes.Route, request_id: str, now: float) -> list[Action]:
        if self._ending:
            raise overloaded("relayd is shutting down", 5)
        asked = intake.read(event.request, route.name == "chat", self._config)
        kept = self.conversations
        if asked.name and kept.is_busy(asked.name):
            kept.wait(asked.name, (event.client, event, request_id))
            return []
        request = asked.request(kept.held(asked.name) if asked.name else Held(), self._config)
        if request.tools and self._no_tools:
            raise invalid(self._no_tools)
        self._rate.admit(now)
        session = self._parked_for(request)
        goes_on = session is not None and self._continues(session, request)
        draft = prompt.draft(request.messages[-1], self.pool.has_editor) if self.pool.types(now) else None
        whole = draft if len(request.messages[-1].content) == 1 else None
        holder = self._holder_of(request, now) if whole and session is None else None
        if not goes_on and holder is None and len(self.queue) >= self._config.queue_max:
            raise overloaded("Overloaded: too many calls are waiting for a Claude Code process", 10)
        self._numbers += 1
        encoder = asked.encoder(request, int(self._unix_time(now)))
        call = Call(self._numbers, event.client, request_id, request, encoder, self._config, now)
        short = len(request.messages) <= self._config.typed_messages_max
        call.draft = draft if short and prompt.fits(request.messages) else None
        self.calls[call.number] = call
        self._by_client[event.client] = call.number
        if asked.name:
            call.conversation = asked.name
            kept.begin(asked.name, now)
        if holder is not None and whole is not None:
            message = ev.MessageBrought(call.number, whole, request.stream)
            return call.started(holder.slot, WARM, now) + self._session(holder, message, now)
        return self._start(call, session, goes_on, now)

    def _start(self, call: Call, parked: Session | None, goes_on: bool, now: float) -> list[Action]:
        """On the session that waits for just this call, or in the queue."""
        if parked is not None and goes_on:
            event = ev.ResultsBrought(call.number, call.request.tool_results, call.request.stream)
            return call.started(parked.slot, PARKED, now) + self._session(parked, event, now)
        self.queue.append(call.number)
        orders = self._session(parked, ev.Retired("its conversation went another way"), now) if parked else []
        return orders + call.queued(now)

    def _parked_for(self, request: MessagesRequest) -> Session | None:
        """The session that waits for these tool results."""
        results = request.tool_results
        return self.pool.parked(frozenset(b["tool_use_id"] for b in results)) if results else None

    def _holder_of(self, request: MessagesRequest, now: float) -> Session | None:
        """The session that has given the last answer of just this conversation."""
        found = self.pool.kept(key_of(request), len(request.messages) - 1, now)
        lineage = Lineage.of(request.system, request.tools, request.messages[:-1]) if found else None
        return next((s for s in found if s.lineage == lineage), None)

    def _continues(self, session: Session, request: MessagesRequest) -> bool:
        """True if the call goes on where the session stands; else the conversation must be replayed."""
        if session.key != key_of(request) or not all(map(mcp.is_exact, request.tool_results)):
            return False
        return session.lineage == Lineage.of(request.system, request.tools, request.messages[:-1])

    def _internal(self, event: ev.RequestArrived, route: routes.Route, request_id: str, now: float) -> list[Action]:
        """A hook or a telemetry export: answered at once, then worked on."""
        session = self.pool.by_secret.get(route.secret)
        if session is None:
            raise ApiError(404, "Not Found")
        facts = self._facts(route.name, event.request)
        typed = [f.fact for f in facts if isinstance(f, ev.HookArrived) and isinstance(f.fact, hooks.Submitted)]
        reply = hooks.PASS if all(map(session.admits, typed)) else hooks.BLOCK
        orders: list[Action] = [self._json(event.client, reply, request_id)]
        for fact in facts:
            orders += self._session(session, fact, now)
        return orders

    def _mcp(self, event: ev.RequestArrived, route: routes.Route, request_id: str, now: float) -> list[Action]:
        """Claude Code speaks to the MCP server of its slot; tool calls are answered when their results come."""
        session = self.pool.by_secret.get(route.secret)
        if session is None:
            raise ApiError(404, "Not Found")
        try:
            fact = mcp.read(event.request.body)
        except ValueError as error:
            raise invalid(f"mcp: {error}") from error
        if isinstance(fact, mcp.ToolCalled):
            return self._session(session, ev.ToolCalled(event.client, fact), now)
        if isinstance(fact, mcp.Notified):
            return [do.Respond(event.client, 202, [], b"")]
        if fact.method == mcp.LIST:
            return self._session(session, ev.ToolsAsked(event.client, fact), now)
        return [self._json(event.client, mcp.answer(fact), request_id)]

    def _facts(self, name: str, request: HttpRequest) -> list[Any]:
        try:
            if name == "hooks":
                fact = hooks.read(request.body)
                return [ev.HookArrived(fact)] if fact is not None else []
            return [ev.WireArrived(fact) for fact in telemetry.read(request.body)]
        except ValueError as error:
            raise invalid(f"{name}: {error}") from error

    def _client_left(self, event: ev.ClientLeft, now: float) -> list[Action]:
        self._pages.pop(event.client, None)
        self.viewers.left(event.client)
        self.conversations.forget_client(event.client)
        number = self._by_client.get(event.client)
        return self._abandon(self.calls[number], now) if number is not None else []

    def _abandon(self, call: Call, now: float) -> list[Action]:
        """Nobody waits for this call any more."""
        orders = call.close()
        session = self.pool.sessions.get(call.slot or "")
        orders += self._drop(call, now)
        return orders + (self._session(session, ev.TurnAbandoned(), now) if session else [])

    def _drop(self, call: Call, now: float) -> list[Action]:
        self.calls.pop(call.number, None)
        self._by_client.pop(call.client, None)
        if call.conversation:
            self.conversations.release(call.conversation)
        if call.number in self.queue:
            self.queue.remove(call.number)
        return self._write_down(call.record(self._unix_time(call.arrived), now))

    def _write_down(self, record: CallRecord) -> list[Action]:
        self.journal.ended(record)
        fields = {k: v for k, v in record.as_json().items() if v not in ("", 0, 0.0, {}) and k != "at"}
        return [do.Record(codec.dump(record.as_json()) + b"\n"), do.Log("info", "call", fields)]

    # Sessions

    def _session(self, session: Session, event: Any, now: float) -> list[Action]:
        call = self.calls.get(session.call) if session.call is not None else None
        try:
            orders = session.handle(event, now)
        except Exception:
            orders = self._doom(session, now)
        parts, session.parts = session.parts, []
        orders += self.pool.learn(session, now)
        if session.handed_over is None:
            for failed in (p for p in parts if isinstance(p, Failed)):
                orders.append(self.pool.failed_unused(failed.error.message, now))
        for part in parts:
            if call is not None and call.slot == session.slot:
                orders += self._deliver(call, part, now)
        if call is not None and call.stage is Stage.DONE:
            self.served += 1
            orders += self._drop(call, now)
        if session.state is State.DEAD and session.slot in self.pool.sessions:
            self.pool.gone(session, now)
        return orders

    def _deliver(self, call: Call, part: Part, now: float) -> list[Action]:
        """A part of its turn, for the client; or the same once more, if that is not good enough."""
        if isinstance(part, Failed):
            if call.may_replay(part):  # another process gets the whole conversation
                return self._again(call, now)
            if part.error.resets_at:
                part.error.retry_after_s = max(1, part.error.resets_at - int(self._unix_time(now)))
            self._rate.failed(part.error, now)
        if isinstance(part, Finished):
            self._rate.passed()
            self._tokens.learn(call.request, part.answer.usage)
            problem = call.problem(part.answer)
            if problem and call.retries < self._config.answer_retries:
                call.insist()
                return self._again(call, now)
            if problem:
                return call.fail(internal(f"the answer does not keep to what was asked for: {problem}"), now)
            self._keep(call, part.answer, now)
        return call.part(part, now)

    def _again(self, call: Call, now: float) -> list[Action]:
        self.queue.appendleft(call.number)
        call.draft, call.replayed = None, True
        return call.queued(now)

    def _keep(self, call: Call, answer: Answer, now: float) -> None:
        if call.conversation:
            self.conversations.finish(call.conversation, call.message_id(answer), call.request, answer, now)
            call.conversation = None

    def _doom(self, session: Session, now: float) -> list[Action]:
        """A bug of ours: the session may be half-updated, so it ends here."""
        log = do.Log("error", f"{session!r} met a bug: {traceback.format_exc()}")
        session.parts.append(Failed(internal("Internal server error")))
        return [log, do.SignalChild(session.slot, "KILL"), *session.doom(now)]

    # Time, and the end

    def _timer(self, event: ev.TimerFired, now: float) -> list[Action]:
        kind, number, name = event.key
        if kind == "slot":
            session = self.pool.sessions.get(number)
            if name == FORGET:
                return [do.ForgetTranscript(number)] if session and session.state is State.KEPT else []
            fact = TIMER_FACTS.get(name) or ev.DeadlinePassed(name)
            return self._session(session, fact, now) if session else []
        if kind == "call":
            call = self.calls.get(int(number))
            return self._call_due(call, name, now) if call else []
        if name == "viewers":
            return self.viewers.tick(self.desk.status(self._load(), now), now) if self.viewers else []
        return self._force_end(now) if name == "force" else []

    def _call_due(self, call: Call, name: str, now: float) -> list[Action]:
        if name != "queue":
            return call.due(name, now)
        orders = call.fail(overloaded("Overloaded: no Claude Code process came free in time", 10), now)
        return orders + self._drop(call, now)

    def _claude_changed(self, event: ev.ClaudeChanged, now: float) -> list[Action]:
        log = do.Log("info", "the claude binary has changed: waiting processes are replaced")
        return [log, *self.pool.changed(now)]

    def _shutdown(self, event: ev.ShutdownAsked, now: float) -> list[Action]:
        if self._ending:
            return self._force_end(now)
        self._ending = True
        self.pool.open = False
        orders: list[Action] = [do.SetTimer(("relay", "", "force"), now + self._config.shutdown_limit_s)]
        for number in list(self.queue):
            call = self.calls[number]
            orders += call.fail(overloaded("relayd is shutting down", 5), now)
            orders += self._drop(call, now)
        for session in list(self.pool.sessions.values()):
            if session.is_free or session.state in (State.PARKED, State.KEPT):
                orders += self._session(session, ev.Retired("shutdown"), now)
        return orders

    def _force_end(self, now: float) -> list[Action]:
        orders: list[Action] = []
        for call in list(self.calls.values()):
            orders += call.fail(internal("relayd was stopped before the answer was complete"), now)
            orders += self._abandon(call, now)
        for session in list(self.pool.sessions.values()):
            if session.state in LIVE:
                orders += self._session(session, ev.Retired("shutdown"), now)
        return orders

    def _schedule(self, now: float) -> list[Action]:
        """Give waiting calls their processes, in order of arrival; then refill the pool."""
        self.conversations.expire(now)
        orders: list[Action] = []
        while ready := self.conversations.ready():
            orders += self._admit(ready, now)
        while self.queue:
            call = self.calls[self.queue[0]]
            key = key_of(call.request)
            session, more = self.pool.take(key, call.draft is not None, now)
            orders += more
            if session is None:
                break
            self.queue.popleft()
            road = ROADS.get(session.state, COLD)
            orders += call.started(session.slot, road, now, session.birth.mode is Mode.PROMPT) + self._remember(now)
            orders += self._session(session, ev.TurnAssigned(call.number, call.request, call.draft), now)
        if self._ending:
            return orders + ([do.Finish()] if not self.pool.sessions else [])
        if not self.queue:
            orders += self.pool.maintain(now)
        look = self.pool.next_look(now)
        if not now < self._look_at <= look:
            self._look_at = look
            orders.append(do.SetTimer(("relay", "", "refill"), look))
        return orders

    def _admit(self, waiting: list[Any], now: float) -> list[Action]:
        """Calls that waited for an earlier one of their session."""
        return [order for _, event, request_id in waiting for order in self._answer(event, request_id, now)]

    def _remember(self, now: float) -> list[Action]:
        keys = [k for k in self.pool.keys(now) if k.is_plain][:REMEMBERED_KEYS]  # words of a call are not kept
        if set(keys) == set(self._remembered):
            return []
        self._remembered = keys
        return [do.Remember(dump_keys(keys))]


TIMER_FACTS: dict[str, Any] = {"dialog": ev.DialogSettled(), ENTER: ev.PromptSettled()}
HANDLERS: dict[type, Callable[[Relay, Any, float], list[Action]]] = {
    ev.RequestArrived: Relay._request,
    ev.RequestRefused: Relay._refused,
    ev.ClientLeft: Relay._client_left,
    ev.FrameArrived: Relay._frame,
    ev.ViewerCaughtUp: Relay._caught_up,
    ev.TimerFired: Relay._timer,
    ev.ClaudeChanged: Relay._claude_changed,
    ev.ShutdownAsked: Relay._shutdown,
}
RouteHandler = Callable[[Relay, ev.RequestArrived, routes.Route, str, float], list[Action]]
ROUTE_HANDLERS: dict[str, RouteHandler] = {
    **dict.fromkeys(ANSWERS, Relay._ask),
    "page": Relay._page,
    "docs": Relay._page,
    "live": Relay._live,
    "messages": Relay._messages,
    "chat": Relay._messages,
    "hooks": Relay._internal,
    "telemetry": Relay._internal,
    "mcp": Relay._mcp,
}
