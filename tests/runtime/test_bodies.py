"""The files in which Claude Code tells what it sends: read once, whole, in order, and gone."""

from __future__ import annotations

import os
import pathlib

import pytest

from relayd.core.actions import BodyFiles
from relayd.runtime.bodies import Bodies, Kind


@pytest.fixture
def place(tmp_path: pathlib.Path) -> pathlib.Path:
    return tmp_path / "bodies"


def reader(place: pathlib.Path) -> Bodies:
    return Bodies(BodyFiles(str(place), ".request.json", ".response.json", 100))


def requests(bodies: Bodies) -> list[bytes]:
    """The requests that have come since."""
    return [body for kind, body in bodies.read() if kind is Kind.REQUEST]


def write(place: pathlib.Path, name: str, data: bytes, at: int) -> None:
    place.mkdir(exist_ok=True)
    (place / name).write_bytes(data)
    os.utime(place / name, ns=(at, at))


def test_a_directory_that_is_not_there_yet_has_nothing(place: pathlib.Path) -> None:
    bodies = reader(place)
    assert requests(bodies) == []
    write(place, "a.request.json", b"{}", 1)
    assert requests(bodies) == [b"{}"]


def test_requests_come_once_in_their_order_and_nothing_stays(place: pathlib.Path) -> None:
    bodies = reader(place)
    write(place, "b.request.json", b'{"n":1}', 1)
    write(place, "a.request.json", b'{"n":2}', 2)
    write(place, "msg_1.response.json", b"{}", 3)
    write(place, "index.jsonl", b"{}\n", 3)
    assert bodies.read() == [(Kind.REQUEST, b'{"n":1}'), (Kind.REQUEST, b'{"n":2}'), (Kind.ANSWER, b"{}")]
    assert list(place.iterdir()) == []
    assert requests(bodies) == []


def test_of_two_within_a_tick_the_shorter_is_the_first(place: pathlib.Path) -> None:
    """An answer without a word was asked for again in the same millisecond, and that counted as a change."""
    bodies = reader(place)
    write(place, "a.request.json", b'{"longer":1}', 1)
    write(place, "b.request.json", b"{}", 1)
    assert requests(bodies) == [b"{}", b'{"longer":1}']


def test_within_a_tick_requests_come_before_answers(place: pathlib.Path) -> None:
    """The API had refused a picture, Claude Code asked again without it, and was answered in the same millisecond: the answer was
    told before its question, and given as the one to the client's.
    """
    bodies = reader(place)
    write(place, "msg_1.response.json", b"{}", 1)
    write(place, "b.request.json", b'{"longer":1}', 1)
    assert [kind for kind, _ in bodies.read()] == [Kind.REQUEST, Kind.ANSWER]


def test_a_file_that_is_not_whole_is_waited_for(place: pathlib.Path) -> None:
    bodies = reader(place)
    write(place, "a.request.json", b"", 1)
    assert requests(bodies) == []
    write(place, "a.request.json", b'{"n":', 1)
    assert requests(bodies) == []
    write(place, "a.request.json", b'{"n":1}', 1)
    assert requests(bodies) == [b'{"n":1}']


def test_a_large_one_is_not_read(place: pathlib.Path) -> None:
    bodies = reader(place)
    write(place, "a.request.json", b'{"n":"' + b"x" * 200 + b'"}', 1)
    assert requests(bodies) == [b""]
    assert list(place.iterdir()) == []


def test_it_tells_itself_in_a_line(place: pathlib.Path) -> None:
    assert repr(reader(place)) == "<Bodies changed=0>"
