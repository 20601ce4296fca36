"""An answer's blocks as the output items of a response. Pure; used by `response_encode`.

One item for each block but texts: those that follow one another are one message, as clients read the last message alone. An
item's id is made from the response's and from its place, so that it is the same however the answer is told.
"""

from __future__ import annotations

from typing import Any

from relayd.anthropic.blocks import Block
from relayd.openai import reasoning, response_tools
from relayd.openai.response_tools import Toolbox

IN_PROGRESS, COMPLETED, INCOMPLETE = "in_progress", "completed", "incomplete"
PREFIXES = {
    "message": "msg",
    "reasoning": "rs",
    "function_call": "fc",
    "custom_tool_call": "ctc",
    "local_shell_call": "lsh",
    "shell_call": "sh",
    "apply_patch_call": "apc",
}
NO_STATUS = ("reasoning", "custom_tool_call")  # kinds whose types have none

Item = dict[str, Any]


def text_part(text: str) -> dict[str, Any]:
    """The text of a message."""
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def message(text: str) -> Item:
    """A message without its id and status."""
    return {"type": "message", "role": "assistant", "content": [text_part(text)]}


def thought(block: Block) -> Item:
    """Thinking, to read and to send back."""
    return {"type": "reasoning", "summary": reasoning.texts(block), "encrypted_content": reasoning.sealed(block)}


def with_id(item: Item, suffix: str, place: int, status: str) -> Item:
    """The item as it stands at this place of the output."""
    named = {"id": f"{PREFIXES[item['type']]}_{suffix}_{place}", **item}
    return named if item["type"] in NO_STATUS else named | {"status": status}


def items(content: tuple[Block, ...], tools: Toolbox, suffix: str, status: str = COMPLETED) -> list[Item]:
    """The output of a whole answer. `status` is that of the last item: the others are complete."""
    found: list[Item] = []
    for block in content:
        if block["type"] == "text" and found and found[-1]["type"] == "message":
            found[-1] = message(found[-1]["content"][0]["text"] + block["text"])
        elif block["type"] == "text":
            found.append(message(block["text"]))
        elif block["type"] in reasoning.KINDS:
            found.append(thought(block))
        elif block["type"] == "tool_use":
            found.append(response_tools.item(tools.tool(block["name"]), block))
    last = len(found) - 1
    return [with_id(item, suffix, place, status if place == last else COMPLETED) for place, item in enumerate(found)]
