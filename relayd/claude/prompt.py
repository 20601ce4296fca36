"""Bringing a message to a Claude Code that stands at its prompt: for texts that arrive exactly, nothing else.

A process that already holds a conversation, because it has just answered, needs only the new message; one that
holds nothing can load a history first (`/resume`, which takes up another transcript). Both save most of a start.
What is typed is not what is sent: `!` runs a shell, `/` a command, `@` opens a menu, tabs and control characters
are changed, a long paste is wrapped, characters are composed, some words change the effort, names of pictures
attach files. So there are two ways, each with its list of what it carries:

- keys: bracketed pastes, in pieces below the size that counts as a long one;
- the external editor: a key makes Claude Code run `$EDITOR FILE`, and ours moves the text into that file's place.
  It carries tabs, marks and any length; white space around the text would be trimmed, and invisible characters dropped.

Before the text goes to the model, Claude Code shows it to relayd (the `UserPromptSubmit` hook), which blocks one
that is not the client's to the letter, or not in the right conversation: then the call is replayed in another
process. Measured on 2.1.330. Pure; called by `core/`.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from enum import Enum

from relayd.anthropic.conversation_rules import Message

KEYS_MAX_CHARS = 4000  # longer texts take more pieces, each 2 ms, than the editor takes
PIECE_MAX_CHARS = 600  # Claude Code wraps pastes of about 800 characters …
PIECE_MAX_BREAKS = 2  # … or more than three lines
PASTE_BEGIN, PASTE_END, ENTER = b"\x1b[200~", b"\x1b[201~", b"\r"
OPEN_EDITOR = b"\x07"  # Ctrl+G
EDITOR_LEFT = b"\x1b[?2004h"  # bracketed paste, switched on again: the terminal is Claude Code's
# At the start others may be commands.
SAFE_START = re.compile(r"[\w\"'(\[]")
# Keywords of Claude Code.
KEYWORDS = re.compile(r"\bultra|\bworkflow", re.IGNORECASE)
# Enter would make a line break, or choose from the menu of files or of emoji that opens for the last word.
ENDINGS = re.compile(r"\\\Z|(?:\A|\s)(?:@\S*|:[\w+-]{2,}:?)\Z")
# Typed, these open a menu, or attach pictures.
TYPED = re.compile(r"@|\.(?:png|jpe?g|gif|webp|bmp|pdf)\b", re.IGNORECASE)
COMMANDS = ("/", "!")
# Claude Code is told to attach no files; a mention that would find one is not put to the test. The workspace is empty.
FILES = re.compile(r"@(?:[/~.\"'\\]|\S*\.\.)")


class Way(Enum):
    """How a text gets into the prompt."""

    KEYS = "keys"
    EDITOR = "editor"


@dataclass(frozen=True)
class Draft:
    """The text that ends a message, and its way."""

    text: str
    way: Way


def draft(message: Message, has_editor: bool) -> Draft | None:
    """What can be brought to the prompt of a message: its last text; None if that would not arrive exactly."""
    block = message.content[-1]
    text = block.get("text")
    if message.role != "user" or block["type"] != "text" or not isinstance(text, str):
        return None
    if not text or text != text.strip() or KEYWORDS.search(text) or ENDINGS.search(text):
        return None
    if _can_be_typed(text):
        return Draft(text, Way.KEYS)
    return Draft(text, Way.EDITOR) if has_editor and _can_be_edited(text) else None


def _can_be_typed(text: str) -> bool:
    if len(text) > KEYS_MAX_CHARS or not text.replace("\n", "").isprintable() or not unicodedata.is_normalized("NFC", text):
        return False
    return bool(SAFE_START.match(text)) and not TYPED.search(text)


def _can_be_edited(text: str) -> bool:
    plain = text.replace("\r\n", "").replace("\n", "").replace("\t", "").isprintable()
    return plain and not text.startswith(COMMANDS) and not FILES.search(text)


def fits(messages: tuple[Message, ...]) -> bool:
    """True if what comes before the last message can be loaded: nothing, or a history that ends in an answer."""
    return len(messages) == 1 or messages[-2].role == "assistant"


def load_keys(session_id: str) -> bytes:
    """What makes Claude Code take up another transcript."""
    return PASTE_BEGIN + f"/resume {session_id}".encode() + PASTE_END + ENTER


def keys(text: str) -> bytes:
    """What types a text and sends it: bracketed pastes, then Enter."""
    return b"".join(PASTE_BEGIN + piece.encode() + PASTE_END for piece in _pieces(text)) + ENTER


def _pieces(text: str) -> list[str]:
    pieces, begin, breaks = [], 0, 0
    for place, char in enumerate(text):
        breaks += char == "\n"
        if breaks == PIECE_MAX_BREAKS or place + 1 - begin == PIECE_MAX_CHARS:
            pieces.append(text[begin : place + 1])
            begin, breaks = place + 1, 0
    return [*pieces, text[begin:]] if begin < len(text) else pieces
