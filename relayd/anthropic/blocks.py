"""Content blocks of requests: checked, and cleaned of what never reaches the model.

A block stays the dict the client sent, so that it reaches the model as it came. Dropped are
`cache_control` (Claude Code sets its own) and response-only fields that clients send back.
Texts of errors are the API's own. Pure; called by `request`.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable
from typing import Any

from relayd.anthropic import checks
from relayd.errors import invalid

Block = dict[str, Any]

IMAGE_TYPES = ("image/jpeg", "image/png", "image/gif", "image/webp")
# Kinds that pass as they are: nothing in them decides how relayd handles the call.
PASSED = (
    "redacted_thinking",
    "search_result",
    "web_search_tool_result",
    "web_fetch_tool_result",
    "code_execution_tool_result",
    "bash_code_execution_tool_result",
    "text_editor_code_execution_tool_result",
    "tool_search_tool_result",
    "container_upload",
    "mcp_tool_result",
)
SERVER_CALLS = ("server_tool_use", "mcp_tool_use")  # which the API runs itself: their results are in the same answer
CALLS = ("tool_use", *SERVER_CALLS)
CALL_ID = re.compile(r"[a-zA-Z0-9_-]+")
IN_DOCUMENTS = ("text", "image")
TAG_SHOWN_CHARS = 80
# Claude Code takes them out of a result, and puts words of its own in their place (seen on 2.1.330, with tool search on, too).
NO_REFERENCES = (
    "`tool_reference` blocks cannot be handed to Claude Code. relayd gives the model all tools at once and does not honour "
    "`defer_loading`: send the result of a tool search as text"
)
UNSEEN = ("cache_control", "caller", "parsed_output")


def content(value: Any, path: str) -> list[Block]:
    """The blocks of a message: a string counts as one text block. Raises ApiError 400."""
    if isinstance(value, str):
        value = [{"type": "text", "text": value}] if value else []
    return _blocks(value, path, tuple(CHECKS))


def _blocks(value: Any, path: str, kinds: tuple[str, ...]) -> list[Block]:
    return [_block(item, f"{path}.{number}", kinds) for number, item in enumerate(checks.listing(value, path))]


def _block(value: Any, path: str, kinds: tuple[str, ...]) -> Block:
    """One checked, cleaned block of these kinds. No kind may stand within itself, so that nothing nests without end."""
    value = checks.mapping(value, path)
    kind = checks.text(checks.field(value, "type", path), f"{path}.type")
    if kind == "tool_reference":
        raise invalid(f"{path}: {NO_REFERENCES}")
    if kind not in kinds:
        tags = ", ".join(f"'{k}'" for k in kinds)
        raise invalid(
            f"{path}: Input tag '{kind[:TAG_SHOWN_CHARS]}' found using 'type' does not match any of the expected tags: {tags}"
        )
    found = cleaned(value)
    CHECKS[kind](found, path)
    return found


def cleaned(value: Block) -> Block:
    """A block without what the model never sees."""
    return {k: v for k, v in value.items() if k not in UNSEEN and not (k == "citations" and not v)}


def _text(value: Block, path: str) -> None:
    check_text(checks.text(checks.field(value, "text", f"{path}.text"), f"{path}.text.text"), "messages")


def check_text(text: str, where: str) -> None:
    """Raises ApiError 400 for a text that the API refuses: nothing, or nothing but white space."""
    if not text:
        raise invalid(f"{where}: text content blocks must be non-empty")
    if is_blank(text):
        raise invalid(f"{where}: text content blocks must contain non-whitespace text")


def is_blank(text: str) -> bool:
    """True for nothing but white space; the byte order mark counts, as it does for JavaScript, where such texts get lost."""
    return not text.replace("\ufeff", "").strip()


def _image(value: Block, path: str) -> None:
    _source(checks.field(value, "source", f"{path}.image"), f"{path}.image.source", ("base64", "url", "file"), IMAGE_TYPES)


def _document(value: Block, path: str) -> None:
    kinds = ("base64", "text", "content", "url", "file")
    source = checks.field(value, "source", f"{path}.document")
    _source(source, f"{path}.document.source", kinds, ("application/pdf",))


def _source(value: Any, path: str, kinds: tuple[str, ...], media_types: tuple[str, ...]) -> None:
    source = checks.mapping(value, path)
    kind = checks.one_of(checks.field(source, "type", path), kinds, f"{path}.type")
    if kind == "file":
        raise invalid(f"{path}.file_id: a file can be named in a call of /v1/messages or a batch only; send the data as base64")
    if kind == "base64":
        _base64(source, path, media_types)
    elif kind == "url":
        checks.text(checks.field(source, "url", path), f"{path}.url")
    elif kind == "text":
        checks.text(checks.field(source, "data", path), f"{path}.data")
    else:
        inner = checks.field(source, "content", path)
        if not isinstance(inner, str):
            _blocks(inner, f"{path}.content", IN_DOCUMENTS)


def _base64(source: Block, path: str, media_types: tuple[str, ...]) -> None:
    checks.one_of(checks.field(source, "media_type", path), media_types, f"{path}.base64.media_type")
    data = checks.text(checks.field(source, "data", path), f"{path}.base64.data")
    try:
        binascii.a2b_base64(data, strict_mode=True)
    except (ValueError, binascii.Error) as error:
        raise invalid(f"{path}.base64: invalid base64 data") from error


def _thinking(value: Block, path: str) -> None:
    checks.text(checks.field(value, "thinking", f"{path}.thinking"), f"{path}.thinking.thinking")
    checks.text(checks.field(value, "signature", f"{path}.thinking"), f"{path}.thinking.signature")


def _tool_use(value: Block, path: str) -> None:
    """A call, of the client's tools or of the API's own."""
    path = f"{path}.{value['type']}"
    if not CALL_ID.fullmatch(checks.text(checks.field(value, "id", path), f"{path}.id")):
        raise invalid(f"{path}.id: String should match pattern '^{CALL_ID.pattern}$'")
    checks.text(checks.field(value, "name", path), f"{path}.name")
    checks.mapping(checks.field(value, "input", path), f"{path}.input")


def _tool_result(value: Block, path: str) -> None:
    checks.text(checks.field(value, "tool_use_id", f"{path}.tool_result"), f"{path}.tool_result.tool_use_id")
    inner = value.get("content")
    if inner is not None and not isinstance(inner, str):
        items = enumerate(checks.listing(inner, f"{path}.tool_result.content"))
        value["content"] = [_inner(item, f"{path}.tool_result.content.{number}") for number, item in items]
    if checks.flag(value.get("is_error"), f"{path}.tool_result.is_error"):
        _texts_only(value, path)


def _texts_only(value: Block, path: str) -> None:
    """Claude Code would drop the others."""
    if isinstance(value.get("content"), list) and any(inner["type"] != "text" for inner in value["content"]):
        raise invalid(f"{path}.tool_result: all content must be type `text` if `is_error` is true")


def _inner(value: Any, path: str) -> Block:
    """A block of a tool result: any that does not belong to a turn of its own. A text of white space is fine there."""
    if isinstance(value, dict) and value.get("type") == "text" and isinstance(value.get("text"), str) and value["text"]:
        return cleaned(value)
    return _block(value, path, IN_RESULTS)


def _passed(value: Block, path: str) -> None:
    """Nothing to check: see PASSED."""


CHECKS: dict[str, Callable[[Block, str], None]] = {
    "text": _text,
    "image": _image,
    "document": _document,
    "thinking": _thinking,
    **dict.fromkeys(CALLS, _tool_use),
    "tool_result": _tool_result,
    **dict.fromkeys(PASSED, _passed),
}
IN_RESULTS = tuple(kind for kind in CHECKS if kind not in ("tool_result", *CALLS, "thinking", "redacted_thinking"))
