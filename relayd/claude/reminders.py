"""The reminders that Claude Code gives a model (machine, model, date), marked in a transcript as given. Pure.

Claude Code adds reminders (`Today's date is …`, `# Environment …`, `You are powered by …`) to a
conversation unless its transcript says that they were given, with their text. relayd's transcripts say
so with a blank text, which Claude Code drops on the way to the API: the model sees the client's words
only, as with the API itself. A note that does not fit what Claude Code finds is given again, with its
text: nothing breaks, the reminder is seen. Measured on 2.1.330; called by `compose`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from relayd.anthropic import models
from relayd.anthropic.models import Does

BLANK = [{"content": " "}]  # must not be empty to count as given; blank texts are not sent


@dataclass(frozen=True)
class Machine:
    """What Claude Code finds out about its surroundings: `linux`, `darwin` or `win32`, the shell, the system's name and release.
    If it finds another than its transcript says, it tells the model, and writes down what it has found.
    """

    platform: str
    shell: str
    os_version: str


def is_reminder(text: str) -> bool:
    """True for a text block that Claude Code adds around a conversation, not the client."""
    return text.startswith("<system-reminder>\n") and text.rstrip("\n").endswith("</system-reminder>")


def takes_system_role(model: str) -> bool:
    """True if the model takes messages of the role `system`."""
    return Does.SYSTEM in models.facts(model).does


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
    found = models.known(model)
    if found is None or not found.cutoff:
        return None
    own = found.id if model in found.short else model
    return {"modelId": own, "marketingName": found.name, "knowledgeCutoff": found.cutoff}
