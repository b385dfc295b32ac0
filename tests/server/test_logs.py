"""The log of a real server, as a machine reads it."""

import json
import re
import subprocess
import sys
from typing import Any

import pytest
from sqlalchemy import update

from seaway.database.tables import keys
from seaway.users import users
from tests.server.conftest import Watched
from tests.support import house
from tests.support.house import People
from tests.support.packages import PackageFile
from tests.support.requests import bearer, until, upload


def events(watched: Watched) -> list[dict[str, Any]]:
    """Every line since the server greeted, each one object; what is printed for people stands before them."""
    lines = watched.server.log
    first = next(number for number, line in enumerate(lines) if line.startswith("{"))
    return [json.loads(line) for line in lines[first:]]


def of_request(watched: Watched, request_id: str) -> dict[str, dict[str, Any]]:
    """The lines of one request by their events."""

    def found() -> dict[str, dict[str, Any]]:
        return {event["event"]: event for event in events(watched) if event.get("request_id") == request_id}

    until(lambda: "request" in found())
    return found()


def test_a_refused_upload_says_which_file_and_why(watched: Watched) -> None:
    """Its lines carry one request id, the file, the code, and the fields that every request has."""
    with watched.client() as http:
        answer = upload(http, watched.channel, PackageFile("x-1.0-0.conda", b"no zip"))
    lines = of_request(watched, answer.headers["seaway-request-id"])
    refused, request = lines["upload.refused"], lines["request"]
    assert ("chan", "x-1.0-0.conda", "bad-zip") == tuple(refused[name] for name in ("channel", "file", "code"))
    assert refused["reason"]
    assert ("POST", "/api/v1/upload/chan", 422, "127.0.0.1", "bad-zip") == tuple(
        request[name] for name in ("method", "path", "status", "client", "code")
    )
    assert 0 < request["ms"] < 60_000


def test_a_request_says_its_own_id(watched: Watched) -> None:
    """An id that a stranger sends is not believed: it could be that of somebody else's request."""
    with watched.client() as http:
        answer = http.get("/", headers={"X-Request-Id": "forged", "Seaway-Request-Id": "forged"})
    lines = of_request(watched, answer.headers["seaway-request-id"])
    assert "forged" not in json.dumps(lines)


def test_a_key_in_a_path_is_masked(watched: Watched) -> None:
    """No line holds a key, wherever it stood."""
    with watched.client() as http:
        answer = http.get(f"/t/{watched.key}/{watched.channel}/noarch/repodata.json")
    line = of_request(watched, answer.headers["seaway-request-id"])["request"]
    assert (200, "/t/***/chan/noarch/repodata.json") == (line["status"], line["path"])
    assert watched.key not in "".join(watched.server.log)


def test_an_unforeseen_error_is_one_line(watched: Watched) -> None:
    """A bug is an object with its traceback in a field, and the asker gets its id but nothing of it."""
    beside = house.build(watched.server.folder)
    key = People(beside).key("victim")
    with beside.database.write_site() as tx:
        victim = users.get(tx, "victim")
        tx.execute(update(keys).where(keys.c.user_id == victim.id).values(mode="NONSENSE"))
    beside.close()
    with watched.client() as http:
        answer = http.get(f"/{watched.channel}/noarch/repodata.json", headers=bearer(key))
    lines = of_request(watched, answer.headers["seaway-request-id"])
    assert (500, 500) == (answer.status_code, lines["request"]["status"])
    assert "NONSENSE" in lines["request.failed"]["exception"]
    assert "Traceback" in lines["request.failed"]["exception"]
    assert "NONSENSE" not in answer.text


def test_what_libraries_log_is_one_line_each(watched: Watched) -> None:
    """uvicorn's lines are objects too, and say whose they are."""
    assert "uvicorn.error" in {event.get("logger") for event in events(watched)}


LIBRARIES = """
import logging, sys, warnings
from seaway import logs
logs.set_up("json", "info")
key = sys.argv[1]
logging.getLogger("alembic.runtime.migration").info("left out")
logging.getLogger("alembic.runtime.migration").warning("two\\nlines of %s", key)
try:
    raise ValueError(key)
except ValueError:
    logging.getLogger("uvicorn.error").exception("Exception in ASGI application\\n")
warnings.warn(f"mind {key}")
"""


def test_libraries_go_through_the_same_writer() -> None:
    """Loggers, tracebacks with their line ends and warnings become objects; a key in them is masked."""
    key = "swy-u-" + "a" * 42
    ran = subprocess.run([sys.executable, "-c", LIBRARIES, key], capture_output=True, text=True, check=True)
    found = [json.loads(line) for line in ran.stderr.splitlines()]
    assert [("alembic.runtime.migration", "warning"), ("uvicorn.error", "error"), ("py.warnings", "warning")] == [
        (event["logger"], event["level"]) for event in found
    ]
    assert "two\nlines of swy-u-***" == found[0]["event"]
    assert "ValueError" in found[1]["exception"]
    assert key not in ran.stderr


FIELDS = [
    pytest.param("GET", "/chan/noarch/x-1.0-0.conda", 200, 1.2, "127.0.0.1", "", id="read"),
    pytest.param("POST", "/api/v1/upload/chan", 422, 12.0, "::1", "bad-zip", id="refused"),
    pytest.param("GET", "/a b/é=\"'", 404, 0.0, "127.0.0.1", "not-found", id="odd"),
    pytest.param("GET", "", 0, 0.1, "", "", id="empty"),
    pytest.param("HEAD", f"/t/swy-u-{'a' * 42}/chan/noarch/repodata.json", 401, 3.4, "10.0.0.1", "bad-credential", id="key"),
    pytest.param("GET", f"/chan/swy-u-{'a' * 42}", 404, 3.4, "10.0.0.1", "not-found", id="key elsewhere"),
    pytest.param("POST", f"/verify/swy-ln-{'a' * 42}", 200, 3.4, "10.0.0.1", "", id="link to verify"),
    pytest.param("GET", f"/invitations/swy-inv-{'a' * 42}", 404, 3.4, "10.0.0.1", "not-found", id="invitation"),
]  # fmt: skip
TWICE = """
import asyncio, json, sys
from seaway import logs

async def main():
    logs.REQUEST_ID.set("0123456789abcdef")
    logs.REQUEST_LOG.write(*json.loads(sys.argv[2]))
    await asyncio.sleep(0)
    logs.REQUEST_LOG.use_structlog()
    logs.REQUEST_LOG.write(*json.loads(sys.argv[2]))

logs.set_up(sys.argv[1], "info")
asyncio.run(main())
"""


@pytest.mark.parametrize("log_format", ["text", "json"])
@pytest.mark.parametrize("fields", [pytest.param(list(one.values), id=one.id) for one in FIELDS])
def test_the_short_way_to_a_line_leads_to_the_same(log_format: str, fields: list[object]) -> None:
    """The line of a request is the one that structlog writes, but for the time, and holds no key."""
    command = [sys.executable, "-c", TWICE, log_format, json.dumps(fields)]
    short, long = subprocess.run(command, capture_output=True, text=True, check=True).stderr.splitlines()
    time = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z")
    assert time.sub("", long) == time.sub("", short)
    assert time.search(short)
    assert "aaaa" not in short
    if log_format == "json":
        assert list(json.loads(long)) == list(json.loads(short))


def test_a_terminal_is_not_told_what_to_do() -> None:
    """An escape in a path comes as text."""
    command = [sys.executable, "-c", TWICE, "text", json.dumps(["GET", "/a\x1b[31mb\u2028", 404, 1.0, "", ""])]
    short, *_ = subprocess.run(command, capture_output=True, text=True, check=True).stderr.split("\n")
    assert r"path='/a\x1b[31mb\u2028'" in short


def test_a_higher_level_leaves_requests_out() -> None:
    """Lines of requests are of the level info."""
    program = TWICE.replace('"info"', '"warning"')
    command = [sys.executable, "-c", program, "json", json.dumps(["GET", "/", 200, 1.0, "", ""])]
    assert "" == subprocess.run(command, capture_output=True, text=True, check=True).stderr
