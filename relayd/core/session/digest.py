"""What identifies a conversation: a digest of its system prompt, tools and messages, in order. Pure.

Two requests continue the same conversation if their digests are equal. A session holds the digest instead of the
text, which keeps a parked one small. Used by the session and by `core/roads.py`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from relayd import codec
from relayd.anthropic import blocks
from relayd.anthropic.conversation_rules import Message
from relayd.anthropic.tools import Tool

DIGEST_BYTES = 16


class ConversationDigest:
    """Grows with each message."""

    def __init__(self, system: tuple[str, ...], tools: tuple[Tool, ...]) -> None:
        self.messages = 0
        self._hash = hashlib.blake2b(digest_size=DIGEST_BYTES)
        self._hash.update(codec.canonical([list(system), [[t.name, t.description, t.input_schema] for t in tools]]))

    def __repr__(self) -> str:
        return f"<ConversationDigest {self._hash.hexdigest()[:8]}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ConversationDigest) and self._hash.digest() == other._hash.digest()

    __hash__ = None  # type: ignore[assignment]

    @classmethod
    def of(cls, system: tuple[str, ...], tools: tuple[Tool, ...], messages: Iterable[Message]) -> ConversationDigest:
        """The digest of a whole conversation."""
        made = cls(system, tools)
        for message in messages:
            made.add(message)
        return made

    def add(self, message: Message) -> None:
        """Add the next message."""
        self.messages += 1
        self._hash.update(codec.canonical([message.role, [blocks.cleaned(b) for b in message.content]]))
