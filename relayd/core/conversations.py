"""The conversations that relayd stores for its clients: sticky sessions and message threads; with the stored responses. Pure.

A conversation is data, not a process: it survives its process, and a parked turn goes on if there is one. A sticky
session is named by the client and takes its calls one after the other; a thread is named by the id of its latest
answer, and each id can be continued once. Nothing is written to disk. Made by `core/engine.py`.

A call holds a *lease* from its start to its end. Whoever deletes a session meanwhile takes its name away: a lease that
has lost its name changes nothing any more, and the next call of that name begins a new conversation.

No operation looks at more than it changes: conversations stand in the order of their last use, one line for each kind
since their limits differ; what waits, and what may go on, stands in lists of its own.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import Any

from relayd import codec
from relayd.anthropic import blocks
from relayd.anthropic.answer import Answer
from relayd.anthropic.conversation_rules import Message
from relayd.anthropic.request import Held, MessagesRequest
from relayd.config import Config
from relayd.core.conversation_names import NEW_THREAD, SESSION, THREAD, Name
from relayd.core.decoded_request import DecodedRequest
from relayd.core.stored_responses import StoredResponses
from relayd.core.timers import CallDue, CallTimer
from relayd.errors import ApiError, overloaded
from relayd.http.keys import NamedKey


@dataclass
class Conversation:
    """One conversation, which is also the lease of the call that runs in it. `held` is None for a thread that was continued."""

    name: Name
    held: Held | None = field(default_factory=Held)
    model: str = ""
    size_bytes: int = 0
    created: float = 0.0
    used: float = 0.0
    busy: bool = False
    waiting: OrderedDict[int, Waiting] = field(default_factory=OrderedDict)  # by number

    def __repr__(self) -> str:
        messages = len(self.held.messages) if self.held else 0
        return f"<Conversation messages={messages} bytes={self.size_bytes} busy={self.busy} waiting={len(self.waiting)}>"


@dataclass(frozen=True)
class Waiting:
    """A call that comes after the running one of its sticky session."""

    number: int
    client: int
    decoded: DecodedRequest
    request_id: str
    arrived: float  # monotonic seconds
    created: int  # the same in Unix seconds
    key: NamedKey | None = None  # whose call it is
    profile: str = ""  # the login that it is for

    @property
    def key_name(self) -> str:
        """Whose call it is, in a word; empty without a named key."""
        return self.key.name if self.key else ""

    @property
    def timer(self) -> CallTimer:
        """The timer that ends its patience."""
        return CallTimer(self.number, CallDue.TURN)


class Conversations:
    """See the module's text. `begin`, then `finish` or `release`, around each call."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self.responses = StoredResponses(config)
        self._stored: dict[str, OrderedDict[str, Conversation]] = {SESSION: OrderedDict(), THREAD: OrderedDict()}
        self._size_bytes = 0
        self._ready: deque[Conversation] = deque()  # they are free, and calls wait for them
        self._orphans: deque[Waiting] = deque()  # calls that waited for a session that was deleted
        self._waiting: dict[int, Conversation] = {}  # where a call waits, by its number
        self._waiting_clients: dict[int, int] = {}  # number of the call that waits, by client

    def __repr__(self) -> str:
        return f"<Conversations {self._count} bytes={self._size_bytes}>"

    @property
    def _count(self) -> int:
        return sum(map(len, self._stored.values()))

    def reconfigure(self, config: Config) -> None:
        """Use another configuration from now on."""
        self._config = config
        self.responses.reconfigure(config)

    # Calls that wait for an earlier one

    def is_busy(self, name: Name) -> bool:
        """True if a call of this session runs, or others wait: the next has to wait, too."""
        found = self._stored[SESSION].get(name.id) if name.kind == SESSION else None
        return found is not None and (found.busy or bool(found.waiting))

    def wait(self, name: Name, call: Waiting) -> None:
        """Remember a call of a busy session. Raises ApiError 529 if too many do."""
        found = self._stored[SESSION][name.id]
        if len(found.waiting) >= self._config.queue_max:
            raise overloaded("Overloaded: too many calls are waiting for this session", 10)
        found.waiting[call.number] = call
        self._waiting[call.number] = found
        self._waiting_clients[call.client] = call.number

    def next_ready(self) -> Waiting | None:
        """A call whose session has come free or was deleted; the next of the same session comes when that has ended."""
        if self._orphans:
            return self._orphans.popleft()
        while self._ready:
            found = self._ready.popleft()
            if found.waiting and not found.busy:
                self._ready.append(found)  # if the call is refused, the next one's turn has come; else `begin` makes it busy
                return self._took(found, next(iter(found.waiting)))
        return None

    def _took(self, found: Conversation, number: int) -> Waiting:
        call = found.waiting.pop(number)
        self._waiting.pop(number, None)
        self._waiting_clients.pop(call.client, None)
        return call

    def stop_waiting(self, number: int) -> Waiting | None:
        """A call waits no longer. None if it does not wait."""
        found = self._waiting.get(number)
        return self._took(found, number) if found is not None else None

    def forget_client(self, client: int) -> Waiting | None:
        """A client has left: its call waits no longer. None if it does not wait."""
        return self.stop_waiting(self._waiting_clients.get(client, 0))

    def stop_all_waiting(self) -> list[Waiting]:
        """No call waits any longer."""
        return [call for number in list(self._waiting) if (call := self.stop_waiting(number)) is not None]

    # One call after the other

    def held(self, name: Name | None, now: float) -> Held:
        """What is stored, for a request that names a conversation. Raises ApiError with the code that SDK helpers act on."""
        if name is None or name == NEW_THREAD:
            return Held()
        found = self._find(name, now)
        if found is None:
            if name.kind == THREAD:
                raise ApiError(404, "thread: not found", details={"error_code": "thread_not_found"})
            return Held()
        if found.held is None:
            raise _thread_error("thread_already_continued", "thread: this message was continued already")
        if found.busy:
            raise _thread_error("thread_continue_in_flight", "thread: this message is being continued")
        return found.held

    def begin(self, name: Name, now: float) -> Conversation:
        """A call of this conversation starts; its lease."""
        if name == NEW_THREAD:
            return Conversation(name, created=now, used=now, busy=True)
        lease = self._touch(name, now)
        lease.busy = True
        return lease

    def finish(self, lease: Conversation, message_id: str, request: MessagesRequest, answer: Answer, now: float) -> None:
        """The call was answered: store the conversation with its answer, unless it was deleted meanwhile."""
        content = tuple(blocks.cleaned(b) for b in answer.content)
        said = (Message("assistant", content),) if content else ()
        held = Held(request.system, request.tools, (*request.messages, *said))
        size_bytes = _size(held)
        if lease.name.kind == SESSION and not self._is_stored(lease):
            return
        latest = self._touch(Name(THREAD, message_id) if lease.name.kind == THREAD else lease.name, now)
        self._store(latest, held, size_bytes)
        latest.model = request.model
        if latest is not lease:  # a thread goes on under another name, and not a second time under this one
            self._store(lease, None, 0)
        self._end(lease)
        self._make_room(latest)

    def release(self, lease: Conversation) -> None:
        """The call has failed: the conversation stays as it was before."""
        self._end(lease)
        if self._is_stored(lease) and lease.name.kind == SESSION and lease.held == Held() and not lease.waiting:
            self._remove(lease)

    def _end(self, lease: Conversation) -> None:
        lease.busy = False
        if lease.waiting:
            self._ready.append(lease)

    # Time

    def expire(self, now: float) -> float | None:
        """Forget what was not used for too long. When to look again, or None."""
        look = self.responses.expire(now)
        looks = [look] if look is not None else []
        for kind, stored in self._stored.items():
            limit = self._limit_s(kind)
            while stored:
                oldest = next(iter(stored.values()))
                if now - oldest.used < limit:  # at the limit it goes: a timer for just that moment would not end
                    looks.append(oldest.used + limit)
                    break
                if oldest.busy or oldest.waiting:  # it is in use now
                    self._touch(oldest.name, now)
                else:
                    self._remove(oldest)
        return min(looks, default=None)

    def _limit_s(self, kind: str) -> float:
        return self._config.thread_idle_s if kind == THREAD else self._config.session_idle_s

    # What the API tells and takes of sessions

    def names(self, now: float) -> list[str]:
        """Ids of the sticky sessions, the latest first."""
        self.expire(now)
        return list(reversed(self._stored[SESSION]))

    def delete(self, session_id: str) -> None:
        """Forget a sticky session; the calls that wait for it start afresh. Raises ApiError 404."""
        found = self._known(session_id)
        self._orphans += [self._took(found, number) for number in list(found.waiting)]
        self._remove(found)

    def totals(self) -> dict[str, int]:
        """How much is stored."""
        others = self.responses.totals()
        return {"kept": self._count + others["kept"], "bytes": self._size_bytes + others["bytes"]}

    def describe(self, session_id: str, now: float) -> dict[str, Any]:
        """A sticky session without its contents. Raises ApiError 404."""
        found = self._known(session_id)
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

    def _known(self, session_id: str) -> Conversation:
        found = self._stored[SESSION].get(session_id)
        if found is None:
            raise ApiError(404, f"session: {session_id}")
        return found

    def _find(self, name: Name, now: float) -> Conversation | None:
        found = self._stored[name.kind].get(name.id)
        if found is not None and not found.busy and now - found.used >= self._limit_s(name.kind):
            self._remove(found)
            return None
        return found

    def _is_stored(self, lease: Conversation) -> bool:
        return self._stored[lease.name.kind].get(lease.name.id) is lease

    def _touch(self, name: Name, now: float) -> Conversation:
        stored = self._stored[name.kind]
        found = stored.setdefault(name.id, Conversation(name, created=now))
        found.used = now
        stored.move_to_end(name.id)
        return found

    def _store(self, lease: Conversation, held: Held | None, size_bytes: int) -> None:
        if self._is_stored(lease):
            self._size_bytes += size_bytes - lease.size_bytes
        lease.held, lease.size_bytes = held, size_bytes

    def _make_room(self, latest: Conversation) -> None:
        """Forget what was used longest ago until there are few enough, and they are small enough."""
        while self._is_too_much():
            lines = [self._removable(stored, latest) for stored in self._stored.values()]
            oldest = min((c for c in lines if c is not None), key=lambda c: c.used, default=None)
            if oldest is None:
                return
            self._remove(oldest)

    def _removable(self, stored: OrderedDict[str, Conversation], latest: Conversation) -> Conversation | None:
        return next((c for c in stored.values() if c is not latest and not c.busy and not c.waiting), None)

    def _is_too_much(self) -> bool:
        return self._size_bytes > self._config.conversations_max_bytes or self._count > self._config.conversations_max

    def _remove(self, found: Conversation) -> None:
        if self._is_stored(found):
            del self._stored[found.name.kind][found.name.id]
            self._size_bytes -= found.size_bytes


def _thread_error(code: str, message: str) -> ApiError:
    return ApiError(400, message, details={"error_code": code})


def _size(held: Held) -> int:
    """About how much memory the contents take, in bytes: texts, blocks and tools."""
    blocks_bytes = sum(len(codec.dump(b)) for m in held.messages for b in m.content)
    tools_bytes = sum(len(codec.dump(t.input_schema)) + len(t.description) + len(t.name) for t in held.tools)
    return blocks_bytes + tools_bytes + sum(map(len, held.system))
