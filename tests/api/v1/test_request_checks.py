"""Requests that the API refuses before they reach a route, and the format of the refusals."""

import httpx
import pytest

from seaway.callers.caller import Mode
from tests.conftest import Site
from tests.support.requests import bearer


@pytest.fixture(scope="module")
def key(site: Site) -> str:
    return site.factory.key(site.factory.user(site.new_name("asker")), mode=Mode.MANAGE)


def problem(response: httpx.Response) -> dict[str, str]:
    """Check the format of an error response and return its body."""
    assert response.headers["content-type"] == "application/json"
    body: dict[str, str] = response.json()
    assert {"code", "message", "hint"} == set(body)
    assert body["message"]
    return body


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b'{"name": "x"', 400, "malformed"),
        (b'{"name": NaN}', 400, "malformed"),
        (b'{"name": "\\ud800"}', 400, "malformed"),
        (b'{"name": "a\\u0000b"}', 400, "malformed"),
        (b'{"name": "\xff"}', 400, "malformed"),
        (b"[" * 60_000, 400, "malformed"),
        (b'{"name": "' + b"x" * 66_000 + b'"}', 413, "too-large"),
        (b'{"name": "x", "nmae": "y"}', 422, "invalid"),
        (b'{"name": 7}', 422, "invalid"),
        (b'{"name": "x", "public": "yes"}', 422, "invalid"),
        (b"[]", 422, "invalid"),
        (b"null", 422, "invalid"),
        (b"", 422, "invalid"),
    ],
)
def test_invalid_body_is_refused(http: httpx.Client, key: str, body: bytes, status: int, code: str) -> None:
    """All refusals have the same format."""
    response = http.post("channels", content=body, headers={"Content-Type": "application/json", **bearer(key)})
    assert (status, code) == (response.status_code, problem(response)["code"])


def test_size_limit_applies_to_chunked_bodies(http: httpx.Client, key: str) -> None:
    """Chunked bodies have no Content-Length."""
    chunks = iter([b'{"name": "', *[b"x" * 1000] * 70, b'"}'])
    response = http.post("channels", content=chunks, headers={"Content-Type": "application/json", **bearer(key)})
    assert (413, "too-large") == (response.status_code, problem(response)["code"])


@pytest.mark.parametrize("content_type", ["", "text/plain", "application/x-www-form-urlencoded", "application/jsonp"])
def test_body_needs_the_json_content_type(http: httpx.Client, key: str, content_type: str) -> None:
    """Forms of other sites can send the other types without a CORS preflight request."""
    response = http.post("channels", content=b'{"name": "x"}', headers={"Content-Type": content_type, **bearer(key)})
    assert (400, "malformed") == (response.status_code, problem(response)["code"])


def test_escaped_backslash_before_u0000_is_accepted(site: Site, http: httpx.Client, key: str) -> None:
    """Only an actual NUL is refused, not the text backslash u0000."""
    body = b'{"name": "%s", "description": "\\\\u0000"}' % site.new_name().encode()
    response = http.post("channels", content=body, headers={"Content-Type": "application/json", **bearer(key)})
    assert (201, "\\u0000") == (response.status_code, response.json()["description"])


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("nothing", 404),
        ("channels/", 404),
        ("channels/a%00b", 404),
        ("channels/a%0Ab", 404),
        ("channels/a%2Fb", 404),
        ("channels/..%2f", 404),
        ("channels/a;b", 404),
        ("channels/x/packages/y/files?after=-1", 422),
        ("channels/x/packages/y/files?after=%E0%A5%A7", 422),
        ("channels/x/packages/y/files?after=9999999999999999999", 422),
        ("channels?after=%00", 400),
        ("channels?limit=0", 422),
        ("channels?limit=101", 422),
        ("channels?limit=1e1", 422),
    ],
)
def test_invalid_path_or_query_is_refused(http: httpx.Client, key: str, path: str, status: int) -> None:
    """All refusals have the same format."""
    response = http.get(path, headers=bearer(key))
    assert status == response.status_code
    problem(response)


def test_unknown_method_returns_405(http: httpx.Client) -> None:
    """The Allow header lists every method of the path."""
    response = http.put("me")
    assert (405, "DELETE, GET, PATCH", "method-not-allowed") == (
        response.status_code,
        response.headers["allow"],
        problem(response)["code"],
    )


def test_bad_credential_returns_401(http: httpx.Client) -> None:
    """The response has a WWW-Authenticate header and the common format."""
    response = http.get("channels/whatever", headers=bearer("swy-u-nonsense"))
    assert (401, 'Bearer realm="seaway"', "bad-credential") == (
        response.status_code,
        response.headers["www-authenticate"],
        problem(response)["code"],
    )
