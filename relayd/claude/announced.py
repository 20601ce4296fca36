"""What Claude Code tells a model about machine, model and date, marked as told. Pure.

Claude Code adds reminders (`Today's date is …`, `# Environment …`, `You are powered by …`) to a
conversation unless its transcript says that they were given, with their text. relayd's transcripts say
so with a blank text, which Claude Code drops on the way to the API: the model sees the client's words
only, as with the API itself. A note that does not fit what Claude Code finds is given again, with its
text: nothing breaks, the reminder is seen. Measured on 2.1.330; called by `compose`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

BLANK = [{"content": " "}]  # must not be empty to count as given; blank texts are not sent
# Knowledge cutoffs of Claude Code's own model table.
CUTOFFS = (
    (re.compile(r"(?:fable|mythos|haiku|sonnet|opus)-5-[1-9](?!\d)"), "June 2026"),
    (re.compile(r"opus-5(?!-)"), "May 2026"),
    (re.compile(r"(?:fable|mythos|sonnet)-5(?!-)|opus-4-[78]"), "January 2026"),
    (re.compile(r"sonnet-4-6"), "August 2025"),
    (re.compile(r"opus-4-[56]"), "May 2025"),
    (re.compile(r"haiku-4-5"), "February 2025"),
    (re.compile(r"sonnet-4-5"), "January 2025"),
)
NAME = re.compile(r"claude-(?P<line>[a-z]+)-(?P<version>\d+(?:-\d(?!\d))?)(?:-20\d{6})?")
# What the short names stand for.
FAMILIES = {"fable": "claude-fable-5-2", "sonnet": "claude-sonnet-5-5", "opus": "claude-opus-5-5", "haiku": "claude-haiku-5-5"}
# Models that take messages of the role `system`; for the others Claude Code would turn them into user text.
NO_SYSTEM_ROLE = re.compile(r"claude-3|(?:haiku|sonnet)-4|opus-4-[0-7](?!\d)|opus-4$")


@dataclass(frozen=True)
class Machine:
    """What Claude Code finds out about its surroundings: `linux` or `darwin`, the shell, the system's name and release."""

    platform: str
    shell: str
    os_version: str


def takes_system_role(model: str) -> bool:
    """True if the model takes messages of the role `system`."""
    return not NO_SYSTEM_ROLE.search(model)


def notes(machine: Machine, cwd: str, model: str, today: str) -> list[dict[str, Any]]:
    """The fields of attachment lines that mark everything as told. `today` is the local date, as 2026-11-22."""
    environment = {
        "workingDirectory": cwd,
        "isWorktree": False,
        "isGitRepo": False,
        "additionalWorkingDirectories": [],
        "platform": machine.platform,
        "shell": machine.shell,
        "osVersion": machine.os_version,
    }
    told: list[dict[str, Any]] = [
        {"type": "session_context", "context": {}},
        {"type": "date", "date": today},
        {"type": "environment", "snapshot": environment},
    ]
    identity = identity_of(model)
    if identity:
        told.append({"type": "model", "identity": identity, "text": None})
    return [{"attachment": note, "rendered": BLANK, "renderedRole": "system"} for note in told]


def system_turn(text: str) -> dict[str, Any]:
    """The fields of an attachment line that reaches the model as a message of the role `system`."""
    note = {"type": "sandbox_instructions", "content": text}
    return {"attachment": note, "rendered": [{"content": text}], "renderedRole": "system"}


def identity_of(model: str) -> dict[str, Any] | None:
    """A model as Claude Code's own table has it; None for one that is not known."""
    full = FAMILIES.get(model, model)
    found = NAME.fullmatch(full)
    cutoff = next((text for pattern, text in CUTOFFS if pattern.search(full)), None)
    if not found or cutoff is None:
        return None
    name = f"{found['line'].capitalize()} {found['version'].replace('-', '.')}"
    return {"modelId": full, "marketingName": name, "knowledgeCutoff": cutoff}
