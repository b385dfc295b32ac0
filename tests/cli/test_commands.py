"""Every command, as a script uses it: JSON output, JSON errors, exit codes."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from importlib.metadata import version
from inspect import signature
from pathlib import Path
from typing import Any

import httpx
import pytest
import typer
from sqlalchemy import select

from seaway.api.v1.file_changes import FileChangeResult
from seaway.api.v1.groups import Group, GroupDetail, GroupMember
from seaway.api.v1.issuers import Issuer
from seaway.api.v1.keys import Key, KeyWithSecret
from seaway.api.v1.members import Member, MemberGroup
from seaway.api.v1.notices import Notice
from seaway.api.v1.quotas import StorageUse
from seaway.api.v1.schemas import ResponseBody
from seaway.api.v1.site import RetryResult
from seaway.api.v1.uploads import Upload
from seaway.api.v1.users import User
from seaway.callers.caller import Mode
from seaway.channels.channel import ChannelSettings
from seaway.cli import channel, publisher
from seaway.cli.main import app
from seaway.database.migrate import NEWEST
from seaway.database.tables import audit, channels, files, keys, members, users
from seaway.server.wiring import Seaway
from seaway.settings import Settings
from seaway.trusted_publishing.issuer_kinds import registry
from seaway.trusted_publishing.publisher import PublisherSettings
from tests.cli.conftest import FILE, CommandResult, Shell
from tests.support import images, state
from tests.support.packages import conda, index_json, tar_bz2
from tests.support.requests import upload
from tests.support.server import Server, serving, variables
from tests.support.sigstore import MiniSigstore
from tests.support.sites import build

UNKNOWN = "unknown"


def commands(group: Any = None, before: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield every command as a tuple of its words."""
    for name, command in (group or typer.main.get_command(app)).commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*before, name))
        else:
            yield (*before, name)


# The output of each command with --json, on data with ada, bob, the channel tools, a key and a file.
OUTPUT: dict[tuple[str, ...], Any] = {
    ("user", "add", "eve", "--email", "eve@example.com"): {"name": "eve", "email": "eve@example.com", "admin": False},
    ("user", "add", "root-of-all", "--admin"): {"name": "root-of-all", "admin": True},
    ("user", "invite", "eve", "eve@example.com"): {"name": "eve", "email": "eve@example.com", "verified": False},
    ("user", "list"): [{"name": "ada", "admin": True}, {"name": "bob", "admin": False}],
    ("user", "password", "bob", "--password-stdin"): {"name": "bob"},
    ("user", "disable", "bob"): {"name": "bob"},
    ("user", "enable", "bob"): {"name": "bob", "disabled_at": None},
    ("user", "reset-2fa", "bob"): {"name": "bob"},
    ("user", "remove", "bob", "--yes"): None,
    ("user", "promote", "bob"): {"name": "bob", "admin": True},
    ("user", "promote", "ada", "--revert"): {"name": "ada", "admin": False},
    ("channel", "add", "shop", "--owner", "bob"): {"name": "shop", "owner": "bob", "public": False, "packages": 0},
    ("channel", "add", "mart", "--owner", "bob", "--public", "--description", "D"): {"public": True, "description": "D"},
    ("channel", "list"): [{"name": "tools", "owner": "ada", "public": True, "packages": 1}],
    ("channel", "show", "tools"): {
        "name": "tools", "files": 1,
        "members": [{"user": "ada", "role": "owner"}, {"user": "bob", "role": "contributor"}],
    },
    ("channel", "set", "tools", "--private", "--refuse-lookalikes"): {"public": False, "refuses_lookalikes": True},
    ("channel", "set", "tools", "--never-overwrite"): {"allows_overwrite": False},
    ("channel", "set", "tools", "--refuse-v3", "--v3-message", "Use pixi."): {
        "allows_v3": False,
        "v3_message": "Use pixi.",
    },
    ("channel", "transfer", "tools", "bob"): {"name": "tools", "owner": "bob"},
    ("channel", "remove", "tools", "--yes"): {"name": "tools", "packages": 1},
    ("member", "add", "tools", "bob", "--role", "viewer"): {"user": "bob", "role": "viewer"},
    ("member", "remove", "tools", "bob"): None,
    ("file", "yank", "tools", "noarch/demo-1.0-h1_0.conda", "--reason", "a leak"): {
        "files": ["noarch/demo-1.0-h1_0.conda"], "unchanged": 0, "revisions": {"noarch": 2},
    },
    ("file", "unyank", "tools", "noarch/demo-1.0-h1_0.conda"): {"files": [], "unchanged": 1},
    ("file", "yank", "tools", "--package", "demo", "--version", "1.0", "--subdir", "noarch"): {
        "files": ["noarch/demo-1.0-h1_0.conda"], "unchanged": 0,
    },
    ("file", "delete", "tools", "--package", "demo", "--yes"): {
        "files": ["noarch/demo-1.0-h1_0.conda"], "unchanged": 0,
    },
    ("file", "correct", "tools", "noarch/demo-1.0-h1_0.conda", "--license", "BSD", "--clear", "constrains", "--reason", "R"): {
        "correction": {"fields": {"license": "BSD"}, "reason": "R"}, "revision": 2, "warnings": [],
    },
    ("group", "add", "night-watch", "--manager", "bob", "--description", "D"): {
        "name": "night-watch", "description": "D", "users": 1,
    },
    ("group", "list"): [{"name": "crew", "users": 2}],
    ("group", "show", "crew"): {
        "name": "crew", "members": [{"user": "ada", "manager": True}, {"user": "bob", "manager": False}],
        "channels": [{"channel": "tools", "role": "viewer"}],
    },
    ("group", "add-member", "crew", "bob", "--manager"): {"user": "bob", "manager": True},
    ("group", "role", "tools", "crew", "contributor"): {"group": "crew", "role": "contributor", "users": 2},
    ("group", "role", "tools", "crew", "none"): None,
    ("group", "remove-member", "crew", "bob"): None,
    ("group", "remove", "crew"): None,
    ("key", "add", "bob", "ci", "--mode", "READ", "--days", "0"): {"name": "ci", "mode": "READ", "expires_at": None},
    ("key", "add", "ada", "ci", "--channel", "tools"): {"name": "ci", "mode": "READ_WRITE", "channels": ["tools"]},
    ("key", "list", "ada"): [{"name": "laptop", "mode": "READ_WRITE", "channels": None, "revoked_at": None}],
    ("key", "revoke", "ada", "laptop"): {"name": "laptop"},
    ("key", "add", "ada", "own", "--package", "sail*"): {"name": "own", "packages": ["sail*"], "used_at": None},
    ("key", "revoke", "--stdin"): {"revoked": 0, "unknown": 1},
    ("notice", "add", "tools", "Closed", "--level", "critical", "--days", "2"): {"id": 2, "level": "critical"},
    ("notice", "list", "tools"): [{"id": 1, "level": "info", "message": "We sail at dawn"}],
    ("notice", "remove", "tools", "1"): None,
    ("user", "quota", "ada"): {"quota": None, "used": len(FILE.content)},
    ("user", "quota", "bob", "1000"): {"quota": 1000, "used": 0},
    ("channel", "set", "tools", "--quota", "5000"): {"name": "tools"},
    ("issuer", "add", "ci", "https://ci.example.com", "--kind", "github", "--keys", "keys.json"): {
        "name": "ci", "kind": "github", "issuer": "https://ci.example.com", "built_in": False, "static_keys": True,
        "keys": ["key-1"],
    },
    ("issuer", "list"): [
        {"name": "github", "enabled": True, "built_in": True, "keys": [], "publishers": 0},
        {"name": "gitlab", "publishers": 1}, {"name": "google"}, {"name": "forge", "built_in": False},
    ],
    ("issuer", "disable", "github"): {"name": "github", "enabled": False},
    ("issuer", "enable", "forge"): {"name": "forge", "enabled": True},
    ("issuer", "keys", "github", "--file", "keys.json"): {"name": "github", "static_keys": True, "keys": ["key-1"]},
    ("issuer", "keys", "gitlab"): {"name": "gitlab", "static_keys": False, "keys": [], "fetched_at": None},
    ("issuer", "remove", "forge"): None,
    ("publisher", "add", "tools", "github", "--owner", "acme", "--repository", "tools", "--workflow", "release.yml",
     "--environment", "Release", "--mode", "READ_WRITE_DELETE", "--package", "tools-*", "--ref", "refs/tags/v*",
     "--pin", "owner_id=1001", "--hosted-runner"): {
        "channel": "tools", "kind": "github", "issuer": "https://token.actions.githubusercontent.com",
        "fields": {"owner": "acme", "repository": "tools", "workflow": "release.yml", "environment": "release"},
        "pinned": {"owner_id": "1001"}, "mode": "READ_WRITE_DELETE", "packages": ["tools-*"], "used_at": None,
        "conditions": {"allowed_refs": ["refs/tags/v*"], "require_hosted_runner": True},
    },
    ("publisher", "list", "tools"): [{"id": 1, "name": "acme/tools, .gitlab-ci.yml", "mode": "READ_WRITE"}],
    ("publisher", "set", "tools", "1", "--mode", "READ", "--exchanges", "5", "--protected-ref", "--disable"): {
        "id": 1, "mode": "READ", "exchanges": 5, "conditions": {"require_protected_ref": True}, "enabled": False,
        "fields": {"namespace": "acme", "project": "tools", "workflow": ".gitlab-ci.yml", "environment": ""},
    },
    ("publisher", "remove", "tools", "1"): {"id": 1, "channel": "tools"},
    ("upload", "tools", FILE.name, "--force"): {
        "channel": "tools", "files": [{"file": FILE.name, "status": "replaced", "message": ""}],
    },
    ("sigstore", "show"): {"origin": "program", "authorities": ["https://fulcio.sigstore.dev"]},
    ("sigstore", "update", "--embedded"): {"origin": "program"},
    ("channel", "set", "tools", "--attestations", "required"): {"attestations": "required"},
    ("uploads", "export", "tools"): {"channel": "tools", "number": 1, "file_name": FILE.name, "sha256": FILE.sha256},
    ("reindex",): {"subdirs": 1, "names_changed": 0},
    ("reindex", "tools"): {"subdirs": 1, "names_changed": 0},
    ("check",): {"ok": True, "broken": []},
    ("check", "--quick"): {"ok": True, "broken": []},
    ("migrate",): {"before": NEWEST, "now": NEWEST},
    ("jobs", "list", "--state", "failed"): [],
    ("jobs", "retry"): {"retried": 0},
    ("backup", "backup.tar"): {"blobs": 1, "bytes": len(FILE.content), "sent": 1},
    ("backup", "file:backups"): {"blobs": 1, "bytes": len(FILE.content), "sent": 1},
    ("move-storage", "file:moved"): {"storage_url": "file:moved", "blobs": 1, "bytes": len(FILE.content), "sent": 1},
    ("move-storage", "file:moved", "--verify"): {"blobs": 1, "sent": 1},
    ("move-database", "sqlite:///moved.db"): {"tables": {"users": 2, "channels": 1, "files": 1}},
    ("sweep",): {"blobs": 0, "bytes": 0, "shards": 0, "spool_files": 0},
    ("sweep", "--kept"): {"blobs": 0},
    ("adopt",): {"stored_blobs": 1, "named_blobs": 1},
    ("config",): {"data": "data", "port": 8000, "public_url": "", "insecure_http": False},
}  # fmt: skip


def part_like(value: Any, like: Any) -> Any:
    """Return the part of a value that `like` also has."""
    if isinstance(like, dict):
        return {key: part_like(value[key], like[key]) for key in like}
    if isinstance(like, list) and len(like) == len(value):
        return [part_like(item, item_like) for item, item_like in zip(value, like, strict=True)]
    return value


def test_every_command_has_a_json_example() -> None:
    """A new command needs --json and a row in OUTPUT."""
    known = {
        command
        for command in commands()
        if command
        not in {("serve",), ("work",), ("restore",), ("rebuild",), ("file", "restore"), ("user", "resend-invitation")}
    }
    assert known == {words[:length] for words in OUTPUT for length in (1, 2) if words[:length] in known}


def test_invalid_quota_changes_nothing(filled_shell: Shell) -> None:
    """The other options of the command are not applied first."""
    filled_shell.run("channel", "add", "base", "--owner", "ada", "--public")
    result = filled_shell.run("channel", "set", "tools", "--base", "base", "--quota", "plenty")
    assert (2, True) == (result.code, "a quota is a number of bytes" in result.err)
    assert "" == filled_shell.run("channel", "show", "tools", "--json").value["base"]


def test_every_setting_is_an_option() -> None:
    """`given` finds options by name, so a setting without one could not be set."""
    settings = {info.alias or name for name, info in ChannelSettings.model_fields.items()}
    assert settings <= set(signature(channel.set_channel).parameters)
    named = {entry.name for kind in registry.KINDS.values() for entry in (*kind.fields, *kind.gates)}
    named -= {field.name for kind in ("buildkite", "circleci") for field in registry.KINDS[kind].fields}  # by --claim
    named |= set(PublisherSettings.model_fields) - {"fields", "conditions", "pinned", "enabled"}
    for command in (publisher.add, publisher.set_publisher):
        assert named <= set(signature(command).parameters)


def test_change_of_a_channel_is_atomic(filled_shell: Shell) -> None:
    """The last option is refused, so none of the others has an effect."""
    (filled_shell.folder / "logo.png").write_bytes(images.png())
    before = filled_shell.run("channel", "show", "tools", "--json").value
    for more in ((), ("--logo", "logo.png")):
        result = filled_shell.run(
            "channel", "set", "tools", "--quota", "5", "--description", "D", *more, "--base", "nowhere", "--json"
        )
        assert "no channel 'nowhere'" in result.error["message"]
        assert before == filled_shell.run("channel", "show", "tools", "--json").value
    filled_shell.run("channel", "add", "base", "--owner", "ada", "--public")
    changed = filled_shell.run(
        "channel", "set", "tools", "--logo", "logo.png", "--base", "base", "--description", "D", "--json"
    ).value
    assert ("base", "D", True) == (changed["base"], changed["description"], changed["logo"].endswith(".png"))


def test_channel_is_shown_without_none(filled_shell: Shell) -> None:
    """Unset values are "none" in the text, and null or empty in JSON."""
    lines = filled_shell.run("channel", "show", "tools").out.splitlines()
    assert {"name: tools", "quota: none", "public: yes", "members: ada (owner), bob (contributor)"} <= set(lines)
    assert filled_shell.run("channel", "show", "tools", "--json").value["quota"] is None


def test_transfer_notifies_both_owners(filled_shell: Shell) -> None:
    """They did not request it, so they are notified."""
    for name in ("eve", "mallory"):
        filled_shell.run("user", "add", name, "--email", f"{name}@example.com")
    filled_shell.run("channel", "add", "shop", "--owner", "eve")
    filled_shell.run("channel", "transfer", "shop", "mallory")
    assert ["send-email"] * 2 == [job["kind"] for job in filled_shell.run("jobs", "list", "--json").value]


def test_invitation_is_sent_twice(filled_shell: Shell) -> None:
    """It needs an invitation first, so it has no row in OUTPUT."""
    filled_shell.run("user", "invite", "eve", "eve@example.com")
    assert filled_shell.run("user", "resend-invitation", "eve", "--json").value is None
    assert ["send-email"] * 2 == [job["kind"] for job in filled_shell.run("jobs", "list", "--json").value]


def test_restored_correction_prints_json(filled_shell: Shell) -> None:
    """It needs a correction first, so it has no row in OUTPUT."""
    file = ("tools", "noarch/demo-1.0-h1_0.conda")
    filled_shell.run("file", "correct", *file, "--license", "BSD", "--reason", "R")
    assert filled_shell.run("file", "restore", *file, "--json").value is None


@pytest.mark.parametrize("words", OUTPUT, ids=" ".join)
def test_command_prints_json(filled_shell: Shell, words: tuple[str, ...]) -> None:
    """With --json a command prints one complete value, and nothing on standard error."""
    result = filled_shell.run(*words, "--json", stdin="a password of some length\n")
    assert "" == result.err
    assert OUTPUT[words] == part_like(result.value, OUTPUT[words])


@pytest.mark.parametrize("words", OUTPUT, ids=" ".join)
def test_command_prints_text(filled_shell: Shell, words: tuple[str, ...]) -> None:
    """Without --json a command prints a sentence or a table, and no JSON."""
    result = filled_shell.run(*words, stdin="a password of some length\n")
    printed, silent = (
        (result.err, result.out) if OUTPUT[words] == [] else (result.out, result.err)
    )  # a message about an empty list goes to standard error
    assert (0, "") == (result.code, silent)
    assert printed.strip()
    assert not printed.startswith(("{", "["))


# The model of the API that each command prints, as one or as a list.
MODELS: dict[tuple[str, ...], type[ResponseBody]] = {
    ("user", "list"): User,
    ("user", "promote", "bob"): User,
    ("user", "quota", "ada"): StorageUse,
    ("member", "add", "tools", "bob", "--role", "viewer"): Member,
    ("file", "delete", "tools", "--package", "demo", "--yes"): FileChangeResult,
    ("group", "add", "night-watch", "--manager", "bob", "--description", "D"): Group,
    ("group", "list"): Group,
    ("group", "show", "crew"): GroupDetail,
    ("group", "add-member", "crew", "bob", "--manager"): GroupMember,
    ("group", "role", "tools", "crew", "contributor"): MemberGroup,
    ("key", "add", "ada", "ci", "--channel", "tools"): KeyWithSecret,
    ("key", "list", "ada"): Key,
    ("key", "revoke", "ada", "laptop"): Key,
    ("notice", "list", "tools"): Notice,
    ("issuer", "list"): Issuer,
    ("issuer", "disable", "github"): Issuer,
    ("jobs", "retry"): RetryResult,
    ("uploads", "export", "tools"): Upload,
}


@pytest.mark.parametrize("words", MODELS, ids=" ".join)
def test_command_prints_what_the_api_returns(filled_shell: Shell, words: tuple[str, ...]) -> None:
    """The same fields in the same format, of every item of a list."""
    value = filled_shell.run(*words, "--json").value
    items = value if isinstance(value, list) else [value]

    assert items
    for item in items:
        assert item == MODELS[words](**item).model_dump(mode="json")


def test_new_member_is_told_by_email(filled_shell: Shell) -> None:
    """A command notifies like the API and the pages."""
    filled_shell.run("user", "add", "eve", "--email", "eve@example.com")
    filled_shell.run("member", "add", "tools", "eve")

    assert ["send-email"] == [job["kind"] for job in filled_shell.run("jobs", "list", "--json").value]


def test_nouns_agree_with_their_number(filled_shell: Shell) -> None:
    """One thing is not "1 things"."""
    reindexed = filled_shell.run("reindex").out
    adopted = filled_shell.run("adopt").out

    assert "Reindexed 1 subdir; 0 names" in reindexed
    assert "The store has 1 blob, " in adopted


def test_help_lists_every_command(shell: Shell) -> None:
    """--help works at each level."""
    result = shell.run("--help")
    assert 0 == result.code
    for words in commands():
        assert words[0] in result.out
        inner = shell.run(*words, "--help")
        assert (0, True) == (inner.code, "Usage: seaway " + " ".join(words) in inner.out)


def test_version_is_printed(shell: Shell) -> None:
    """--version prints the version of the installed package."""
    result = shell.run("--version")
    assert (0, f"seaway {version('seaway')}\n") == (result.code, result.out)


def test_help_and_config_create_no_data(shell: Shell) -> None:
    """The folder stays unchanged."""
    shell.run("--help")
    shell.run("config")
    assert [] == list(shell.folder.iterdir())


MAKE_DATA = (("migrate",), ("user", "add"), ("config",))


@pytest.mark.parametrize("words", [*(w for w in OUTPUT if w[:2] not in MAKE_DATA and w[:1] not in MAKE_DATA), ("work",),
                                   ("rebuild", "--from-store")], ids=" ".join)  # fmt: skip
def test_missing_data_folder_is_named_and_not_created(shell: Shell, words: tuple[str, ...]) -> None:
    """All commands except those that start a site refuse a data folder that does not exist."""
    FILE.write_to(shell.folder)
    result = shell.run("--data", "nope/x", *words, stdin="a password of some length\n")
    assert (1, "") == (result.code, result.out)
    assert "seaway: The data folder nope/x does not exist." in result.err
    assert not (shell.folder / "nope").exists()


def test_folder_without_database_is_refused(shell: Shell) -> None:
    """A folder with other content must not become an empty site."""
    if state.chosen_state() != state.SQLITE_DISK:
        pytest.skip("the database is elsewhere")
    (shell.folder / "data").mkdir()
    for words in (("user", "list"), ("check",), ("backup", "backup.tar"), ("work",)):
        result = shell.run(*words)
        assert (1, True) == (result.code, "has no database" in result.err)
    assert [] == list((shell.folder / "data").iterdir())


@pytest.mark.parametrize("words", [("migrate",), ("user", "add", "ada")], ids=" ".join)
def test_new_data_folder_is_private(shell: Shell, words: tuple[str, ...]) -> None:
    """Commands that start a site create the folder with the same mode as `serve`."""
    assert 0 == shell.run("--data", "new/x", *words).code
    assert 0 == (shell.folder / "new" / "x").stat().st_mode & 0o077


def test_times_are_in_utc(filled_shell: Shell) -> None:
    """ISO 8601 in UTC, so that scripts can compare times."""
    created = filled_shell.run("key", "list", "ada", "--json").value[0]["created_at"]
    assert (20, "T", "Z") == (len(created), created[10], created[-1])


# Errors

WRONG = {
    ("user", "add", "ada"): ("name-taken", "ada"),
    ("user", "add", "Ada Lovelace"): ("name-taken", "Ada Lovelace"),
    ("user", "add", "admin"): ("name-taken", "admin"),
    ("user", "invite", "dora", "nowhere"): ("malformed", "nowhere"),
    ("user", "resend-invitation", "ada"): ("not-allowed", "needs no invitation"),
    ("user", "password", UNKNOWN, "--password-stdin"): ("not-found", UNKNOWN),
    ("user", "password", "bob", "--password-stdin"): ("weak-password", "12 to 256"),
    ("user", "disable", UNKNOWN): ("not-found", UNKNOWN),
    ("user", "enable", UNKNOWN): ("not-found", UNKNOWN),
    ("user", "promote", UNKNOWN): ("not-found", UNKNOWN),
    ("user", "reset-2fa", UNKNOWN): ("not-found", UNKNOWN),
    ("user", "remove", UNKNOWN, "--yes"): ("not-found", UNKNOWN),
    ("user", "remove", "ada", "--yes"): ("not-allowed", "owns channels: tools"),
    ("channel", "add", "tools", "--owner", "bob"): ("name-taken", "tools"),
    ("channel", "add", "noarch", "--owner", "bob"): ("name-taken", "noarch"),
    ("channel", "add", "a/b", "--owner", "bob"): ("name-taken", "a/b"),
    ("channel", "add", "new-one", "--owner", UNKNOWN): ("not-found", UNKNOWN),
    ("channel", "add", "new-one", "--owner", "bob", "--logo", "http://x/y.png"): ("invalid", "Only GitHub avatars"),
    ("channel", "show", UNKNOWN): ("not-found", UNKNOWN),
    ("channel", "set", UNKNOWN, "--public"): ("not-found", UNKNOWN),
    ("channel", "transfer", UNKNOWN, "bob"): ("not-found", UNKNOWN),
    ("channel", "transfer", "tools", UNKNOWN): ("not-found", UNKNOWN),
    ("channel", "remove", UNKNOWN, "--yes"): ("not-found", UNKNOWN),
    ("member", "add", "tools", UNKNOWN): ("not-found", UNKNOWN),
    ("member", "add", UNKNOWN, "bob"): ("not-found", UNKNOWN),
    ("member", "add", "tools", "ada"): ("conflict", "exactly one owner"),
    ("member", "remove", "tools", "ada"): ("conflict", "always has an owner"),
    ("file", "yank", "tools", "demo-1.0-h1_0.conda"): ("malformed", "SUBDIR/FILE"),
    ("file", "unyank", "tools", "noarch/gone-1.0-0.conda"): ("not-found", "no such file"),
    ("file", "yank", "tools", "--package", "demo", "--version", "9"): ("not-found", "no file of this package"),
    ("file", "delete", "tools", "--package", "demo", "--version", "", "--yes"): ("malformed", "must not be empty"),
    ("file", "delete", "tools", "--package", "demo", "--subdir", "", "--yes"): ("malformed", "must not be empty"),
    ("file", "restore", "tools", "noarch/demo-1.0-h1_0.conda"): ("conflict", "not corrected"),
    ("file", "correct", "tools", "noarch/demo-1.0-h1_0.conda", "--depends", "a >=>", "--reason", "R"): (
        "bad-match-spec",
        "match spec",
    ),
    ("file", "delete", "tools", "--yes"): ("malformed", "Either files or a package"),
    ("group", "add", "crew", "--manager", "bob"): ("name-taken", "crew"),
    ("group", "add", "a/b", "--manager", "bob"): ("name-taken", "a/b"),
    ("group", "add", "deck", "--manager", UNKNOWN): ("not-found", UNKNOWN),
    ("group", "show", UNKNOWN): ("not-found", UNKNOWN),
    ("group", "remove", UNKNOWN): ("not-found", UNKNOWN),
    ("group", "add-member", "crew", UNKNOWN): ("not-found", UNKNOWN),
    ("group", "add-member", "crew", "ada"): ("conflict", "only manager"),
    ("group", "remove-member", "crew", "ada"): ("conflict", "only manager"),
    ("group", "role", UNKNOWN, "crew", "viewer"): ("not-found", UNKNOWN),
    ("group", "role", "tools", UNKNOWN, "viewer"): ("not-found", UNKNOWN),
    ("key", "add", UNKNOWN, "ci"): ("not-found", UNKNOWN),
    ("key", "add", "ada", "laptop"): ("name-taken", "laptop"),
    ("key", "add", "ada", "ci", "--channel", UNKNOWN): ("not-found", UNKNOWN),
    ("key", "list", UNKNOWN): ("not-found", UNKNOWN),
    ("key", "revoke", "ada", UNKNOWN): ("not-found", UNKNOWN),
    ("issuer", "add", "github", "https://x.example", "--kind", "github"): ("name-taken", "github"),
    ("issuer", "add", "ci", "http://x.example", "--kind", "github"): ("malformed", "http://x.example"),
    ("issuer", "add", "ci", "https://x.example/?a", "--kind", "github"): ("malformed", "x.example"),
    ("issuer", "add", "ci", "https://x.example", "--kind", UNKNOWN): ("malformed", UNKNOWN),
    ("issuer", "add", "ci", "https://x.example", "--kind", "generic", "--rules", "keys.json"): ("malformed", "rules"),
    ("issuer", "keys", "github", "--file", FILE.name): ("malformed", "text"),
    ("issuer", "keys", "github", "--file", UNKNOWN): ("malformed", UNKNOWN),
    ("issuer", "remove", "github"): ("malformed", "Disable"),
    ("issuer", "disable", UNKNOWN): ("not-found", UNKNOWN),
    ("publisher", "add", "tools", "gitlab", "--namespace", "ACME", "--project", "Tools"): ("name-taken", "already"),
    ("publisher", "add", "tools", "gitlab", "--namespace", "/acme", "--project", "x"): ("malformed", "namespace"),
    ("publisher", "add", "tools", "gitlab", "--namespace", "acme"): ("malformed", "project"),
    ("publisher", "add", "tools", "gitlab", "--owner", "acme"): ("malformed", "owner"),
    ("publisher", "add", UNKNOWN, "google", "--email", "a@b.iam.gserviceaccount.com", "--sub", "1"): ("not-found", ""),
    ("publisher", "add", "tools", UNKNOWN): ("not-found", UNKNOWN),
    ("publisher", "set", "tools", "1", "--exchanges", "11"): ("malformed", "1 to 10"),
    ("publisher", "set", "tools", "1", "--mode", "MANAGE"): ("invalid", "mode: Choose READ"),
    ("publisher", "remove", "tools", "99"): ("not-found", "99"),
    ("reindex", UNKNOWN): ("not-found", UNKNOWN),
    ("backup", "backup"): ("bad-setting", ".tar"),
    ("backup", "memory:"): ("bad-setting", "memory"),
    ("backup", "ftp://host/folder"): ("bad-setting", "ftp"),
    ("backup", "no/such/folder/backup.tar"): ("unavailable", "No such file"),
    ("restore", "backup.tar"): ("bad-setting", "no backup backup.tar"),
    ("restore", FILE.name + ".tar"): ("bad-setting", "There is no backup"),
    ("restore", "backup.tar", "--at", "20260101T000000.000Z"): ("bad-setting", "--at"),
    ("restore", "file:backups"): ("bad-setting", "no folder file:backups"),
    ("move-storage", "memory:"): ("bad-setting", "memory"),
    ("move-storage", "moved"): ("bad-setting", "moved"),
    ("move-database", "mysql://host/name"): ("bad-setting", "postgresql://"),
    ("move-database", "moved.db"): ("bad-setting", "sqlite:///"),
    ("move-database", "postgresql://127.0.0.1:1/name"): ("unavailable", "The database"),
    ("upload", "tools", "data/spool"): ("bad-setting", ".conda"),
    ("upload", "tools", FILE.name, "--server", "https://x.example"): ("bad-setting", "API key"),
    ("upload", "tools", FILE.name, "--server", "x.example", "--key", "k"): ("bad-setting", "x.example"),
    ("upload", "tools", FILE.name, "--server", "http://x:port", "--key", "k"): ("bad-setting", "x:port"),
    ("upload", "tools", FILE.name, "--server", "https://x.example", "--key", "\xe9"): ("bad-setting", "API key"),
}

WRONG_IN_THE_DATA_FOLDER = {
    ("backup", "data/store/backup.tar"): ("bad-setting", "overlaps the store"),
    ("restore", "file:data"): ("bad-setting", "overlaps the store"),
    ("move-storage", "file:data/store/new"): ("bad-setting", "overlaps the store"),
    ("move-database", "sqlite:///data/seaway.db"): ("bad-setting", "not empty"),
}


@pytest.mark.on_disk
@pytest.mark.parametrize("words", WRONG_IN_THE_DATA_FOLDER, ids=" ".join)
def test_target_inside_the_data_folder_is_refused(filled_shell: Shell, words: tuple[str, ...]) -> None:
    """A copy must not be inside the data that it copies."""
    code, expected = WRONG_IN_THE_DATA_FOLDER[words]
    error = filled_shell.run(*words, "--json").error
    assert (code, True) == (error["code"], expected in error["message"] + error["hint"])


@pytest.mark.parametrize("words", WRONG, ids=" ".join)
def test_error_is_printed_as_json(filled_shell: Shell, words: tuple[str, ...]) -> None:
    """With --json an error is one object on standard error, with code, message and hint; the exit code is 1."""
    code, expected = WRONG[words]
    error = filled_shell.run(*words, "--json", stdin="short\n").error
    assert {"code", "message", "hint"} == error.keys()
    assert code == error["code"]
    assert expected in error["message"] + error["hint"]
    assert error["hint"]


def test_error_is_printed_as_one_line(filled_shell: Shell) -> None:
    """Without --json an error is one sentence without a traceback."""
    result = filled_shell.run("channel", "show", UNKNOWN)
    assert (1, "") == (result.code, result.out)
    assert [result.err.strip()] == result.err.splitlines()
    assert result.err.startswith("seaway: There is no channel named")


@pytest.mark.parametrize(
    "words",
    [
        ("nothing",),
        ("user",),
        ("user", "add"),
        ("user", "add", "eve", "--password", "a password of some length"),
        ("user", "password", "bob", "a password of some length"),
        ("user", "password", "bob"),
        ("channel", "add", "shop"),
        ("member", "add", "tools", "bob", "--role", "owner"),
        ("group", "add", "deck"),
        ("group", "role", "tools", "crew", "owner"),
        ("key", "add", "ada", "ci", "--mode", "ALL"),
        ("key", "add", "ada", "ci", "--days", "-1"),
        ("upload", "tools"),
        ("upload", "tools", "no-such-file.conda"),
        ("channel", "remove", "tools"),
        ("serve", "--port", "high"),
    ],
    ids=" ".join,
)
def test_wrong_command_line_changes_nothing(filled_shell: Shell, words: tuple[str, ...]) -> None:
    """An invalid or unconfirmed command ends with a usage error and changes nothing."""
    before = rows(filled_shell)
    result = filled_shell.run(*words)
    assert result.code in ((1, 2) if words[1:] == ("remove", "tools") else (2,))
    assert "Traceback" not in result.err
    assert before == rows(filled_shell)


def rows(filled_shell: Shell) -> dict[str, list[Any]]:
    """Return all rows that commands change."""
    with opened(filled_shell) as seaway, seaway.site.database.read() as tx:
        tables = (users, channels, members, keys, files, audit)
        return {table.name: [tuple(row) for row in tx.execute(select(table))] for table in tables}


@contextmanager
def opened(filled_shell: Shell) -> Iterator[Seaway]:
    """Open a second Seaway on the data of a shell."""
    with closing(build(filled_shell.folder)) as seaway:
        yield seaway


def skip_unless_disk_store() -> None:
    """Skip tests that change files; tests/indexing and tests/packages test the same for other stores."""
    if state.chosen_state() != state.SQLITE_DISK:
        pytest.skip("the blobs are no files here")


def test_failed_command_leaves_nothing(filled_shell: Shell) -> None:
    """A refused password creates no user."""
    filled_shell.run("user", "add", "eve", "--password-stdin", stdin="short\n")
    assert ["ada", "bob"] == [user["name"] for user in filled_shell.run("user", "list", "--json").value]


def test_password_is_neither_printed_nor_stored(filled_shell: Shell) -> None:
    """It is read from standard input, and only its hash is stored."""
    result = filled_shell.run("user", "add", "eve", "--password-stdin", "--json", stdin="correct horse battery\n")
    stored = repr(rows(filled_shell))
    assert "horse" not in result.out + result.err
    assert "horse" not in stored
    assert "$argon2id$" in stored


def test_channel_removal_needs_the_typed_name(filled_shell: Shell) -> None:
    """Without --yes the command asks for the name; another name deletes nothing."""
    wrong = filled_shell.run("channel", "remove", "tools", stdin="tool\n")
    between = filled_shell.run("channel", "list", "--json").value
    right = filled_shell.run("channel", "remove", "tools", stdin="tools\n")
    assert [2, 0] == [wrong.code, right.code]
    assert [1, 0] == [len(between), len(filled_shell.run("channel", "list", "--json").value)]


def test_empty_list_names_the_command_that_adds(shell: Shell) -> None:
    """An empty list is `[]` with --json, and otherwise a hint how to add the first entry."""
    shell.run("migrate")
    assert [] == shell.run("user", "list", "--json").value
    assert "seaway user add" in shell.run("user", "list").err
    assert [] == shell.run("channel", "list", "--json").value
    assert "seaway channel add" in shell.run("channel", "list").err


def test_help_of_key_add_names_every_mode(shell: Shell) -> None:
    text = shell.run("key", "add", "--help").out
    assert [] == [mode.name for mode in Mode if mode.name not in text]


def test_key_is_shown_once(filled_shell: Shell) -> None:
    """A key is printed when it is created, and in no list afterwards."""
    secret = filled_shell.run("key", "add", "ada", "ci").out.strip()
    assert secret.startswith("swy-u-")
    assert secret[6:] not in filled_shell.run("key", "list", "ada", "--json").out


# Uploading from this machine


def fill(folder: Path) -> Path:
    """Fill a folder as build tools do: packages in subfolders, and other files."""
    for subdir, file in (
        ("noarch", conda(index_json("one"))),
        ("linux-64", conda(index_json("two", subdir="linux-64", noarch=...))),
        ("linux-64", tar_bz2(index_json("three", subdir="linux-64", noarch=...))),
    ):
        (folder / subdir).mkdir(parents=True, exist_ok=True)
        file.write_to(folder / subdir)
    (folder / "noarch" / "repodata.json").write_text("{}")
    (folder / "README.md").write_text("Built here.")
    return folder


def statuses(result: CommandResult) -> dict[str, str]:
    return {file["file"]: file["status"] for file in json.loads(result.out)["files"]}


BUILT = {"one-1.0-h1_0.conda", "two-1.0-h1_0.conda", "three-1.0-h1_0.tar.bz2"}


def test_upload_folder(filled_shell: Shell) -> None:
    """Each package goes to its subdir; repeating exits with code 1, except with --skip-existing or --force."""
    folder = fill(filled_shell.folder / "built")
    options = ((), (), ("--skip-existing",), ("--force",))
    results = [filled_shell.run("upload", "tools", folder, *some, "--json") for some in options]
    assert [0, 1, 0, 0] == [result.code for result in results], results[0].err
    assert dict.fromkeys(BUILT, "uploaded") == statuses(results[0])
    assert [{"exists"}, {"exists"}, {"replaced"}] == [set(statuses(result).values()) for result in results[1:]]
    assert 4 == filled_shell.run("channel", "show", "tools", "--json").value["files"]
    assert filled_shell.run("check", "--json").value["ok"]


def test_bad_file_does_not_stop_the_upload_of_others(filled_shell: Shell) -> None:
    """A refused file gives exit code 1 and its reason, and the other files are uploaded."""
    folder = fill(filled_shell.folder / "built")
    (folder / "bad-1.0-0.conda").write_bytes(b"no package")
    result = filled_shell.run("upload", "tools", folder, "--json")
    messages = {file["file"]: file["message"] for file in json.loads(result.out)["files"]}
    assert (1, "refused") == (result.code, statuses(result)["bad-1.0-0.conda"])
    assert messages["bad-1.0-0.conda"]
    assert dict.fromkeys(BUILT, "uploaded") == {name: statuses(result)[name] for name in BUILT}
    text_result = filled_shell.run("upload", "tools", folder / "bad-1.0-0.conda")
    assert (1, True) == (text_result.code, "bad-1.0-0.conda: " in text_result.out)


def test_upload_to_unknown_channel_is_refused(filled_shell: Shell) -> None:
    """Every file is refused."""
    result = filled_shell.run("upload", UNKNOWN, FILE.name, "--json")
    assert (1, {FILE.name: "refused"}) == (result.code, statuses(result))


# Maintenance of the store


def any_blob(filled_shell: Shell) -> Path:
    return next(path for path in (filled_shell.folder / "data" / "store" / "blobs").rglob("*") if path.is_file())


def test_trusted_root_is_replaced_and_restored(filled_shell: Shell, tmp_path: Path) -> None:
    """From a file; an invalid file is refused and changes nothing."""
    good, bad = tmp_path / "root.json", tmp_path / "bad.json"
    good.write_bytes(MiniSigstore().trusted_root)
    bad.write_text("{}")

    assert 1 == filled_shell.run("sigstore", "update", "--file", str(bad)).code
    assert ["https://rekor.example.com"] == filled_shell.run("sigstore", "update", "--file", str(good), "--json").value[
        "logs"
    ]
    assert "database" == filled_shell.run("sigstore", "show", "--json").value["origin"]
    assert 2 == filled_shell.run("sigstore", "update").code
    assert 2 == filled_shell.run("channel", "set", "tools", "--attestations", "maybe").code
    assert "program" == filled_shell.run("sigstore", "update", "--embedded", "--json").value["origin"]


def test_check_finds_a_missing_blob(filled_shell: Shell) -> None:
    """Exit code 1, with the broken promise and the file."""
    skip_unless_disk_store()
    any_blob(filled_shell).unlink()
    result = filled_shell.run("check", "--json")
    broken = json.loads(result.out)["broken"]
    assert (1, [("S1", f"tools/noarch/{FILE.name}")]) == (
        result.code, [(entry["check"], entry["where"]) for entry in broken],
    )  # fmt: skip


@pytest.mark.parametrize(("options", "code"), [((), 1), (("--quick",), 0)], ids=["whole", "quick"])
def test_check_reads_every_byte_unless_quick(filled_shell: Shell, options: tuple[str, ...], code: int) -> None:
    """A flipped bit is found only by reading the blob; the quick check compares sizes."""
    skip_unless_disk_store()
    blob = any_blob(filled_shell)
    content = bytearray(blob.read_bytes())
    content[100] ^= 1
    blob.write_bytes(content)
    assert code == filled_shell.run("check", *options).code


def test_check_repairs_with_a_backup(filled_shell: Shell) -> None:
    """A damaged file is taken out of use and named, with exit code 1; with a backup it is repaired."""
    skip_unless_disk_store()
    filled_shell.run("backup", "backup.tar")
    blob, name = any_blob(filled_shell), f"tools/noarch/{FILE.name}"
    content = blob.read_bytes()
    blob.unlink()
    blob.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    result = filled_shell.run("check", "--repair", "--json")
    report = json.loads(result.out)
    assert (1, [], [name]) == (result.code, report["repair"]["repaired"], report["repair"]["broken"])
    assert [name] == [entry["where"] for entry in report["broken"]]
    assert (False, 1) == (blob.exists(), filled_shell.run("check", "--backup", "backup.tar").code)
    result = filled_shell.run("check", "--repair", "--backup", "backup.tar")
    assert (0, f"{name} was repaired.\nNo problems found.\n") == (result.code, result.out)
    assert content == blob.read_bytes()
    assert {"verified": 1, "repaired": [], "dropped": [], "broken": [], "unread": []} == (
        filled_shell.run("check", "--repair", "--json").value["repair"]
    )


def test_sweep_reports_deleted_blobs(filled_shell: Shell) -> None:
    """Here it deletes the bytes of a channel that was removed long ago."""
    skip_unless_disk_store()
    filled_shell.run("channel", "remove", "tools", "--yes")
    for path in (filled_shell.folder / "data" / "store").rglob("*"):
        os.utime(path, (1_600_000_000, 1_600_000_000))
    deleted = filled_shell.run("sweep", "--yes", "--json").value
    assert (1, len(FILE.content)) == (deleted["blobs"], deleted["bytes"])


def test_adopt_replaces_an_unreadable_identity(filled_shell: Shell) -> None:
    """Errors of other commands recommend this command."""
    skip_unless_disk_store()
    (filled_shell.folder / "data" / "store" / "identity").write_bytes(b"{")
    assert "adopt" in filled_shell.run("check").err
    assert 0 == filled_shell.run("adopt").code
    assert 0 == filled_shell.run("check").code


# Output streams


def start_seaway(folder: Path, *arguments: str, **options: Any) -> "subprocess.Popen[str]":
    """Start a command in a new process, for tests with special output streams."""
    return subprocess.Popen(
        [sys.executable, "-m", "seaway", *arguments], cwd=folder, env=variables() | state.variables(folder),
        stderr=subprocess.PIPE, text=True, **options,
    )  # fmt: skip


def test_closed_pipe_causes_no_traceback(filled_shell: Shell) -> None:
    """For example `seaway ... | head -0`."""
    reading, writing = os.pipe()
    os.close(reading)
    with start_seaway(filled_shell.folder, "user", "list", stdout=writing) as process:
        os.close(writing)
        _, errors = process.communicate(timeout=60)
    assert (1, "") == (process.returncode, errors)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is full")
def test_output_on_a_full_disk_is_reported(filled_shell: Shell) -> None:
    """The error is one sentence."""
    with Path("/dev/full").open("w") as full, start_seaway(filled_shell.folder, "user", "list", stdout=full) as process:
        _, errors = process.communicate(timeout=60)
    assert (1, "seaway: The disk is full. Free some space and try again.\n") == (process.returncode, errors)


# Settings


SECRET = "hunter2/@x"


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        (f"postgresql://seaway:{SECRET}@db:5432/seaway", "postgresql://seaway@db:5432/seaway"),
        (f"postgresql://seaway@db/seaway?password={SECRET}", "postgresql://seaway@db/seaway"),
        (f"postgresql://seaway:a?{SECRET}@db/seaway", None),
        (f"mysql://seaway:{SECRET}@db/seaway", None),
    ],
)
def test_database_password_is_never_shown(shell: Shell, address: str, shown: str | None) -> None:
    """Neither `config` nor an error about the URL prints a possible password."""
    result = shell.run("config", "--json", SEAWAY_DATABASE_URL=address)
    assert "hunter2" not in result.out + result.err
    if shown is None:
        assert (1, True) == (result.code, "database_url" in result.err)
    else:
        assert shown in result.value["database_url"]


def test_memory_store_with_several_workers_is_refused(shell: Shell) -> None:
    """Each worker would have separate packages."""
    result = shell.run("config", SEAWAY_STORAGE_URL="memory:", SEAWAY_WORKERS="2")
    assert (1, True) == (result.code, "storage_url" in result.err)


def test_option_overrides_variable_and_variable_overrides_file(shell: Shell) -> None:
    """`config` shows every setting."""
    (shell.folder / "seaway.toml").write_text('port = 1111\nhost = "0.0.0.0"\ndata = "from-file"\n')
    shown = shell.run(
        "--data", "from-option", "config", "--json", SEAWAY_PORT="2222", SEAWAY_DATA="from-variable"
    ).value
    assert ("0.0.0.0", 2222, "from-option") == (shown["host"], shown["port"], shown["data"])
    assert set(Settings.model_fields) == set(shown)


@pytest.mark.parametrize("by", ["option", "variable"])
def test_settings_file_can_be_chosen(shell: Shell, by: str) -> None:
    """With --config or SEAWAY_CONFIG."""
    (shell.folder / "other.toml").write_text("port = 3333\n")
    options = ("--config", "other.toml") if by == "option" else ()
    variables = {"SEAWAY_CONFIG": "other.toml"} if by == "variable" else {}
    assert 3333 == shell.run(*options, "config", "--json", **variables).value["port"]


BAD_SETTINGS = {
    "unknown variable": ({"SEAWAY_PROT": "80"}, "", "SEAWAY_PROT", "docs/operate/settings.md"),
    "unknown name in the file": ({}, "prot = 80", "prot", "docs/operate/settings.md"),
    "no TOML": ({}, "port 80", "seaway.toml", "line 1"),
    "not UTF-8": ({}, b"host = '\xff'", "seaway.toml", "Correct"),
    "no number": ({"SEAWAY_PORT": "high"}, "", "port", "SEAWAY_PORT"),
    "too high a number": ({"SEAWAY_PORT": "65536"}, "", "port", "SEAWAY_PORT"),
    "number below the least": ({"SEAWAY_EXAMINERS": "0"}, "", "examiners", "SEAWAY_EXAMINERS"),
    "no choice": ({"SEAWAY_LOG_LEVEL": "loud"}, "", "log_level", "SEAWAY_LOG_LEVEL"),
    "public address over http": ({"SEAWAY_PUBLIC_URL": "http://conda.example.com"}, "", "public_url", "insecure_http"),
    "public address over http in the file": ({}, 'public_url = "http://10.0.0.1"', "public_url", "insecure_http"),
    "public address with a path": ({"SEAWAY_PUBLIC_URL": "https://example.com/conda"}, "", "public_url", "must not have a path"),
    "public address that is none": ({"SEAWAY_PUBLIC_URL": "conda.example.com"}, "", "public_url", "https://"),
    "proxy that is no address": ({"SEAWAY_TRUSTED_PROXIES": "10.0.0.0/8,nginx"}, "", "trusted_proxies", "nginx"),
    "x-accel of a bucket": (
        {"SEAWAY_DOWNLOADS": "x-accel", "SEAWAY_STORAGE_URL": "s3://bucket"}, "", "downloads", "file:///folder"
    ),
    "x-accel of nothing": ({"SEAWAY_DOWNLOADS": "x-accel", "SEAWAY_STORAGE_URL": "memory:"}, "", "downloads", "redirect"),
    "settings file that is not there": ({"SEAWAY_CONFIG": "no.toml"}, "", "no.toml", "does not exist"),
}  # fmt: skip


@pytest.mark.parametrize(("variables", "text", "expected", "hint"), BAD_SETTINGS.values(), ids=BAD_SETTINGS.keys())
@pytest.mark.parametrize("command", ["serve", "config"])
def test_invalid_setting_is_named(
    shell: Shell, command: str, variables: dict[str, str], text: str | bytes, expected: str, hint: str
) -> None:
    """The error is one sentence with the setting and the correction; nothing is started or created."""
    if text:
        (shell.folder / "seaway.toml").write_bytes(text if isinstance(text, bytes) else text.encode())
    result = shell.run(command, **variables)
    assert (1, "") == (result.code, result.out)
    assert [result.err.strip()] == result.err.splitlines()
    assert expected in result.err
    assert hint in result.err
    assert not (shell.folder / "data").exists()


@pytest.mark.parametrize(
    ("address", "insecure"),
    [
        ("https://conda.example.com", "false"),
        ("https://conda.example.com:8443/", "false"),
        ("http://localhost:8000", "false"),
        ("http://127.0.0.1:8000", "false"),
        ("http://[::1]:8000", "false"),
        ("http://conda.lan", "true"),
    ],
)
def test_valid_public_url_is_accepted(shell: Shell, address: str, insecure: str) -> None:
    """Plain http to other machines needs `insecure_http`."""
    shown = shell.run("config", "--json", SEAWAY_PUBLIC_URL=address, SEAWAY_INSECURE_HTTP=insecure).value
    assert address.rstrip("/") == shown["public_url"]


def test_data_folder_that_is_a_file_is_named(shell: Shell) -> None:
    """If the data folder cannot be created, the error names it and the setting."""
    (shell.folder / "data").write_text("not a folder")
    result = shell.run("user", "list")
    assert 1 == result.code
    assert [result.err.strip()] == result.err.splitlines()
    assert "The data folder data" in result.err
    assert "SEAWAY_DATA" in result.err


# Commands while a server runs


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("served"), examiners=1) as running:
        yield running


@pytest.fixture
def server_shell(server: Server) -> Shell:
    """A shell on the data of the running server."""
    return Shell(server.folder, {"SEAWAY_DATA": str(server.folder / "data")})


def test_script_creates_all_that_an_upload_needs(server_shell: Shell, server: Server) -> None:
    """A script needs only the JSON output of the commands."""
    owner = server_shell.run("user", "add", "script-owner", "--json").value["name"]
    friend = server_shell.run(
        "user", "add", "script-friend", "--password-stdin", "--json", stdin="mossy lantern over weir\n"
    ).value["name"]
    channel = server_shell.run("channel", "add", "script-made", "--owner", owner, "--public", "--json").value["name"]
    server_shell.run("member", "add", channel, friend, "--json").value["role"]
    key = server_shell.run("key", "add", friend, "ci", "--channel", channel, "--json").value["key"]
    with server.client(key) as http:
        assert 201 == upload(http, channel, FILE).status_code
        assert [FILE.name] == list(http.get(f"/{channel}/noarch/repodata.json").json()["packages.conda"])
        server_shell.run("key", "revoke", friend, "ci")
        assert 401 == upload(http, channel, conda(index_json("late"))).status_code
    assert 1 == server_shell.run("channel", "show", channel, "--json").value["files"]
    assert server_shell.run("check", "--json").value["ok"]


def test_upload_folder_to_a_server(server_shell: Shell, server: Server, tmp_path: Path) -> None:
    """The outcomes and exit codes are the same as for a local upload."""
    server_shell.run("user", "add", "remote-owner")
    server_shell.run("channel", "add", "remote", "--owner", "remote-owner", "--public")
    variables = {
        "SEAWAY_SERVER": server.address + "/",
        "SEAWAY_KEY": server_shell.run("key", "add", "remote-owner", "ci", "--mode", "READ_WRITE_DELETE").out.strip(),
    }
    folder = fill(tmp_path / "built")
    results = [
        server_shell.run("upload", "remote", folder, *options, "--json", **variables)
        for options in ((), (), ("--skip-existing",), ("--force",))
    ]
    assert [0, 1, 0, 0] == [result.code for result in results], results[0].err
    assert [{"uploaded"}, {"exists"}, {"exists"}, {"replaced"}] == [
        set(statuses(result).values()) for result in results
    ]
    refused = server_shell.run("upload", "remote", folder, "--json", **{**variables, "SEAWAY_KEY": "swy-u-wrong"})
    assert (1, {"refused"}) == (refused.code, set(statuses(refused).values()))
    assert "API key" in json.loads(refused.out)["files"][0]["message"]


def test_upload_to_unreachable_server_is_reported(filled_shell: Shell) -> None:
    """Each file is refused with one sentence."""
    result = filled_shell.run("upload", "tools", FILE.name, "--server", "http://127.0.0.1:1", "--key", "k", "--json")
    assert (1, {FILE.name: "refused"}) == (result.code, statuses(result))
    assert "could not be reached" in json.loads(result.out)["files"][0]["message"]


def test_unsendable_file_does_not_stop_the_upload_of_others(filled_shell: Shell) -> None:
    """Each error is one sentence, and the other files are still tried."""
    (filled_shell.folder / "caf\xe9-1.0-0.conda").write_bytes(FILE.content)
    (filled_shell.folder / "away-1.0-0.conda").symlink_to("/nowhere/away.conda")
    (filled_shell.folder / "more").mkdir()
    for name in ("caf\xe9-1.0-0.conda", "away-1.0-0.conda"):
        (filled_shell.folder / name).rename(filled_shell.folder / "more" / name)
    result = filled_shell.run(
        "upload", "tools", "more", FILE.name, "--server", "http://127.0.0.1:1", "--key", "k", "--json"
    )
    messages = {file["file"]: file["message"] for file in json.loads(result.out)["files"]}
    assert ["away-1.0-0.conda", "caf\xe9-1.0-0.conda", FILE.name] == list(messages)
    assert "cannot be read" in messages["away-1.0-0.conda"]
    assert "file name" in messages["caf\xe9-1.0-0.conda"]


def test_changes_by_commands_are_served_at_once(server_shell: Shell, server: Server) -> None:
    """The next request to the running server sees them."""
    server_shell.run("user", "add", "sharer")
    server_shell.run("channel", "add", "shared", "--owner", "sharer", "--public")
    FILE.write_to(server_shell.folder)
    with server.client() as http:
        before = http.get("/shared/noarch/repodata.json").json()["packages.conda"]
        server_shell.run("upload", "shared", FILE.name)
        after = http.get("/shared/noarch/repodata.json").json()["packages.conda"]
        server_shell.run("channel", "set", "shared", "--private")
        private: httpx.Response = http.get("/shared/noarch/repodata.json")
    assert ([], [FILE.name], 401) == (list(before), list(after), private.status_code)
