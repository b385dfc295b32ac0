"""Pages that authorize command-line tools: with a device code, or with an authorization request."""

import re
import secrets
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import pytest

from seaway.clock import MINUTE_MS
from seaway.oauth import codes
from tests.support.clock import ManualClock
from tests.web.http_browser import PASSWORD, HttpBrowser

DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
REDIRECT = "http://127.0.0.1:40123"
VERIFIER = secrets.token_urlsafe(48)
REQUEST = {
    "response_type": "code", "client_id": "rattler", "redirect_uri": REDIRECT, "scope": "openid profile offline_access",
    "state": "the state & more", "nonce": "n", "code_challenge": codes.challenge_of(VERIFIER),
    "code_challenge_method": "S256",
}  # fmt: skip


class Tool:
    """A command-line tool such as pixi, without cookies."""

    def __init__(self, browser: HttpBrowser) -> None:
        self._visitor = browser.another()

    def post(self, path: str, **form: str) -> Any:
        response = self._visitor.request("POST", f"/api/oauth/{path}", data={"client_id": "rattler", **form})
        return response.json()

    def poll(self, device: dict[str, Any]) -> Any:
        response = self.post("token", grant_type=DEVICE_GRANT, device_code=device["device_code"])
        return response.get("error", "in")


@pytest.fixture
def tool(browser: HttpBrowser) -> Tool:
    return Tool(browser)


# Device code


def test_device_code_is_approved(browser: HttpBrowser, tool: Tool, ada: str) -> None:
    """Starts at the URL that pixi opens; the user signs in, sees tool, IP address and permissions, and allows it."""
    device = tool.post("device")
    page = urlsplit(device["verification_uri_complete"])
    redirect = browser.get(f"{page.path}?{page.query}")
    assert 303 == redirect.status_code
    browser.get(redirect.headers["location"])
    back = browser.send("/signin", login=ada, password=PASSWORD, next=browser.hidden("next")).headers["location"]
    assert f"/device?user_code={device['user_code']}" == back
    assert f'value="{device["user_code"]}"' in browser.get(back).text

    shown = browser.send("/device", user_code=device["user_code"]).text
    assert "pixi, rattler or rattler-build" in shown
    assert browser.address in shown
    assert "upload to channels" in shown
    assert "delete" not in shown
    assert "authorization_pending" == tool.poll(device)
    assert 200 == browser.send("/device/decision", user_code=browser.hidden("user_code"), answer="allow").status_code
    tool._visitor.seaway.site.clock.move(MINUTE_MS)  # type: ignore[attr-defined]
    assert "in" == tool.poll(device)
    assert "rattler" in browser.get("/account/tools").text


@pytest.mark.parametrize("decision", ["deny", "", "ALLOW"])
def test_anything_but_allow_denies_the_device(browser: HttpBrowser, tool: Tool, ada: str, decision: str) -> None:
    """The tool gets `access_denied`."""
    device = tool.post("device")
    browser.sign_in(ada)
    browser.get("/device")
    browser.send("/device", user_code=device["user_code"].lower())
    browser.send("/device/decision", user_code=browser.hidden("user_code"), answer=decision)
    assert "access_denied" == tool.poll(device)


def test_unknown_device_code_returns_404_and_is_rate_limited(browser: HttpBrowser, ada: str) -> None:
    """Guessing is limited to ten attempts."""
    browser.sign_in(ada)
    browser.get("/device")
    tried = [browser.send("/device", user_code=f"BCDF-GHJ{letter}").status_code for letter in "BCDFGHJKLM"]
    assert [404] * 10 == tried
    too_many = browser.send("/device", user_code="BCDF-GHJK")
    assert 429 == too_many.status_code
    assert int(too_many.headers["retry-after"]) > 0


def test_device_code_cannot_be_approved_by_another_site(browser: HttpBrowser, tool: Tool, ada: str) -> None:
    """Without the form token, or from another origin, nothing is approved."""
    device = tool.post("device")
    browser.sign_in(ada)
    browser.get("/device")
    fields = {"user_code": device["user_code"], "answer": "allow"}
    assert 403 == browser.send("/device/decision", csrf_token="", **fields).status_code
    browser.get("/device")
    elsewhere = {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}
    assert 403 == browser.send("/device/decision", headers=elsewhere, **fields).status_code
    assert "authorization_pending" == tool.poll(device)


def test_authorization_needs_a_recent_confirmation(
    browser: HttpBrowser, tool: Tool, ada: str, shared_clock: ManualClock
) -> None:
    """The user confirms the password and returns to the same request."""
    browser.sign_in(ada)
    shared_clock.move(31 * MINUTE_MS)
    for path in ("/device?user_code=BCDF-GHJK", f"/authorize?{urlencode(REQUEST)}"):
        redirect = browser.get(path)
        assert (303, "/confirm") == (redirect.status_code, urlsplit(redirect.headers["location"]).path)
        assert [path] == parse_qs(urlsplit(redirect.headers["location"]).query)["next"]


# Authorization request


def authorization_request(**changes: str | None) -> str:
    parameters = {name: value for name, value in {**REQUEST, **changes}.items() if value is not None}
    return f"/authorize?{urlencode(parameters)}"


def sent_to_tool(response: httpx.Response) -> dict[str, list[str]]:
    """Return the query of the redirect to the tool."""
    assert 303 == response.status_code
    parts = urlsplit(response.headers["location"])
    assert REDIRECT == f"{parts.scheme}://{parts.netloc}"
    return parse_qs(parts.query)


def test_authorization_request_is_approved(browser: HttpBrowser, tool: Tool, ada: str) -> None:
    """The tool gets the code with its state, and tokens with its verifier; the form can redirect only to the tool."""
    browser.sign_in(ada)
    shown = browser.get(authorization_request())
    assert 200 == shown.status_code
    assert f"form-action 'self' {REDIRECT};" in shown.headers["content-security-policy"]
    assert "127.0.0.1:40123" in shown.text
    query = sent_to_tool(browser.send(authorization_request(), answer="allow"))
    assert ["the state & more"] == query["state"]
    tokens = tool.post(
        "token",
        grant_type="authorization_code",
        code=query["code"][0],
        redirect_uri=REDIRECT,
        code_verifier=VERIFIER,
    )
    assert {"access_token", "refresh_token", "id_token"} <= set(tokens)


def test_form_submits_the_same_authorization_request(browser: HttpBrowser, ada: str) -> None:
    browser.sign_in(ada)
    action = re.search(r'action="(/authorize[^"]+)"', browser.get(authorization_request()).text)
    assert action is not None
    assert authorization_request() == action[1].replace("&amp;", "&")


def test_denial_is_sent_to_the_tool(browser: HttpBrowser, ada: str) -> None:
    """The error is `access_denied`."""
    browser.sign_in(ada)
    browser.get(authorization_request())
    assert ["access_denied"] == sent_to_tool(browser.send(authorization_request(), answer="deny"))["error"]


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_type": None}, "unsupported_response_type"),
        ({"code_challenge": None}, "invalid_request"),
        ({"code_challenge": "short"}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge_method": None}, "invalid_request"),
        ({"scope": "channel:everything"}, "invalid_scope"),
        ({"prompt": "none"}, "consent_required"),
    ],
)
def test_invalid_request_of_a_known_tool_is_reported_to_it(
    browser: HttpBrowser, ada: str, changes: dict[str, str | None], error: str
) -> None:
    """With an error code of the standard and the state."""
    browser.sign_in(ada)
    query = sent_to_tool(browser.get(authorization_request(**changes)))
    assert ([error], ["the state & more"]) == (query["error"], query["state"])


@pytest.mark.parametrize(
    "path",
    [
        authorization_request(client_id="other"),
        authorization_request(client_id=None),
        authorization_request(redirect_uri="https://evil.example"),
        authorization_request(redirect_uri="http://localhost:40123"),
        authorization_request(redirect_uri=None),
        authorization_request() + "&redirect_uri=https://evil.example",
        authorization_request() + "&client_id=rattler",
        authorization_request(state="x" * 501),
    ],
)
def test_request_with_wrong_client_or_redirect_is_not_redirected(browser: HttpBrowser, ada: str, path: str) -> None:
    """The browser must not be redirected to an unverified URL."""
    browser.sign_in(ada)
    responses = [browser.get(path)]
    browser.get("/device")
    responses.append(browser.send(path, answer="allow"))
    assert [400, 400] == [response.status_code for response in responses]
    assert not any("location" in response.headers for response in responses)


def test_approval_needs_form_token_and_session(
    browser: HttpBrowser, new_browser: Callable[[], HttpBrowser], ada: str
) -> None:
    """Another site cannot approve for the user, and a caller without a session cannot approve."""
    browser.sign_in(ada)
    browser.get(authorization_request())
    assert 403 == browser.send(authorization_request(), answer="allow", csrf_token="x").status_code
    anonymous = new_browser()
    anonymous.get("/signin")
    assert 401 == anonymous.send(authorization_request(), answer="allow").status_code
