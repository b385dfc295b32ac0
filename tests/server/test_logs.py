"""The JSON log of a real server."""

import json
import re
import subprocess
import sys
from typing import Any

import pytest
from sqlalchemy import update

from seaway.database.tables import keys
from seaway.users import users
from tests.server.conftest import WatchedServer
from tests.support import sites
from tests.support.packages import PackageFile
from tests.support.requests import bearer, upload, wait_until
from tests.support.sites import Factory


def events(watched: WatchedServer) -> list[dict[str, Any]]:
    """Return the log lines as objects, without the plain text that is printed before the first of them."""
    lines = watched.server.log
    first = next(number for number, line in enumerate(lines) if line.startswith("{"))
    return [json.loads(line) for line in lines[first:]]


def of_request(watched: WatchedServer, request_id: str) -> dict[str, dict[str, Any]]:
    """Return the log lines of one request by event."""

    def by_event() -> dict[str, dict[str, Any]]:
        return {event["event"]: event for event in events(watched) if event.get("request_id") == request_id}

    wait_until(lambda: "request" in by_event())
    return by_event()


def test_refused_upload_is_logged_with_file_and_reason(watched: WatchedServer) -> None:
    """The lines have the same request id; one names the file and the code, the other is the usual request line."""
    with watched.client() as http:
        response = upload(http, watched.channel, PackageFile("x-1.0-0.conda", b"no zip"))
    lines = of_request(watched, response.headers["seaway-request-id"])
    refused, request = lines["upload.refused"], lines["request"]
    assert ("chan", "x-1.0-0.conda", "bad-zip") == tuple(refused[name] for name in ("channel", "file", "code"))
    assert refused["reason"]
    assert ("POST", "/api/v1/upload/chan", 422, "127.0.0.1", "bad-zip") == tuple(
        request[name] for name in ("method", "path", "status", "client", "code")
    )
    assert 0 < request["ms"] < 60_000


def test_request_id_of_the_client_is_ignored(watched: WatchedServer) -> None:
    """A client could send the id of another request."""
    with watched.client() as http:
        response = http.get("/", headers={"X-Request-Id": "forged", "Seaway-Request-Id": "forged"})
    lines = of_request(watched, response.headers["seaway-request-id"])
    assert "forged" not in json.dumps(lines)


def test_key_in_a_path_is_masked(watched: WatchedServer) -> None:
    """No log line contains the key."""
    with watched.client() as http:
        response = http.get(f"/t/{watched.key}/{watched.channel}/noarch/repodata.json")
    line = of_request(watched, response.headers["seaway-request-id"])["request"]
    assert (200, "/t/***/chan/noarch/repodata.json") == (line["status"], line["path"])
    assert watched.key not in "".join(watched.server.log)


def test_unexpected_error_is_one_log_line(watched: WatchedServer) -> None:
    """The traceback is a field of the log object; the response contains the request id and no details."""
    seaway = sites.build(watched.server.folder)
    key = Factory(seaway).key("victim")
    with seaway.site.database.write_site() as tx:
        victim = users.get(tx, "victim")
        tx.execute(update(keys).where(keys.c.user_id == victim.id).values(mode="NONSENSE"))
    seaway.close()
    with watched.client() as http:
        response = http.get(f"/{watched.channel}/noarch/repodata.json", headers=bearer(key))
    lines = of_request(watched, response.headers["seaway-request-id"])
    assert (500, 500) == (response.status_code, lines["request"]["status"])
    assert "NONSENSE" in lines["request.failed"]["exception"]
    assert "Traceback" in lines["request.failed"]["exception"]
    assert "NONSENSE" not in response.text


def test_uvicorn_log_lines_are_objects(watched: WatchedServer) -> None:
    """They name their logger."""
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


def test_library_logs_and_warnings_are_objects_without_keys() -> None:
    """Log calls, tracebacks and warnings each become one object; keys are masked."""
    key = "swy-u-" + "a" * 42
    result = subprocess.run([sys.executable, "-c", LIBRARIES, key], capture_output=True, text=True, check=True)
    logged = [json.loads(line) for line in result.stderr.splitlines()]
    assert [("alembic.runtime.migration", "warning"), ("uvicorn.error", "error"), ("py.warnings", "warning")] == [
        (event["logger"], event["level"]) for event in logged
    ]
    assert "two\nlines of swy-u-***" == logged[0]["event"]
    assert "ValueError" in logged[1]["exception"]
    assert key not in result.stderr


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
@pytest.mark.parametrize("fields", [pytest.param(list(case.values), id=case.id) for case in FIELDS])
def test_fast_request_log_equals_structlog_output(log_format: str, fields: list[object]) -> None:
    """The two lines differ only in the time, and contain no key."""
    command = [sys.executable, "-c", TWICE, log_format, json.dumps(fields)]
    fast, slow = subprocess.run(command, capture_output=True, text=True, check=True).stderr.splitlines()
    time = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z")
    assert time.sub("", slow) == time.sub("", fast)
    assert time.search(fast)
    assert "aaaa" not in fast
    if log_format == "json":
        assert list(json.loads(slow)) == list(json.loads(fast))


def test_escape_sequences_are_logged_as_text() -> None:
    """Otherwise a path could control the terminal that shows the log."""
    command = [sys.executable, "-c", TWICE, "text", json.dumps(["GET", "/a\x1b[31mb\u2028", 404, 1.0, "", ""])]
    fast, *_ = subprocess.run(command, capture_output=True, text=True, check=True).stderr.split("\n")
    assert r"path='/a\x1b[31mb\u2028'" in fast


def test_level_warning_omits_request_lines() -> None:
    """Request lines have level info."""
    program = TWICE.replace('"info"', '"warning"')
    command = [sys.executable, "-c", program, "json", json.dumps(["GET", "/", 200, 1.0, "", ""])]
    assert "" == subprocess.run(command, capture_output=True, text=True, check=True).stderr
