"""The content of Responses items: texts, pictures, files, as blocks of the Messages API. Pure; used by `response_items`.

A text that is empty or blank says nothing and is left out, as in `parts`.
"""

from __future__ import annotations

import base64
import re
from typing import Any

from relayd.anthropic import checks
from relayd.anthropic.blocks import is_blank
from relayd.errors import invalid
from relayd.openai import parts

TEXTS = ("input_text", "output_text", "text", "summary_text")
FILE_DATA = re.compile(r"data:(?P<type>[\w.+/-]+)(?:;[\w=.-]+)*;base64,(?P<data>.*)", re.DOTALL)
PDF = "application/pdf"
SPARE = ("detail", "prompt_cache_breakpoint")  # of pictures and files, with no counterpart
NO_FILES = "file_id: files are not supported by relayd; send the data, or a URL"


def blocks(content: Any, path: str, ignored: list[str]) -> list[dict[str, Any]]:
    """The blocks of a content; nothing for nothing. What cannot be honoured is added to `ignored`."""
    if content is None:
        return []
    items = [{"type": "input_text", "text": content}] if isinstance(content, str) else checks.listing(content, path)
    found = [_part(checks.mapping(item, f"{path}.{n}"), f"{path}.{n}", ignored) for n, item in enumerate(items)]
    return [b for b in found if b["type"] != "text" or not is_blank(b["text"])]


def result(content: Any, path: str, ignored: list[str]) -> Any:
    """The content of a tool's result: its text, or blocks if there is anything else in it."""
    if content is None or isinstance(content, str):
        return content or ""
    found = blocks(content, path, ignored)
    return "".join(b["text"] for b in found) if all(b["type"] == "text" for b in found) else found


def _part(part: dict[str, Any], path: str, ignored: list[str]) -> dict[str, Any]:
    kind = checks.text(checks.field(part, "type", path), f"{path}.type")
    if kind in TEXTS:
        return {"type": "text", "text": checks.text(checks.field(part, "text", path), f"{path}.text")}
    if kind == "refusal":
        return {"type": "text", "text": checks.text(checks.field(part, "refusal", path), f"{path}.refusal")}
    for name in SPARE:
        if part.get(name) not in (None, "auto") and f"input.{name}" not in ignored:
            ignored.append(f"input.{name}")
    if kind == "input_image":
        if part.get("file_id"):
            raise invalid(f"{path}.{NO_FILES}")
        url = checks.text(checks.field(part, "image_url", path), f"{path}.image_url")
        return {"type": "image", "source": parts.picture(url)}
    if kind == "input_file":
        return _file(part, path)
    if kind == parts.AUDIO:
        raise invalid(f"{path}: {parts.AUDIO}: these models take no audio")
    raise invalid(f"{path}.type: Input should be 'input_text', 'output_text', 'refusal', 'input_image' or 'input_file'")


def _file(part: dict[str, Any], path: str) -> dict[str, Any]:
    if part.get("file_id"):
        raise invalid(f"{path}.{NO_FILES}")
    name = part.get("filename")
    title = {"title": checks.text(name, f"{path}.filename")} if name else {}
    url = part.get("file_url")
    if url is not None:
        return {"type": "document", "source": {"type": "url", "url": checks.text(url, f"{path}.file_url")}, **title}
    data = FILE_DATA.fullmatch(checks.text(checks.field(part, "file_data", path), f"{path}.file_data"))
    if not data:
        raise invalid(f"{path}.file_data: must be a data URL with base64 data")
    return {"type": "document", "source": _source(data["type"], data["data"], path), **title}


def _source(kind: str, data: str, path: str) -> dict[str, Any]:
    if kind == PDF:
        return {"type": "base64", "media_type": PDF, "data": data}
    if not kind.startswith("text/"):
        raise invalid(f"{path}.file_data: {kind[:80]}: these models read {PDF} and texts")
    try:
        return {"type": "text", "media_type": "text/plain", "data": base64.b64decode(data, validate=True).decode()}
    except ValueError as error:
        raise invalid(f"{path}.file_data: invalid base64 data, or no UTF-8 text") from error
