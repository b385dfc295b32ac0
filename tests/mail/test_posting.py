"""Letters given to a real mail server, or put in a folder (mail/delivery.py)."""

import stat
from pathlib import Path

import pytest

from seaway.errors import BadSetting, Unavailable
from seaway.mail.delivery import Folder, Smtp, Undeliverable, log_only, open_delivery
from tests.mail.conftest import message
from tests.support.mail import PASSWORD, USER, MailServer, mail_server, read
from tests.support.tls import certificate, serving_context


def test_a_letter_arrives(server: MailServer) -> None:
    """As it was written: both forms, a dot on a line of its own, letters beyond ASCII."""
    Smtp("127.0.0.1", server.port)(message())
    (found,) = server.received
    assert ["ada@example.com"] == server.recipients
    assert "Grüße" == found["Subject"]
    assert "Line one\n.\nend\n" == found.get_body(("plain",)).get_content().replace("\r\n", "\n")  # type: ignore[union-attr]
    assert "<p>Grüße</p>" in found.get_body(("html",)).get_content()  # type: ignore[union-attr]


@pytest.mark.parametrize("reply", ["550 no such mailbox", "553 not wanted"])
def test_a_mailbox_that_refuses_is_told_apart(server: MailServer, reply: str) -> None:
    """It will refuse the next time too."""
    server.replies["ada@example.com"] = reply
    with pytest.raises(Undeliverable, match=reply[:3]):
        Smtp("127.0.0.1", server.port)(message())


def test_a_mailbox_that_is_busy_is_tried_again(server: MailServer) -> None:
    """A code with a 4 may be another one later."""
    server.replies["ada@example.com"] = "451 try later"
    with pytest.raises(Unavailable, match="did not accept"):
        Smtp("127.0.0.1", server.port)(message())


def test_a_server_that_is_away_is_tried_again(server: MailServer) -> None:
    """Nobody listens there."""
    with pytest.raises(Unavailable, match="does not respond"):
        Smtp("127.0.0.1", 1, seconds=5)(message())


def test_a_password_is_taken() -> None:
    """User and password are those of the address, where odd characters are written as %40."""
    with mail_server(login=True) as server:
        post = open_delivery(f"smtp://{USER}:p%40ss%3Aword%2F1@127.0.0.1:{server.port}", Path("unused"))
        post(message())
        assert ([USER.encode()], 1) == (server.users, len(server.received))


def test_a_wrong_password_is_not_the_fault_of_the_letter() -> None:
    """It is tried again, and ends among the failed jobs, where the operator sees why."""
    with mail_server(login=True) as server, pytest.raises(Unavailable) as refused:
        Smtp("127.0.0.1", server.port, USER, PASSWORD + "x")(message())
    assert refused.value.cause.startswith("535")


def test_tls_is_taken_where_it_is_offered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And a certificate that nobody we know has signed ends it: whoever stands between could have made it (1)."""
    made = certificate(tmp_path)
    with mail_server(tls=serving_context(made)) as server:
        with pytest.raises(Unavailable, match="does not respond"):
            Smtp("localhost", server.port)(message())
        monkeypatch.setenv("SSL_CERT_FILE", str(made.path))
        Smtp("localhost", server.port)(message())
        assert [True] == server.was_tls


def test_a_password_is_not_sent_in_clear(server: MailServer) -> None:
    """A server elsewhere that offers no TLS gets no password (1)."""
    with pytest.raises(Unavailable):
        Smtp("127.0.0.2", server.port, USER, PASSWORD)(message())
    assert [] == server.users


def test_a_folder_keeps_letters_for_its_owner(tmp_path: Path) -> None:
    """A file for each, that nobody else can read; the same letter again is the same file (2)."""
    post = Folder(tmp_path / "mail")
    post(message())
    post(message())
    (path,) = (tmp_path / "mail").iterdir()
    assert (0o600, 0o700) == tuple(stat.S_IMODE(each.stat().st_mode) for each in (path, path.parent))
    assert ["Grüße"] == [letter["Subject"] for letter in read(tmp_path / "mail")]


def test_addresses_of_posts(tmp_path: Path) -> None:
    """What `mail_url` can say."""
    assert log_only is open_delivery("log:", tmp_path)
    assert Folder(tmp_path) == open_delivery("folder:", tmp_path)
    assert Folder(Path("/var/mail out")) == open_delivery("folder:///var/mail%20out", tmp_path)
    assert Smtp("mx.example", 587) == open_delivery("smtp://mx.example", tmp_path)
    assert Smtp("mx.example", 465, "u", "p", is_tls=True) == open_delivery("smtps://u:p@mx.example", tmp_path)
    assert Smtp("mx.example", 25, starttls=False) == open_delivery("smtp://mx.example:25?starttls=no", tmp_path)
    with pytest.raises(BadSetting):
        open_delivery("http://mx.example", tmp_path)
