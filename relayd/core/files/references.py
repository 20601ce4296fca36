"""Where a request names uploaded files, and their bytes put there. Pure; called by `loading.py`.

The request is JSON that nobody has checked yet: what has not the shape of a reference is left for the checks that come later.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from relayd.anthropic import checks
from relayd.anthropic.blocks import IMAGE_TYPES
from relayd.core.files.record import StoredFile
from relayd.errors import invalid

PDF = "application/pdf"
KINDS = ("image", "document")


@dataclass(frozen=True)
class Reference:
    """A block whose source is a file, where it stands, and which file."""

    block: dict[str, Any] = field(repr=False)
    path: str
    file: str


def found(value: dict[str, Any]) -> list[Reference]:
    """Every reference to a file in the messages of a request. Raises ApiError 400 for one that names none."""
    messages = value.get("messages")
    references = []
    for number, message in enumerate(messages if isinstance(messages, list) else ()):
        content = message.get("content") if isinstance(message, dict) else None
        for block, path in _blocks(content, f"messages.{number}.content"):
            source = block["source"]
            path = f"{path}.{block['type']}.source.file.file_id"
            file = checks.text(checks.field(source, "file_id", path.removesuffix(".file_id")), path)
            references.append(Reference(block, path, file))
    return references


def _blocks(content: Any, path: str) -> Iterator[tuple[dict[str, Any], str]]:
    """The blocks with a file for a source, also in the result of a tool and in a document made of blocks."""
    for number, block in enumerate(content if isinstance(content, list) else ()):
        if not isinstance(block, dict):
            continue
        here = f"{path}.{number}"
        if block.get("type") == "tool_result":
            yield from _blocks_within(block, f"{here}.tool_result")
        source = block.get("source")
        if block.get("type") in KINDS and isinstance(source, dict):
            if source.get("type") == "file":
                yield block, here
            elif source.get("type") == "content":
                yield from _blocks_within(source, f"{here}.document.source")


def _blocks_within(holder: dict[str, Any], path: str) -> Iterator[tuple[dict[str, Any], str]]:
    """What stands in a block; nothing nests any deeper."""
    content = holder.get("content")
    for number, block in enumerate(content if isinstance(content, list) else ()):
        source = block.get("source") if isinstance(block, dict) else None
        if isinstance(source, dict) and block.get("type") in KINDS and source.get("type") == "file":
            yield block, f"{path}.content.{number}"


def fill(reference: Reference, file: StoredFile, data: bytes) -> None:
    """Put a file's bytes where it was named. Raises ApiError 400 for a file that cannot stand there."""
    reference.block["source"] = _source(reference, file, data)


def _source(reference: Reference, file: StoredFile, data: bytes) -> dict[str, Any]:
    kinds = IMAGE_TYPES if reference.block["type"] == "image" else (PDF,)
    if file.mime_type in kinds:
        return {"type": "base64", "media_type": file.mime_type, "data": base64.b64encode(data).decode()}
    if reference.block["type"] == "document" and file.mime_type.startswith("text/"):
        try:
            return {"type": "text", "media_type": "text/plain", "data": data.decode()}
        except UnicodeDecodeError as error:
            raise invalid(f"{reference.path}: the file is not UTF-8 text") from error
    wanted = ", ".join(kinds if reference.block["type"] == "image" else (*kinds, "text/plain"))
    raise invalid(f"{reference.path}: a file of the type {file.mime_type} cannot be used here (expected {wanted})")
