"""What stands on Claude Code's screen: a frame in, a verdict out, and the keys for a known dialog.

Only one dialog is ever answered: trust in the daemon's own, empty workspace. Everything else that
waits for a person is reported with its text, never guessed at. Pure; called by the effects in `core/session/`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from relayd.claude import failures
from relayd.claude.capabilities import SINCE, TYPING, is_older
from relayd.errors import ApiError, final
from relayd.terminal.screen import Frame

KEY_DOWN = b"\x1b[B"
KEY_ENTER = b"\r"
KEY_ESCAPE = b"\x1b"
BUSY_TITLES = "◐◑◒◓⠂⠐"
# Windows gives a new terminal its program as its title, by path or as the program calls itself, before there is anything on it.
PROGRAM_TITLE = re.compile(rf"(?![{BUSY_TITLES}✳])(?:.*[\\/ ])?claude(?:\.exe|\.cmd)?\"?", re.IGNORECASE)
YES_CHOSEN = re.compile(r"❯ (?:1\. )?Yes, I trust")  # numbered, and chosen by default, up to about 2.1.200
HEADING = re.compile(r"Claude Code v(\d+\.\d+\.\d+)")
TEXT_LIMIT_CHARS = 600
PROMPT_COLUMN = 2  # behind the prompt's own mark and a blank


class View(Enum):
    """What the screen shows."""

    NOTHING = "nothing that matters"
    TRUST_NO = "the trust dialog of our own workspace, with no chosen"
    TRUST_YES = "the trust dialog of our own workspace, with yes chosen"
    ONBOARDING = "the onboarding screen"
    LOGIN = "a login screen"
    DIALOG = "a dialog that we may not answer"


# One key at a time, each for what the screen shows then: keys that come too early reset the dialog.
TRUST_KEYS = {View.TRUST_NO: KEY_DOWN, View.TRUST_YES: KEY_ENTER}


@dataclass(frozen=True)
class Verdict:
    """A view with the screen's text, for reports."""

    view: View
    text: str = ""


def is_busy(title: str) -> bool:
    """True while the title says that a turn runs."""
    return title[:1] in BUSY_TITLES and bool(title)


def has_begun(title: str) -> bool:
    """True once Claude Code has set its own title: from then on a conversation may be on the screen."""
    return bool(title) and not PROGRAM_TITLE.fullmatch(title)


def types_exactly(frame: Frame) -> bool | None:
    """From the version in Claude Code's heading: does a typed message reach the model as it is? None: no heading."""
    found = HEADING.search(frame.text())
    return not is_older(found[1], SINCE[TYPING]) if found else None


def holds_text(column: int) -> bool:
    """True if the cursor stands behind a text in the prompt: an empty one has it in that column, a half-painted one before."""
    return column > PROMPT_COLUMN


def look(frame: Frame, workspace: str) -> Verdict:
    """What the frame shows."""
    text = frame.text()
    flat = " ".join(text.split())
    if "Accessing workspace:" in flat and "trust this folder" in flat:
        if workspace not in "".join(r.strip() for r in frame.rows):
            return Verdict(View.DIALOG, shorten(text))
        return Verdict(View.TRUST_YES if YES_CHOSEN.search(flat) else View.TRUST_NO, shorten(text))
    if "Welcome to Claude Code" in flat or "Choose the text style" in flat:
        return Verdict(View.ONBOARDING, shorten(text))
    if "Select login method" in flat or "Paste code here if prompted" in flat:
        return Verdict(View.LOGIN, shorten(text))
    if "Enter to confirm" in flat:
        return Verdict(View.DIALOG, shorten(text))
    return Verdict(View.NOTHING)


def to_api_error(verdict: Verdict) -> ApiError:
    """The error for a client whose call met that screen."""
    if verdict.view is View.LOGIN:
        return failures.login_needed()
    if verdict.view is View.ONBOARDING:
        message = "Claude Code has not been set up: it shows its first-start screen. Run `claude` once in a terminal."
        return final(500, f"{message} The screen says: {verdict.text}")
    message = "Claude Code shows a dialog that only you can answer. Run `claude` once in a terminal."
    return final(500, f"{message} The screen says: {verdict.text}")


def shorten(text: str) -> str:
    """The screen's words, without rules and drawings, at most TEXT_LIMIT_CHARS."""
    rows = [r.strip() for r in text.split("\n") if any(c.isalnum() for c in r)]
    return " / ".join(rows)[:TEXT_LIMIT_CHARS]
