"""The models list: pages, ids, aliases, and one shape for two kinds of client."""

from __future__ import annotations

import anthropic
import pytest

from relayd.anthropic import models
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
    assert seen == [m["id"] for m in models.page("limit=1000")["data"]] == [e[0] for e in models.KNOWN]
    before = models.page(f"limit=2&before_id={seen[5]}")
    assert [m["id"] for m in before["data"]] == seen[3:5]
    assert before["has_more"]


def test_an_empty_page_names_nothing() -> None:
    page = models.page(f"after_id={models.KNOWN[-1][0]}")
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


def test_the_sdks_own_types_take_it() -> None:
    for entry in models.page("limit=1000")["data"]:
        found = anthropic.types.ModelInfo.model_validate(entry, strict=False)
        assert found.id == entry["id"]
        assert entry["object"] == "model"
