"""Signing in and out by the pages: cookies, forged forms, who is told what (1 to 21 of docs/security-cases.md)."""

from collections.abc import Callable

import pytest
from anyio.from_thread import BlockingPortal

from seaway.clock import DAY_MS, HOUR_MS, MINUTE_MS
from seaway.server.wiring import Seaway
from seaway.sign_in import first_account, sessions
from tests.support import house, mail
from tests.support.clock import TurnedClock
from tests.support.house import People
from tests.support.requests import bearer
from tests.support.statements import counted
from tests.web.visitor import PASSWORD, SITE, Visitor

WRONG = "not the password at all"
PROGRAM = {"Accept": "*/*"}


def test_the_cookie_is_bound_to_this_host(visitor: Visitor, ada: str) -> None:
    """Case 17: prefix and flags."""
    answer = visitor.sign_in(ada)
    assert 303 == answer.status_code
    cookie = next(one for one in answer.headers.get_list("set-cookie") if "session" in one)
    assert cookie.startswith("__Host-seaway_session=swy-s-")
    assert {"Secure", "HttpOnly", "SameSite=lax", "Path=/"} <= set(cookie.split("; "))
    assert "Domain" not in cookie
    assert "max-age=31536000" in answer.headers["strict-transport-security"]


def test_a_new_session_each_time(visitor: Visitor, ada: str) -> None:
    """Case 12: the secret before is another one, and dead."""
    visitor.sign_in(ada)
    old = visitor.session
    visitor.cookies.delete("__Host-seaway_session")
    visitor.sign_in(ada)
    assert old != visitor.session

    other = visitor.another()
    other.get("/signin")
    other.bring(visitor.session)
    assert 303 == other.send("/signin", login=ada, password=PASSWORD).status_code
    assert other.session not in (None, visitor.session)
    assert 401 == visitor.get("/account", headers=PROGRAM).status_code


def test_a_cookie_from_elsewhere_is_not_adopted(visitor: Visitor, ada: str) -> None:
    """Case 13: nobody can choose the secret of somebody else's session."""
    chosen = "swy-s-000000000000000000000000000000000000000000"
    visitor.bring(chosen)
    visitor.sign_in(ada)
    assert visitor.session not in (None, chosen)


def test_sign_out_kills_the_cookie(visitor: Visitor, ada: str) -> None:
    """Case 14: a copy of it opens nothing."""
    visitor.sign_in(ada)
    copy = visitor.session
    visitor.get("/account")
    assert 303 == visitor.send("/signout").status_code
    assert visitor.session is None
    visitor.bring(copy)
    assert 401 == visitor.get("/account", headers=PROGRAM).status_code
    assert "/signin?next=/account" == visitor.get("/account").headers["location"]


def test_a_new_password_ends_the_other_sessions(visit: Callable[[], Visitor], ada: str) -> None:
    """Case 15."""
    one, other = visit(), visit()
    one.sign_in(ada)
    other.sign_in(ada)
    one.get("/account/security")
    assert 303 == one.send("/account/security/password", password="quarry bishop 31 lanterns").status_code
    assert 200 == one.get("/account").status_code
    assert 401 == other.get("/account", headers=PROGRAM).status_code


def test_a_session_ends_by_itself(visitor: Visitor, ada: str, turned: TurnedClock) -> None:
    """Case 16: idle for 12 hours, and 14 days after it began even if it is used all the time."""
    visitor.sign_in(ada)
    turned.move(12 * HOUR_MS)
    assert 401 == visitor.get("/account", headers=PROGRAM).status_code
    visitor.sign_in(ada)
    for _ in range(28):
        turned.move(12 * HOUR_MS - MINUTE_MS)
        answered = visitor.get("/account", headers=PROGRAM).status_code
        assert 200 == answered
    turned.move(DAY_MS // 24)
    assert 401 == visitor.get("/account", headers=PROGRAM).status_code


@pytest.mark.parametrize(
    ("said", "token", "expected"),
    [
        ({"Sec-Fetch-Site": "same-origin", "Origin": SITE}, "right", 303),
        ({"Origin": SITE}, "right", 303),
        ({"Sec-Fetch-Site": "none"}, "right", 303),
        ({"Sec-Fetch-Site": "same-origin", "Origin": SITE}, "", 403),
        ({"Sec-Fetch-Site": "same-origin", "Origin": SITE}, "wrong", 403),
        ({"Sec-Fetch-Site": "cross-site", "Origin": SITE}, "right", 403),
        ({"Sec-Fetch-Site": "same-site", "Origin": SITE}, "right", 403),
        ({"Sec-Fetch-Site": "none", "Origin": "https://evil.example"}, "right", 403),
        ({"Origin": "https://evil.example"}, "right", 403),
        ({"Origin": "null"}, "right", 403),
        ({}, "right", 403),
    ],
)
def test_a_cookie_alone_changes_nothing(
    visitor: Visitor, ada: str, said: dict[str, str], token: str, expected: int
) -> None:
    """Case 18: what another site's page could send is refused, and does nothing."""
    visitor.sign_in(ada)
    visitor.get("/account")
    sent = visitor.token if token == "right" else token
    answer = visitor.ask("POST", "/signout", data={"csrf_token": sent}, headers=said)
    assert expected == answer.status_code
    assert (401 if expected == 303 else 200) == visitor.get("/account", headers=PROGRAM).status_code


def test_json_as_plain_text_is_no_form(visitor: Visitor, ada: str) -> None:
    """Case 18: what a foreign form can smuggle as text holds no token."""
    visitor.sign_in(ada)
    visitor.get("/account")
    body = f'{{"csrf_token": "{visitor.token}"}}'
    answer = visitor.ask(
        "POST", "/signout", content=body, headers={"Content-Type": "text/plain", "Sec-Fetch-Site": "same-origin"}
    )
    assert 403 == answer.status_code


def test_a_token_of_another_session_is_refused(visit: Callable[[], Visitor], ada: str) -> None:
    """A token is good for the session whose page it came with."""
    mine, theirs = visit(), visit()
    for one in (mine, theirs):
        one.sign_in(ada)
        one.get("/account")
    answer = mine.ask("POST", "/signout", data={"csrf_token": theirs.token}, headers={"Sec-Fetch-Site": "same-origin"})
    assert 403 == answer.status_code


def test_the_form_for_signing_in_is_bound_to_the_browser(visit: Callable[[], Visitor], ada: str) -> None:
    """Nobody can sign a stranger's browser in: the token goes with a cookie that they cannot set."""
    mine, theirs = visit(), visit()
    theirs.get("/signin")
    mine.get("/signin")
    mine.cookies.clear()
    assert 403 == mine.send("/signin", login=ada, password="x").status_code
    mine.get("/signin")
    answer = mine.send("/signin", login=ada, password="x", csrf_token=theirs.token)
    assert 403 == answer.status_code


def test_a_key_needs_no_token(shared: Seaway, visitor: Visitor, ada: str) -> None:
    """Cases 19 and 20: the header decides alone, in both directions."""
    people = People(shared)
    channel = people.channel(f"of-{ada}", owner=ada, public=False)
    key = people.key(ada)
    path = f"/{channel}/noarch/repodata.json"
    assert 200 == visitor.ask("GET", path, headers=bearer(key)).status_code
    visitor.sign_in(ada)
    assert 200 == visitor.ask("GET", path).status_code
    bad = bearer(key[:-1] + ("0" if key[-1] != "0" else "1"))
    for address in (path, "/account", f"/channels/{channel}", "/"):
        assert 401 == visitor.ask("GET", address, headers=bad | PROGRAM).status_code


def test_a_key_is_no_person(shared: Seaway, visitor: Visitor, ada: str) -> None:
    """Keys open no page of the account; and the secret of a session is no bearer token."""
    key = People(shared).key(ada)
    assert 403 == visitor.ask("GET", "/account/keys", headers=bearer(key)).status_code
    visitor.sign_in(ada)
    assert 401 == visitor.another().ask("GET", "/account", headers=bearer(visitor.session) | PROGRAM).status_code


@pytest.mark.parametrize("evil", ["//evil.example", "/\\evil.example", "https:evil.example", "javascript:alert(1)"])
def test_next_leads_nowhere_else(visitor: Visitor, ada: str, evil: str) -> None:
    """Case 21: in the address and in the form."""
    visitor.get("/signin", params={"next": evil})
    assert evil not in visitor.shown
    for path in ("/account/keys", evil):
        visitor.get("/signin")
        answer = visitor.send("/signin", login=ada, password=PASSWORD, next=path)
        assert ("/account" if path == evil else path) == answer.headers["location"]
        visitor.cookies.clear()


def test_unknown_and_wrong_look_the_same(visit: Callable[[], Visitor], ada: str) -> None:
    """Case 7, what is said: that the time is the same, the tests of the sign-in itself measure."""
    pages = set()
    for login in (ada, "nobody-of-this-name"):
        one = visit()
        answer = one.sign_in(login, WRONG)
        assert 401 == answer.status_code
        pages.add(answer.text.replace(login, "").replace(one.token, ""))
    assert len(pages) == 1


def test_the_eleventh_try_waits(visit: Callable[[], Visitor], ada: str) -> None:
    """Case 8: told when to come back."""
    visitor = visit()
    for _ in range(10):
        assert 401 == visitor.sign_in(f"somebody-{ada}", WRONG).status_code
    answer = visitor.sign_in(f"somebody-{ada}", WRONG)
    assert 429 == answer.status_code
    assert int(answer.headers["retry-after"]) > 0
    assert 303 == visit().sign_in(ada).status_code


def test_a_fresh_proof_makes_a_new_secret(visitor: Visitor, ada: str, turned: TurnedClock) -> None:
    """What is grave asks for the password again after half an hour; the secret before it is dead."""
    visitor.sign_in(ada)
    turned.move(31 * MINUTE_MS)
    visitor.get("/account/keys")
    answer = visitor.send("/account/keys", name="ci", mode="READ", days="90", **{"for": "all"})
    assert "/confirm?next=/account/keys" == answer.headers["location"]
    visitor.get(answer.headers["location"])
    old, token = visitor.session, visitor.token
    assert 401 == visitor.send("/confirm", proof=WRONG, next="/account/keys").status_code
    answer = visitor.send("/confirm", proof=PASSWORD, next="/account/keys", csrf_token=token)
    assert "/account/keys" == answer.headers["location"]
    assert old != visitor.session
    with visitor.seaway.database.read() as tx:
        assert sessions.caller_of(tx, old or "", turned.now_ms()) is None
    visitor.get("/account/keys")
    made = visitor.send("/account/keys", name="ci", mode="READ", days="90", **{"for": "all"})
    assert 200 == made.status_code
    assert "swy-u-" in made.text


def test_sign_up_to_a_verified_account(visitor: Visitor, ada: str) -> None:
    """Cases 1 to 3: a look at the link verifies nothing, the button does, and pressing it twice does no harm."""
    name = f"new-{ada}"
    assert "/signup/sent" == visitor.sign_up(name, f"{name}@example.com").headers["location"]
    assert visitor.session is not None
    visitor.get("/account/keys")
    refused = visitor.send("/account/keys", name="ci", mode="READ", days="90", **{"for": "all"})
    assert 403 == refused.status_code
    assert "not verified" in refused.text

    letter = mail.letters_to(visitor.seaway, f"{name}@example.com")[-1]
    path = f"/verify/{mail.link_in(letter)}"
    scanner = visitor.another()
    assert [200, 200] == [scanner.get(path).status_code, scanner.get(path).status_code]
    assert "is not verified" in visitor.get("/account").text

    assert f"<strong>{name}</strong>" in visitor.get(path).text
    token = visitor.token
    shown = visitor.send(path)
    assert (200, True) == (shown.status_code, f"<strong>{name}</strong>" in shown.text)
    assert "is not verified" not in visitor.get("/account").text
    again = visitor.send(path, csrf_token=token)
    assert 200 == again.status_code
    assert "Already verified" in again.text


def test_a_link_needs_the_account_that_named_the_address(
    visitor: Visitor, visit: Callable[[], Visitor], ada: str
) -> None:
    """In another browser the page names the account and asks to sign in to it; a button pressed there does nothing."""
    name = f"eve-{ada}"
    visitor.sign_up(name, f"{name}@example.com")
    path = f"/verify/{mail.link_in(mail.letters_to(visitor.seaway, f'{name}@example.com')[-1])}"

    nobody = visit()
    shown = nobody.get(path).text
    assert f"<strong>{name}</strong>" in shown
    assert f'href="/signin?next={path}"' in shown
    assert "Verify address" not in shown
    assert 401 == nobody.send(path).status_code

    other = visit()
    other.sign_in(ada)
    assert f"You are signed in as {ada}" in other.get(path).text
    assert 403 == other.send(path).status_code
    assert "is not verified" in visitor.get("/account").text

    other.get(path)
    assert f"/signin?next={path}" == other.send("/signout", next=path).headers["location"]
    other.get(f"/signin?next={path}")
    signed_in = other.send("/signin", login=name, password=PASSWORD, next=other.hidden("next"))
    assert path == signed_in.headers["location"]
    other.get(path)
    assert 200 == other.send(path).status_code
    assert "is not verified" not in visitor.get("/account").text


def test_a_known_address_signs_up_like_a_new_one(visit: Callable[[], Visitor], ada: str) -> None:
    """Case 4: the same page and a session; only the owner of the address is told."""
    answers = []
    for number, address in enumerate((f"{ada}@example.com", f"other-{ada}@example.com")):
        one = visit()
        answer = one.sign_up(f"twin{number}-{ada}", address)
        answers.append(
            (
                answer.status_code,
                answer.headers["location"],
                one.session is not None,
                one.get("/signup/sent").text.partition("<main")[2],
            )
        )
    assert answers[0] == answers[1]
    letter = mail.letters_to(visit().seaway, f"{ada}@example.com")[-1]
    assert "already" in letter["Subject"]


def test_a_new_password_for_an_unknown_address_looks_the_same(visit: Callable[[], Visitor], ada: str) -> None:
    """Case 5: neither the answer nor the work before it tells whether somebody has the address."""
    answers, work = [], []
    for address in (f"{ada}@example.com", f"nobody-{ada}@example.com"):
        one = visit()
        one.get("/reset")
        with counted(one.seaway.database) as statements:
            answer = one.send("/reset", address=address)
        work.append(list(statements))
        answers.append((answer.status_code, answer.headers["location"], one.get("/reset/sent").text))
    assert answers[0] == answers[1]
    assert work[0] == work[1]


def test_a_forgotten_password(visitor: Visitor, ada: str) -> None:
    """Case 6, the pages of it: the link sets one password, once, and signs nobody in."""
    visitor.get("/reset")
    visitor.send("/reset", address=f"{ada}@example.com")
    mail.letters(visitor.seaway)
    path = f"/reset/{mail.link_in(mail.letters_to(visitor.seaway, f'{ada}@example.com')[-1])}"
    visitor.get(path)
    assert 422 == visitor.send(path, password="short").status_code
    visitor.get(path)
    assert 200 == visitor.send(path, password="quarry bishop 31 lanterns").status_code
    assert visitor.session is None
    assert 404 == visitor.get(path).status_code
    assert 401 == visitor.sign_in(ada).status_code
    assert 303 == visitor.sign_in(ada, "quarry bishop 31 lanterns").status_code


def test_a_huge_password_is_not_looked_at(visitor: Visitor, ada: str) -> None:
    """Case 10: a megabyte is no form, and the database is asked nothing about it."""
    visitor.get("/signin")
    with counted(visitor.seaway.database) as statements:
        assert 413 == visitor.send("/signin", login=ada, password="x" * 1_000_000).status_code
    assert [] == statements


def test_a_closed_house_says_so(
    tmp_path_factory: pytest.TempPathFactory, turned: TurnedClock, portal: BlockingPortal
) -> None:
    """Where the operator makes the accounts, the page tells that instead of showing a form."""
    closed = house.build(tmp_path_factory.mktemp("closed"), turned, public_url=SITE, sign_up="closed")
    visitor = Visitor(closed, portal, "203.0.113.9")
    assert "Only an admin can create accounts" in visitor.get("/signup").text
    visitor.get("/signin")
    assert 'href="/signup"' not in visitor.shown.partition("<main")[2]
    assert 403 == visitor.send("/signup", name="x", address="x@example.com", password="y" * 20).status_code
    closed.close()


def test_the_first_account(
    tmp_path_factory: pytest.TempPathFactory, turned: TurnedClock, portal: BlockingPortal
) -> None:
    """By the link that `serve` prints: once, and the account looks after the site."""
    empty = house.build(tmp_path_factory.mktemp("empty"), turned, public_url=SITE)
    link = first_account.create_link(empty.database, turned.now_ms(), SITE)
    assert link is not None
    path = link.removeprefix(SITE)
    visitor = Visitor(empty, portal, "203.0.113.10")
    visitor.get(path)
    told = {"name": "root-of-it", "address": "root@example.com"}
    assert 422 == visitor.send(path, password="short", **told).status_code
    assert "/signin" == visitor.send(path, password=PASSWORD, **told).headers["location"]
    assert 404 == visitor.get(path).status_code
    visitor.sign_in("root-of-it")
    assert "Site admin" in visitor.get("/account").text
    empty.close()


def test_an_account_is_looked_after_and_left(visitor: Visitor, ada: str) -> None:
    """A name, a further address, and the end, which needs the name typed."""
    visitor.sign_in(ada)
    visitor.get("/account")
    assert 303 == visitor.send("/account", display_name="Ada <b>King</b>").status_code
    assert "Ada &lt;b&gt;King&lt;/b&gt;" in visitor.get("/account").text
    visitor.get("/account/emails")
    assert 303 == visitor.send("/account/emails", address=f"{ada}@elsewhere.example").status_code
    assert f"{ada}@elsewhere.example" in visitor.get("/account/emails").text
    assert 303 == visitor.send("/account/emails/remove", address=f"{ada}@elsewhere.example").status_code
    assert f"{ada}@elsewhere.example" not in visitor.get("/account/emails").text
    assert 403 == visitor.send("/account/emails/remove", address=f"{ada}@example.com").status_code
    visitor.get("/account")
    assert 400 == visitor.send("/account/delete", typed_name="somebody").status_code
    assert "/" == visitor.send("/account/delete", typed_name=ada).headers["location"]
    assert visitor.session is None
    assert 401 == visitor.sign_in(ada).status_code


def test_what_the_cookie_holds_is_good_in_the_cookie_only(visitor: Visitor, shared: Seaway, ada: str) -> None:
    """Addresses and headers are logged and passed on, so that there it opens nothing, not even to read."""
    channel = People(shared).channel(f"of-{ada}", owner=ada, public=False)
    visitor.sign_in(ada)
    secret, document = visitor.session, f"/{channel}/noarch/repodata.json"
    assert 200 == visitor.get(document, headers=PROGRAM).status_code
    visitor.bring(None)
    assert 401 == visitor.get(f"/t/{secret}{document}", headers=PROGRAM).status_code
    assert 401 == visitor.get(document, headers=PROGRAM | bearer(secret)).status_code
