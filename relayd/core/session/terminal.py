"""Effects of what a process writes to its terminal: the screen is drawn, queries are answered, dialogs are seen.

Before Claude Code sets a title of its own no conversation is on the screen, so a dialog there is its own and may be
acted on. Afterwards the screen shows the client's texts, and only its title and its prompt are looked at.
Called by `table.py` only.
"""

from __future__ import annotations

from relayd.claude import screens
from relayd.claude.screens import View
from relayd.core import actions as do
from relayd.core import events as ev
from relayd.core.actions import Action, Mode
from relayd.core.session import running
from relayd.core.session.parts import Failed
from relayd.core.session.record import Session
from relayd.core.timers import SlotDue
from relayd.errors import internal


def draw(session: Session, event: ev.PtyOutput, now: float) -> list[Action]:
    """Draw the screen, look for dialogs while there may be any, and answer the terminal's queries."""
    session.display.feed(event.data)
    if not screens.has_begun(session.screen.title):
        _look_for_dialog(session)
    replies = session.screen.take_replies()
    return [do.WritePty(session.slot, replies)] if replies else []


def draw_booting(session: Session, event: ev.PtyOutput, now: float) -> list[Action]:
    """The same, for a process that may reach its prompt."""
    orders = draw(session, event, now)
    title = session.screen.title
    if screens.has_begun(title) and session.spec.mode is Mode.PROMPT and not screens.is_busy(title):
        _look_for_heading(session)
    return orders


def draw_starting(session: Session, event: ev.PtyOutput, now: float) -> list[Action]:
    """The same, for a process whose title says when it has begun to work."""
    orders = draw(session, event, now)
    if session.screen.title and any(map(screens.is_busy, session.screen.titles)):
        session.then(ev.TurnSeen())
    return orders


def draw_priming(session: Session, event: ev.PtyOutput, now: float) -> list[Action]:
    """The same, for a process that loads what calls begin with: its title says when it begins and when it is done."""
    orders = draw(session, event, now)
    session.load_began = session.load_began or any(map(screens.is_busy, session.screen.titles))
    if session.load_began and not screens.is_busy(session.screen.title):
        session.then(ev.PrefixLoaded())
    return orders


def draw_running(session: Session, event: ev.PtyOutput, now: float) -> list[Action]:
    """The same, for a turn that shows by its spinner that it is alive."""
    return draw(session, event, now) + running.watch(session, now)


def draw_typing(session: Session, event: ev.PtyOutput, now: float) -> list[Action]:
    """The same, for a process in whose prompt a text must appear."""
    return draw(session, event, now) + session.prompt.painted(event.data, session.screen, session.display.is_settled, now)


def draw_dying(session: Session, event: ev.PtyOutput, now: float) -> list[Action]:
    """Keep the screen: its last words explain an end. Nobody answers queries any more."""
    session.screen.feed(event.data)
    return []


def _look_for_dialog(session: Session) -> None:
    found = screens.look(session.screen.frame(), session.spec.workspace)
    if found.view in screens.TRUST_KEYS:
        session.then(ev.TrustAsked())
    elif found.view is not View.NOTHING:
        session.then(ev.ScreenBlocked(screens.to_api_error(found)))


def _look_for_heading(session: Session) -> None:
    """The process is at its prompt once its heading is there, which names its version."""
    session.types_exactly = screens.types_exactly(session.screen.frame())
    if session.types_exactly is False:
        if session.call is not None:
            session.parts.append(Failed(internal("Claude Code cannot take a conversation at its prompt"), lost=True))
        session.then(ev.Retired("its version adds to what is typed"))
    elif session.types_exactly:
        session.then(ev.PromptReached())


def trust_asked(session: Session, event: ev.TrustAsked, now: float) -> list[Action]:
    """Wait a moment before a key is pressed: keys that come while the dialog is being painted reset it."""
    return [] if session.dialog_since is not None else _wait_for_dialog(session, now)


def dialog_settled(session: Session, event: ev.DialogSettled, now: float) -> list[Action]:
    """Press one key, for what the screen shows now."""
    session.dialog_since = None
    found = screens.look(session.screen.frame(), session.spec.workspace)
    key = screens.TRUST_KEYS.get(found.view)
    if key is None or screens.has_begun(session.screen.title):
        return []
    log = do.Log("info", f"{session!r} answers the trust dialog of its own empty workspace")
    return [log, do.WritePty(session.slot, key), *_wait_for_dialog(session, now)]


def _wait_for_dialog(session: Session, now: float) -> list[Action]:
    session.dialog_since = now
    return [session.deadlines.set(SlotDue.DIALOG, now + session.spec.config.dialog_settle_s)]
