"""External identities: lookup, linking and unlinking."""

from dataclasses import replace

import pytest

from seaway.callers.caller import OPERATOR, Caller, CredentialKind
from seaway.database.engine import Tx
from seaway.errors import NameTaken, NotAllowed, NotFound
from seaway.server.wiring import Seaway
from seaway.sign_in import external_identities
from seaway.sign_in.identity_providers import ExternalAccount
from seaway.users import users
from tests.support.sites import Factory

OCTOCAT = ExternalAccount("github", "https://github.com", "583231", "octocat", "The Octocat", "octo@example.com")


def signed_in_caller(tx: Tx, name: str) -> Caller:
    return Caller(name, users.get(tx, name).id, CredentialKind.PERSON)


@pytest.fixture
def alice_and_bob(factory: Factory) -> tuple[str, str]:
    return factory.user("alice"), factory.user("bob")


def link(tx: Tx, name: str, external_account: ExternalAccount) -> None:
    by = signed_in_caller(tx, name)
    assert by.user_id is not None
    external_identities.link(tx, 1, by, by.user_id, external_account)


def test_identity_is_found_by_issuer_and_subject(seaway: Seaway, alice_and_bob: tuple[str, str]) -> None:
    """Invariant 1 (case 25): a renamed login is the same identity; another subject or issuer is a different one."""
    with seaway.site.database.write_site() as tx:
        link(tx, "alice", OCTOCAT)
        identity_of_alice = external_identities.find(tx, "https://github.com", "583231")
        assert identity_of_alice is not None
        external_identities.note_use(tx, 5, identity_of_alice.id, replace(OCTOCAT, login="cat-of-the-sea"))
        (identity,) = external_identities.of_user(tx, users.get(tx, "alice").id)
        assert ("cat-of-the-sea", 5) == (identity.login, identity.used_at_ms)
        assert external_identities.find(tx, "https://github.com", "583232") is None
        assert external_identities.find(tx, "https://github.example.com", "583231") is None


def test_identity_belongs_to_one_user(seaway: Seaway, alice_and_bob: tuple[str, str]) -> None:
    """Invariant 2; linking it to the same user again changes nothing."""
    with seaway.site.database.write_site() as tx:
        link(tx, "alice", OCTOCAT)
        link(tx, "alice", OCTOCAT)
        assert 1 == len(external_identities.of_user(tx, users.get(tx, "alice").id))
        with pytest.raises(NameTaken, match="another account"):
            link(tx, "bob", OCTOCAT)


def test_only_sign_in_method_cannot_be_unlinked(seaway: Seaway, alice_and_bob: tuple[str, str]) -> None:
    """Invariant 3: other identities and passwords count, API keys do not. Users unlink only their own identities."""
    with seaway.site.database.write_site() as tx:
        link(tx, "alice", OCTOCAT)
        alice, bob = signed_in_caller(tx, "alice"), signed_in_caller(tx, "bob")
        assert alice.user_id is not None
        assert bob.user_id is not None
        (first,) = external_identities.of_user(tx, alice.user_id)
        with pytest.raises(NotAllowed, match="only sign-in method"):
            external_identities.unlink(tx, 2, alice, alice.user_id, first.id)
        with pytest.raises(NotFound):
            external_identities.unlink(tx, 2, bob, bob.user_id, first.id)

        link(tx, "alice", replace(OCTOCAT, provider="google", issuer="https://accounts.google.com", subject="7"))
        external_identities.unlink(tx, 3, alice, alice.user_id, first.id)
        (second,) = external_identities.of_user(tx, alice.user_id)
        with pytest.raises(NotAllowed):
            external_identities.unlink(tx, 3, alice, alice.user_id, second.id)


def test_identity_can_be_unlinked_when_user_has_password(seaway: Seaway) -> None:
    with seaway.site.database.write_site() as tx:
        user = users.add(tx, 1, OPERATOR, "carol", email=None, password_hash="$argon2id$...", is_admin=False)
        by = Caller("carol", user.id, CredentialKind.PERSON)
        external_identities.link(tx, 1, by, user.id, OCTOCAT)
        (identity,) = external_identities.of_user(tx, user.id)
        external_identities.unlink(tx, 2, by, user.id, identity.id)
        assert [] == external_identities.of_user(tx, user.id)


@pytest.mark.parametrize("login", ["", "\x00\x1b[31m", "x" * 500, "\ud800"])
def test_external_login_name_is_stored_printable_and_bounded(
    seaway: Seaway, alice_and_bob: tuple[str, str], login: str
) -> None:
    """The provider controls the name."""
    with seaway.site.database.write_site() as tx:
        link(tx, "alice", replace(OCTOCAT, login=login))
        (identity,) = external_identities.of_user(tx, users.get(tx, "alice").id)
        assert identity.login.isprintable()
        assert 0 < len(identity.login) <= 200
