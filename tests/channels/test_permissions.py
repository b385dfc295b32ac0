"""Permission decisions, compared with a table that states them independently."""

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

# Permissions by role and key mode, for files of other users.
WITH_A_KEY = {
    ("no member", Mode.READ): set(),
    ("no member", Mode.READ_WRITE): set(),
    ("no member", Mode.READ_WRITE_DELETE): set(),
    ("no member", Mode.MANAGE): set(),
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

# Additional permissions for files that the caller uploaded.
WITH_OWN_FILES = {
    ("contributor", Mode.READ_WRITE_DELETE): {D, O},
    ("contributor", Mode.MANAGE): {D, O},
}

ROLES = {
    "no member": None,
    "viewer": Role.VIEWER,
    "contributor": Role.CONTRIBUTOR,
    "owner": Role.OWNER,
    "admin": None,
    "admin who contributes": Role.CONTRIBUTOR,
}


def key_of(user: str, mode: Mode, *, only: frozenset[int] | None = None) -> Caller:
    return Caller(
        name=user,
        user_id=1,
        credential=CredentialKind.KEY,
        is_admin=user.startswith("admin"),
        mode=mode,
        channel_ids=only,
        key_name="laptop",
    )


def access(user: str, *, public: bool) -> Access:
    return Access(CHANNEL, public, ROLES[user])


def allowed(caller: Caller, channel_access: Access | None, *, own_file: bool = False) -> set[Action]:
    return {action for action in Action if decide(caller, action, channel_access, own_file=own_file) is Verdict.ALLOWED}


@pytest.mark.parametrize(("user", "mode"), WITH_A_KEY, ids=lambda value: getattr(value, "name", value))
@pytest.mark.parametrize("own_file", [False, True], ids=["others' file", "own file"])
@pytest.mark.parametrize("public", [False, True], ids=["private", "public"])
def test_key_permissions_follow_role_and_mode(user: str, mode: Mode, own_file: bool, public: bool) -> None:
    """A key grants what its user's role grants and its mode allows; public channels are readable by all."""
    expected = WITH_A_KEY[user, mode] | (WITH_OWN_FILES.get((user, mode), set()) if own_file else set())
    expected |= {R} if public else set()
    assert expected == allowed(key_of(user, mode), access(user, public=public), own_file=own_file)


@pytest.mark.parametrize("user", ROLES)
@pytest.mark.parametrize("action", Action, ids=lambda action: action.value)
def test_private_channel_is_hidden_from_users_without_access(user: str, action: Action) -> None:
    """Members get FORBIDDEN."""
    verdict = decide(key_of(user, Mode.READ), action, access(user, public=False))
    refusal = Verdict.HIDDEN if user == "no member" else Verdict.FORBIDDEN
    assert (Verdict.ALLOWED if action in WITH_A_KEY[user, Mode.READ] else refusal) is verdict


@pytest.mark.parametrize("user", ROLES)
@pytest.mark.parametrize("action", Action, ids=lambda action: action.value)
def test_public_channel_is_never_hidden(user: str, action: Action) -> None:
    assert decide(key_of(user, Mode.READ), action, access(user, public=True)) is not Verdict.HIDDEN


@pytest.mark.parametrize(("user", "mode"), WITH_A_KEY, ids=lambda value: getattr(value, "name", value))
@pytest.mark.parametrize("own_file", [False, True], ids=["others' file", "own file"])
def test_key_for_other_channels_grants_nothing_here(user: str, mode: Mode, own_file: bool) -> None:
    """Outside its channels a key counts as a user without access, also if the user is owner or admin."""
    for only in (frozenset(), frozenset({CHANNEL + 1})):
        scoped = key_of(user, mode, only=only)
        assert set() == allowed(scoped, access(user, public=False), own_file=own_file)
        assert {R} == allowed(scoped, access(user, public=True), own_file=own_file)
        assert decide(scoped, Action.UPLOAD, access(user, public=False)) is Verdict.HIDDEN


@pytest.mark.parametrize(("user", "mode"), WITH_A_KEY, ids=lambda value: getattr(value, "name", value))
def test_key_for_this_channel_grants_the_same_as_unrestricted_key(user: str, mode: Mode) -> None:
    scoped = key_of(user, mode, only=frozenset({CHANNEL, CHANNEL + 1}))
    assert WITH_A_KEY[user, mode] == allowed(scoped, access(user, public=False))


@pytest.mark.parametrize("own_file", [False, True], ids=["others' file", "own file"])
@pytest.mark.parametrize("user", ROLES)
def test_each_mode_includes_the_narrower_ones(user: str, own_file: bool) -> None:
    permissions_by_mode = [
        allowed(key_of(user, mode), access(user, public=False), own_file=own_file) for mode in sorted(Mode)
    ]
    assert all(narrow <= wide for narrow, wide in pairwise(permissions_by_mode))


@pytest.mark.parametrize("public", [False, True], ids=["private", "public"])
def test_anonymous_caller_can_only_read_public_channels(public: bool) -> None:
    assert ({R} if public else set()) == allowed(ANONYMOUS, Access(CHANNEL, public, None), own_file=True)


def test_operator_is_allowed_everything() -> None:
    """The operator can run commands on the data anyway."""
    assert set(Action) == allowed(OPERATOR, Access(CHANNEL, False, None))


@pytest.mark.parametrize(
    "caller",
    [ANONYMOUS, key_of("owner", Mode.MANAGE), key_of("admin", Mode.MANAGE), OPERATOR],
    ids=lambda caller: caller.name,
)
def test_unknown_channel_is_hidden_from_all_callers(caller: Caller) -> None:
    """Including the operator."""
    assert {Verdict.HIDDEN} == {decide(caller, action, None, own_file=True) for action in Action}


def refusal(caller: Caller, action: Action, channel_access: Access | None) -> SeawayError | None:
    try:
        require(caller, action, channel_access, channel_name="the-channel")
    except SeawayError as error:
        return error
    return None


def test_hidden_and_unknown_channel_give_the_same_error() -> None:
    for caller, action in product((ANONYMOUS, key_of("no member", Mode.MANAGE)), Action):
        hidden, unknown = (
            refusal(caller, action, channel_access) for channel_access in (Access(CHANNEL, False, None), None)
        )
        assert (type(unknown), str(unknown)) == (type(hidden), str(hidden))
        assert "the-channel" not in str(hidden)


@pytest.mark.parametrize(
    ("caller", "action", "channel_access", "error_type"),
    [
        pytest.param(ANONYMOUS, Action.READ, None, BadCredential, id="anonymous reads unknown"),
        pytest.param(ANONYMOUS, Action.UPLOAD, Access(7, True, None), BadCredential, id="anonymous uploads to public"),
        pytest.param(key_of("no member", Mode.MANAGE), Action.READ, None, NotFound, id="no member reads unknown"),
        pytest.param(
            key_of("no member", Mode.MANAGE), Action.UPLOAD, Access(7, True, None), NotAllowed, id="no member uploads"
        ),
        pytest.param(
            key_of("viewer", Mode.MANAGE), Action.UPLOAD, Access(7, False, Role.VIEWER), NotAllowed, id="viewer uploads"
        ),
        pytest.param(
            key_of("owner", Mode.MANAGE), Action.MANAGE, Access(7, False, Role.OWNER), type(None), id="owner manages"
        ),
    ],
)
def test_each_verdict_raises_its_error(
    caller: Caller, action: Action, channel_access: Access | None, error_type: type[SeawayError]
) -> None:
    """Anonymous callers get BadCredential; others get NotFound or NotAllowed."""
    assert error_type is type(refusal(caller, action, channel_access))


@pytest.mark.parametrize(
    ("user", "mode", "action", "expected_hint"),
    [
        pytest.param("owner", Mode.READ, Action.UPLOAD, "READ_WRITE", id="mode too narrow to upload"),
        pytest.param("owner", Mode.READ_WRITE, Action.DELETE, "READ_WRITE_DELETE", id="mode too narrow to delete"),
        pytest.param("viewer", Mode.MANAGE, Action.UPLOAD, "role of Contributor", id="role too low to upload"),
        pytest.param("viewer", Mode.MANAGE, Action.MANAGE, "role of Owner", id="role too low to manage"),
        pytest.param("contributor", Mode.MANAGE, Action.DELETE, "files that they uploaded", id="file of others"),
    ],
)
def test_refusal_names_the_missing_mode_or_role(user: str, mode: Mode, action: Action, expected_hint: str) -> None:
    error = refusal(key_of(user, mode), action, access(user, public=False))
    assert isinstance(error, NotAllowed)
    assert expected_hint in error.hint
    assert ("API key" in error.message) is ("mode" in error.hint)


def test_refusal_of_oauth_grant_names_the_scope() -> None:
    """A wider scope needs another login, not another key."""
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
def test_workflow_permissions_follow_the_mode_of_its_publisher(
    mode: Mode, expected: set[Action], own_file: bool
) -> None:
    """Invariant 2: in each channel the mode of its publisher there applies; other channels grant nothing."""
    by = workflow(PublisherGrant(CHANNEL, 1, mode), PublisherGrant(CHANNEL + 1, 2, Mode.READ_WRITE_DELETE))

    assert expected == allowed(by, Access(CHANNEL, is_public=False, role=None), own_file=own_file)
    assert {R, U, Y, D, O} == allowed(by, Access(CHANNEL + 1, is_public=False, role=None))
    assert set() == allowed(by, Access(CHANNEL + 2, is_public=False, role=None))


def test_publisher_patterns_restrict_packages() -> None:
    """They apply in the publisher's channel only."""
    by = workflow(
        PublisherGrant(CHANNEL, 1, Mode.READ_WRITE, ("tools-*",)), PublisherGrant(CHANNEL + 1, 2, Mode.READ_WRITE)
    )
    verdicts = [
        decide(by, U, Access(channel, is_public=True, role=None), package=package)
        for channel in (CHANNEL, CHANNEL + 1)
        for package in ("tools-a", "other")
    ]

    assert [Verdict.ALLOWED, Verdict.FORBIDDEN, Verdict.ALLOWED, Verdict.ALLOWED] == verdicts


def test_channel_can_accept_uploads_from_publishers_only() -> None:
    """Then no key or session can upload or overwrite, whatever its role; other actions are not affected."""
    closed = Access(CHANNEL, is_public=True, role=Role.OWNER, only_publishers=True)
    owner = Caller("owner", 1, CredentialKind.PERSON, is_fresh=True)

    assert allowed(owner, closed) == set(Action) - {U, O, L}
    assert U in allowed(workflow(PublisherGrant(CHANNEL, 1, Mode.READ_WRITE)), closed)
    assert U in allowed(OPERATOR, closed)
    with pytest.raises(NotAllowed, match="trusted publishers only"):
        require(owner, U, closed, channel_name="chan")


# Signed-in users and command-line tools


def signed_in_user(
    user: str = "ada", *, verified: bool = True, fresh: bool = True, new: bool = True, admin: bool = False
) -> Caller:
    return Caller(
        user, 1, CredentialKind.PERSON, is_admin=admin, is_verified=verified, session_id=5, is_fresh=fresh, is_new=new
    )


def test_signed_in_user_has_the_permissions_of_their_role() -> None:
    """Invariant 3: unlike a key, a session can change visibility and transfer or delete the channel."""
    by_key = key_of("owner", Mode.MANAGE)
    assert set(Action) - {L} == allowed(signed_in_user(), access("owner", public=False))
    assert {P, T, X} == allowed(signed_in_user(), access("owner", public=False)) - allowed(
        by_key, access("owner", public=False)
    )
    assert {R, S, U, Y, L} == allowed(signed_in_user(), access("contributor", public=False))
    assert {R, S, L} == allowed(signed_in_user(), access("viewer", public=False))
    assert set() == allowed(signed_in_user(), access("no member", public=False))
    assert set(Action) - {U, Y, L} == allowed(signed_in_user(admin=True), access("admin", public=False))


@pytest.mark.parametrize("mode", Mode, ids=lambda mode: mode.name)
def test_oauth_grant_has_the_permissions_of_a_key_of_its_mode(mode: Mode) -> None:
    """It is no signed-in user: it can neither transfer nor delete the channel."""
    tool = Caller("owner", 1, CredentialKind.TOOL, mode=mode, tool="rattler")
    assert WITH_A_KEY["owner", mode] == allowed(tool, access("owner", public=False))


@pytest.mark.parametrize("action", [U, Y, D, O], ids=lambda action: action.value)
@pytest.mark.parametrize(
    ("patterns", "package", "is_allowed"),
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
def test_patterns_restrict_every_change_of_a_package(
    action: Action, patterns: tuple[str, ...], package: str, is_allowed: bool
) -> None:
    """Invariant 2: whatever the role; reading is not restricted."""
    by = Caller("owner", 1, CredentialKind.KEY, key_name="ci", patterns=patterns)
    channel_access = access("owner", public=True)
    assert (Verdict.ALLOWED if is_allowed else Verdict.FORBIDDEN) is decide(by, action, channel_access, package=package)
    assert decide(by, R, channel_access, package=package) is Verdict.ALLOWED


def test_workflow_cannot_see_members_or_change_settings() -> None:
    """Invariant 2: not even with the widest mode or an owner's role."""
    by = workflow(PublisherGrant(CHANNEL, 1, Mode.MANAGE))
    assert {R, U, Y, D, O} == allowed(by, Access(CHANNEL, is_public=False, role=Role.OWNER))
    assert decide(by, U, Access(CHANNEL + 1, is_public=False, role=None)) is Verdict.HIDDEN


# Site actions

KEY_OF_ADMIN = key_of("admin", Mode.MANAGE)
NARROW = key_of("ada", Mode.MANAGE, only=frozenset({CHANNEL}))


def refused_site(caller: Caller, action: SiteAction) -> type[SeawayError] | None:
    try:
        require_site(caller, action)
    except SeawayError as error:
        return type(error)
    return None


@pytest.mark.parametrize(
    ("caller", "expected"),
    [
        pytest.param(OPERATOR, set(SiteAction), id="operator"),
        pytest.param(signed_in_user(admin=True), set(SiteAction), id="admin"),
        pytest.param(signed_in_user(), set(SiteAction) - FOR_ADMINS, id="user"),
        pytest.param(
            signed_in_user(verified=False),
            set(SiteAction) - FOR_ADMINS - NEEDS_UNRESTRICTED,
            id="unverified user",
        ),
        pytest.param(KEY_OF_ADMIN, {action for action in SiteAction if not action.proof.needs_person}, id="admin's key"),
        pytest.param(key_of("ada", Mode.READ_WRITE_DELETE), {SiteAction.FIND_USERS, SiteAction.READ_ACCOUNT}, id="key"),
        pytest.param(NARROW, {SiteAction.FIND_USERS, SiteAction.READ_ACCOUNT}, id="key for one channel"),
        pytest.param(workflow(PublisherGrant(CHANNEL, 1, Mode.MANAGE)), set(), id="workflow"),
        pytest.param(ANONYMOUS, set(), id="anonymous"),
    ],
)  # fmt: skip
def test_site_permissions_by_caller(caller: Caller, expected: set[SiteAction]) -> None:
    """Invariant 3: accounts and the site are for signed-in users; a key for some channels creates no others."""
    verdicts = {action: refused_site(caller, action) for action in SiteAction}
    assert expected == {action for action, refused in verdicts.items() if refused is None}
    error_type = BadCredential if caller.is_anonymous else NotAllowed
    assert {error_type} >= {refused for refused in verdicts.values() if refused is not None}


def test_error_for_unverified_user_names_the_verification_email() -> None:
    """Case 1."""
    require_verified(signed_in_user())
    with pytest.raises(NotAllowed, match="not verified") as refused:
        require_verified(signed_in_user(verified=False))
    assert "verification email" in refused.value.hint


# Required credential of each action; the other actions require none.
FRESH = {A, SiteAction.ADD_GROUP, SiteAction.CHANGE_GROUP}
PERSON = {SiteAction.CHANGE_ACCOUNT, SiteAction.JOIN, SiteAction.ADMINISTER}
FRESH_PERSON = {P, T, X, SiteAction.OPEN_ACCOUNT, SiteAction.REMOVE_ACCOUNT, SiteAction.TAKE_CHANNEL, SiteAction.CHANGE_SITE}  # fmt: skip
NEW_SESSION = {SiteAction.ADD_FIRST_FACTOR}


def refused(caller: Caller, action: Action | SiteAction) -> type[SeawayError] | None:
    try:
        if isinstance(action, SiteAction):
            require_site(caller, action)
        else:
            require(caller, action, access("owner", public=False), channel_name="chan")
    except SeawayError as error:
        return type(error)
    return None


@pytest.mark.parametrize(
    "action", [*(action for action in Action if action is not L), *SiteAction], ids=lambda action: action.value
)
def test_actions_that_need_a_fresh_session(action: Action | SiteAction) -> None:
    """Invariant 3, both tables: an old session, a confirmed old one, a new one, and a key of the widest mode."""
    key = Caller("ada", 1, CredentialKind.KEY, is_admin=True, key_name="ci")
    old, confirmed = signed_in_user(admin=True, fresh=False, new=False), signed_in_user(admin=True, new=False)
    needs_proof = FRESH | FRESH_PERSON
    assert (ConfirmationRequired if action in needs_proof | NEW_SESSION else None) is refused(old, action)
    assert (ConfirmationRequired if action in NEW_SESSION else None) is refused(confirmed, action)
    assert (ConfirmationRequired if action in needs_proof else None) is refused(
        signed_in_user(admin=True, fresh=False), action
    )
    assert (NotAllowed if action in PERSON | FRESH_PERSON | NEW_SESSION else None) is refused(key, action)
    assert refused(OPERATOR, action) is None


def test_confirmation_is_required_only_if_it_would_help() -> None:
    stale = signed_in_user(fresh=False, new=False)
    assert decide(stale, P, access("contributor", public=True)) is Verdict.FORBIDDEN
    assert decide(stale, P, access("no member", public=False)) is Verdict.HIDDEN
    assert decide(stale, P, access("owner", public=True)) is Verdict.STALE
    assert NotAllowed is refused(stale, SiteAction.CHANGE_SITE)
