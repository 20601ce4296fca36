"""Which road a call takes into Claude Code. Pure decisions; nothing is done here.

Replay is always right: a fresh process gets the whole conversation as its transcript. The faster roads must give the
same answer, and are taken only where that can be shown beforehand:

1. *parked*: the request brings results for exactly the tool calls that a session waits for, in their order, and its system
   prompt, tools and history are that session's. If they are not, the session is ended and the conversation replayed.
2. *warm*: a session holds exactly this conversation but for the last message, which is one text that may be typed; and no
   other call has waited for long.
3. Else the call waits for a process, and says whether one at its prompt will do (*ready*): the conversation must be short
   enough to load, and the last message must be one that arrives exactly when typed.

When a process is lost, another may answer: `replay.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

from relayd.anthropic.request import MessagesRequest
from relayd.claude import mcp, prompt
from relayd.claude.launch import key_of
from relayd.claude.prompt import Draft
from relayd.core.actions import Mode
from relayd.core.call import Call, Road
from relayd.core.launch_keys import Kind, kind_for
from relayd.core.pool import Pool
from relayd.core.session.digest import ConversationDigest
from relayd.core.session.record import Session
from relayd.core.session.reuse import holds
from relayd.core.session.states import State

# A call whose conversation goes on in its own process passes those that wait for one, up to here: programs that go on at once
# would keep all processes to themselves.
PATIENCE_S = 0.5


@dataclass(frozen=True)
class Resume:
    """The session is parked for these tool results."""

    session: Session


@dataclass(frozen=True)
class TypeNext:
    """The session holds this conversation; type the next message."""

    session: Session
    draft: Draft


@dataclass(frozen=True)
class GetProcess:
    """A process must be found. `draft`: what may be typed; `outdated`: a parked session whose conversation went another way."""

    draft: Draft | None
    outdated: Session | None


Choice = Resume | TypeNext | GetProcess


def choose(request: MessagesRequest, pool: Pool, waiting_s: float, now: float) -> Choice:
    """The road of a new call. `waiting_s`: how long another call has waited for a process."""
    parked = _parked_for(request, pool)
    if parked is not None and _continues(parked, request):
        return Resume(parked)
    last = request.messages[-1]
    draft = prompt.draft(last, pool.has_editor) if pool.types(now) else None
    if draft is not None and len(last.content) == 1 and parked is None and waiting_s <= PATIENCE_S:
        holder = _holder(request, pool, now)
        if holder is not None:
            return TypeNext(holder, draft)
    is_short = len(request.messages) <= pool.typed_messages_max
    return GetProcess(draft if is_short and prompt.fits(request.messages) else None, parked)


def needed(call: Call) -> Kind:
    """The kind of process that serves a call best."""
    return kind_for(key_of(call.request), call.draft is not None)


def reached(session: Session, request: MessagesRequest, now: float) -> Road:
    """The road by which a call reaches a free session."""
    if session.state in (State.PRIMED, State.PRIMING, State.KEPT):
        return Road.PRIMED if holds(session, request, now) else Road.REUSED
    if session.state is State.READY:
        return Road.READY
    return Road.WAITING if session.state is State.WAITING else Road.COLD


def is_typed(session: Session, road: Road) -> bool:
    """True if the call's last text will be typed: until Claude Code has taken it nothing has reached the model."""
    return road in (Road.PRIMED, Road.REUSED) or session.spec.mode is Mode.PROMPT


def _parked_for(request: MessagesRequest, pool: Pool) -> Session | None:
    """The session that waits for these tool results."""
    results = request.tool_results
    return pool.parked(frozenset(block["tool_use_id"] for block in results)) if results else None


def _continues(session: Session, request: MessagesRequest) -> bool:
    """True if the call goes on just where the session stands, and its results pass Claude Code unchanged."""
    if session.spec.key != key_of(request) or not all(map(mcp.is_exact, request.tool_results)):
        return False
    calls = [block["id"] for block in request.messages[-2].content if block["type"] == "tool_use"]
    if calls != [block["tool_use_id"] for block in request.tool_results]:
        return False  # Claude Code gives the model the results in the order of their calls
    return session.digest == ConversationDigest.of(request.system, request.tools, request.messages[:-1])


def _holder(request: MessagesRequest, pool: Pool, now: float) -> Session | None:
    """The session that has given the last answer of just this conversation."""
    candidates = pool.kept(key_of(request), len(request.messages) - 1, now)
    if not candidates:
        return None
    digest = ConversationDigest.of(request.system, request.tools, request.messages[:-1])
    return next((session for session in candidates if session.digest == digest), None)
