"""What becomes of the parts of an answer: they go to the client, or the call goes to another process. Pure.

Owned by `core/driver.py`. An answer that breaks its constraint, and a failure that another process may mend, lead back
to the queue; one for which there is a fallback leads there; every other failure is the client's to know. What an answer
teaches (rate limits, tokens, the conversation) is stored here.
"""

from __future__ import annotations

from relayd.anthropic.answer import Answer
from relayd.config import Config
from relayd.core.actions import Action
from relayd.core.call import Call
from relayd.core.call_table import CallTable
from relayd.core.conversations import Conversations
from relayd.core.fallback import Fallback
from relayd.core.rate_limit import RateLimits
from relayd.core.replay import may_replay
from relayd.core.session.parts import Failed, Finished, Part
from relayd.core.token_estimate import TokenEstimate
from relayd.errors import internal


class Delivery:
    """See the module's text."""

    def __init__(
        self,
        config: Config,
        calls: CallTable,
        conversations: Conversations,
        limits: RateLimits,
        fallback: Fallback,
    ) -> None:
        self._config = config
        self._calls = calls
        self._conversations = conversations
        self._limits = limits
        self.estimate = TokenEstimate()
        self._fallback = fallback

    def __repr__(self) -> str:
        return f"<Delivery {self._calls!r}>"

    def reconfigure(self, config: Config) -> None:
        """Use another configuration from now on."""
        self._config = config

    def deliver(self, call: Call, part: Part, now: float) -> list[Action]:
        """A part of the call's turn."""
        if call.forwarded is not None:
            return []  # what its process says behind its failure
        if isinstance(part, Failed):
            return self._failed(call, part, now)
        if isinstance(part, Finished):
            return self._finished(call, part, now)
        return call.part(part, now)

    def _failed(self, call: Call, part: Failed, now: float) -> list[Action]:
        if may_replay(call, part):
            call.needs_new_process = part.silent
            return self._replay(call, now)
        if part.error.resets_at:
            part.error.retry_after_s = max(1, part.error.resets_at - self._calls.unix_time(now))
        self._limits.failed(call.request.limited_name, part.error, now)
        if self._fallback.may_take(call, part.error, part.lost):
            return self._fallback.take(call, part.error, now)
        return call.part(part, now)

    def _finished(self, call: Call, part: Finished, now: float) -> list[Action]:
        self._limits.passed(call.request.limited_name)
        self.estimate.learn(call.request, part.answer.usage)
        problem = call.problem(part.answer)
        if problem and call.retries < self._config.answer_retries:
            call.insist()
            return self._replay(call, now)
        if problem:
            return call.fail(internal(f"the answer does not keep to what was asked for: {problem}"), now)
        self._store(call, part.answer, now)
        return call.part(part, now)

    def _replay(self, call: Call, now: float) -> list[Action]:
        """Let another process have the whole conversation; nothing of it is typed this time."""
        call.draft = None
        call.replays += 1
        return self._calls.enqueue(call, now)

    def _store(self, call: Call, answer: Answer, now: float) -> None:
        kept = call.stored(answer)
        if kept is not None:
            self._conversations.responses.store(*kept, now)
        if call.lease is not None:
            self._conversations.finish(call.lease, call.message_id(answer), call.request, answer, now)
            call.lease = None  # not before: after a bug the call's end gives it back
