"""Effects of loading at the prompt: Claude Code takes up a transcript (`/resume`), for a call or ahead of any. Pure.

What calls keep beginning with (a system prompt, tools, examples) is loaded while nobody waits; a call that fits needs only
type then, and another one has its own conversation loaded instead. Each conversation after a process's first has a session id and
files of its own. Called by `table.py` and `typed.py`.
"""

from __future__ import annotations

import posixpath
import uuid

from relayd.anthropic.tools import Tool
from relayd.claude import compose, launch, prompt
from relayd.core import actions as do
from relayd.core import events as ev
from relayd.core.actions import Action, ConversationFiles
from relayd.core.session import life
from relayd.core.session.digest import ConversationDigest
from relayd.core.session.record import Session
from relayd.core.timers import SlotDue


def next_files(session: Session) -> ConversationFiles | None:
    """A conversation after the first has files of its own; so do its lines."""
    is_first, session.is_fresh = session.is_fresh, False
    if is_first:
        return None
    session.conversation, session.reader = str(uuid.uuid4()), session.spec.reader()
    project = posixpath.dirname(session.spec.paths.transcript)
    return ConversationFiles(session.conversation, *launch.session_paths(project, session.conversation))


def load(session: Session, transcript: bytes, tools: tuple[Tool, ...], files: ConversationFiles | None) -> list[Action]:
    """Offer the tools, write the transcript, press the keys that have it taken up."""
    return [
        *session.calls.offer(tools),
        do.HandOver(session.slot, transcript, b"", files),
        do.WritePty(session.slot, prompt.load_keys(session.conversation)),
    ]


def prime(session: Session, event: ev.PrefixAssigned, now: float) -> list[Action]:
    """Load what calls begin with, while nobody waits."""
    prefix = event.prefix
    files = next_files(session)
    context = session.spec.transcript_context(session.conversation, now)
    session.digest, session.day = ConversationDigest.of(prefix.system, prefix.tools, prefix.messages), context.today
    session.handed_over = session.progress = now
    session.has_new_transcript, session.load_began = True, False
    transcript = compose.prefix(context, session.spec.key.model, prefix)
    limit = session.deadlines.set(SlotDue.STATE, now + session.spec.config.start_limit_s)
    return [*load(session, transcript, prefix.tools, files), limit]


def await_prefix(session: Session, event: ev.TurnAssigned, now: float) -> list[Action]:
    """A call takes the process while it loads: it comes as soon as that is done."""
    session.call, session.assigned = event.call, event
    return []


def primed(session: Session, event: ev.PrefixLoaded, now: float) -> list[Action]:
    """It is loaded: a call that has come meanwhile is next. What is on disk is deleted."""
    if session.assigned is not None:
        session.then(session.assigned)
    forget = session.deadlines.set(SlotDue.FORGET, now + session.spec.config.forget_after_s)
    return [session.deadlines.cancel(SlotDue.STATE), forget]


def settle_report(session: Session, event: ev.WireArrived, now: float) -> list[Action]:
    """Telemetry of the answer before may still come. A request that nobody has ordered ends the process."""
    if session.turn is not None and session.turn.awaits_report:
        session.turn.reported(event.fact)
    else:
        life.lose(session, "Claude Code has sent a request that nobody ordered")
        session.then(ev.Retired("it has sent a request that nobody ordered"))
    return []
