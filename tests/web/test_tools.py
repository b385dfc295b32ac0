"""The pages on which somebody lets a command-line tool in: by its code, or by the question of a browser."""

import re
import secrets
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import pytest

from seaway.clock import MINUTE_MS
from seaway.oauth import codes
from tests.support.clock import TurnedClock
from tests.web.visitor import PASSWORD, Visitor

DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
REDIRECT = "http://127.0.0.1:40123"
VERIFIER = secrets.token_urlsafe(48)
ASKED = {
    "response_type": "code", "client_id": "rattler", "redirect_uri": REDIRECT, "scope": "openid profile offline_access",
    "state": "the state & more", "nonce": "n", "code_challenge": codes.challenge_of(VERIFIER),
    "code_challenge_method": "S256",
}  # fmt: skip


class Tool:
    """pixi at somebody's machine, which has no cookies."""

    def __init__(self, visitor: Visitor) -> None:
        self._visitor = visitor.another()

    def post(self, path: str, **form: str) -> Any:
        answer = self._visitor.ask("POST", f"/api/oauth/{path}", data={"client_id": "rattler", **form})
        return answer.json()

    def poll(self, device: dict[str, Any]) -> Any:
        told = self.post("token", grant_type=DEVICE_GRANT, device_code=device["device_code"])
        return told.get("error", "in")


@pytest.fixture
def tool(visitor: Visitor) -> Tool:
    return Tool(visitor)


# By its code


def test_somebody_enters_the_code_and_agrees(visitor: Visitor, tool: Tool, ada: str) -> None:
    """From the address that pixi opens: sign in on the way, see which tool asks from where for what, agree."""
    device = tool.post("device")
    page = urlsplit(device["verification_uri_complete"])
    led = visitor.get(f"{page.path}?{page.query}")
    assert 303 == led.status_code
    visitor.get(led.headers["location"])
    back = visitor.send("/signin", login=ada, password=PASSWORD, next=visitor.hidden("next")).headers["location"]
    assert f"/device?user_code={device['user_code']}" == back
    assert f'value="{device["user_code"]}"' in visitor.get(back).text

    shown = visitor.send("/device", user_code=device["user_code"]).text
    assert "pixi, rattler or rattler-build" in shown
    assert visitor.address in shown
    assert "upload to channels" in shown
    assert "delete" not in shown
    assert "authorization_pending" == tool.poll(device)
    assert 200 == visitor.send("/device/answer", user_code=visitor.hidden("user_code"), answer="allow").status_code
    tool._visitor.seaway.clock.move(MINUTE_MS)  # type: ignore[attr-defined]
    assert "in" == tool.poll(device)
    assert "rattler" in visitor.get("/account/tools").text


@pytest.mark.parametrize("answer", ["deny", "", "ALLOW"])
def test_whatever_is_not_a_yes_is_a_no(visitor: Visitor, tool: Tool, ada: str, answer: str) -> None:
    """And the tool is told."""
    device = tool.post("device")
    visitor.sign_in(ada)
    visitor.get("/device")
    visitor.send("/device", user_code=device["user_code"].lower())
    visitor.send("/device/answer", user_code=visitor.hidden("user_code"), answer=answer)
    assert "access_denied" == tool.poll(device)


def test_an_unknown_code_is_said_to_be_unknown(visitor: Visitor, ada: str) -> None:
    """And looking for one is slowed down after ten tries."""
    visitor.sign_in(ada)
    visitor.get("/device")
    tried = [visitor.send("/device", user_code=f"BCDF-GHJ{letter}").status_code for letter in "BCDFGHJKLM"]
    assert [404] * 10 == tried
    too_many = visitor.send("/device", user_code="BCDF-GHJK")
    assert 429 == too_many.status_code
    assert int(too_many.headers["retry-after"]) > 0


def test_a_code_cannot_be_answered_by_another_site(visitor: Visitor, tool: Tool, ada: str) -> None:
    """Without the token of the page, and from elsewhere, nothing is agreed to."""
    device = tool.post("device")
    visitor.sign_in(ada)
    visitor.get("/device")
    fields = {"user_code": device["user_code"], "answer": "allow"}
    assert 403 == visitor.send("/device/answer", csrf_token="", **fields).status_code
    visitor.get("/device")
    elsewhere = {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}
    assert 403 == visitor.send("/device/answer", headers=elsewhere, **fields).status_code
    assert "authorization_pending" == tool.poll(device)


def test_a_sign_in_of_a_while_ago_is_not_enough(visitor: Visitor, tool: Tool, ada: str, turned: TurnedClock) -> None:
    """The person proves again to be there, and comes back to the very question."""
    visitor.sign_in(ada)
    turned.move(31 * MINUTE_MS)
    for path in ("/device?user_code=BCDF-GHJK", f"/authorize?{urlencode(ASKED)}"):
        led = visitor.get(path)
        assert (303, "/confirm") == (led.status_code, urlsplit(led.headers["location"]).path)
        assert [path] == parse_qs(urlsplit(led.headers["location"]).query)["next"]


# By the question of a browser


def question(**changes: str | None) -> str:
    asked = {name: value for name, value in {**ASKED, **changes}.items() if value is not None}
    return f"/authorize?{urlencode(asked)}"


def told_back(answer: httpx.Response) -> dict[str, list[str]]:
    """What the tool is told at its own address."""
    assert 303 == answer.status_code
    parts = urlsplit(answer.headers["location"])
    assert REDIRECT == f"{parts.scheme}://{parts.netloc}"
    return parse_qs(parts.query)


def test_somebody_agrees_in_the_browser(visitor: Visitor, tool: Tool, ada: str) -> None:
    """The code goes to the tool with its state, and makes tokens for who has the verifier; the form may end there only."""
    visitor.sign_in(ada)
    shown = visitor.get(question())
    assert 200 == shown.status_code
    assert f"form-action 'self' {REDIRECT};" in shown.headers["content-security-policy"]
    assert "127.0.0.1:40123" in shown.text
    told = told_back(visitor.send(question(), answer="allow"))
    assert ["the state & more"] == told["state"]
    tokens = tool.post(
        "token", grant_type="authorization_code", code=told["code"][0], redirect_uri=REDIRECT, code_verifier=VERIFIER
    )
    assert {"access_token", "refresh_token", "id_token"} <= set(tokens)


def test_the_form_sends_the_question_on(visitor: Visitor, ada: str) -> None:
    """Its address is the very question."""
    visitor.sign_in(ada)
    action = re.search(r'action="(/authorize[^"]+)"', visitor.get(question()).text)
    assert action is not None
    assert question() == action[1].replace("&amp;", "&")


def test_a_no_goes_back_too(visitor: Visitor, ada: str) -> None:
    """As `access_denied`."""
    visitor.sign_in(ada)
    visitor.get(question())
    assert ["access_denied"] == told_back(visitor.send(question(), answer="deny"))["error"]


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
def test_a_wrong_question_of_a_right_tool_is_answered_to_it(
    visitor: Visitor, ada: str, changes: dict[str, str | None], error: str
) -> None:
    """With a code of the standard and its state."""
    visitor.sign_in(ada)
    told = told_back(visitor.get(question(**changes)))
    assert ([error], ["the state & more"]) == (told["error"], told["state"])


@pytest.mark.parametrize(
    "path",
    [
        question(client_id="other"),
        question(client_id=None),
        question(redirect_uri="https://evil.example"),
        question(redirect_uri="http://localhost:40123"),
        question(redirect_uri=None),
        question() + "&redirect_uri=https://evil.example",
        question() + "&client_id=rattler",
        question(state="x" * 501),
    ],
)
def test_a_question_of_somebody_else_is_answered_here(visitor: Visitor, ada: str, path: str) -> None:
    """Nobody is sent to where it says."""
    visitor.sign_in(ada)
    answers = [visitor.get(path)]
    visitor.get("/device")
    answers.append(visitor.send(path, answer="allow"))
    assert [400, 400] == [answer.status_code for answer in answers]
    assert not any("location" in answer.headers for answer in answers)


def test_agreeing_is_bound_to_the_page(visitor: Visitor, visit: Callable[[], Visitor], ada: str) -> None:
    """No other site agrees for somebody, and nobody agrees who is not signed in."""
    visitor.sign_in(ada)
    visitor.get(question())
    assert 403 == visitor.send(question(), answer="allow", csrf_token="x").status_code
    stranger = visit()
    stranger.get("/signin")
    assert 401 == stranger.send(question(), answer="allow").status_code
