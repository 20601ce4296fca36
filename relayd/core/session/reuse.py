"""Whether a process at its prompt may take up another conversation, and what it has loaded already. Pure questions.

Nothing of one conversation may reach the model in another. Claude Code keeps to that when it takes up another transcript,
if nothing is left over from the turn before; where that is not sure, the process ends with its conversation. The cases
that leaked when they were tried (2.1.330): other tools than it was told of, an interrupted turn, a prompt that was
blocked, a request that failed. And it must be known that the model got what the last call asked (`witness.py`). Asked by
`core/pool.py`, `core/roads.py` and `typed.py`.
"""

from __future__ import annotations

from relayd.anthropic.request import MessagesRequest
from relayd.core.actions import Mode
from relayd.core.session.digest import ConversationDigest
from relayd.core.session.parts import Verdict
from relayd.core.session.record import Session
from relayd.core.session.states import State


def holds(session: Session, request: MessagesRequest, now: float) -> bool:
    """True if it has loaded all of this request but the last text, and today: Claude Code tells the model the date."""
    digest = session.digest
    if digest is None or digest.messages != len(request.messages) - 1 or len(request.messages[-1].content) != 1:
        return False
    if session.day != session.spec.transcript_context(session.conversation, now).today:
        return False
    return digest == ConversationDigest.of(request.system, request.tools, request.messages[:-1])


def is_reusable(session: Session) -> bool:
    """True if it may take up another conversation now. While Claude Code puts its turn away, a command that is typed would wait,
    and be taken for a text.
    """
    return session.is_settled and ended_well(session)


def ended_well(session: Session) -> bool:
    """True if another conversation may follow: nothing of the last turn will be open, and nothing went wrong in it."""
    if session.state is not State.KEPT or session.turn is None:
        return False
    is_proven = session.witness is not None and session.witness.verdict is Verdict.EXACT
    return is_proven and session.turn.can_be_followed and session.served < session.spec.config.reuse


def mode_of(session: Session) -> Mode:
    """How the next call comes to this process: one that began at a gate stands at its prompt after its first answer."""
    return Mode.PROMPT if session.state in (State.PRIMING, State.PRIMED, State.KEPT) else session.spec.mode


def is_far(session: Session) -> bool:
    """True if it boots or stands at its gate: one that has answered and is putting its turn away will be there sooner."""
    return session.state is State.SPAWNING or mode_of(session) is not Mode.PROMPT


def distance(session: Session, request: MessagesRequest, now: float) -> int:
    """How far a free process is from typing the last text of a call; the least is the best."""
    match session.state:
        case State.PRIMED:
            return 0 if holds(session, request, now) else 2
        case State.PRIMING:
            return 3
        case State.SPAWNING:
            return 5
        case _:
            return 1 if session.spec.mode is Mode.PROMPT else 4
