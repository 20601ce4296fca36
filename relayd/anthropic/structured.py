"""Structured output: schemas looked over, and answers checked against them, in a bounded number of steps. Pure.

The schema itself reaches the model through the API's own parameter, and the API keeps to it. An answer is checked all the
same before a client sees it, since a version or a policy of Claude Code may leave the parameter out. This checker judges
what the API supports for structured outputs, and what of the rest is quick. Other keywords are left to the API: patterns
(ECMA's, not Python's, and without a limit of time), `not`, `if`, `multipleOf`, `uniqueItems` and the like. So is whatever
would take more than STEPS_MAX steps: nobody waits for a schema. What is not judged counts as kept, and the verdict says so.

No reference leaves the document, and nothing is fetched. Used by `request` and `core/output_constraints.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any
from urllib.parse import unquote

from relayd import codec
from relayd.errors import invalid

NODES_MAX = 1_000  # schemas within a schema: far more than the API compiles
DEPTH_MAX = 48  # of a schema, and of a schema applied to a value, references included
STEPS_MAX = 6_000  # one is about a microsecond
ANSWER_MAX_CHARS = 256 * 1024  # a longer one is not even parsed
NAME_SHOWN_CHARS = 40
TOO_COMPLEX = "Schema is too complex for compilation."
TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int, float),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
    "object": (dict,),
    "array": (list,),
}
# Keywords whose values are schemas: one, a list, by name.
ONE = (
    *("items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames", "additionalItems"),
    *("unevaluatedItems", "unevaluatedProperties", "contentSchema"),
)
SOME = ("anyOf", "allOf", "oneOf", "prefixItems")
NAMED = ("properties", "$defs", "definitions", "patternProperties", "dependentSchemas")
REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")
# Keywords that say nothing about a value, or only as an annotation.
SILENT = (
    *("title", "description", "default", "examples", "$schema", "$comment", "$defs", "definitions", "format"),
    *("$id", "deprecated", "readOnly", "writeOnly", "contentMediaType", "contentEncoding"),
)
SIZES: dict[str, tuple[type, int]] = {  # keyword: what it counts, and the sign of its bound
    "minLength": (str, 1),
    "maxLength": (str, -1),
    "minItems": (list, 1),
    "maxItems": (list, -1),
    "minProperties": (dict, 1),
    "maxProperties": (dict, -1),
}
BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")

Fault = tuple[str, str]  # where, as a JSON path below the value, and what


@dataclass(frozen=True)
class Verdict:
    """How an answer breaks its schema, empty if it does not; `whole` if everything that the schema says was judged."""

    problem: str = ""
    whole: bool = True


def check(schema: dict[str, Any], path: str) -> None:
    """Raises ApiError 400 for a schema that is none, that refers outside, or that is too large to be looked over."""
    todo: list[tuple[Any, str, int]] = [(schema, path, 0)]
    seen = 0
    while todo:
        found, where, depth = todo.pop()
        seen += 1
        if depth > DEPTH_MAX:
            raise invalid(TOO_COMPLEX)
        if isinstance(found, bool):
            continue
        if not isinstance(found, dict):
            raise invalid(f"{where}: Input should be a JSON schema: an object, true or false")
        _check_words(found, where)
        within = islice(_within(found, where), NODES_MAX)
        todo += [(inner, f"{where}.{name[:NAME_SHOWN_CHARS]}", depth + 1) for name, inner in within]
        if seen + len(todo) >= NODES_MAX:
            raise invalid(TOO_COMPLEX)


def _check_words(schema: dict[str, Any], path: str) -> None:
    for name in REFERENCES:
        target = schema.get(name, "#")
        if not isinstance(target, str) or not target.startswith("#"):
            raise invalid(f"{path}.{name}: references to other documents are not supported; they start with #")
    kinds = _listed(schema.get("type", "object"))
    if not kinds or not all(isinstance(kind, str) and kind in TYPES for kind in kinds):
        raise invalid(f"{path}.type: Input should be {', '.join(map(repr, TYPES))}, or a list of these")
    if not isinstance(schema.get("enum", []), list):
        raise invalid(f"{path}.enum: Input should be a valid list")
    required = schema.get("required", [])
    if not isinstance(required, list) or not all(isinstance(name, str) for name in required):
        raise invalid(f"{path}.required: Input should be a list of strings")


def _within(schema: dict[str, Any], path: str) -> Iterator[tuple[str, Any]]:
    """The schemas that a schema holds, with their names."""
    for name in schema:
        value = schema[name]
        if name in SOME or (name == "items" and isinstance(value, list)):
            if not isinstance(value, list):
                raise invalid(f"{path}.{name}: Input should be a valid list")
            yield from ((f"{name}.{number}", inner) for number, inner in enumerate(value))
        elif name in ONE:
            yield name, value
        elif name in NAMED:
            if not isinstance(value, dict):
                raise invalid(f"{path}.{name}: Input should be an object")
            yield from ((f"{name}.{inner}", value[inner]) for inner in value)


def verdict(schema: dict[str, Any], text: str) -> Verdict:
    """Whether `text` is JSON that keeps to a schema which `check` has let through."""
    if len(text) > ANSWER_MAX_CHARS:
        return Verdict(whole=False)
    try:
        value = codec.parse(text.encode())
    except ValueError as error:
        return Verdict(f"not JSON: {error}")
    judge = _Judge(schema)
    try:
        fault = judge.fault(schema, value, 0)
    except _TooMuch:
        return Verdict(whole=False)
    return Verdict(f"${fault[0]}: {fault[1]}", True) if fault else Verdict("", judge.whole)


class _TooMuch(Exception):
    """The steps are used up."""


class _Judge:
    """One check of one value. `whole` turns false at the first thing that is not judged.

    What is not judged counts as kept. Every keyword that is judged asks for more when its parts ask for more (there is no
    `not`), so a fault is a fault whatever was left out.
    """

    def __init__(self, root: dict[str, Any]) -> None:
        self.whole = True
        self._root = root
        self._steps = 0
        self._targets: dict[str, Any] = {}

    def __repr__(self) -> str:
        return f"<_Judge steps={self._steps} whole={self.whole}>"

    def fault(self, schema: Any, value: Any, depth: int) -> Fault | None:
        """The first fault of a value. Raises _TooMuch."""
        if schema is True:
            return None
        if schema is False:
            return "", "nothing is allowed here"
        if not isinstance(schema, dict) or depth > DEPTH_MAX or ("$id" in schema and schema is not self._root):
            return self._unjudged()  # an `$id` within makes its references lead elsewhere
        self._step(1 + len(schema))
        for name in schema:
            found = self._keyword(name, schema, value, depth)
            if found:
                return found
        return None

    def _keyword(self, name: str, schema: dict[str, Any], value: Any, depth: int) -> Fault | None:
        wanted = schema[name]
        if name in SILENT:
            return None
        if name == "type":
            return self._type(wanted, value)
        if name in ("enum", "const"):
            return self._one_of(wanted if name == "enum" else [wanted], value)
        if name in SIZES:
            return self._size(name, wanted, value)
        if name in BOUNDS:
            return self._bound(name, wanted, value)
        if name == "$ref":
            return self._reference(wanted, value, depth)
        if name in ("anyOf", "oneOf", "allOf") and isinstance(wanted, list):
            return self._all(wanted, value, depth) if name == "allOf" else self._some(name, wanted, value, depth)
        if name in ("properties", "required", "additionalProperties"):
            return self._object(name, schema, value, depth) if isinstance(value, dict) else None
        if name in ("items", "prefixItems"):
            return self._array(name, schema, value, depth) if isinstance(value, list) else None
        return self._unjudged()

    def _step(self, cost: int) -> None:
        self._steps += cost
        if self._steps > STEPS_MAX:
            raise _TooMuch

    def _unjudged(self) -> Fault | None:
        self.whole = False
        return None

    def _type(self, wanted: Any, value: Any) -> Fault | None:
        kinds = _listed(wanted)
        self._step(len(kinds))
        if any(_is(value, kind) for kind in kinds):
            return None
        return "", f"is not of type {' or '.join(map(str, kinds))[:NAME_SHOWN_CHARS]}"

    def _one_of(self, wanted: Any, value: Any) -> Fault | None:
        if not isinstance(wanted, list):
            return self._unjudged()
        self._step(len(wanted))
        if any(_same(value, one) for one in wanted):
            return None
        if isinstance(value, (dict, list)) and any(type(value) is type(one) for one in wanted):
            return self._unjudged()  # the API supports single values only
        return "", "is none of the values that are allowed"

    def _size(self, name: str, wanted: Any, value: Any) -> Fault | None:
        kind, sign = SIZES[name]
        if not _is_number(wanted):
            return self._unjudged()
        if not isinstance(value, (str, list, dict)) or type(value) is not kind or sign * len(value) >= sign * wanted:
            return None
        return "", f"breaks {name} {wanted}"

    def _bound(self, name: str, wanted: Any, value: Any) -> Fault | None:
        if not _is_number(wanted):
            return self._unjudged()
        sign = 1 if name in ("minimum", "exclusiveMinimum") else -1
        if not _is_number(value) or sign * value > sign * wanted or (name in BOUNDS[:2] and value == wanted):
            return None
        return "", f"breaks {name} {wanted}"

    def _reference(self, wanted: Any, value: Any, depth: int) -> Fault | None:
        if not isinstance(wanted, str):
            return self._unjudged()
        if wanted not in self._targets:
            self._step(1 + wanted.count("/"))
            self._targets[wanted] = _target(self._root, wanted)
        return self.fault(self._targets[wanted], value, depth + 1)

    def _all(self, schemas: list[Any], value: Any, depth: int) -> Fault | None:
        return next((found for one in schemas if (found := self.fault(one, value, depth + 1))), None)

    def _some(self, name: str, schemas: list[Any], value: Any, depth: int) -> Fault | None:
        before, self.whole = self.whole, True
        kept = sum(self.fault(one, value, depth + 1) is None for one in schemas)
        sure, self.whole = self.whole, before and self.whole
        if not kept:
            return "", f"keeps to none of {name}"
        if name == "oneOf" and kept > 1 and sure:
            return "", "keeps to more than one of oneOf"
        return None

    def _object(self, name: str, schema: dict[str, Any], value: dict[str, Any], depth: int) -> Fault | None:
        properties = schema.get("properties", {})
        if not isinstance(properties, dict):
            return self._unjudged()
        if name == "required":
            return self._required(schema[name], value)
        if name == "properties":
            self._step(len(properties))
            return self._members(((key, properties[key]) for key in properties if key in value), value, depth)
        if "patternProperties" in schema:  # whatever its patterns match is no additional property
            return self._unjudged()
        self._step(len(value))
        return self._members(((key, schema[name]) for key in value if key not in properties), value, depth)

    def _required(self, names: Any, value: dict[str, Any]) -> Fault | None:
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            return self._unjudged()
        self._step(len(names))
        missing = next((name for name in names if name not in value), None)
        return None if missing is None else ("", f"lacks {missing[:NAME_SHOWN_CHARS]!r}")

    def _array(self, name: str, schema: dict[str, Any], value: list[Any], depth: int) -> Fault | None:
        first = schema.get("prefixItems", [])
        if not isinstance(first, list) or isinstance(schema[name], list) is (name == "items"):
            return self._unjudged()  # a list of `items` is an older draft's
        if name == "prefixItems":
            return self._members(((place, one) for place, one in enumerate(first) if place < len(value)), value, depth)
        return self._members(((place, schema[name]) for place in range(len(first), len(value))), value, depth)

    def _members(self, parts: Iterable[tuple[Any, Any]], value: Any, depth: int) -> Fault | None:
        """Each named part of a value against its schema."""
        for name, schema in parts:
            self._step(1)
            found = self.fault(schema, value[name], depth + 1)
            if found:
                step = f"[{name}]" if isinstance(name, int) else f".{name[:NAME_SHOWN_CHARS]}"
                return step + found[0], found[1]
        return None


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _is(value: Any, kind: Any) -> bool:
    """True if a value is of a JSON Schema type; 3.0 is an integer, true is no number."""
    if not isinstance(kind, str) or not isinstance(value, TYPES.get(kind, ())):
        return False
    if isinstance(value, bool):
        return kind == "boolean"
    return kind != "integer" or not isinstance(value, float) or value.is_integer()


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _same(value: Any, other: Any) -> bool:
    """Equality of single values, as JSON has it: 1 is 1.0, and not true."""
    if isinstance(value, (dict, list)) or isinstance(value, bool) is not isinstance(other, bool):
        return False
    return bool(value == other)


def _target(root: dict[str, Any], reference: str) -> Any:
    """What a JSON pointer of this document leads to; None if that is nothing, or if it is no pointer."""
    found: Any = root
    if reference == "#":
        return root
    if not reference.startswith("#/"):
        return None
    for part in unquote(reference[2:]).split("/"):
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(found, dict):
            found = found.get(name)
        elif isinstance(found, list) and name.isdecimal() and len(name) < 6 and int(name) < len(found):
            found = found[int(name)]
        else:
            return None
    return found
