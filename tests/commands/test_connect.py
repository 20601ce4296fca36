"""`relayd connect`: what it writes, what it leaves alone, and that everything comes back."""

from __future__ import annotations

import json
import os
import pathlib
import random
import tomllib
from typing import Any

import pytest

from relayd.commands import client_files
from relayd.commands.clients import CLIENTS, OWN, Client, Endpoint, Entry, Lines, Whole, find
from relayd.errors import StartError
from tests.commands.test_commands import relayd

AT = Endpoint("http://127.0.0.1:7421", "key-of-relayd", "claude-sonnet-5")
CHANGED = [client for client in CLIENTS if client.changes]
NAMES = [client.name for client in CHANGED]


def tree(root: pathlib.Path) -> dict[str, tuple[bytes, int]]:
    """Every file below, with its mode."""
    return {str(p.relative_to(root)): (p.read_bytes(), p.stat().st_mode) for p in root.rglob("*") if p.is_file()}


@pytest.mark.parametrize("client", CHANGED, ids=NAMES)
def test_a_client_is_set_up_and_everything_comes_back(client: Client, tmp_path: pathlib.Path) -> None:
    (tmp_path / ".config").mkdir()
    first = relayd(tmp_path, "connect", client.name)
    assert first.returncode == 0, first.stderr
    written = tree(tmp_path)
    assert written
    assert all(mode & 0o077 == 0 for _, mode in written.values()), "a key may be in it"
    assert any(b"127.0.0.1:7421" in data for data, _ in written.values())
    assert relayd(tmp_path, "connect", client.name).returncode == 0
    assert tree(tmp_path) == written, "twice is as once"
    done = relayd(tmp_path, "connect", client.name, "--undo")
    assert (done.returncode, tree(tmp_path)) == (0, {}), done.stderr
    again = relayd(tmp_path, "connect", client.name, "--undo")
    assert (again.returncode, "was not connected" in again.stdout) == (0, True)


@pytest.mark.parametrize("client", CLIENTS, ids=[client.name for client in CLIENTS])
def test_to_print_writes_nothing_and_shows_every_file(client: Client, tmp_path: pathlib.Path) -> None:
    done = relayd(tmp_path, "connect", client.name, "--print")
    assert (done.returncode, tree(tmp_path)) == (0, {})
    for change in client.changes:
        assert change.path.rpartition("/")[2] in done.stdout
    assert "{" not in (client.use and done.stdout.partition("use: ")[2].partition("\n")[0])
    assert ("was not run" in done.stdout) == (not client.run)


def test_the_list_names_all_and_a_wrong_name_is_told_so(tmp_path: pathlib.Path) -> None:
    listed = relayd(tmp_path, "connect").stdout
    assert all(client.name in listed for client in CLIENTS)
    assert relayd(tmp_path, "connect", "emacs").returncode == 100
    assert find("Claude Code") is find("claude_code") is CLIENTS[0]


def test_a_client_gets_a_key_of_its_own_where_keys_are_asked_for(tmp_path: pathlib.Path) -> None:
    """The plain token was what every program got: none could be shut out alone."""
    token = relayd(tmp_path, "token", "new").stdout.strip()
    done = relayd(tmp_path, "connect", "codex")
    key = tomllib.loads((tmp_path / ".codex/relayd.config.toml").read_text())["model_providers"][OWN]["experimental_bearer_token"]
    assert key not in done.stdout + token
    listed = json.loads(relayd(tmp_path, "token", "list", "--json").stdout)
    assert [each["name"] for each in listed] == ["codex"]
    assert key not in relayd(tmp_path, "connect", "codex", "--print").stdout
    assert relayd(tmp_path, "connect", "codex", "--undo").returncode == 0
    assert json.loads(relayd(tmp_path, "token", "list", "--json").stdout) == []
    shown = relayd(tmp_path, "connect", "goose").stdout
    assert "RELAYD_KEY=relayd-" in shown, "no file of its can hold it"


# One file

ENTRY = Entry("", ("provider", OWN), lambda at: {"url": at.url})
LINES = Lines("", lambda at: f"- {at.model}\n")
WHOLE = Whole("", lambda at: f"url: {at.url}\n")
MINE = {"provider": {"mine": {"key": "sk-mine"}}, "theme": "dark", "é": "ü"}


def test_entries_of_the_user_stay_as_they_are_in_order_and_mode(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(MINE))
    path.chmod(0o644)
    client_files.apply(ENTRY, str(path), AT)
    now = json.loads(path.read_text())
    assert now == MINE | {"provider": MINE["provider"] | {OWN: {"url": AT.url}}}  # type: ignore[operator]
    assert list(now) == list(MINE)
    assert path.stat().st_mode & 0o777 == 0o644
    backup = pathlib.Path(f"{path}{client_files.BACKUP}")
    assert json.loads(backup.read_text()) == MINE
    assert backup.stat().st_mode & 0o777 == 0o600
    now["theme"] = "light"  # the user goes on
    path.write_text(json.dumps(now))
    assert client_files.undo(ENTRY, str(path))
    assert json.loads(path.read_text()) == MINE | {"theme": "light"}
    assert not backup.exists()


def test_an_entry_of_the_users_by_our_name_comes_back(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "config.json"
    path.write_text('{"provider": {"relayd": "mine", "other": 1}}')
    first = Entry("", ("provider", "other"), lambda at: at.url)
    client_files.apply(first, str(path), AT)
    client_files.undo(first, str(path))
    assert json.loads(path.read_text()) == {"provider": {"relayd": "mine", "other": 1}}


@pytest.mark.parametrize("text", ['{"a": 1, // mine\n}', "[1]", '{"provider": "mine"}', "{" * 5000, '"text"'])
def test_what_cannot_be_changed_safely_stays_as_it_is(text: str, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(StartError, match="stays as it is"):
        client_files.apply(ENTRY, str(path), AT)
    assert tree(tmp_path) == {"config.json": (text.encode(), path.stat().st_mode)}


def test_a_link_stays_a_link(tmp_path: pathlib.Path) -> None:
    """Configurations are often links into a repository: the link was replaced by a file."""
    target, link = tmp_path / "kept.json", tmp_path / "config.json"
    target.write_text("{}")
    link.symlink_to(target)
    client_files.apply(ENTRY, str(link), AT)
    assert link.is_symlink()
    assert OWN in target.read_text()
    client_files.undo(ENTRY, str(link))
    assert (link.is_symlink(), target.read_text()) == (True, "{}\n")


@pytest.mark.parametrize("change", [ENTRY, LINES, WHOLE], ids=["entry", "lines", "whole"])
def test_any_file_comes_back(change: Any, tmp_path: pathlib.Path) -> None:
    """Generated: files with other content, connected once or several times, then undone."""
    chance = random.Random(7)
    for number in range(60):
        path = tmp_path / str(number)
        value = {f"k{n}": chance.choice([1, "x", None, {"a": [1]}, {OWN: 1}]) for n in range(chance.randint(0, 4))}
        before = json.dumps(value, indent=2) + "\n" if change is ENTRY else "- mine\n" * chance.randint(0, 3)
        if chance.random() < 0.7:
            path.write_text(before)
        else:
            before = ""
        for n in range(chance.randint(1, 3)):
            client_files.apply(change, str(path), Endpoint(AT.url, f"key{n}", AT.model))
        assert client_files.undo(change, str(path))
        after = path.read_text() if path.exists() else ""
        assert after == before or (change is ENTRY and json.loads(after or "{}") == json.loads(before or "{}"))
        assert not os.path.exists(f"{path}{client_files.BACKUP}")


def test_a_failure_half_way_leaves_nothing_behind(tmp_path: pathlib.Path) -> None:
    """llm has two files: a first one with a model whose key is nowhere would be worse than nothing."""
    directory = tmp_path / ".config/io.datasette.llm"
    directory.mkdir(parents=True)
    (directory / "keys.json").write_text("{nonsense")
    relayd(tmp_path, "token", "new")
    before = tree(tmp_path)
    done = relayd(tmp_path, "connect", "llm")
    assert (done.returncode, "stays as it is" in done.stderr) == (111, True)
    after = tree(tmp_path)
    assert after.pop(".config/relayd/keys.json")[0] == b'{"keys":[]}\n'
    assert after == before
