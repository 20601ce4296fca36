"""Schemas and answers: nothing is fetched, nothing takes long, and what is judged is judged as JSON Schema has it."""

from __future__ import annotations

import contextlib
import json
import sys
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.anthropic import structured
from relayd.anthropic.structured import Verdict
from relayd.errors import ApiError
from tests.core.test_edge import post, refusal, told
from tests.shapes import ASK

WORDS = [*structured.ONE, *structured.SOME, *structured.NAMED, *structured.REFERENCES, *structured.SILENT, *structured.SIZES]
WORDS += [*structured.BOUNDS, "type", "enum", "const", "required", "pattern", "$id", "a"]
HALF = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"], "additionalProperties": False}


def asked(schema: Any) -> dict[str, Any]:
    return ASK | {"output_config": {"format": {"type": "json_schema", "schema": schema}}}


def answered(schema: Any, *answers: str) -> tuple[int, str]:
    """The status of a call that is answered so, once for each attempt, and how its schema was kept."""
    world, client = post(json.dumps(asked(schema)).encode(), answer_retries=len(answers) - 1)
    for text in answers:
        world.boot()
        world.finish(world.slot_of(client), text)
    answer = told(world, client)
    assert answer is not None
    return answer[0], answer[2]["x-relayd-output-format"]


@pytest.mark.parametrize(
    "reference", ["http://127.0.0.1:1/internal", "file:///etc/passwd", "other.json", "//host/x", "", 5, None]
)
@pytest.mark.parametrize("name", ["$ref", "$dynamicRef"])
@pytest.mark.parametrize("place", ["{}", '{"properties":{"a":{}}}', '{"$defs":{"x":{"not":{}}}}', '{"items":[{"if":{}}]}'])
def test_a_reference_to_another_document_is_refused(place: str, name: str, reference: Any) -> None:
    """`$ref` was fetched by the loop, without a limit of time: any client could read a local file, or make the daemon ask a
    server of its choice, and everybody waited for that.
    """
    schema = json.loads(place.replace("{}", json.dumps({name: reference})))
    status, message = refusal(asked(schema))
    assert status == 400
    assert f"{name}: references to other documents are not supported" in message


def test_a_pattern_is_left_to_the_api() -> None:
    """`^(a+)+$` on 24 letters held the loop for 1.2 s, twice as long with each further letter. And patterns are ECMA's."""
    assert answered({"type": "string", "pattern": "^(a+)+$"}, json.dumps("a" * 18 + "!")) == (200, "native, not validated")
    assert answered({"type": "object", "patternProperties": {"^(a+)+$": False}}, json.dumps({"a" * 18 + "!": 1}))[0] == 200


def test_a_schema_of_many_parts_is_refused() -> None:
    """A schema of 96 KB was compared with the schema of schemas for 1.4 s, and all streams stood still."""
    assert refusal(asked({"properties": {f"p{n}": {"type": "string"} for n in range(1000)}}))[1] == structured.TOO_COMPLEX
    deep: dict[str, Any] = {"type": "string"}
    for _ in range(49):
        deep = {"items": deep}
    assert refusal(asked(deep))[1] == structured.TOO_COMPLEX
    assert refusal(asked({"description": "d" * 100_000}))[1] == structured.TOO_COMPLEX


def test_300_schemas_within_one_another_are_a_400() -> None:
    """They were a RecursionError, so a 500 with a traceback in the log."""
    body = json.dumps(asked("HERE")).replace('"HERE"', '{"not":' * 198 + "{}" + "}" * 198)
    assert refusal(body.encode()) == (400, "body: nested too deeply: at most 200 levels")
    body = json.dumps(asked("HERE")).replace('"HERE"', '{"not":' * 150 + "{}" + "}" * 150)
    assert refusal(body.encode()) == (400, structured.TOO_COMPLEX)


def doubling(levels: int) -> dict[str, Any]:
    """A small schema that takes 2 ** levels looks."""
    defs: dict[str, Any] = {f"d{n}": {"anyOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(levels)}
    return {"$ref": "#/$defs/d0", "$defs": defs | {f"d{levels}": {"type": "string"}}}


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (doubling(40), 5),
        (doubling(20) | {"items": doubling(20)}, [5] * 1000),
        ({"anyOf": [{"$ref": "#"}] * 3}, 5),
        ({"$ref": "#"}, 5),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}, 5),
        ({"items": {"enum": [f"x{n}" for n in range(5000)]}}, ["x1"] * 5000),
        ({"items": {"required": [f"x{n}" for n in range(50)]}}, [{f"x{n}": 1 for n in range(50)}] * 200),
        ({"items": {"type": ["null"] * 500 + ["integer"]}}, [1] * 500),
        ({"additionalProperties": {"type": "integer"}}, {str(n): n for n in range(10_000)}),
        ({"type": "array", "items": {"type": "integer"}}, [1] * 10_000),
        ({"allOf": [{"$ref": "#/" + "a/" * 2000 + str(n)} for n in range(8)]}, 5),
        ({"type": "string"}, "x" * 300_000),
    ],
    ids=lambda value: json.dumps(value)[:40],
)
def test_no_schema_takes_more_than_its_steps(schema: dict[str, Any], value: Any) -> None:
    """Two to the fortieth looks in a kilobyte of schema: the work is counted, and given up."""
    structured.check(schema, "schema")
    lines = 0

    def count(frame: Any, event: str, argument: Any) -> Any:
        nonlocal lines
        lines += 1
        return count

    traced = sys.gettrace()
    sys.settrace(count)
    try:
        verdict = structured.verdict(schema, json.dumps(value))
    finally:
        sys.settrace(traced)
    assert verdict == Verdict(whole=False)
    assert lines < 30 * structured.STEPS_MAX


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "objekt"},
        {"type": 5},
        {"type": []},
        {"type": ["string", []]},
        {"properties": []},
        {"properties": {"a": 5}},
        {"anyOf": {}},
        {"items": 5},
        {"enum": {}},
        {"required": "a"},
        {"required": [5]},
        {"$defs": {"a": "x"}},
        {"items": [{"not": []}]},
    ],
)
def test_a_schema_that_is_none_is_refused(schema: Any) -> None:
    assert refusal(asked(schema))[0] == 400


def test_an_answer_is_judged_before_anybody_sees_it() -> None:
    assert answered(HALF, '{"n": 1}') == (200, "native, validated")
    assert answered(HALF, '{"n": "x"}', '{"n": 1}') == (200, "instructed, validated")
    assert answered(HALF, '{"n": 1, "m": 2}') == (500, "native, validated")
    assert answered(HALF | {"not": {"required": ["m"]}}, '{"n": 1}') == (200, "native, not validated")
    assert answered(HALF | {"not": {"required": ["m"]}}, '{"n": "x"}')[0] == 500


@pytest.mark.parametrize(
    ("schema", "text", "problem"),
    [
        (HALF, "{", "not JSON: "),
        (HALF, "[]", "$: is not of type object"),
        (HALF, "{}", "$: lacks 'n'"),
        (HALF, '{"n": 1.5}', "$.n: is not of type integer"),
        (HALF, '{"n": 1, "secret word": 2}', "$.secret word: nothing is allowed here"),
        ({"items": {"enum": ["a", 1]}}, '["a", true]', "$[1]: is none of the values that are allowed"),
        ({"oneOf": [{"type": "number"}, {"type": "integer"}]}, "1", "$: keeps to more than one of oneOf"),
        ({"anyOf": [{"type": "null"}, {"minimum": 3}]}, "2", "$: keeps to none of anyOf"),
        ({"maxLength": 2}, '"abc"', "$: breaks maxLength 2"),
        ({"$ref": "#/$defs/a~1b/0", "$defs": {"a/b": {"0": False}}}, "1", "$: nothing is allowed here"),
        ({"$ref": "#/anyOf/1", "anyOf": [{}, {"type": "null"}]}, "1", "$: is not of type null"),
        (
            {"type": "object", "properties": {"next": {"$ref": "#"}}},
            '{"next": {"next": 5}}',
            "$.next.next: is not of type object",
        ),
        ({"items": {"$ref": "#/$defs/n"}, "$defs": {"n": {"type": "integer"}}}, '[1, "x"]', "$[1]: is not of type integer"),
        ({"type": ["integer", "number"]}, "true", "$: is not of type integer or number"),
        ({"additionalProperties": False, "properties": {"a": {}}}, '{"b": 1}', "$.b: nothing is allowed here"),
        ({"const": 5}, "[5]", "$: is none of the values that are allowed"),
    ],
)
def test_a_fault_is_named_by_its_place(schema: dict[str, Any], text: str, problem: str) -> None:
    assert structured.verdict(schema, text).problem.startswith(problem)


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        ({"enum": [{"a": 1}]}, '{"a": 1}'),
        ({"patternProperties": {"^a": {}}, "additionalProperties": False}, '{"ab": 1}'),
        ({"properties": {"a": {"$id": "elsewhere", "type": "string"}}}, '{"a": 1}'),
        ({"$ref": "#anchor"}, "1"),
        ({"$ref": "#/anyOf/9", "anyOf": [{}]}, "1"),
        ({"$ref": "#/title/0", "title": "x"}, "1"),
        ({"type": "string"}, json.dumps("a" * structured.ANSWER_MAX_CHARS)),
        ({"allOf": [{"enum": [0] * 5000}] * 60}, "0"),
    ],
)
def test_what_is_not_judged_is_said_not_to_be(schema: dict[str, Any], text: str) -> None:
    """Else a client would take an answer for validated that nobody has looked at."""
    assert structured.verdict(schema, text) == Verdict(whole=False)


@pytest.mark.parametrize(
    ("no_schema", "value"),
    [
        ({"enum": 5}, 1),
        ({"maxLength": "x"}, "ab"),
        ({"minimum": "x"}, 1),
        ({"$ref": 5}, 1),
        ({"properties": []}, {"a": 1}),
        ({"required": 5}, {"a": 1}),
        ({"items": [{"type": "string"}]}, [1]),
        ({"prefixItems": 5}, [1]),
        ({"anyOf": 5}, 1),
        (5, 1),
    ],
)
def test_a_reference_may_lead_to_what_is_no_schema(no_schema: Any, value: Any) -> None:
    """`check` looks at schemas only; a reference can point at any value of the document, a `default` for one."""
    schema = {"$ref": "#/default", "default": no_schema}
    structured.check(schema, "schema")
    assert structured.verdict(schema, json.dumps(value)) == Verdict(whole=False)


SCALARS = st.sampled_from([None, True, False, 0, 1, 1.0, -1, 2.5, 10**12, "", "a", "ab", "x"])
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "c", "d"]), inner, max_size=3),
    max_leaves=8,
)
KINDS = st.sampled_from(sorted(structured.TYPES))
LEAVES: list[st.SearchStrategy[dict[str, Any]]] = [
    st.builds(lambda kind: {"type": kind}, KINDS | st.lists(KINDS, min_size=1, max_size=3, unique=True)),
    st.builds(lambda values: {"enum": values}, st.lists(VALUES, min_size=1, max_size=3)),
    st.builds(lambda value: {"const": value}, VALUES),
    st.builds(lambda name, n: {name: n}, st.sampled_from([*structured.SIZES]), st.integers(0, 3)),
    st.builds(lambda name, n: {name: n}, st.sampled_from(structured.BOUNDS), st.sampled_from([0, 1, 2.5, -1])),
    st.builds(lambda name: {"$ref": name}, st.sampled_from(["#/$defs/x", "#/$defs/y"])),
    st.builds(lambda names: {"required": names}, st.lists(st.sampled_from("abcd"), max_size=2, unique=True)),
    st.just({"title": "t", "description": "d", "format": "email", "default": 5}),
    st.sampled_from([{"pattern": "^a"}, {"uniqueItems": True}, {"not": {"type": "null"}}, {"multipleOf": 2}]),
]


def composed(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    named = st.dictionaries(st.sampled_from("abcd"), inner, max_size=3)
    some = st.lists(inner, min_size=1, max_size=3)
    return st.one_of(
        st.builds(lambda name, schemas: {name: schemas}, st.sampled_from(["anyOf", "allOf", "oneOf"]), some),
        st.builds(lambda properties, more: {"properties": properties, "additionalProperties": more}, named, inner),
        st.builds(lambda first, rest: {"prefixItems": first, "items": rest}, some, inner),
        st.builds(lambda rest: {"items": rest}, inner),
        st.builds(lambda one, other: one | other if isinstance(one, dict) and isinstance(other, dict) else one, inner, inner),
    )


SCHEMAS = st.recursive(st.one_of(*LEAVES) | st.booleans(), composed, max_leaves=6)


@given(SCHEMAS, SCHEMAS, SCHEMAS, VALUES)
def test_what_is_judged_is_judged_as_jsonschema_does(schema: Any, x: Any, y: Any, value: Any) -> None:
    """A fault is always one, and an answer is called validated only if it is valid."""
    root = {"$defs": {"x": x, "y": y}, "allOf": [schema]}
    structured.check(root, "schema")
    verdict = structured.verdict(root, json.dumps(value))
    try:
        valid = jsonschema.Draft202012Validator(root).is_valid(value)
    except RecursionError:  # a reference in a circle: nobody can say
        assert not verdict.whole or verdict.problem
        return
    if verdict.problem:
        assert not valid
    elif verdict.whole:
        assert valid


@given(st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=5)), VALUES)
def test_any_json_is_a_schema_or_an_api_error(schema: Any, value: Any) -> None:
    root = schema if isinstance(schema, dict) else {"allOf": [schema]}
    with contextlib.suppress(ApiError):
        structured.check(root, "schema")
        structured.verdict(root, json.dumps(value))
