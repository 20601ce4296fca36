"""How a number, a switch or a text that can be set is declared, and how one value for it is read and judged. Pure.

`config.py` declares with it what a user may set, `limits.py` what is fixed. A declaration is a field of a frozen
dataclass: its default, the bounds within which the program works, and a text that says what it trades for what.
The manual, `relayd config` and the checks of values are all made from it. Names carry their unit.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, TypeVar

from relayd.errors import ConfigError

Value = str | int | float | bool
T = TypeVar("T", str, int, float, bool)
RULES = "rules"  # under which a field's metadata has them
UNITS = {"_s": "seconds", "_bytes": "bytes"}  # by the end of a name
NOUNS: dict[type, str] = {bool: "boolean", int: "whole number", float: "number", str: "text"}
NUMBER_LETTERS = 40  # more than any number within bounds has
YES, NO = ("1", "true", "yes", "on"), ("0", "false", "no", "off")


@dataclass(frozen=True)
class Rules:
    """What is known of a knob besides its name, type and default.

    `low` and `high` are the bounds of a number, both allowed. `choices` are the only values of a text, if there are any.
    `at_start` marks a key that a running daemon cannot take up anew.
    """

    text: str
    low: float = 0
    high: float = 0
    choices: tuple[str, ...] = ()
    at_start: bool = False


@dataclass(frozen=True)
class Knob:
    """One declaration, whole."""

    name: str
    default: Value
    rules: Rules

    def __repr__(self) -> str:
        return f"<Knob {self.name}={self.default!r}>"

    @property
    def kind(self) -> type:
        """`bool`, `int`, `float` or `str`."""
        return type(self.default)

    @property
    def unit(self) -> str:
        """`seconds`, `bytes`, or nothing for what is only counted."""
        return next((unit for end, unit in UNITS.items() if self.name.endswith(end)), "")

    @property
    def domain(self) -> str:
        """In words, which values are allowed."""
        if self.kind is bool:
            return "true or false"
        if self.kind is str:
            return f"one of {', '.join(self.rules.choices)}" if self.rules.choices else "text"
        what = self.unit or NOUNS[self.kind]
        return f"{what} from {shown(self.rules.low)} to {shown(self.rules.high)}"

    def read(self, text: str) -> Value:
        """The value that a variable of the environment spells. Raises ConfigError."""
        if self.kind is bool:
            if text.lower() not in (*YES, *NO):
                raise ConfigError(f"{self.name}: {text!r} is neither true nor false")
            return text.lower() in YES
        if len(text) > NUMBER_LETTERS and self.kind is not str:
            raise ConfigError(f"{self.name}: the number is too long")
        try:
            return self.judged(self.kind(text))
        except ValueError as error:
            raise ConfigError(f"{self.name}: {text!r} is not a {NOUNS[self.kind]}") from error

    def judged(self, value: Any) -> Value:
        """The value, if it is of this knob's type and within its bounds. Raises ConfigError."""
        if self.kind is float and type(value) is int:
            value = self._as_float(value)
        if type(value) is not self.kind or not isinstance(value, Value):
            raise ConfigError(f"{self.name}: {value!r} is not a {NOUNS[self.kind]}")
        if isinstance(value, str):
            self._check_text(value)
        elif not isinstance(value, bool):
            self._check_number(value)
        return value

    def _as_float(self, value: int) -> float:
        try:
            return float(value)
        except OverflowError as error:
            raise ConfigError(f"{self.name}: the number is above {shown(self.rules.high)}") from error

    def _check_text(self, value: str) -> None:
        if self.rules.choices and value not in self.rules.choices:
            raise ConfigError(f"{self.name}: {value!r} is not one of {', '.join(self.rules.choices)}")
        if any(ord(letter) < 32 or ord(letter) == 127 for letter in value):
            raise ConfigError(f"{self.name}: holds a control character")

    def _check_number(self, value: float) -> None:
        if not math.isfinite(value):
            raise ConfigError(f"{self.name}: {value} is not a finite number")
        if value < self.rules.low:
            raise ConfigError(f"{self.name}: {shown(value)} is below {shown(self.rules.low)}")
        if value > self.rules.high:
            raise ConfigError(f"{self.name}: {shown(value)} is above {shown(self.rules.high)}")


def seconds(default: float, text: str, low: float = 0.001, high: float = 86_400.0, at_start: bool = False) -> float:
    """A field for a time. Its name ends in `_s`."""
    return _field(default, Rules(text, low, high, at_start=at_start))


def size(default: int, text: str, low: int, high: int, at_start: bool = False) -> int:
    """A field for a number of bytes. Its name ends in `_bytes`."""
    return _field(default, Rules(text, low, high, at_start=at_start))


def count(default: int, text: str, low: int, high: int, at_start: bool = False) -> int:
    """A field for a number of things."""
    return _field(default, Rules(text, low, high, at_start=at_start))


def switch(default: bool, text: str, at_start: bool = False) -> bool:
    """A field that is true or false."""
    return _field(default, Rules(text, at_start=at_start))


def word(default: str, text: str, choices: tuple[str, ...] = (), at_start: bool = False) -> str:
    """A field for a text; `choices`, if given, are the only ones."""
    return _field(default, Rules(text, choices=choices, at_start=at_start))


def knobs_of(declared: type) -> dict[str, Knob]:
    """The knobs that a dataclass declares, by name, in their order."""
    found = {}
    for field in dataclasses.fields(declared):
        default: Any = field.default
        found[field.name] = Knob(field.name, default, field.metadata[RULES])
    return found


def shown(value: Value) -> str:
    """A value as TOML has it, a number in the shortest way: `1024`, `0.5`, `true`, `"human"`."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    return str(int(value)) if math.isfinite(value) and value == int(value) else str(value)


def _field(default: T, rules: Rules) -> T:
    found: T = dataclasses.field(default=default, metadata={RULES: rules})
    return found
