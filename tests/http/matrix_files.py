"""Requests of the permission table: reading and changing the files of a channel."""

import base64
from collections.abc import Iterable

import httpx

from seaway.web import assets
from tests.http.matrix_requests import Ask, Stage, builds
from tests.support.packages import PackageFile, conda, index_json
from tests.support.requests import bearer, raw_headers

INDEX_DOCUMENTS = (
    "noarch/repodata.json",
    "noarch/repodata.json.zst",
    "noarch/run_exports.json",
    "noarch/run_exports.json.zst",
    "noarch/repodata_shards.msgpack.zst",
    "linux-64/repodata_shards.msgpack.zst",
)


@builds("GET /static/{name}", "HEAD /static/{name}")
def _asset(_stage: Stage, _caller: str) -> Iterable[Ask]:
    yield Ask(assets.asset_path("seaway.css"))


@builds("GET /docs/{page:path}", "HEAD /docs/{page:path}")
def _page_and_picture_of_the_manual(_stage: Stage, _caller: str) -> Iterable[Ask]:
    yield Ask("/docs/use/tutorial")
    yield Ask("/docs/pictures/front.png")


@builds("POST /api/v1/upload/{channel:path}")
def _uploading(stage: Stage, _caller: str) -> Iterable[Ask]:
    file = stage.new_file()

    def check(done: bool) -> None:
        assert stage.content_of(file) == (file.content if done else None)

    yield Ask(f"/api/v1/upload/{stage.channel}", content=file.content, headers=raw_headers(file), check=check)


@builds("POST /api/v1/upload/{channel:path} #over-another's")
def _overwriting(stage: Stage, caller: str) -> Iterable[Ask]:
    old = stage.put()
    new = conda(index_json(old.name.rsplit("-", 2)[0]), files={"share/other": caller.encode()})

    def check(done: bool) -> None:
        assert stage.content_of(old) == (new if done else old).content

    yield Ask(
        f"/api/v1/upload/{stage.channel}",
        content=new.content,
        params={"force": "true"},
        headers=raw_headers(new),
        check=check,
    )


@builds("DELETE /api/v1/delete/{path:path}")
def _deleting(stage: Stage, _caller: str) -> Iterable[Ask]:
    file = stage.put()

    def check(done: bool) -> None:
        assert stage.content_of(file) == (None if done else file.content)

    yield Ask(f"/api/v1/delete/{stage.channel}/noarch/{file.name}", check=check)


@builds("POST /api/v1/yank/{path:path}")
def _yanking(stage: Stage, _caller: str) -> Iterable[Ask]:
    yield Ask(f"/api/v1/yank/{stage.channel}/noarch/{stage.kept.name}")


@builds("POST /api/v1/unyank/{path:path}")
def _unyanking(stage: Stage, _caller: str) -> Iterable[Ask]:
    yield Ask(f"/api/v1/unyank/{stage.channel}/noarch/{stage.kept.name}")


_PAGE_ACTION = "POST /channels/{channel}/packages/{package}/{act}"


def _page_action(stage: Stage, act: str, file: PackageFile, form: str = "&confirmed=yes") -> Ask:
    package = file.name.rsplit("-", 2)[0]
    content = f"file=noarch/{file.name}{form}".encode()
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    return Ask(f"/channels/{stage.channel}/packages/{package}/{act}", content=content, headers=headers)


@builds(_PAGE_ACTION)
def _yanking_on_a_page(stage: Stage, _caller: str) -> Iterable[Ask]:
    for act in ("yank", "unyank"):
        yield _page_action(stage, act, stage.kept)


@builds(f"{_PAGE_ACTION} #delete")
def _deleting_on_a_page(stage: Stage, _caller: str) -> Iterable[Ask]:
    yield _page_action(stage, "delete", stage.put())


@builds(f"{_PAGE_ACTION} #unconfirmed")
def _requesting_confirmation_to_yank(stage: Stage, _caller: str) -> Iterable[Ask]:
    yield _page_action(stage, "yank", stage.kept, "")
    yield _page_action(stage, "yank", stage.kept, "&what=package")


@builds("POST /api/v1/channels/{channel}/files/yank", "POST /api/v1/channels/{channel}/files/unyank")
def _changing_files(stage: Stage, _caller: str) -> Iterable[Ask]:
    """By file name, and by package and version."""
    for act in ("yank", "unyank"):
        path = f"/api/v1/channels/{stage.channel}/files/{act}"
        yield Ask(path, json={"files": [f"noarch/{stage.kept.name}"]})
        yield Ask(path, json={"package": stage.kept.name.rsplit("-", 2)[0], "version": "1.0"})


@builds("POST /api/v1/channels/{channel}/files/delete")
def _deleting_files(stage: Stage, _caller: str) -> Iterable[Ask]:
    files = [stage.put(), stage.put()]

    def check(done: bool) -> None:
        assert [stage.content_of(file) for file in files] == [None if done else file.content for file in files]

    path = f"/api/v1/channels/{stage.channel}/files/delete"
    yield Ask(path, json={"files": [f"noarch/{file.name}" for file in files]}, check=check)


_CORRECTION = "/channels/{channel}/packages/{package}/files/{subdir}/{file}/correction"


@builds(f"POST {_CORRECTION}", f"POST {_CORRECTION}/remove")
def _correcting_on_a_page(stage: Stage, _caller: str) -> Iterable[Ask]:
    path = _CORRECTION.format(**stage.parameters)
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    content = f"license={stage.site.new_name('license')}&reason=wrong".encode()
    yield Ask(path, content=content, headers=headers)
    yield Ask(f"{path}/remove", content=b"", headers=headers)


_CORRECTION_BY_API = "/api/v1/channels/{channel}/files/{subdir}/{file}/correction"
_ISC = {"license": "ISC", "reason": "wrong"}


@builds(f"PATCH {_CORRECTION_BY_API}")
def _correcting(stage: Stage, _caller: str) -> Iterable[Ask]:
    path = _CORRECTION_BY_API.format(**{**stage.parameters, "file": stage.put().name})
    yield Ask(path, json=_ISC)


@builds(f"DELETE {_CORRECTION_BY_API}")
def _removing_a_correction(stage: Stage, _caller: str) -> Iterable[Ask]:
    """Remove the correction that the owner made."""
    path = _CORRECTION_BY_API.format(**{**stage.parameters, "file": stage.put().name})
    assert 200 == stage.http.patch(path, json=_ISC, headers=stage.signed("owner")).status_code
    yield Ask(path)


_TUS = {"Tus-Resumable": "1.0.0"}


def _create_upload(stage: Stage, caller: str) -> tuple[PackageFile, httpx.Response]:
    file = stage.new_file()
    name = base64.b64encode(file.name.encode()).decode()
    headers = {**_TUS, "Upload-Length": str(len(file.content)), "Upload-Metadata": f"filename {name}"}
    return file, stage.http.post(
        f"/api/v1/uploads/{stage.channel}", headers={**headers, **bearer(stage.secrets[caller])}
    )


@builds("OPTIONS /api/v1/uploads")
def _reading_upload_options(_stage: Stage, _caller: str) -> Iterable[Ask]:
    yield Ask("/api/v1/uploads")


@builds("POST /api/v1/uploads/{channel}")
def _creating_an_upload(stage: Stage, _caller: str) -> Iterable[Ask]:
    name = base64.b64encode(stage.new_file().name.encode()).decode()
    headers = {**_TUS, "Upload-Length": "10", "Upload-Metadata": f"filename {name}"}
    yield Ask(f"/api/v1/uploads/{stage.channel}", headers=headers)


@builds("HEAD /api/v1/uploads/{id}", "DELETE /api/v1/uploads/{id}")
def _reading_or_canceling_an_upload(stage: Stage, _caller: str) -> Iterable[Ask]:
    yield Ask(_create_upload(stage, "owner")[1].headers["location"], headers=_TUS)


@builds("PATCH /api/v1/uploads/{id}")
def _continuing_an_upload(stage: Stage, _caller: str) -> Iterable[Ask]:
    file, started = _create_upload(stage, "owner")

    def check(done: bool) -> None:
        assert stage.content_of(file) == (file.content if done else None)

    headers = {**_TUS, "Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
    yield Ask(started.headers["location"], content=file.content, headers=headers, check=check)


@builds("GET /{path:path}", "HEAD /{path:path}", "OPTIONS /{path:path}")
def _reading(stage: Stage, _caller: str) -> Iterable[Ask]:
    """Index documents and a shard."""
    for path in (*INDEX_DOCUMENTS, stage.shard):
        yield Ask(f"/{stage.channel}/{path}")


@builds("GET /{path:path} #outside-the-index", "HEAD /{path:path} #outside-the-index")
def _reading_other_files(stage: Stage, _caller: str) -> Iterable[Ask]:
    """Notices, channeldata and a package file."""
    for path in ("notices.json", "channeldata.json", f"noarch/{stage.kept.name}"):
        yield Ask(f"/{stage.channel}/{path}")


@builds("GET /{path:path} #key-in-path")
def _reading_with_the_key_in_the_path(stage: Stage, caller: str) -> Iterable[Ask]:
    for ask in _reading(stage, caller):
        yield Ask(f"/t/{stage.secrets[caller] or ''}{ask.path}", signed=False)


@builds("GET /api/v1/search")
def _searching(stage: Stage, _caller: str) -> Iterable[Ask]:
    yield Ask("/api/v1/search", params={"q": "pkg", "channel": stage.channel})


@builds("GET /api/v1/channels/{channel}/files/{subdir}/{file}/difference")
def _comparing(stage: Stage, _caller: str) -> Iterable[Ask]:
    name = stage.kept.name
    yield Ask(f"/api/v1/channels/{stage.channel}/files/noarch/{name}/difference", params={"against": f"noarch/{name}"})


@builds("GET /api/v1/upload-log")
def _reading_the_upload_log(stage: Stage, _caller: str) -> Iterable[Ask]:
    yield Ask("/api/v1/upload-log", params={"channel": stage.channel})
