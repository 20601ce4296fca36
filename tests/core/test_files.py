"""Uploaded files: whose they are, how they are listed, how long they stay, and how their bytes come into a request."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any

import pytest

from relayd.core import actions as do
from relayd.core import events as ev
from relayd.core.files.record import read_head
from relayd.core.stored_at_start import StoredAtStart
from relayd.core.timers import RelayDue, RelayTimer
from relayd.http.keys import Keys, NamedKey, digest_of
from relayd.http.messages import HttpRequest
from tests.core.test_pool_and_relay import HEADERS, NEAR, World
from tests.disk import Disk

FORM = {"content-type": "multipart/form-data; boundary=b"}
PNG = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==")
NAMED = (NamedKey("one", digest_of("k1")), NamedKey("two", digest_of("k2")))


def form(data: bytes, name: str = "a.png", kind: str = "image/png", **fields: str) -> bytes:
    parts = [f'--b\r\nContent-Disposition: form-data; name="{n}"\r\n\r\n{v}\r\n'.encode() for n, v in fields.items()]
    head = f'--b\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\nContent-Type: {kind}\r\n\r\n'
    return b"".join(parts) + head.encode() + data + b"\r\n--b--\r\n"


class Stores(World):
    """A world with a disk, whose facts come back at once unless they are held back."""

    def __init__(self, disk: Disk | None = None, **flags: Any) -> None:
        self.disk = disk or Disk()
        self.held: list[Any] | None = None
        self.sent: list[do.SendFile] = []
        super().__init__(**({"near": replace(NEAR, keys=Keys("", NAMED))} | flags))

    def take(self, orders: list[do.Action]) -> list[do.Action]:
        self.orders += orders
        for order in orders:
            if isinstance(order, do.SendFile):
                self.sent.append(order)
            fact = self.disk.perform(order)
            if fact is not None and self.held is not None:
                self.held.append(fact)
            elif fact is not None:
                self.tell(fact)
        return orders

    def release(self) -> None:
        """What was held back comes."""
        held, self.held = self.held or [], None
        for fact in held:
            self.tell(fact)

    def send(self, method: str, path: str, body: Any = b"", key: str = "", **headers: str) -> int:
        self.clients += 1
        path, _, query = path.partition("?")
        fields = HEADERS | ({"x-api-key": key} if key else {}) | {k.replace("_", "-"): v for k, v in headers.items()}
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        client = self.clients
        self.tell(ev.RequestArrived(client, HttpRequest(method, path, query, fields, data)))
        return client

    def value(self, method: str, path: str, body: Any = b"", key: str = "", **headers: str) -> Any:
        status, value = self.answer(self.send(method, path, body, key, **headers))
        assert status == 200, value
        return value

    def error(self, method: str, path: str, body: Any = b"", key: str = "", **headers: str) -> tuple[int, str]:
        status, value = self.answer(self.send(method, path, body, key, **headers))
        assert value["type"] == "error"
        return status, value["error"]["message"]

    def upload(self, data: bytes = PNG, name: str = "a.png", kind: str = "image/png", key: str = "", **fields: str) -> Any:
        return self.value("POST", "/v1/files", form(data, name, kind, **fields), key, **FORM)

    def look(self, seconds: float) -> None:
        self.now += seconds
        self.tell(ev.TimerFired(RelayTimer(RelayDue.STORED)))

    def sent_text(self) -> str:
        """The last transcript that was handed over."""
        return [o for o in self.orders if isinstance(o, do.HandOver)][-1].transcript.decode()


def picture(file: str, kind: str = "image") -> list[dict[str, Any]]:
    source = {"type": kind, "source": {"type": "file", "file_id": file}}
    return [{"role": "user", "content": [source, {"type": "text", "text": "hi"}]}]


def test_an_upload_is_answered_when_it_is_on_disk() -> None:
    world = Stores()
    world.held = []
    client = world.send("POST", "/v1/files", form(PNG), **FORM)
    assert not [o for o in world.orders if isinstance(o, do.Respond)]
    assert world.value("GET", "/v1/files")["data"] == []
    world.release()
    status, value = world.answer(client)
    assert status == 200
    assert value == world.value("GET", f"/v1/files/{value['id']}")
    assert (value["type"], value["filename"], value["mime_type"]) == ("file", "a.png", "image/png")
    assert (value["size_bytes"], value["downloadable"]) == (len(PNG), False)
    (path,) = world.disk.files
    assert path == f"files/{value['id']}"
    assert world.disk.files[path].endswith(b"\n" + PNG)


def test_a_full_disk_is_an_error_and_leaves_nothing() -> None:
    world = Stores(files_max=1)
    world.disk.is_full = True
    assert world.error("POST", "/v1/files", form(PNG), **FORM) == (500, "the file could not be stored: No space left on device")
    world.disk.is_full = False
    world.upload()


def test_each_key_sees_its_own_files() -> None:
    world = Stores()
    files = {key: world.upload(key=key)["id"] for key in ("k1", "k2", "")}
    for key, file in files.items():
        assert [f["id"] for f in world.value("GET", "/v1/files", key=key)["data"]] == [file]
        for other in set(files.values()) - {file}:
            for method, tail in (("GET", ""), ("DELETE", ""), ("GET", "/content")):
                assert world.error(method, f"/v1/files/{other}{tail}", key=key) == (404, f"File `{other}` not found.")
    world.boot()
    client = world.send("POST", "/v1/messages", body(picture(files["k1"])), key="k2")
    assert world.answer(client)[0] == 404


def body(messages: list[Any], **fields: Any) -> dict[str, Any]:
    return {"model": "claude-sonnet-5", "max_tokens": 1024, "messages": messages, **fields}


def test_lists_turn_their_pages_in_both_ways_also_while_files_are_deleted() -> None:
    world = Stores()
    ids = []
    for _ in range(5):
        world.now += 1
        ids.append(world.upload()["id"])
    newest = ids[::-1]
    seen, page = [], "/v1/files?limit=2"
    while True:
        found = world.value("GET", page)
        seen += [f["id"] for f in found["data"]]
        if not found["next_page"]:
            break
        page = f"/v1/files?limit=2&page={found['next_page']}"
    assert seen == newest
    old = {"anthropic_beta": "files-api-2025-04-14"}
    found = world.value("GET", "/v1/files?limit=2", **old)
    assert ([f["id"] for f in found["data"]], found["has_more"], found["last_id"]) == (newest[:2], True, newest[1])
    world.value("DELETE", f"/v1/files/{newest[1]}")
    found = world.value("GET", f"/v1/files?limit=2&after_id={newest[1]}", **old)
    assert ([f["id"] for f in found["data"]], found["has_more"]) == (newest[2:4], True)
    found = world.value("GET", f"/v1/files?limit=2&before_id={newest[3]}", **old)
    assert ([f["id"] for f in found["data"]], found["has_more"]) == ([newest[0], newest[2]], False)
    some = world.value("GET", f"/v1/files?ids[]={ids[0]}&ids[]={ids[4]}&ids[]=file_none")
    assert [f["id"] for f in some["data"]] == [ids[4], ids[0]]
    for query in ("limit=0", "limit=1001", "limit=x", "page=x", f"ids[]={ids[0]}&limit=2", "&".join(["a=b"] * 400)):
        assert world.error("GET", f"/v1/files?{query}")[0] == 400
    assert world.error("GET", "/v1/files?" + "&".join(f"ids[]={n}" for n in range(101)))[0] == 400


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"--b--", "file: Field required"),
        (form(PNG, expires_in_seconds="x"), "expires_in_seconds: Input should be a valid integer"),
        (form(PNG, expires_in_seconds="60"), "expires_in_seconds: Input should be from 3600 to 7776000"),
        (form(PNG).removesuffix(b"--b--\r\n") + form(PNG), "file: only one file can be uploaded at a time"),
    ],
)
def test_a_wrong_form_is_named(data: bytes, message: str) -> None:
    assert Stores().error("POST", "/v1/files", data, **FORM) == (400, message)


@pytest.mark.parametrize(
    ("name", "kind", "wanted"),
    [
        ("C:\\\\me\\\\a.pdf", "application/octet-stream", ("a.pdf", "application/pdf")),
        ("../../x.txt", "", ("x.txt", "text/plain")),
        ("", "image/webp", ("unnamed.webp", "image/webp")),
        ("", "odd", ("unnamed", "application/octet-stream")),
        ("a\x07b", "text/plain; charset=utf-8", ("ab", "text/plain")),
        ("x" * 300, "text/plain", ("x" * 255, "text/plain")),
    ],
)
def test_names_and_types(name: str, kind: str, wanted: tuple[str, str]) -> None:
    found = Stores().upload(b"x", name, kind)
    assert (found["filename"], found["mime_type"]) == wanted


def test_an_upload_cannot_be_downloaded() -> None:
    world = Stores()
    file = world.upload()["id"]
    status, value = world.answer(world.send("GET", f"/v1/files/{file}/content"))
    assert (status, value["error"]["details"]) == (400, {"error_code": "file_not_downloadable"})


def test_files_are_limited_in_count_and_in_all() -> None:
    world = Stores(files_max=2, stored_max_bytes=3 * len(PNG) - 1)
    file = world.upload()["id"]
    world.upload()
    assert world.error("POST", "/v1/files", form(b""), **FORM)[0] == 429
    assert world.error("POST", "/v1/files", form(PNG), **FORM)[0] == 413
    world.value("DELETE", f"/v1/files/{file}")
    assert len(world.disk.files) == 1
    world.upload()


def test_no_more_than_eight_uploads_are_written_at_once() -> None:
    world = Stores()
    world.held = []
    clients = [world.send("POST", "/v1/files", form(PNG), **FORM) for _ in range(9)]
    assert world.answer(clients[8])[0] == 529
    world.release()
    assert [world.answer(client)[0] for client in clients[:8]] == [200] * 8


def test_files_go_when_their_time_is_over() -> None:
    world = Stores(stored_kept_s=7200.0)
    soon, later = world.upload(expires_in_seconds="3600")["id"], world.upload()["id"]
    timers = [o.at for o in world.orders if isinstance(o, do.SetTimer) and o.key == RelayTimer(RelayDue.STORED)]
    assert timers[-1] == world.now + 3600
    world.look(3600)
    assert world.error("GET", f"/v1/files/{soon}")[0] == 404
    assert list(world.disk.files) == [f"files/{later}"]
    world.look(3600)
    assert world.disk.files == {}
    assert world.value("GET", "/v1/files")["data"] == []


def test_the_bytes_of_a_file_stand_in_the_conversation_where_it_was_named() -> None:
    world = Stores()
    file, text = world.upload()["id"], world.upload("ü words".encode(), "a.txt", "text/plain")["id"]
    pdf = world.upload(b"%PDF-1.4", "a.pdf", "application/pdf")["id"]
    world.boot()
    named = [picture(f, kind)[0]["content"][0] for f, kind in ((file, "image"), (text, "document"), (pdf, "document"))]
    inner = {"type": "document", "source": {"type": "content", "content": [named[0]]}}
    tool = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "get", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": [named[0]]}]},
    ]
    for messages in ([{"role": "user", "content": [*named, inner]}], tool):
        client = world.send("POST", "/v1/messages", body(messages))
        sent = world.sent_text()
        assert base64.b64encode(PNG).decode() in sent
        assert file not in sent
        if messages is not tool:
            assert "ü words" in sent
            assert base64.b64encode(b"%PDF-1.4").decode() in sent
            assert sent.count(base64.b64encode(PNG).decode()) >= 2
        assert world.slot_of(client)


@pytest.mark.parametrize(
    ("block", "status", "message"),
    [
        ({"type": "image", "source": {"type": "file"}}, 400, "messages.0.content.0.image.source.file.file_id: Field required"),
        ({"type": "image", "source": {"type": "file", "file_id": 5}}, 400, "file_id: Input should be a valid string"),
        ({"type": "image", "source": {"type": "file", "file_id": "file_x"}}, 404, "File `file_x` not found."),
        ({"type": "image", "source": {"type": "file", "file_id": "TEXT"}}, 400, "a file of the type text/plain cannot be used"),
        ({"type": "document", "source": {"type": "file", "file_id": "PICTURE"}}, 400, "expected application/pdf, text/plain"),
        ({"type": "document", "source": {"type": "file", "file_id": "LATIN"}}, 400, "the file is not UTF-8 text"),
    ],
)
def test_a_file_that_cannot_stand_there_is_refused(block: dict[str, Any], status: int, message: str) -> None:
    world = Stores()
    files = {"TEXT": world.upload(b"x", "a.txt", "text/plain")["id"], "PICTURE": world.upload()["id"]}
    files["LATIN"] = world.upload(b"\xfc", "a.txt", "text/plain")["id"]
    given = block["source"].get("file_id")
    source = block["source"] | ({"file_id": files[given]} if given in files else {})
    found = world.error("POST", "/v1/messages", body([{"role": "user", "content": [block | {"source": source}]}]))
    assert found[0] == status
    assert message in found[1]


def test_a_request_with_its_files_is_no_larger_than_a_request_may_be() -> None:
    """A file of 32 MB that is named a thousand times would be 32 GB in memory."""
    world = Stores(body_max_bytes=100_000)
    file = world.upload(b"x" * 30_000, "a.pdf", "application/pdf")["id"]
    block = picture(file, "document")[0]["content"][0]
    world.boot()
    assert world.error("POST", "/v1/messages", body([{"role": "user", "content": [block] * 4}])) == (
        413,
        "Request exceeds the maximum size",
    )
    client = world.send("POST", "/v1/messages", body([{"role": "user", "content": [block] * 3}]))
    assert world.slot_of(client)


def test_a_call_whose_file_cannot_be_read_ends_with_an_error() -> None:
    world = Stores()
    file = world.upload()["id"]
    del world.disk.files[f"files/{file}"]
    found = world.error("POST", "/v1/messages", body(picture(file)))
    assert found == (500, "a file that the request names could not be read")


def test_a_client_that_leaves_while_its_files_are_read_starts_nothing() -> None:
    world = Stores()
    world.boot()
    file = world.upload()["id"]
    world.held = []
    client = world.send("POST", "/v1/messages", body(picture(file)))
    world.tell(ev.ClientLeft(client))
    world.release()
    assert not world.relay.calls.by_number
    assert not world.relay.front._entrance._loader._requests


def test_a_count_names_no_tokens_of_files() -> None:
    """The count is answered at once, and a file would have to be read first: it is refused, and says so."""
    world = Stores()
    file = world.upload()["id"]
    found = world.error("POST", "/v1/messages/count_tokens", body(picture(file)))
    assert found[0] == 400


def test_files_are_there_after_a_restart_and_what_is_none_is_left_alone() -> None:
    world = Stores()
    file = world.upload(key="k1")
    line, _, data = world.disk.files[f"files/{file['id']}"].partition(b"\n")
    found = ((file["id"], line + b"\n", len(data)), ("file_x", line + b"\n", len(data)), ("file_y", b"{}\n", 0), ("z", b"x", 1))
    again = Stores(world.disk)
    assert again.relay.front.storeroom.restore(StoredAtStart(found)) == ["file_x", "file_y", "z"]
    assert again.value("GET", "/v1/files", key="k1")["data"] == [file]
    again.boot()
    client = again.send("POST", "/v1/messages", body(picture(file["id"])), key="k1")
    assert again.slot_of(client)


@pytest.mark.parametrize("line", [b"", b"{}", b"[]", b"x", b'{"id":1}', b"null"])
def test_the_head_of_a_file_is_nothing_else(line: bytes) -> None:
    with pytest.raises(ValueError, match=r".*"):
        read_head(line)
