"""Was the model asked what the client asked? What is known of it, for one turn. Pure.

Claude Code tells what it has sent (`claude/bodies.py`). As long as that has not come, `running.py` holds back the parts of the
answer: what a client has cannot be taken back. It comes with the request, so that a model which thinks for a moment is never
waited for. A body that differs ends the process; the call is asked again in another one, with its whole conversation.

Only a turn whose request was seen, and is exact, lets its process take up another conversation (`reuse.py`).
"""

from __future__ import annotations

from relayd.anthropic.request import MessagesRequest
from relayd.claude import bodies, launch
from relayd.claude.bodies import Expected
from relayd.claude.hooks import Displayed
from relayd.core.session.parts import Verdict, Witnessed

BLOCKS_MAX = 2000  # of one conversation: comparing more would hold the loop for over 5 ms


class Witness:
    """The verdict on one turn. `place`: where the first body that differs does so."""

    def __init__(self, request: MessagesRequest, is_told: bool) -> None:
        self.verdict = Verdict.AWAITED if is_told else Verdict.SILENT
        self.place = ""
        self.is_reported = not is_told  # the call has heard of the verdict, or there will be none
        self.has_gone_on = False  # Claude Code has asked for more by itself
        self.is_answered = False  # an answer was told, be it this request's or not
        self.shown: list[Displayed] = []  # texts that came before it was known, too, whether there is a second request
        self.request = request
        self._expected: Expected | None = None

    def __repr__(self) -> str:
        return f"<Witness {self.verdict.value} {self.place}>"

    @property
    def is_awaited(self) -> bool:
        """True as long as nothing is known."""
        return self.verdict is Verdict.AWAITED

    @property
    def is_open(self) -> bool:
        """True as long as a request that is told counts: what comes after another verdict is too late, or no news."""
        return self.verdict in (Verdict.AWAITED, Verdict.EXACT)

    @property
    def holds_back(self) -> bool:
        """True if no part of the answer may be given: nothing is known, or that the answer is to another question."""
        return self.verdict in (Verdict.AWAITED, Verdict.CHANGED)

    def judge(self, data: bytes) -> Verdict:
        """A request that was sent in this turn; `data` is empty if it is too large. Only while it is open."""
        if not data or sum(len(message.content) for message in self.request.messages) > BLOCKS_MAX:
            self.verdict = Verdict.LARGE
            return self.verdict
        try:
            self._compare(data)
        except (ValueError, TypeError):  # no body as we know them: nothing is proven
            self.verdict = Verdict.SILENT
        return self.verdict

    def _compare(self, data: bytes) -> None:
        self._expected = self._expected or Expected(self.request, launch.extra_body(launch.key_of(self.request)))
        body = bodies.read(data)
        if self.verdict is Verdict.EXACT and self._expected.is_continued_by(body):
            self.has_gone_on = True  # after a message that was cut, or a call that it refused
            return
        self.place = self._expected.difference(body)
        self.verdict = Verdict.CHANGED if self.place else Verdict.EXACT

    def report(self) -> list[Witnessed]:
        """What is known now, said once."""
        if self.is_awaited or self.is_reported:
            return []
        self.is_reported = True
        return [Witnessed(self.verdict)]

    def give_up(self) -> None:
        """The request was not told in time."""
        self.verdict = Verdict.SILENT
