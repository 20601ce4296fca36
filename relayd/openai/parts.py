"""The content of a chat's messages: texts, pictures, files, as blocks of the Messages API. Pure; called by `history`.

A text that is empty or blank says nothing and is left out: the Messages API would refuse it, chats hold them every day.
"""

from __future__ import annotations

import re
from typing import Any

from relayd.anthropic import checks
from relayd.anthropic.blocks import is_blank
from relayd.errors import invalid

IMAGE_DATA = re.compile(r"data:(?P<type>image/[\w.+-]+);base64,(?P<data>.*)", re.DOTALL)
MEDIA_TYPES = {"image/jpg": "image/jpeg"}  # names that are none, but are written every day
AUDIO = "input_audio"


def blocks(content: Any, path: str) -> list[dict[str, Any]]:
    """The blocks of a message's content; nothing for nothing."""
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else _listed(content, path)
    found = [_part(checks.mapping(part, f"{path}.{n}"), f"{path}.{n}") for n, part in enumerate(parts)]
    return [b for b in found if b["type"] != "text" or not isinstance(b["text"], str) or not is_blank(b["text"])]


def of_result(content: Any, path: str) -> Any:
    """The content of a tool's result: its text, or blocks if there is anything else in it."""
    if content is None or isinstance(content, str):
        return content or ""
    found = blocks(content, path)
    return "".join(b["text"] for b in found) if all(b["type"] == "text" for b in found) else found


def text(content: Any, path: str) -> str:
    """The text of a message that can hold nothing else."""
    if isinstance(content, str):
        return content
    texts = []
    for number, item in enumerate(_listed(content, path)):
        part = checks.mapping(item, f"{path}.{number}")
        checks.one_of(part.get("type"), ("text",), f"{path}.{number}.type")
        texts.append(checks.text(part.get("text"), f"{path}.{number}.text"))
    return "".join(texts)


def _listed(value: Any, path: str) -> list[Any]:
    """A list that may be left out."""
    return [] if value is None else checks.listing(value, path)


def _given_text(value: Any, path: str) -> str:
    """A text that may be left out."""
    return "" if value is None else checks.text(value, path)


def _part(part: dict[str, Any], path: str) -> dict[str, Any]:
    kind = part.get("type")
    if kind in ("text", "refusal"):
        return {"type": "text", "text": checks.text(part.get("text") or part.get("refusal") or "", f"{path}.{kind}")}
    if kind == "image_url":
        url = checks.text(checks.mapping(part.get("image_url"), f"{path}.image_url").get("url"), f"{path}.image_url.url")
        return {"type": "image", "source": picture(url)}
    if kind == "file":
        return _file(checks.mapping(part.get("file"), f"{path}.file"), path)
    if kind == AUDIO:
        raise invalid(f"{path}: {AUDIO}: these models take no audio")
    raise invalid(f"{path}.type: Input should be 'text', 'image_url' or 'file'")


def picture(url: str) -> dict[str, Any]:
    """The source of a picture by its URL, which may hold it."""
    data = IMAGE_DATA.fullmatch(url)
    if not data:
        return {"type": "url", "url": url}
    return {"type": "base64", "media_type": MEDIA_TYPES.get(data["type"], data["type"]), "data": data["data"]}


def _file(file: dict[str, Any], path: str) -> dict[str, Any]:
    data = _given_text(file.get("file_data"), f"{path}.file.file_data")
    _, comma, encoded = data.partition(";base64,")
    if not comma:
        raise invalid(f"{path}.file.file_data: must be a data URL with base64 data")
    source = {"type": "base64", "media_type": "application/pdf", "data": encoded}
    name = _given_text(file.get("filename"), f"{path}.file.filename")
    return {"type": "document", "source": source, **({"title": name} if name else {})}
