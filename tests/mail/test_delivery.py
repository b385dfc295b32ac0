"""Delivery to a real mail server or to a folder (mail/delivery.py)."""

import stat
from pathlib import Path

import pytest

from seaway.errors import BadSetting, Unavailable
from seaway.mail.delivery import Folder, Smtp, Undeliverable, log_only, open_delivery
from tests.mail.conftest import message
from tests.support.mail import PASSWORD, USER, MailServer, emails_in, mail_server
from tests.support.tls import certificate, serving_context


def test_email_arrives_unchanged(server: MailServer) -> None:
    """Both forms, a line with a single dot, and non-ASCII characters."""
    Smtp("127.0.0.1", server.port)(message())
    (received,) = server.received
    assert ["ada@example.com"] == server.recipients
    assert "Grüße" == received["Subject"]
    assert "Line one\n.\nend\n" == received.get_body(("plain",)).get_content().replace("\r\n", "\n")  # type: ignore[union-attr]
    assert "<p>Grüße</p>" in received.get_body(("html",)).get_content()  # type: ignore[union-attr]


@pytest.mark.parametrize("reply", ["550 no such mailbox", "553 not wanted"])
def test_permanent_refusal_is_undeliverable(server: MailServer, reply: str) -> None:
    """A retry would be refused again."""
    server.replies["ada@example.com"] = reply
    with pytest.raises(Undeliverable, match=reply[:3]):
        Smtp("127.0.0.1", server.port)(message())


def test_temporary_refusal_is_unavailable(server: MailServer) -> None:
    """A 4xx reply can succeed later."""
    server.replies["ada@example.com"] = "451 try later"
    with pytest.raises(Unavailable, match="did not accept"):
        Smtp("127.0.0.1", server.port)(message())


def test_unreachable_server_is_unavailable(server: MailServer) -> None:
    with pytest.raises(Unavailable, match="does not respond"):
        Smtp("127.0.0.1", 1, seconds=5)(message())


def test_user_and_password_of_url_are_used() -> None:
    """Special characters are percent-encoded in the URL."""
    with mail_server(login=True) as server:
        deliver = open_delivery(f"smtp://{USER}:p%40ss%3Aword%2F1@127.0.0.1:{server.port}", Path("unused"))
        deliver(message())
        assert ([USER.encode()], 1) == (server.users, len(server.received))


def test_wrong_password_is_unavailable() -> None:
    """The email is retried and ends as a failed job, where the operator sees the reason."""
    with mail_server(login=True) as server, pytest.raises(Unavailable) as refused:
        Smtp("127.0.0.1", server.port, USER, PASSWORD + "x")(message())
    assert refused.value.cause.startswith("535")


def test_offered_tls_is_used_and_verified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An untrusted certificate could be that of a man in the middle, so it ends the connection (1)."""
    server_certificate = certificate(tmp_path)
    with mail_server(tls=serving_context(server_certificate)) as server:
        with pytest.raises(Unavailable, match="does not respond"):
            Smtp("localhost", server.port)(message())
        monkeypatch.setenv("SSL_CERT_FILE", str(server_certificate.path))
        Smtp("localhost", server.port)(message())
        assert [True] == server.was_tls


def test_password_is_not_sent_without_tls(server: MailServer) -> None:
    """Only a server on loopback gets a password without TLS (1)."""
    with pytest.raises(Unavailable):
        Smtp("127.0.0.2", server.port, USER, PASSWORD)(message())
    assert [] == server.users


def test_folder_delivery_writes_private_files(tmp_path: Path) -> None:
    """Only the owner can read the files; the same email is the same file (2)."""
    deliver = Folder(tmp_path / "mail")
    deliver(message())
    deliver(message())
    (path,) = (tmp_path / "mail").iterdir()
    assert (0o600, 0o700) == tuple(stat.S_IMODE(entry.stat().st_mode) for entry in (path, path.parent))
    assert ["Grüße"] == [email["Subject"] for email in emails_in(tmp_path / "mail")]


def test_mail_url_selects_the_delivery(tmp_path: Path) -> None:
    assert log_only is open_delivery("log:", tmp_path)
    assert Folder(tmp_path) == open_delivery("folder:", tmp_path)
    assert Folder(Path("/var/mail out")) == open_delivery("folder:///var/mail%20out", tmp_path)
    assert Smtp("mx.example", 587) == open_delivery("smtp://mx.example", tmp_path)
    assert Smtp("mx.example", 465, "u", "p", is_tls=True) == open_delivery("smtps://u:p@mx.example", tmp_path)
    assert Smtp("mx.example", 25, starttls=False) == open_delivery("smtp://mx.example:25?starttls=no", tmp_path)
    with pytest.raises(BadSetting):
        open_delivery("http://mx.example", tmp_path)
