"""What is known of models, and their list: pages, ids, aliases, and one shape for two kinds of client."""

from __future__ import annotations

import pathlib
import re
import typing
from datetime import datetime

import anthropic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.anthropic import models
from relayd.anthropic.models import Does
from relayd.errors import ApiError


def test_pages_cover_the_list_once_and_in_order() -> None:
    seen: list[str] = []
    query = "limit=5"
    while True:
        page = models.page(query)
        seen += [m["id"] for m in page["data"]]
        if not page["has_more"]:
            break
        query = f"limit=5&after_id={page['last_id']}"
    assert seen == [m["id"] for m in models.page("limit=1000")["data"]] == [m.id for m in models.LISTED]
    before = models.page(f"limit=2&before_id={seen[5]}")
    assert [m["id"] for m in before["data"]] == seen[3:5]
    assert before["has_more"]


def test_an_empty_page_names_nothing() -> None:
    page = models.page(f"after_id={models.LISTED[-1].id}")
    assert (page["data"], page["first_id"], page["last_id"], page["has_more"]) == ([], None, None, False)


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=x", "limit=-1", "after_id=nope"])
def test_wrong_queries_are_400(query: str) -> None:
    with pytest.raises(ApiError) as caught:
        models.page(query)
    assert caught.value.status == 400


def test_aliases_and_unknown_models() -> None:
    assert models.model("claude-haiku-4-5")["id"] == "claude-haiku-4-5-20251001"
    assert models.model("sonnet")["id"] == "claude-sonnet-5-5"
    with pytest.raises(ApiError, match="model: gpt-17") as caught:
        models.model("gpt-17")
    assert caught.value.status == 404


def test_a_name_of_any_length_is_not_kept() -> None:
    """What is known of a name is remembered for 256 names, and a name could be as long as a body: 8 GB."""
    models._facts.cache_clear()
    for number in range(3):
        assert models.facts("x" * 100_000 + str(number)) == models.UNKNOWN
    assert models._facts.cache_info().currsize == 1


def test_the_list_can_be_narrowed_to_a_stage_of_life() -> None:
    """As the API: active and deprecated ones unless stages are named. Sonnet 4.5 was listed as active up to its last day."""
    everything = [m["id"] for m in models.page("limit=1000")["data"]]
    active = models.page("limit=1000&lifecycle[]=active")["data"]
    deprecated = models.page("lifecycle[]=deprecated")["data"]
    assert [m["id"] for m in deprecated] == ["claude-sonnet-4-5-20250929"]
    assert deprecated[0]["retires_at"] == "2026-11-30T00:00:00Z"
    assert {m["id"] for m in active + deprecated} == set(everything)
    assert models.page("lifecycle[]=retired")["data"] == []
    with pytest.raises(ApiError, match="lifecycle.0"):
        models.page("lifecycle[]=young")


def test_what_the_sdk_knows_is_listed() -> None:
    """The ids that the SDK spells out, but the preview that ended in June 2026."""
    spelled = set(typing.get_args(typing.get_args(anthropic.types.Model)[0])) - {"claude-mythos-preview"}
    assert {name for name in spelled if models.known(name) is None} == set()
    assert {m.id for m in models.LISTED} <= spelled


# What the API's documentation says, and what was seen of it, by what a client would write.
DOCUMENTED = [
    # name, window, output, thinks unasked, shows its thinking, takes the role system, effort
    ("claude-fable-5-2", 1_000_000, 128_000, True, False, True, "high"),
    ("claude-opus-5-5", 1_000_000, 128_000, True, False, True, "medium"),
    ("claude-sonnet-5-5", 1_000_000, 128_000, True, False, True, "high"),
    ("claude-haiku-5-5", 1_000_000, 128_000, True, False, True, "medium"),
    ("claude-mythos-5", 1_000_000, 128_000, True, False, True, "high"),
    ("claude-opus-5", 1_000_000, 128_000, True, False, True, "high"),
    ("claude-sonnet-5", 1_000_000, 128_000, True, False, False, "high"),
    ("claude-opus-4-8", 1_000_000, 128_000, False, False, True, "high"),
    ("claude-opus-4-7", 1_000_000, 128_000, False, False, False, "high"),
    ("claude-opus-4-6", 200_000, 128_000, False, True, False, "high"),
    ("claude-haiku-4-5-20251001", 200_000, 64_000, False, True, False, ""),
    ("claude-haiku-4-5", 200_000, 64_000, False, True, False, ""),
    ("claude-opus-4-20250514", 200_000, 32_000, False, True, False, ""),
]


@pytest.mark.parametrize(("name", "window", "output", "thinks", "shows", "system", "effort"), DOCUMENTED, ids=lambda v: str(v))
def test_the_table_says_what_the_documentation_says(
    name: str, window: int, output: int, thinks: bool, shows: bool, system: bool, effort: str
) -> None:
    found = models.facts(name)
    assert (found.window, found.output, found.effort) == (window, output, effort)
    assert (Does.THINK in found.does, Does.SHOW in found.does, Does.SYSTEM in found.does) == (thinks, shows, system)


def test_the_table_keeps_the_rules_that_the_documentation_states_in_general() -> None:
    for model in models.MODELS:
        assert (Does.SHOW in model.does) == (model.version < (4, 7)), "summaries up to 4.6"
        assert (Does.THINK in model.does) == (model.version >= (5,)), "from 5 on unasked"
        assert model.window >= model.output
        assert bool(model.effort) == bool(model.own_effort)
        assert datetime.fromisoformat(model.created).tzinfo


@pytest.mark.parametrize(
    ("name", "like"),
    [
        ("opus", "claude-opus-5-5"),
        ("best", "claude-opus-5-5"),
        ("haiku", "claude-haiku-5-5"),
        ("claude-sonnet-4-6[1m]", "claude-sonnet-4-6"),
        ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", "claude-sonnet-4-5-20250929"),
        ("claude-haiku-4-5@20251001", "claude-haiku-4-5-20251001"),
        ("claude-opus-4-0", "claude-opus-4-20250514"),
        ("claude-opus-4-9", "claude-opus-4-8"),
        ("claude-opus-5-7", "claude-opus-5-5"),
        ("claude-opus-6", "claude-opus-5-5"),
        ("claude-haiku-5", "claude-haiku-5-5"),
        ("claude-3-5-haiku-20241022", models.OLDEST.id),
        ("claude-sonnet-3", models.OLDEST.id),
        ("gpt-17", models.UNKNOWN.id),
        ("", models.UNKNOWN.id),
    ],
)
def test_a_name_that_is_not_in_the_table_is_taken_for_the_nearest(name: str, like: str) -> None:
    assert models.facts(name).id == like


def test_the_effort_of_a_model_that_is_not_known_is_left_to_the_api() -> None:
    assert models.facts("claude-sonnet-6").effort == models.facts("claude-sonnet-6").own_effort == ""


@given(st.text() | st.from_regex(models.LINE_AND_VERSION))
def test_any_name_has_facts(name: str) -> None:
    assert models.facts(name).window > 0


def test_models_are_told_apart_in_one_place() -> None:
    """Eleven regular expressions in two files said which model does what, and disagreed about two."""
    root = pathlib.Path(__file__).parents[2] / "relayd"
    told = re.compile(r"(opus|sonnet|haiku|fable|mythos)\|")
    assert [p.name for p in root.rglob("*.py") if told.search(p.read_text())] == ["models.py"]


def test_the_sdks_own_types_take_it() -> None:
    for entry in models.page("limit=1000")["data"]:
        found = anthropic.types.ModelInfo.model_validate(entry, strict=False)
        assert found.id == entry["id"]
        assert entry["object"] == "model"
