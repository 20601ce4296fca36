"""Answers `/v1/files`: uploads, lists, facts, ends. Pure; called by `core/storeroom.py`.

An upload is answered once the file is on disk. What a client uploads it cannot download again, as in the API: a request can
name it.
"""

from __future__ import annotations

from typing import Any, assert_never

from relayd.config import Config
from relayd.core import actions as do
from relayd.core import paging
from relayd.core.actions import Action
from relayd.core.files import upload
from relayd.core.files.record import StoredFile
from relayd.core.files.shelf import Shelf
from relayd.core.replies import error_reply, value_reply
from relayd.core.storage import Upload, file_path
from relayd.errors import ApiError, internal, invalid, overloaded
from relayd.http.messages import HttpRequest
from relayd.http.routes import FileRoute

UPLOADS_MAX = 8  # being written at once: each holds its file in memory
RETRY_AFTER_S = 1
IDS_MAX = 100
OLD_BETA = "files-api-2025-04-14"  # whose lists have the ends of a page instead of a token


class FileApi:
    """See the module's text."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self.shelf = Shelf(config)
        self._uploads: dict[str, tuple[int, str]] = {}  # clients that wait, and their requests' ids, by file

    def __repr__(self) -> str:
        return f"<FileApi {self.shelf!r} uploads={len(self._uploads)}>"

    def reconfigure(self, config: Config) -> None:
        """Use another configuration from now on."""
        self._config = config
        self.shelf.reconfigure(config)

    def answer(
        self, client: int, request: HttpRequest, route: FileRoute, file: str, owner: str, request_id: str, unix: float
    ) -> list[Action]:
        """The answer, or the orders that lead to it. Raises ApiError."""
        match route:
            case FileRoute.FILES if request.method == "POST":
                return self._upload(client, request, owner, request_id, unix)
            case FileRoute.FILES:
                return [value_reply(client, self._list(request, owner, unix), request_id)]
            case FileRoute.FILE if request.method == "DELETE":
                self.shelf.get(file, owner, unix)
                self.shelf.remove(file)
                reply = value_reply(client, {"id": file, "type": "file_deleted"}, request_id)
                return [do.EraseFile(file_path(file)), reply]
            case FileRoute.FILE:
                return [value_reply(client, self.shelf.get(file, owner, unix).as_json(), request_id)]
            case FileRoute.CONTENT:
                self.shelf.get(file, owner, unix)
                text = f"File `{file}` is not downloadable: only files that a tool has made can be downloaded."
                raise ApiError(400, text, details={"error_code": "file_not_downloadable"})
            case _:
                assert_never(route)

    def _upload(self, client: int, request: HttpRequest, owner: str, request_id: str, unix: float) -> list[Action]:
        if len(self._uploads) >= UPLOADS_MAX:
            raise overloaded("Overloaded: too many uploads at once", RETRY_AFTER_S)
        found = upload.read(request)
        kept_s = min(found.expires_in_s or self._config.stored_kept_s, self._config.stored_kept_s)
        file = StoredFile(
            id=paging.new_id("file_01", unix),
            filename=found.filename,
            mime_type=found.mime_type,
            size_bytes=len(found.data),
            created=int(unix),
            expires=int(unix + kept_s),
            owner=owner,
        )
        order = do.WriteFile(Upload(file.id), file_path(file.id), file.head() + found.data)
        self.shelf.begin(file)
        self._uploads[file.id] = client, request_id
        return [order]

    def written(self, ticket: Upload) -> list[Action]:
        """A file is on disk."""
        client, request_id = self._uploads[ticket.file]
        reply = value_reply(client, self.shelf.came(ticket.file).as_json(), request_id)
        del self._uploads[ticket.file]
        return [reply]

    def failed(self, ticket: Upload, reason: str) -> list[Action]:
        """It could not be written."""
        client, request_id = self._uploads[ticket.file]
        self.shelf.failed(ticket.file)
        log = do.Log("warning", f"a file could not be stored: {reason}")
        erase = do.EraseFile(file_path(ticket.file))  # it is there if only the answer has failed
        reply = error_reply(client, internal(f"the file could not be stored: {reason}"), request_id)
        del self._uploads[ticket.file]
        return [log, erase, reply]

    def expire(self, unix: float) -> list[Action]:
        """Files whose time is over go."""
        orders: list[Action] = []
        for file in self.shelf.expired(unix):
            self.shelf.remove(file)
            orders.append(do.EraseFile(file_path(file)))
        return orders

    def _list(self, request: HttpRequest, owner: str, unix: float) -> dict[str, Any]:
        query, files = paging.query_of(request.query), self.shelf.of(owner, unix)
        ids = [*query.get("ids[]", ()), *query.get("ids", ())]
        if ids:
            return {"data": [file.as_json() for file in _chosen(files, ids, query)], "next_page": None}
        if OLD_BETA in request.headers.get("anthropic-beta", "") or "after_id" in query or "before_id" in query:
            shown, has_more = paging.by_ids(files, query)
            return {"data": [file.as_json() for file in shown], **paging.ends(shown, has_more)}
        shown, token = paging.by_token(files, query)
        return {"data": [file.as_json() for file in shown], "next_page": token}


def _chosen(files: list[StoredFile], ids: list[str], query: paging.Query) -> list[StoredFile]:
    if "page" in query or "limit" in query:
        raise invalid("ids: cannot be combined with page or limit")
    if len(set(ids)) > IDS_MAX:
        raise invalid(f"ids: List should have at most {IDS_MAX} items after validation, not {len(set(ids))}")
    return [file for file in files if file.id in ids]
