"""What a request may bring into a command line, an environment, a file name, a log line or a header: one place of checked types.

Everything else of a request travels inside JSON, in files. These values do not, so they have a length, a range and an
alphabet. Each function takes what JSON gave (any type, any width) and returns a checked value, or raises ApiError in the
API's words. Pure; used by `request`, `tools` and `claude/launch.py`, whose launch keys hold nothing else.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from typing import Any, NewType

from relayd import codec
from relayd.anthropic import checks
from relayd.errors import ApiError, invalid

ModelName = NewType("ModelName", str)
TokenCount = NewType("TokenCount", int)
ToolName = NewType("ToolName", str)

# Names of the API, of gateways, of Bedrock (with ARNs) and Vertex, and Claude Code's own `[1m]`. On Windows `claude` may be
# a script of cmd.exe, to which quotes, percent signs and the like in an argument are code: they stay out everywhere.
MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+\[\]-]*")
MODEL_MAX_CHARS = 200
MODEL_SHOWN_CHARS = 80  # of a name that cannot be one, in the error about it
TOKENS_MAX = 10_000_000  # ten times the largest window there is: enough for any model, and far from any width of integers
TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")
TOOL_NAME_MAX_CHARS = 112  # Claude Code puts a prefix before it, and the API's limit of 128 is for both
STOP_MAX_CHARS = 4096  # all stop sequences of one request together …
STOP_MAX_BYTES = 16 * 1024  # … and as JSON, where a character may take six bytes: they travel in the environment
SCHEMA_MAX_BYTES = 96 * 1024  # as JSON: it travels in the environment, too
SAMPLING = ("temperature", "top_p", "top_k")
TOP_K_MAX = 2**31 - 1
FIELD_NAME = re.compile(r"[\w.-]{1,64}", re.ASCII)  # names of ignored fields are told in a header
FIELD_NAMES_MAX = 20
# One string of an environment or a command line: Linux has MAX_ARG_STRLEN, with the name and the final NUL; Windows 32,767.
STRING_MAX_BYTES = 128 * 1024 - 256
STRING_MAX_BYTES_WINDOWS = 32 * 1024 - 256


def model(value: Any) -> ModelName:
    """A model's name: 400 for what is no name, 404 for one that no model can have."""
    name = checks.text(value, "model")
    if not name:
        raise invalid("model: String should have at least 1 character")
    if len(name) > MODEL_MAX_CHARS:
        raise invalid(f"model: String should have at most {MODEL_MAX_CHARS} characters")
    if not is_model(name):
        raise ApiError(404, f"model: {name[:MODEL_SHOWN_CHARS]}")
    return ModelName(name)


def is_model(name: str) -> bool:
    """True for a text that may be a model's name: a command line and a log line may hold it."""
    return len(name) <= MODEL_MAX_CHARS and MODEL.fullmatch(name) is not None


def tokens(value: Any, path: str, minimum: int = 1) -> TokenCount:
    """A count of tokens."""
    return TokenCount(checks.integer(value, path, minimum, TOKENS_MAX))


def tool_name(value: Any, path: str) -> ToolName:
    """The name of a client's tool."""
    name = checks.text(value, path)
    if not TOOL_NAME.fullmatch(name):
        raise invalid(f"{path}: String should match pattern '^[a-zA-Z0-9_-]{{1,128}}$'")
    if len(name) > TOOL_NAME_MAX_CHARS:
        raise invalid(f"{path}: relayd supports tool names of up to {TOOL_NAME_MAX_CHARS} characters")
    return ToolName(name)


def stop_sequences(value: Any) -> tuple[str, ...]:
    """Stop sequences, of any characters: JSON escapes what an environment cannot hold."""
    if value is None:
        return ()
    found = tuple(checks.text(item, f"stop_sequences.{n}") for n, item in enumerate(checks.listing(value, "stop_sequences")))
    if not all(map(str.strip, found)):
        raise invalid("stop_sequences: each stop sequence must contain non-whitespace")
    if sum(map(len, found)) > STOP_MAX_CHARS or len(codec.dump(found)) > STOP_MAX_BYTES:
        raise invalid(f"stop_sequences: together at most {STOP_MAX_CHARS} characters, and {STOP_MAX_BYTES} bytes of JSON")
    return found


def sampling(name: str, value: Any) -> float:
    """One of SAMPLING. JSON knows neither NaN nor infinity; a range keeps out whatever a number can be."""
    if name == "top_k":
        return checks.integer(value, name, 0, TOP_K_MAX)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise invalid(f"{name}: Input should be a valid number")
    if not 0 <= value <= 1:
        raise invalid(f"{name}: range: 0..1")
    return value


def schema(value: Any, path: str) -> dict[str, Any]:
    """A JSON schema of a size that can be handed on; `structured` looks into it."""
    found = checks.mapping(value, path)
    if len(codec.dump(found)) > SCHEMA_MAX_BYTES:
        raise invalid("Schema is too complex for compilation.")
    return found


def header_names(names: Iterable[str]) -> tuple[str, ...]:
    """Names of a client's fields as they may stand in a header; others are not told."""
    return tuple(name for name in names if FIELD_NAME.fullmatch(name))[:FIELD_NAMES_MAX]


def is_carried(text: str) -> bool:
    """True if one argument or one variable of a process can hold this text."""
    limit = STRING_MAX_BYTES_WINDOWS if sys.platform == "win32" else STRING_MAX_BYTES
    try:
        return "\0" not in text and len(text.encode()) <= limit
    except UnicodeEncodeError:  # half of a surrogate pair
        return False
