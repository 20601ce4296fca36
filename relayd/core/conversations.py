"""The conversations that relayd keeps for its clients: sticky sessions and message threads. Pure.

A conversation is data, not a process: it survives its process, and a parked turn goes on if there is one.
A sticky session is named by the client and takes its calls one after the other; a thread is named by the
id of its latest answer and each id can be continued once. What was used longest ago goes first when there
are too many or too much. Nothing is written to disk. Owned by `core/relay.py`.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from relayd import codec
from relayd.anthropic import blocks
from relayd.anthropic.answer import Answer
from relayd.anthropic.request import Held, Message, MessagesRequest
from relayd.config import Config
from relayd.errors import ApiError, invalid, overloaded
from relayd.http.messages import text_of

SESSION_HEADERS = ("x-relayd-session", "x-ir-session-id")
NAME_MAX_CHARS = 128
THREAD = "thread"
SESSION = "session"


@dataclass(frozen=True)
class Name:
    """What a conversation is found by: a client's session id, or the id of a thread's latest answer (empty: a new thread)."""

    kind: str
    id: str


@dataclass
class Conversation:
    """One conversation. `held` is None for a thread that was continued: only its name is kept."""

    held: Held | None = field(default_factory=Held)
    model: str = ""
    size_bytes: int = 0
    created: float = 0.0
    used: float = 0.0
    busy: bool = False
    waiting: deque[Any] = field(default_factory=deque)

    def __repr__(self) -> str:
        messages = len(self.held.messages) if self.held else 0
        return f"<Conversation messages={messages} bytes={self.size_bytes} busy={self.busy} waiting={len(self.waiting)}>"


def name_of(headers: Mapping[str, str], value: dict[str, Any]) -> Name | None:
    """The conversation that a request names, by header or by its `thread`. Raises ApiError 400."""
    given = {headers[h] for h in SESSION_HEADERS if h in headers}
    thread = value.get("thread")
    if len(given) > 1 or (given and thread is not None):
        raise invalid("a request can name one conversation only: a session by header, or a thread")
    for text in map(_as_sent, given):
        if not 0 < len(text) <= NAME_MAX_CHARS or not text.isprintable():
            raise invalid(f"x-relayd-session: must be 1 to {NAME_MAX_CHARS} printable characters")
        return Name(SESSION, text)
    return _thread(thread, value) if thread is not None else None


def _as_sent(value: str) -> str:
    """A header's value, which HTTP hands on as Latin-1, in the letters of the client."""
    return text_of(value.encode("latin-1", "replace"))


def _thread(thread: Any, value: dict[str, Any]) -> Name:
    kind = thread.get("type") if isinstance(thread, dict) else None
    if kind == "create":
        return Name(THREAD, "")
    if kind != "continue":
        raise invalid("thread.type: Input should be 'create' or 'continue'")
    previous = thread.get("previous_message_id")
    if not isinstance(previous, str) or not previous:
        raise invalid("thread.continue.previous_message_id: Field required")
    for field_name in ("system", "tools"):
        if value.get(field_name):
            raise invalid(f"{field_name}: must be absent when a thread is continued")
    return Name(THREAD, previous)


class Conversations:
    """See the module's text. `begin` … `finish` or `release` around each call."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._kept: OrderedDict[Name, Conversation] = OrderedDict()  # the one used longest ago first
        self._size_bytes = 0
        self._orphans: list[Any] = []  # calls that waited for a session that was deleted

    def __repr__(self) -> str:
        return f"<Conversations {len(self._kept)} bytes={self._size_bytes}>"

    def reconfigure(self, config: Config) -> None:
        """Other knobs from now on."""
        self._config = config

    def is_busy(self, name: Name) -> bool:
        """True if a call of this session runs: the next has to wait."""
        found = self._kept.get(name)
        return found is not None and found.busy and name.kind == SESSION

    def wait(self, name: Name, item: Any) -> None:
        """Remember a call that comes after the running one. Raises ApiError 529 if too many do."""
        waiting = self._kept[name].waiting
        if len(waiting) >= self._config.queue_max:
            raise overloaded("Overloaded: too many calls are waiting for this session", 10)
        waiting.append(item)

    def ready(self) -> list[Any]:
        """Calls whose session has come free, at most one of each, or was deleted."""
        orphans, self._orphans = self._orphans, []
        free = [c for c in self._kept.values() if c.waiting and not c.busy]
        return orphans + [c.waiting.popleft() for c in free]

    def held(self, name: Name) -> Held:
        """What is kept. Raises ApiError with the code that SDK helpers act on."""
        if name == Name(THREAD, ""):
            return Held()
        found = self._kept.get(name)
        if found is None:
            if name.kind == THREAD:
                raise ApiError(404, "thread: not found", details={"error_code": "thread_not_found"})
            return Held()
        if found.held is None:
            raise _thread_error("thread_already_continued", "thread: this message was continued already")
        if found.busy:
            raise _thread_error("thread_continue_in_flight", "thread: this message is being continued")
        return found.held

    def begin(self, name: Name, now: float) -> None:
        """A call of this conversation starts."""
        if name != Name(THREAD, ""):
            self._touch(name, now).busy = True

    def finish(self, name: Name, message_id: str, request: MessagesRequest, answer: Answer, now: float) -> None:
        """The call was answered: keep the conversation with its answer."""
        content = tuple(blocks.cleaned(b) for b in answer.content)
        said = (Message("assistant", content),) if content else ()
        held = Held(request.system, request.tools, (*request.messages, *said))
        if name.kind == THREAD:
            if name.id:
                self._store(name, None, 0)
                self._kept[name].busy = False
            name = Name(THREAD, message_id)
        elif name not in self._kept:  # deleted meanwhile
            return
        found = self._touch(name, now)
        found.model, found.busy = request.model, False
        self._store(name, held, _size(held))
        self._make_room(name)

    def release(self, name: Name) -> None:
        """The call has failed: the conversation stays as it was before."""
        found = self._kept.get(name)
        if found:
            found.busy = False
            if name.kind == SESSION and found.held == Held() and not found.waiting:
                del self._kept[name]

    def forget_client(self, client: int) -> None:
        """A client that waited for its turn has left. Waiting items start with the client's number."""
        for found in self._kept.values():
            if found.waiting:
                found.waiting = deque(item for item in found.waiting if item[0] != client)

    def expire(self, now: float) -> None:
        """Forget what was not used for too long."""
        for name, found in list(self._kept.items()):
            limit = self._config.thread_idle_s if name.kind == THREAD else self._config.session_idle_s
            if not found.busy and not found.waiting and now - found.used > limit:
                self._remove(name)

    def names(self) -> list[str]:
        """Ids of the sticky sessions, the latest first."""
        return [name.id for name in reversed(self._kept) if name.kind == SESSION]

    def delete(self, session_id: str) -> None:
        """Forget a sticky session; the calls that wait for it start afresh. Raises ApiError 404."""
        self._orphans += self._find(session_id).waiting
        self._remove(Name(SESSION, session_id))

    def totals(self) -> dict[str, int]:
        """How much is kept."""
        return {"kept": len(self._kept), "bytes": self._size_bytes}

    def describe(self, session_id: str, now: float) -> dict[str, Any]:
        """A sticky session without its contents. Raises ApiError 404."""
        found = self._find(session_id)
        return {
            "type": "session",
            "id": session_id,
            "model": found.model,
            "messages": len(found.held.messages) if found.held else 0,
            "bytes": found.size_bytes,
            "busy": found.busy,
            "waiting": len(found.waiting),
            "age_s": round(now - found.created, 3),
            "idle_s": round(now - found.used, 3),
        }

    def _find(self, session_id: str) -> Conversation:
        found = self._kept.get(Name(SESSION, session_id))
        if found is None:
            raise ApiError(404, f"session: {session_id}")
        return found

    def _touch(self, name: Name, now: float) -> Conversation:
        found = self._kept.setdefault(name, Conversation(created=now))
        found.used = now
        self._kept.move_to_end(name)
        return found

    def _store(self, name: Name, held: Held | None, size_bytes: int) -> None:
        found = self._kept[name]
        self._size_bytes += size_bytes - found.size_bytes
        found.held, found.size_bytes = held, size_bytes

    def _make_room(self, latest: Name) -> None:
        for name, found in list(self._kept.items()):
            small = self._size_bytes <= self._config.conversations_max_bytes
            if small and len(self._kept) <= self._config.conversations_max:
                return
            if not found.busy and not found.waiting and name != latest:
                self._remove(name)

    def _remove(self, name: Name) -> None:
        self._size_bytes -= self._kept.pop(name).size_bytes


def _thread_error(code: str, message: str) -> ApiError:
    return ApiError(400, message, details={"error_code": code})


def _size(held: Held) -> int:
    """About how much memory the contents take."""
    return sum(len(codec.dump(b)) for m in held.messages for b in m.content) + sum(map(len, held.system))
