"""What the channels have told of an API error in a turn: a hook, telemetry and the transcript. Pure; owned by `turn.py`."""

from __future__ import annotations

from relayd.anthropic.answer import Answer
from relayd.claude import failures
from relayd.claude.hooks import TurnFailed
from relayd.claude.launch import LaunchKey
from relayd.claude.telemetry import RequestDone, RequestFailed
from relayd.claude.transcript import ErrorLine, Refusal
from relayd.core.session import answers
from relayd.errors import ApiError


class Failure:
    """An API error, as the hook, telemetry and the transcript tell of it. A closed one hears of none: what fails is not the
    client's request.
    """

    def __init__(self, is_closed: bool = False) -> None:
        self._is_closed = is_closed
        self._hook: TurnFailed | None = None
        self._wire: RequestFailed | None = None
        self._line: ErrorLine | None = None

    def __repr__(self) -> str:
        return f"<Failure {self._hook.error if self._hook else 'none'}>"

    @property
    def is_told(self) -> bool:
        """True if the turn has failed."""
        return self._hook is not None

    @property
    def is_reported(self) -> bool:
        """True if an API request has failed, be it the turn's end or not."""
        return self._wire is not None

    @property
    def reported_error(self) -> ApiError | None:
        """The API's words for a request that has failed, be it the turn's end or not."""
        wire = self._wire
        return failures.to_api_error(TurnFailed("", "", ""), wire, "") if wire is not None and wire.status else None

    @property
    def is_complete(self) -> bool:
        """True once status and text are the API's own, and a usage limit has the time of its end."""
        return self._wire is not None and (self._line is not None or not (self._hook and failures.names_a_reset(self._hook)))

    @property
    def is_written(self) -> bool:
        """True once the transcript has its line."""
        return self._line is not None

    @property
    def refusal(self) -> Refusal | None:
        """The API's refusal without content, of which Claude Code makes an error."""
        return self._line.refusal if self._line else None

    def told(self, fact: TurnFailed) -> None:
        """The StopFailure hook."""
        self._hook = fact if not self._is_closed else None

    def reported(self, fact: RequestFailed) -> None:
        """Telemetry; of several requests the last counts."""
        self._wire = fact if not self._is_closed else None

    def written(self, line: ErrorLine) -> None:
        """The transcript's line, which stands for the hook if that has not come."""
        self._hook = self._hook or TurnFailed(line.error, line.repaired, line.text)
        self._line = line

    def refused(self, done: RequestDone | None, key: LaunchKey) -> Answer | None:
        """The answer, if it is a refusal."""
        return answers.refused(self.refusal, done, key) if self.refusal is not None else None

    def error(self, model: str) -> ApiError:
        """The error for the client, of a turn that has failed."""
        assert self._hook is not None
        found = failures.to_api_error(self._hook, self._wire, model)
        found.resets_at = self._line.resets_at if self._line else None
        return found
