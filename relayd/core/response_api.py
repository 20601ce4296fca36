"""Answers what is asked about stored responses: one, its end, what it was an answer to. Pure; called by `core/admin_api.py`."""

from __future__ import annotations

from typing import Any

from relayd.core.stored_responses import StoredResponses
from relayd.errors import invalid
from relayd.http.messages import HttpRequest
from relayd.openai import response_list


def response(stored: StoredResponses, request: HttpRequest, name: str, now: float) -> dict[str, Any]:
    """One response, or the word that it is forgotten. Raises ApiError."""
    if request.method == "DELETE":
        stored.delete(name, now)
        return {"id": name, "object": "response", "deleted": True}
    if "stream=true" in request.query.split("&"):
        raise invalid("stream: a stored response can be told as a whole only")
    return stored.get(name, now).value


def input_items(stored: StoredResponses, request: HttpRequest, name: str, now: float) -> dict[str, Any]:
    """A page of what a response was an answer to. Raises ApiError."""
    return response_list.page(stored.get(name, now).input, request.query)
