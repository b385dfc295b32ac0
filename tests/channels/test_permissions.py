"""The one answer to «may I?», against a table that says it again in other words."""

from itertools import pairwise, product

import pytest

from seaway.callers.caller import ANONYMOUS, OPERATOR, Caller, CredentialKind, Mode, PublisherGrant
from seaway.callers.site_permissions import FOR_ADMINS, NEEDS_UNRESTRICTED, SiteAction, require_site, require_verified
from seaway.channels.permissions import Access, Verdict, decide, require
from seaway.channels.roles import Action, Role
from seaway.errors import BadCredential, ConfirmationRequired, NotAllowed, NotFound, SeawayError

CHANNEL = 7
# read, see members, upload, yank, delete, overwrite, manage, correct, admit, restrict, leave, transfer, remove
R, S, U, Y, D, O, M, C, A, P, L, T, X = Action  # noqa: E741

# Who, with a key of which mode, may do what with files of others.
WITH_A_KEY = {
    ("stranger", Mode.READ): set(),
    ("stranger", Mode.READ_WRITE): set(),
    ("stranger", Mode.READ_WRITE_DELETE): set(),
    ("stranger", Mode.MANAGE): set(),
    ("viewer", Mode.READ): {R, S},
    ("viewer", Mode.READ_WRITE): {R, S},
    ("viewer", Mode.READ_WRITE_DELETE): {R, S},
    ("viewer", Mode.MANAGE): {R, S, L},
    ("contributor", Mode.READ): {R, S},
    ("contributor", Mode.READ_WRITE): {R, S, U, Y},
    ("contributor", Mode.READ_WRITE_DELETE): {R, S, U, Y},
    ("contributor", Mode.MANAGE): {R, S, U, Y, L},
    ("owner", Mode.READ): {R, S},
    ("owner", Mode.READ_WRITE): {R, S, U, Y},
    ("owner", Mode.READ_WRITE_DELETE): {R, S, U, Y, D, O},
    ("owner", Mode.MANAGE): {R, S, U, Y, D, O, M, C, A},
    ("admin", Mode.READ): {R, S},
    ("admin", Mode.READ_WRITE): {R, S},
    ("admin", Mode.READ_WRITE_DELETE): {R, S, D, O},
    ("admin", Mode.MANAGE): {R, S, D, O, M, C, A},
    ("admin who contributes", Mode.READ): {R, S},
    ("admin who contributes", Mode.READ_WRITE): {R, S, U, Y},
    ("admin who contributes", Mode.READ_WRITE_DELETE): {R, S, U, Y, D, O},
    ("admin who contributes", Mode.MANAGE): {R, S, U, Y, D, O, M, C, A, L},
}

# What is added where the file is one that the asker uploaded.
WITH_OWN_FILES = {
    ("contributor", Mode.READ_WRITE_DELETE): {D, O},
    ("contributor", Mode.MANAGE): {D, O},
}

ROLES = {
    "stranger": None,
    "viewer": Role.VIEWER,
    "contributor": Role.CONTRIBUTOR,
    "owner": Role.OWNER,
    "admin": None,
    "admin who contributes": Role.CONTRIBUTOR,
}


def asker(who: str, mode: Mode, *, only: frozenset[int] | None = None) -> Caller:
    return Caller(
        name=who,
        user_id=1,
        credential=CredentialKind.KEY,
        is_admin=who.startswith("admin"),
        mode=mode,
        channel_ids=only,
        key_name="laptop",
    )


def access(who: str, *, public: bool) -> Access:
    return Access(CHANNEL, public, ROLES[who])


def allowed(principal: Caller, seen: Access | None, *, own_file: bool = False) -> set[Action]:
    return {action for action in Action if decide(principal, action, seen, own_file=own_file) is Verdict.ALLOWED}


@pytest.mark.parametrize(("who", "mode"), WITH_A_KEY, ids=lambda value: getattr(value, "name", value))
@pytest.mark.parametrize("own_file", [False, True], ids=["others' file", "own file"])
@pytest.mark.parametrize("public", [False, True], ids=["private", "public"])
def test_role_and_mode_together_decide(who: str, mode: Mode, own_file: bool, public: bool) -> None:
    """A key gives what its user's role gives and its mode allows, and everybody reads what is public."""
    expected = WITH_A_KEY[who, mode] | (WITH_OWN_FILES.get((who, mode), set()) if own_file else set())
    expected |= {R} if public else set()
    assert expected == allowed(asker(who, mode), access(who, public=public), own_file=own_file)


@pytest.mark.parametrize("who", ROLES)
@pytest.mark.parametrize("action", Action, ids=lambda action: action.value)
def test_a_refusal_in_a_private_channel_hides_it_from_whoever_may_not_read_it(who: str, action: Action) -> None:
    """Who reads a private channel may hear «no»; for everybody else it does not exist."""
    verdict = decide(asker(who, Mode.READ), action, access(who, public=False))
    refusal = Verdict.HIDDEN if who == "stranger" else Verdict.FORBIDDEN
    assert (Verdict.ALLOWED if action in WITH_A_KEY[who, Mode.READ] else refusal) is verdict


@pytest.mark.parametrize("who", ROLES)
@pytest.mark.parametrize("action", Action, ids=lambda action: action.value)
def test_nothing_of_a_public_channel_is_hidden(who: str, action: Action) -> None:
    """In a public channel the answer is yes or no, never that there is none."""
    assert decide(asker(who, Mode.READ), action, access(who, public=True)) is not Verdict.HIDDEN


@pytest.mark.parametrize(("who", "mode"), WITH_A_KEY, ids=lambda value: getattr(value, "name", value))
@pytest.mark.parametrize("own_file", [False, True], ids=["others' file", "own file"])
def test_a_key_for_other_channels_gives_nothing_here(who: str, mode: Mode, own_file: bool) -> None:
    """Outside its channels a key is a stranger's, also that of an owner or an admin."""
    for only in (frozenset(), frozenset({CHANNEL + 1})):
        scoped = asker(who, mode, only=only)
        assert set() == allowed(scoped, access(who, public=False), own_file=own_file)
        assert {R} == allowed(scoped, access(who, public=True), own_file=own_file)
        assert decide(scoped, Action.UPLOAD, access(who, public=False)) is Verdict.HIDDEN


@pytest.mark.parametrize(("who", "mode"), WITH_A_KEY, ids=lambda value: getattr(value, "name", value))
def test_a_key_for_this_channel_gives_what_a_key_for_all_gives(who: str, mode: Mode) -> None:
    """Within its channels a scope takes nothing away."""
    scoped = asker(who, mode, only=frozenset({CHANNEL, CHANNEL + 1}))
    assert WITH_A_KEY[who, mode] == allowed(scoped, access(who, public=False))


@pytest.mark.parametrize("own_file", [False, True], ids=["others' file", "own file"])
@pytest.mark.parametrize("who", ROLES)
def test_a_wider_mode_never_gives_less(who: str, own_file: bool) -> None:
    """Each mode includes those before it."""
    steps = [allowed(asker(who, mode), access(who, public=False), own_file=own_file) for mode in sorted(Mode)]
    assert all(narrow <= wide for narrow, wide in pairwise(steps))


@pytest.mark.parametrize("public", [False, True], ids=["private", "public"])
def test_anonymous_clients_read_what_is_public(public: bool) -> None:
    """Without a credential there is reading of public channels, and nothing else."""
    assert ({R} if public else set()) == allowed(ANONYMOUS, Access(CHANNEL, public, None), own_file=True)


def test_the_operator_may_everything() -> None:
    """Whoever can run commands beside the data owns the data."""
    assert set(Action) == allowed(OPERATOR, Access(CHANNEL, False, None))


@pytest.mark.parametrize(
    "principal",
    [ANONYMOUS, asker("owner", Mode.MANAGE), asker("admin", Mode.MANAGE), OPERATOR],
    ids=lambda principal: principal.name,
)
def test_an_unknown_channel_is_hidden_from_all(principal: Caller) -> None:
    """Where no channel is, nobody may anything, not even the operator."""
    assert {Verdict.HIDDEN} == {decide(principal, action, None, own_file=True) for action in Action}


def refusal(principal: Caller, action: Action, seen: Access | None) -> SeawayError | None:
    try:
        require(principal, action, seen, channel_name="the-channel")
    except SeawayError as error:
        return error
    return None


def test_hidden_and_unknown_channels_are_one_refusal() -> None:
    """For who may not read it, a private channel is refused in the very words of one that does not exist."""
    for principal, action in product((ANONYMOUS, asker("stranger", Mode.MANAGE)), Action):
        hidden, unknown = (refusal(principal, action, seen) for seen in (Access(CHANNEL, False, None), None))
        assert (type(unknown), str(unknown)) == (type(hidden), str(hidden))
        assert "the-channel" not in str(hidden)


@pytest.mark.parametrize(
    ("principal", "action", "seen", "kind"),
    [
        pytest.param(ANONYMOUS, Action.READ, None, BadCredential, id="anonymous reads unknown"),
        pytest.param(ANONYMOUS, Action.UPLOAD, Access(7, True, None), BadCredential, id="anonymous uploads to public"),
        pytest.param(asker("stranger", Mode.MANAGE), Action.READ, None, NotFound, id="stranger reads unknown"),
        pytest.param(
            asker("stranger", Mode.MANAGE), Action.UPLOAD, Access(7, True, None), NotAllowed, id="stranger uploads"
        ),
        pytest.param(
            asker("viewer", Mode.MANAGE), Action.UPLOAD, Access(7, False, Role.VIEWER), NotAllowed, id="viewer uploads"
        ),
        pytest.param(
            asker("owner", Mode.MANAGE), Action.MANAGE, Access(7, False, Role.OWNER), type(None), id="owner manages"
        ),
    ],
)
def test_each_verdict_has_its_error(
    principal: Caller, action: Action, seen: Access | None, kind: type[SeawayError]
) -> None:
    """Without a credential it is asked for; with one the answer is that there is nothing, or a no with the reason."""
    assert kind is type(refusal(principal, action, seen))


@pytest.mark.parametrize(
    ("who", "mode", "action", "cure"),
    [
        pytest.param("owner", Mode.READ, Action.UPLOAD, "READ_WRITE", id="mode too narrow to upload"),
        pytest.param("owner", Mode.READ_WRITE, Action.DELETE, "READ_WRITE_DELETE", id="mode too narrow to delete"),
        pytest.param("viewer", Mode.MANAGE, Action.UPLOAD, "role of Contributor", id="role too low to upload"),
        pytest.param("viewer", Mode.MANAGE, Action.MANAGE, "role of Owner", id="role too low to manage"),
        pytest.param("contributor", Mode.MANAGE, Action.DELETE, "files that they uploaded", id="file of others"),
    ],
)
def test_a_no_tells_what_would_help(who: str, mode: Mode, action: Action, cure: str) -> None:
    """A refusal names what is missing: the key's mode, or the user's role."""
    error = refusal(asker(who, mode), action, access(who, public=False))
    assert isinstance(error, NotAllowed)
    assert cure in error.hint
    assert ("API key" in error.message) is ("mode" in error.hint)


def test_a_tool_whose_login_is_too_narrow_is_told_how_to_widen_it() -> None:
    """The scope is the tool's, so the cure is another login, not another key."""
    by = Caller("owner", 1, CredentialKind.TOOL, mode=Mode.READ_WRITE, tool="rattler")
    error = refusal(by, Action.DELETE, access("owner", public=False))

    assert "The OAuth grant of rattler" in error.message
    assert "--oauth-scope channel:delete" in error.hint
    assert "key" not in error.hint
    assert "browser" in refusal(by, Action.MANAGE, access("owner", public=False)).hint
    assert "browser" in refusal(by, Action.REMOVE, access("owner", public=False)).hint


def workflow(*grants: PublisherGrant) -> Caller:
    return Caller(
        name="GitHub: acme/tools, release.yml",
        credential=CredentialKind.WORKFLOW,
        mode=Mode.READ,
        channel_ids=frozenset(grant.channel_id for grant in grants),
        grants=grants,
    )


@pytest.mark.parametrize(
    ("mode", "expected"), [(Mode.READ, {R}), (Mode.READ_WRITE, {R, U, Y}), (Mode.READ_WRITE_DELETE, {R, U, Y, D, O})]
)
@pytest.mark.parametrize("own_file", [False, True], ids=["others' file", "own file"])
def test_the_mode_of_its_publisher_alone_decides_for_a_workflow(
    mode: Mode, expected: set[Action], own_file: bool
) -> None:
    """Invariant 2: in each channel that of the publisher there, and in other channels nothing."""
    by = workflow(PublisherGrant(CHANNEL, 1, mode), PublisherGrant(CHANNEL + 1, 2, Mode.READ_WRITE_DELETE))

    assert expected == allowed(by, Access(CHANNEL, is_public=False, role=None), own_file=own_file)
    assert {R, U, Y, D, O} == allowed(by, Access(CHANNEL + 1, is_public=False, role=None))
    assert set() == allowed(by, Access(CHANNEL + 2, is_public=False, role=None))


def test_a_publisher_for_some_packages_is_good_for_those() -> None:
    """Its patterns narrow what its workflow may write, in its channel and not in another."""
    by = workflow(
        PublisherGrant(CHANNEL, 1, Mode.READ_WRITE, ("tools-*",)), PublisherGrant(CHANNEL + 1, 2, Mode.READ_WRITE)
    )
    verdicts = [
        decide(by, U, Access(channel, is_public=True, role=None), package=package)
        for channel in (CHANNEL, CHANNEL + 1)
        for package in ("tools-a", "other")
    ]

    assert [Verdict.ALLOWED, Verdict.FORBIDDEN, Verdict.ALLOWED, Verdict.ALLOWED] == verdicts


def test_a_channel_can_take_uploads_from_publishers_only() -> None:
    """Then no key and no browser uploads or overwrites, whatever its role; everything else is as before."""
    closed = Access(CHANNEL, is_public=True, role=Role.OWNER, only_publishers=True)
    owner = Caller("owner", 1, CredentialKind.PERSON, is_fresh=True)

    assert allowed(owner, closed) == set(Action) - {U, O, L}
    assert U in allowed(workflow(PublisherGrant(CHANNEL, 1, Mode.READ_WRITE)), closed)
    assert U in allowed(OPERATOR, closed)
    with pytest.raises(NotAllowed, match="trusted publishers only"):
        require(owner, U, closed, channel_name="chan")


# People and tools


def person(
    who: str = "ada", *, verified: bool = True, fresh: bool = True, new: bool = True, admin: bool = False
) -> Caller:
    return Caller(
        who, 1, CredentialKind.PERSON, is_admin=admin, is_verified=verified, session_id=5, is_fresh=fresh, is_new=new
    )


def test_somebody_signed_in_may_what_their_role_gives() -> None:
    """Invariant 3: unlike a key of theirs, they say who may read it, give the channel away and delete it."""
    by_key = asker("owner", Mode.MANAGE)
    assert set(Action) - {L} == allowed(person(), access("owner", public=False))
    assert {P, T, X} == allowed(person(), access("owner", public=False)) - allowed(
        by_key, access("owner", public=False)
    )
    assert {R, S, U, Y, L} == allowed(person(), access("contributor", public=False))
    assert {R, S, L} == allowed(person(), access("viewer", public=False))
    assert set() == allowed(person(), access("stranger", public=False))
    assert set(Action) - {U, Y, L} == allowed(person(admin=True), access("admin", public=False))


@pytest.mark.parametrize("mode", Mode, ids=lambda mode: mode.name)
def test_a_tool_may_what_a_key_of_the_mode_may(mode: Mode) -> None:
    """Its login is no person either: never transfer, never deletion of the channel."""
    tool = Caller("owner", 1, CredentialKind.TOOL, mode=mode, tool="rattler")
    assert WITH_A_KEY["owner", mode] == allowed(tool, access("owner", public=False))


@pytest.mark.parametrize("action", [U, Y, D, O], ids=lambda action: action.value)
@pytest.mark.parametrize(
    ("patterns", "package", "may"),
    [
        (("boat",), "boat", True),
        (("boat",), "boats", False),
        (("boat-*",), "boat-deck", True),
        (("boat-*",), "boat", False),
        (("sail", "boat-*"), "sail", True),
        (("*",), "anything", True),
        ((), "anything", True),
    ],
)
def test_patterns_narrow_every_change_of_a_package(
    action: Action, patterns: tuple[str, ...], package: str, may: bool
) -> None:
    """Invariant 2: whatever the role; reading is not narrowed."""
    by = Caller("owner", 1, CredentialKind.KEY, key_name="ci", patterns=patterns)
    seen = access("owner", public=True)
    assert (Verdict.ALLOWED if may else Verdict.FORBIDDEN) is decide(by, action, seen, package=package)
    assert decide(by, R, seen, package=package) is Verdict.ALLOWED


def test_a_workflow_is_never_more_than_its_publisher() -> None:
    """Invariant 2: even with the widest mode it sees no members and changes no settings, though somebody is owner."""
    by = workflow(PublisherGrant(CHANNEL, 1, Mode.MANAGE))
    assert {R, U, Y, D, O} == allowed(by, Access(CHANNEL, is_public=False, role=Role.OWNER))
    assert decide(by, U, Access(CHANNEL + 1, is_public=False, role=None)) is Verdict.HIDDEN


# Outside of channels

KEY_OF_ADMIN = asker("admin", Mode.MANAGE)
NARROW = asker("ada", Mode.MANAGE, only=frozenset({CHANNEL}))


def refused_site(principal: Caller, action: SiteAction) -> type[SeawayError] | None:
    try:
        require_site(principal, action)
    except SeawayError as error:
        return type(error)
    return None


@pytest.mark.parametrize(
    ("principal", "may"),
    [
        pytest.param(OPERATOR, set(SiteAction), id="operator"),
        pytest.param(person(admin=True), set(SiteAction), id="admin"),
        pytest.param(person(), set(SiteAction) - FOR_ADMINS, id="person"),
        pytest.param(
            person(verified=False),
            set(SiteAction) - FOR_ADMINS - NEEDS_UNRESTRICTED,
            id="unverified person",
        ),
        pytest.param(KEY_OF_ADMIN, {action for action in SiteAction if not action.proof.needs_person}, id="admin's key"),
        pytest.param(asker("ada", Mode.READ_WRITE_DELETE), {SiteAction.FIND_USERS, SiteAction.READ_ACCOUNT}, id="key"),
        pytest.param(NARROW, {SiteAction.FIND_USERS, SiteAction.READ_ACCOUNT}, id="key for one channel"),
        pytest.param(workflow(PublisherGrant(CHANNEL, 1, Mode.MANAGE)), set(), id="workflow"),
        pytest.param(ANONYMOUS, set(), id="anonymous"),
    ],
)  # fmt: skip
def test_what_is_in_no_channel(principal: Caller, may: set[SiteAction]) -> None:
    """Invariant 3: accounts and the site are for people; a credential for some channels makes no further one."""
    verdicts = {action: refused_site(principal, action) for action in SiteAction}
    assert may == {action for action, refused in verdicts.items() if refused is None}
    kind = BadCredential if principal.is_anonymous else NotAllowed
    assert {kind} >= {refused for refused in verdicts.values() if refused is not None}


def test_an_unverified_account_is_told_what_to_do() -> None:
    """Case 1: the letter is where it goes on."""
    require_verified(person())
    with pytest.raises(NotAllowed, match="not verified") as refused:
        require_verified(person(verified=False))
    assert "verification email" in refused.value.hint


# What each action takes of the credential, said again; the rest takes nothing.
FRESH = {A, SiteAction.ADD_GROUP, SiteAction.CHANGE_GROUP}
PERSON = {SiteAction.CHANGE_ACCOUNT, SiteAction.JOIN, SiteAction.ADMINISTER}
FRESH_PERSON = {P, T, X, SiteAction.OPEN_ACCOUNT, SiteAction.REMOVE_ACCOUNT, SiteAction.TAKE_CHANNEL, SiteAction.CHANGE_SITE}  # fmt: skip
NEW_SESSION = {SiteAction.ADD_FIRST_FACTOR}


def refused(principal: Caller, action: Action | SiteAction) -> type[SeawayError] | None:
    try:
        if isinstance(action, SiteAction):
            require_site(principal, action)
        else:
            require(principal, action, access("owner", public=False), channel_name="chan")
    except SeawayError as error:
        return type(error)
    return None


@pytest.mark.parametrize(
    "action", [*(one for one in Action if one is not L), *SiteAction], ids=lambda action: action.value
)
def test_what_needs_a_fresh_session(action: Action | SiteAction) -> None:
    """Invariant 3 walks both tables: an old session, a confirmed old one, a new one, and a key of the widest mode."""
    key = Caller("ada", 1, CredentialKind.KEY, is_admin=True, key_name="ci")
    old, confirmed = person(admin=True, fresh=False, new=False), person(admin=True, new=False)
    needs_proof = FRESH | FRESH_PERSON
    assert (ConfirmationRequired if action in needs_proof | NEW_SESSION else None) is refused(old, action)
    assert (ConfirmationRequired if action in NEW_SESSION else None) is refused(confirmed, action)
    assert (ConfirmationRequired if action in needs_proof else None) is refused(person(admin=True, fresh=False), action)
    assert (NotAllowed if action in PERSON | FRESH_PERSON | NEW_SESSION else None) is refused(key, action)
    assert refused(OPERATOR, action) is None


def test_who_may_not_is_not_asked_for_a_proof() -> None:
    """A proof that would change nothing is not asked for."""
    stale = person(fresh=False, new=False)
    assert decide(stale, P, access("contributor", public=True)) is Verdict.FORBIDDEN
    assert decide(stale, P, access("stranger", public=False)) is Verdict.HIDDEN
    assert decide(stale, P, access("owner", public=True)) is Verdict.STALE
    assert NotAllowed is refused(stale, SiteAction.CHANGE_SITE)
