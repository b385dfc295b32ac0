"""Requests of the permission table: reading and changing the files of a channel."""

import base64
from collections.abc import Iterable

import httpx

from seaway.callers.caller import OPERATOR
from seaway.packages import removal
from seaway.packages.removal import FileAction, select_files
from seaway.web import assets
from tests.http.matrix_requests import MatrixContext, RouteRequest, builds
from tests.support.packages import PackageFile, conda, index_json
from tests.support.requests import bearer, file_part, multipart, multipart_type, raw_headers

INDEX_DOCUMENTS = (
    "noarch/repodata.json",
    "noarch/repodata.json.zst",
    "noarch/run_exports.json",
    "noarch/run_exports.json.zst",
    "noarch/repodata_shards.msgpack.zst",
    "linux-64/repodata_shards.msgpack.zst",
)


@builds("GET /static/{name}", "HEAD /static/{name}")
def _asset(_context: MatrixContext, _caller: str) -> Iterable[RouteRequest]:
    yield RouteRequest(assets.asset_path("seaway.css"))


@builds("GET /docs/{page:path}", "HEAD /docs/{page:path}")
def _page_and_picture_of_the_manual(_context: MatrixContext, _caller: str) -> Iterable[RouteRequest]:
    yield RouteRequest("/docs/use/tutorial")
    yield RouteRequest("/docs/pictures/front.png")


@builds("POST /api/v1/upload/{channel:path}")
def _uploading(context: MatrixContext, _caller: str) -> Iterable[RouteRequest]:
    file = context.new_file()

    def check(done: bool) -> None:
        assert context.content_of(file) == (file.content if done else None)

    yield RouteRequest(
        f"/api/v1/upload/{context.channel}", content=file.content, headers=raw_headers(file), check=check
    )


@builds("POST /api/v1/upload/{channel:path} #over-another's")
def _overwriting(context: MatrixContext, caller: str) -> Iterable[RouteRequest]:
    old = context.put()
    new = conda(index_json(old.name.rsplit("-", 2)[0]), files={"share/other": caller.encode()})

    def check(done: bool) -> None:
        assert context.content_of(old) == (new if done else old).content

    yield RouteRequest(
        f"/api/v1/upload/{context.channel}",
        content=new.content,
        params={"force": "true"},
        headers=raw_headers(new),
        check=check,
    )


@builds("DELETE /api/v1/delete/{path:path}")
def _deleting(context: MatrixContext, _caller: str) -> Iterable[RouteRequest]:
    file = context.put()

    def check(done: bool) -> None:
        assert context.content_of(file) == (None if done else file.content)

    yield RouteRequest(f"/api/v1/delete/{context.channel}/noarch/{file.name}", check=check)


@builds("POST /api/v1/yank/{path:path}")
def _yanking(context: MatrixContext, _caller: str) -> Iterable[RouteRequest]:
    yield RouteRequest(f"/api/v1/yank/{context.channel}/noarch/{context.kept.name}")


@builds("POST /api/v1/unyank/{path:path}")
def _unyanking(context: MatrixContext, _caller: str) -> Iterable[RouteRequest]:
    yield RouteRequest(f"/api/v1/unyank/{context.channel}/noarch/{context.kept.name}")


_PAGE_ACTION = "POST /channels/{channel}/packages/{package}/{act}"


def _page_action(context: MatrixContext, act: str, file: PackageFile, form: str = "&confirmed=yes") -> RouteRequest:
    package = file.name.rsplit("-", 2)[0]
    content = f"file=noarch/{file.name}{form}".encode()
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    return RouteRequest(f"/channels/{context.channel}/packages/{package}/{act}", content=content, headers=headers)


@builds(_PAGE_ACTION)
def _yanking_on_a_page(context: MatrixContext, _caller: str) -> Iterable[RouteRequest]:
    for act in ("yank", "unyank"):
        yield _page_action(context, act, context.kept)


@builds(f"{_PAGE_ACTION} #delete")
def _deleting_on_a_page(context: MatrixContext, _caller: str) -> Iterable[RouteRequest]:
    yield _page_action(context, "delete", context.put())


@builds("POST /channels/{channel}/packages/{package}/undo-yank")
def _undoing_a_yank_on_a_page(context: MatrixContext, _caller: str) -> Iterable[RouteRequest]:
    file, seaway = context.put(), context.site.factory.seaway
    chosen = select_files(files=[f"noarch/{file.name}"])
    yank = removal.change(seaway.site, OPERATOR, context.channel, FileAction.YANK, chosen).yank
    yield _page_action(context, "undo-yank", file, f"&yank={yank}")


@builds(f"{_PAGE_ACTION} #unconfirmed")
def _requesting_confirmation_to_yank(context: MatrixContext, _caller: str) -> Iterable[RouteRequest]:
    yield _page_action(context, "yank", context.kept, "")
    yield _page_action(context, "yank", context.kept, "&what=package")


@builds("POST /api/v1/channels/{channel}/files/yank", "POST /api/v1/channels/{channel}/files/unyank")
def _changing_files(context: MatrixContext, _caller: str) -> Iterable[RouteRequest]:
    """By file name, and by package and version."""
    for act in ("yank", "unyank"):
        path = f"/api/v1/channels/{context.channel}/files/{act}"
        yield RouteRequest(path, json={"files": [f"noarch/{context.kept.name}"]})
        yield RouteRequest(path, json={"package": context.kept.name.rsplit("-", 2)[0], "version": "1.0"})


@builds("POST /api/v1/channels/{channel}/files/delete")
def _deleting_files(context: MatrixContext, _caller: str) -> Iterable[RouteRequest]:
    files = [context.put(), context.put()]

    def check(done: bool) -> None:
        assert [context.content_of(file) for file in files] == [None if done else file.content for file in files]

    path = f"/api/v1/channels/{context.channel}/files/delete"
    yield RouteRequest(path, json={"files": [f"noarch/{file.name}" for file in files]}, check=check)


_CORRECTION = "/channels/{channel}/packages/{package}/files/{subdir}/{file}/correction"


@builds(f"POST {_CORRECTION}", f"POST {_CORRECTION}/remove")
def _correcting_on_a_page(context: MatrixContext, _caller: str) -> Iterable[RouteRequest]:
    path = _CORRECTION.format(**context.parameters)
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    content = f"license={context.site.new_name('license')}&reason=wrong".encode()
    yield RouteRequest(path, content=content, headers=headers)
    yield RouteRequest(f"{path}/remove", content=b"", headers=headers)


_CORRECTION_BY_API = "/api/v1/channels/{channel}/files/{subdir}/{file}/correction"
_ISC = {"license": "ISC", "reason": "wrong"}


@builds(f"PATCH {_CORRECTION_BY_API}")
def _correcting(context: MatrixContext, _caller: str) -> Iterable[RouteRequest]:
    path = _CORRECTION_BY_API.format(**{**context.parameters, "file": context.put().name})
    yield RouteRequest(path, json=_ISC)


@builds(f"DELETE {_CORRECTION_BY_API}")
def _removing_a_correction(context: MatrixContext, _caller: str) -> Iterable[RouteRequest]:
    """Remove the correction that the owner made."""
    path = _CORRECTION_BY_API.format(**{**context.parameters, "file": context.put().name})
    assert 200 == context.http.patch(path, json=_ISC, headers=context.key_headers("owner")).status_code
    yield RouteRequest(path)


_TUS = {"Tus-Resumable": "1.0.0"}


def _create_upload(context: MatrixContext, caller: str) -> tuple[PackageFile, httpx.Response]:
    file = context.new_file()
    name = base64.b64encode(file.name.encode()).decode()
    headers = {**_TUS, "Upload-Length": str(len(file.content)), "Upload-Metadata": f"filename {name}"}
    return file, context.http.post(
        f"/api/v1/uploads/{context.channel}", headers={**headers, **bearer(context.secrets[caller])}
    )


@builds("OPTIONS /api/v1/uploads")
def _reading_upload_options(_context: MatrixContext, _caller: str) -> Iterable[RouteRequest]:
    yield RouteRequest("/api/v1/uploads")


@builds("POST /api/v1/uploads/{channel}")
def _creating_an_upload(context: MatrixContext, _caller: str) -> Iterable[RouteRequest]:
    name = base64.b64encode(context.new_file().name.encode()).decode()
    headers = {**_TUS, "Upload-Length": "10", "Upload-Metadata": f"filename {name}"}
    yield RouteRequest(f"/api/v1/uploads/{context.channel}", headers=headers)


@builds("HEAD /api/v1/uploads/{id}", "DELETE /api/v1/uploads/{id}")
def _reading_or_canceling_an_upload(context: MatrixContext, _caller: str) -> Iterable[RouteRequest]:
    yield RouteRequest(_create_upload(context, "owner")[1].headers["location"], headers=_TUS)


@builds("PATCH /api/v1/uploads/{id}")
def _continuing_an_upload(context: MatrixContext, _caller: str) -> Iterable[RouteRequest]:
    file, started = _create_upload(context, "owner")

    def check(done: bool) -> None:
        assert context.content_of(file) == (file.content if done else None)

    headers = {**_TUS, "Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
    yield RouteRequest(started.headers["location"], content=file.content, headers=headers, check=check)


@builds("GET /{path:path}", "HEAD /{path:path}", "OPTIONS /{path:path}")
def _reading(context: MatrixContext, _caller: str) -> Iterable[RouteRequest]:
    """Index documents and a shard."""
    for path in (*INDEX_DOCUMENTS, context.shard):
        yield RouteRequest(f"/{context.channel}/{path}")


@builds("GET /{path:path} #outside-the-index", "HEAD /{path:path} #outside-the-index")
def _reading_other_files(context: MatrixContext, _caller: str) -> Iterable[RouteRequest]:
    """Notices, channeldata and a package file."""
    for path in ("notices.json", "channeldata.json", f"noarch/{context.kept.name}"):
        yield RouteRequest(f"/{context.channel}/{path}")


@builds("GET /{path:path} #key-in-path")
def _reading_with_the_key_in_the_path(context: MatrixContext, caller: str) -> Iterable[RouteRequest]:
    for request in _reading(context, caller):
        yield RouteRequest(f"/t/{context.secrets[caller] or ''}{request.path}", with_credentials=False)


@builds("GET /api/v1/search")
def _searching(context: MatrixContext, _caller: str) -> Iterable[RouteRequest]:
    yield RouteRequest("/api/v1/search", params={"q": "pkg", "channel": context.channel})


@builds("GET /api/v1/channels/{channel}/files/{subdir}/{file}/difference")
def _comparing(context: MatrixContext, _caller: str) -> Iterable[RouteRequest]:
    name = context.kept.name
    yield RouteRequest(
        f"/api/v1/channels/{context.channel}/files/noarch/{name}/difference", params={"against": f"noarch/{name}"}
    )


@builds("GET /api/v1/upload-log")
def _reading_the_upload_log(context: MatrixContext, _caller: str) -> Iterable[RouteRequest]:
    yield RouteRequest("/api/v1/upload-log", params={"channel": context.channel})


@builds("POST /channels/{channel}/settings/upload")
def _uploading_on_a_page(context: MatrixContext, _caller: str) -> Iterable[RouteRequest]:
    file = context.new_file()
    path = f"/channels/{context.channel}/settings/upload"
    yield RouteRequest(path, content=multipart(file_part(file)), headers=multipart_type())
