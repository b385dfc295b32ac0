"""What the API refuses before a route sees it, and in which form."""

import httpx
import pytest

from seaway.callers.caller import Mode
from tests.conftest import Site
from tests.support.requests import bearer


@pytest.fixture(scope="module")
def key(site: Site) -> str:
    return site.people.key(site.people.user(site.new_name("asker")), mode=Mode.MANAGE)


def problem(answer: httpx.Response) -> dict[str, str]:
    """The body of a failure, after a look at its form."""
    assert answer.headers["content-type"] == "application/json"
    body: dict[str, str] = answer.json()
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
def test_a_body_that_is_not_what_it_must_be(http: httpx.Client, key: str, body: bytes, status: int, code: str) -> None:
    """It is refused in one form, and nothing of it is shown again."""
    answer = http.post("channels", content=body, headers={"Content-Type": "application/json", **bearer(key)})
    assert (status, code) == (answer.status_code, problem(answer)["code"])


def test_a_body_in_pieces_is_counted(http: httpx.Client, key: str) -> None:
    """Without a Content-Length the limit is the same."""
    pieces = iter([b'{"name": "', *[b"x" * 1000] * 70, b'"}'])
    answer = http.post("channels", content=pieces, headers={"Content-Type": "application/json", **bearer(key)})
    assert (413, "too-large") == (answer.status_code, problem(answer)["code"])


@pytest.mark.parametrize("content_type", ["", "text/plain", "application/x-www-form-urlencoded", "application/jsonp"])
def test_a_body_must_say_that_it_is_json(http: httpx.Client, key: str, content_type: str) -> None:
    """A form of another site can send the others without asking; it cannot send this one."""
    answer = http.post("channels", content=b'{"name": "x"}', headers={"Content-Type": content_type, **bearer(key)})
    assert (400, "malformed") == (answer.status_code, problem(answer)["code"])


def test_a_backslash_before_u0000_is_only_text(site: Site, http: httpx.Client, key: str) -> None:
    """A NUL is refused where it is one, and not where it is spelt."""
    body = b'{"name": "%s", "description": "\\\\u0000"}' % site.new_name().encode()
    answer = http.post("channels", content=body, headers={"Content-Type": "application/json", **bearer(key)})
    assert (201, "\\u0000") == (answer.status_code, answer.json()["description"])


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
def test_an_address_that_means_nothing(http: httpx.Client, key: str, path: str, status: int) -> None:
    """Whatever a path or a query holds, the answer is a clear refusal in the same form."""
    answer = http.get(path, headers=bearer(key))
    assert status == answer.status_code
    problem(answer)


def test_a_method_that_a_route_does_not_know(http: httpx.Client) -> None:
    """405 with every method of the path, in the same form."""
    answer = http.put("me")
    assert (405, "DELETE, GET, PATCH", "method-not-allowed") == (
        answer.status_code,
        answer.headers["allow"],
        problem(answer)["code"],
    )


def test_a_credential_is_refused_in_the_same_form(http: httpx.Client) -> None:
    """401 names no channel, and says how to do better."""
    answer = http.get("channels/whatever", headers=bearer("swy-u-nonsense"))
    assert (401, 'Bearer realm="seaway"', "bad-credential") == (
        answer.status_code,
        answer.headers["www-authenticate"],
        problem(answer)["code"],
    )
