"""Typing a message into a Claude Code that stands at its prompt: for texts that are safe to type, nothing else.

A process that already holds a conversation, because it has just answered, needs only the new message; one that
holds nothing can load a history first (`/resume`, which takes up another transcript). Both save most of a start.
Keys are not text: `!` runs a shell, `/` a command, `@` opens a menu, tabs and control characters are changed, a
long paste is wrapped, characters are composed, some words change the effort, names of pictures attach files. So
there is an allow-list, in pieces below the size that counts as a long paste. Before the text goes to the model,
Claude Code shows it to relayd (the `UserPromptSubmit` hook), which blocks one that is not the client's to the
letter, or not in the right conversation: then the call is replayed in another process. Measured on 2.1.330.
Pure; called by `core/`.
"""

from __future__ import annotations

import re
import unicodedata

from relayd.anthropic.request import Message

MAX_CHARS = 4000
PIECE_MAX_CHARS = 600  # Claude Code wraps pastes of about 800 characters …
PIECE_MAX_BREAKS = 2  # … or more than three lines
PASTE_BEGIN, PASTE_END, ENTER = b"\x1b[200~", b"\x1b[201~", b"\r"
# At the start others may be commands.
SAFE_START = re.compile(r"[\w\"'(\[]")
# Anywhere: the menu of files, keywords of Claude Code, and pictures that it would attach.
UNSAFE = re.compile(r"@|\bultra|\bworkflow|\.(?:png|jpe?g|gif|webp|bmp|pdf)\b|\\\s*$", re.IGNORECASE)


def typable(message: Message) -> str | None:
    """The text of a message that may be typed; None for any other message."""
    if message.role != "user" or len(message.content) != 1:
        return None
    block = message.content[0]
    text = block.get("text")
    if block["type"] != "text" or not isinstance(text, str) or len(text) > MAX_CHARS:
        return None
    if text != text.strip() or not text.replace("\n", "").isprintable() or not unicodedata.is_normalized("NFC", text):
        return None
    return text if SAFE_START.match(text) and not UNSAFE.search(text) else None


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
