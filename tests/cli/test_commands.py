"""Every command, as a script uses it: JSON out, JSON errors, exit codes."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx
import pytest
import typer
from sqlalchemy import select

from seaway.callers.caller import Mode
from seaway.cli.main import app
from seaway.database.migrate import NEWEST
from seaway.database.tables import audit, channels, files, keys, members, users
from seaway.server.wiring import Seaway
from seaway.settings import Settings
from tests.cli.conftest import FILE, Ran, Shell
from tests.support import state
from tests.support.house import build
from tests.support.packages import conda, index_json, tar_bz2
from tests.support.requests import upload
from tests.support.server import Server, serving, variables
from tests.support.sigstore import MiniSigstore

UNKNOWN = "nobody"


def commands(group: Any = None, before: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every command that there is, as its words."""
    for name, command in (group or typer.main.get_command(app)).commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*before, name))
        else:
            yield (*before, name)


# What each command tells with --json, in a house with ada, bob, the channel tools, a key and a file.
TOLD: dict[tuple[str, ...], Any] = {
    ("user", "add", "eve", "--email", "eve@example.com"): {"name": "eve", "email": "eve@example.com", "admin": False},
    ("user", "add", "root-of-all", "--admin"): {"name": "root-of-all", "admin": True},
    ("user", "list"): [{"name": "ada", "admin": True}, {"name": "bob", "admin": False}],
    ("user", "password", "bob", "--password-stdin"): {"name": "bob"},
    ("user", "disable", "bob"): {"name": "bob"},
    ("user", "enable", "bob"): {"name": "bob", "disabled_at": None},
    ("user", "reset-2fa", "bob"): {"name": "bob"},
    ("user", "remove", "bob", "--yes"): {"name": "bob"},
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
    ("member", "add", "tools", "bob", "--role", "viewer"): {"channel": "tools", "user": "bob", "role": "viewer"},
    ("member", "remove", "tools", "bob"): {"channel": "tools", "user": "bob", "role": None},
    ("file", "yank", "tools", "noarch/demo-1.0-h1_0.conda", "--reason", "a leak"): {
        "channel": "tools", "files": ["noarch/demo-1.0-h1_0.conda"], "state": "yanked", "reason": "a leak",
    },
    ("file", "unyank", "tools", "noarch/demo-1.0-h1_0.conda"): {"files": [], "state": "listed", "unchanged": 1},
    ("file", "yank", "tools", "--package", "demo", "--version", "1.0", "--subdir", "noarch"): {
        "channel": "tools", "files": ["noarch/demo-1.0-h1_0.conda"], "state": "yanked", "reason": None,
    },
    ("file", "delete", "tools", "--package", "demo", "--yes"): {
        "channel": "tools", "files": ["noarch/demo-1.0-h1_0.conda"], "state": "deleted", "unchanged": 0,
    },
    ("file", "correct", "tools", "noarch/demo-1.0-h1_0.conda", "--license", "BSD", "--clear", "constrains", "--reason", "R"): {
        "file": "noarch/demo-1.0-h1_0.conda", "fields": {"license": "BSD", "constrains": []}, "reason": "R", "warnings": [],
    },
    ("group", "add", "night-watch", "--manager", "bob", "--description", "D"): {
        "name": "night-watch", "description": "D", "users": 1,
    },
    ("group", "list"): [{"name": "crew", "users": 2}],
    ("group", "show", "crew"): {
        "name": "crew", "members": [{"user": "ada", "manager": True}, {"user": "bob", "manager": False}],
        "channels": [{"channel": "tools", "role": "viewer"}],
    },
    ("group", "add-member", "crew", "bob", "--manager"): {"group": "crew", "user": "bob", "manager": True},
    ("group", "role", "tools", "crew", "contributor"): {"channel": "tools", "group": "crew", "role": "contributor"},
    ("group", "role", "tools", "crew", "none"): {"channel": "tools", "group": "crew", "role": None},
    ("group", "remove-member", "crew", "bob"): {"group": "crew", "user": "bob", "manager": None},
    ("group", "remove", "crew"): {"name": "crew"},
    ("key", "add", "bob", "ci", "--mode", "READ", "--days", "0"): {"user": "bob", "mode": "READ", "expires_at": None},
    ("key", "add", "ada", "ci", "--channel", "tools"): {"name": "ci", "mode": "READ_WRITE", "channels": ["tools"]},
    ("key", "list", "ada"): [{"name": "laptop", "mode": "READ_WRITE", "channels": None, "revoked_at": None}],
    ("key", "revoke", "ada", "laptop"): {"user": "ada", "name": "laptop"},
    ("key", "add", "ada", "own", "--package", "sail*"): {"name": "own", "packages": ["sail*"], "used_at": None},
    ("key", "revoke", "--stdin"): {"revoked": 0, "unknown": 1},
    ("notice", "add", "tools", "Closed", "--level", "critical", "--days", "2"): {"id": 2, "level": "critical"},
    ("notice", "list", "tools"): [{"id": 1, "channel": "tools", "level": "info", "message": "We sail at dawn"}],
    ("notice", "remove", "tools", "1"): {"id": 1, "channel": "tools"},
    ("user", "quota", "ada"): {"user": "ada", "quota": None, "size": len(FILE.content)},
    ("user", "quota", "bob", "1000"): {"user": "bob", "quota": 1000, "size": 0},
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
    ("issuer", "remove", "forge"): {"name": "forge"},
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


def part(value: Any, like: Any) -> Any:
    """As much of a value as the other one speaks of."""
    if isinstance(like, dict):
        return {key: part(value[key], like[key]) for key in like}
    if isinstance(like, list) and len(like) == len(value):
        return [part(one, other) for one, other in zip(value, like, strict=True)]
    return value


def test_every_command_tells_json() -> None:
    """Whoever adds a command gives it --json, and a row above."""
    known = {
        command
        for command in commands()
        if command not in {("serve",), ("work",), ("restore",), ("rebuild",), ("file", "restore")}
    }
    assert known == {words[:length] for words in TOLD for length in (1, 2) if words[:length] in known}


def test_a_quota_that_cannot_be_read_changes_nothing(house: Shell) -> None:
    """The other options of the command are not carried out first."""
    house.run("channel", "add", "base", "--owner", "ada", "--public")
    ran = house.run("channel", "set", "tools", "--base", "base", "--quota", "plenty")
    assert (2, True) == (ran.code, "a quota is a number of bytes" in ran.err)
    assert "" == house.run("channel", "show", "tools", "--json").value["base"]


def test_a_correction_that_was_restored_tells_json(house: Shell) -> None:
    """It needs a correction first, so it has no row above."""
    file = ("tools", "noarch/demo-1.0-h1_0.conda")
    house.run("file", "correct", *file, "--license", "BSD", "--reason", "R")
    restored = house.run("file", "restore", *file, "--json").value
    assert ("tools", file[1]) == (restored["channel"], restored["file"])


@pytest.mark.parametrize("words", TOLD, ids=" ".join)
def test_a_command_tells_json(house: Shell, words: tuple[str, ...]) -> None:
    """With --json a command prints one value, whole, and nothing on standard error."""
    ran = house.run(*words, "--json", stdin="a password of some length\n")
    assert "" == ran.err
    assert TOLD[words] == part(ran.value, TOLD[words])


@pytest.mark.parametrize("words", TOLD, ids=" ".join)
def test_a_command_tells_people(house: Shell, words: tuple[str, ...]) -> None:
    """Without --json a command prints a sentence or a table, and no JSON."""
    ran = house.run(*words, stdin="a password of some length\n")
    told, silent = (ran.err, ran.out) if TOLD[words] == [] else (ran.out, ran.err)  # "There are none" is no row
    assert (0, "") == (ran.code, silent)
    assert told.strip()
    assert not told.startswith(("{", "["))


def test_help_lists_every_command(shell: Shell) -> None:
    """--help, at each level, names what there is with a sentence for each."""
    ran = shell.run("--help")
    assert 0 == ran.code
    for words in commands():
        assert words[0] in ran.out
        inner = shell.run(*words, "--help")
        assert (0, True) == (inner.code, "Usage: seaway " + " ".join(words) in inner.out)


def test_the_version_is_printed(shell: Shell) -> None:
    """--version prints the version of the installed package."""
    ran = shell.run("--version")
    assert (0, f"seaway {version('seaway')}\n") == (ran.code, ran.out)


def test_help_makes_no_data(shell: Shell) -> None:
    """Asking for help or for the settings leaves the folder as it was."""
    shell.run("--help")
    shell.run("config")
    assert [".talk"] == [path.name for path in shell.folder.iterdir()]


MAKE_DATA = (("migrate",), ("user", "add"), ("config",))


@pytest.mark.parametrize("words", [*(w for w in TOLD if w[:2] not in MAKE_DATA and w[:1] not in MAKE_DATA), ("work",),
                                   ("rebuild", "--from-store")], ids=" ".join)  # fmt: skip
def test_a_mistyped_data_folder_is_named_and_not_made(shell: Shell, words: tuple[str, ...]) -> None:
    """Every command but those that begin a site refuses a data folder that does not exist, or that has no database."""
    FILE.write_to(shell.folder)
    ran = shell.run("--data", "nope/x", *words, stdin="a password of some length\n")
    assert (1, "") == (ran.code, ran.out)
    assert "seaway: The data folder nope/x does not exist." in ran.err
    assert not (shell.folder / "nope").exists()


def test_a_folder_without_a_database_stays_empty(shell: Shell) -> None:
    """A folder of something else does not become an empty site."""
    if state.chosen() != state.SQLITE_DISK:
        pytest.skip("the database is elsewhere")
    (shell.folder / "data").mkdir()
    for words in (("user", "list"), ("check",), ("backup", "backup.tar"), ("work",)):
        ran = shell.run(*words)
        assert (1, True) == (ran.code, "has no database" in ran.err)
    assert [] == list((shell.folder / "data").iterdir())


@pytest.mark.parametrize("words", [("migrate",), ("user", "add", "ada")], ids=" ".join)
def test_a_new_data_folder_is_for_its_owner_only(shell: Shell, words: tuple[str, ...]) -> None:
    """The commands that begin a site make the folder as `serve` does."""
    assert 0 == shell.run("--data", "new/x", *words).code
    assert 0 == (shell.folder / "new" / "x").stat().st_mode & 0o077


def test_times_are_told_in_utc(house: Shell) -> None:
    """Times are ISO 8601 in UTC, so that scripts can compare them."""
    created = house.run("key", "list", "ada", "--json").value[0]["created_at"]
    assert (20, "T", "Z") == (len(created), created[10], created[-1])


# Errors

WRONG = {
    ("user", "add", "ada"): ("name-taken", "ada"),
    ("user", "add", "Ada Lovelace"): ("name-taken", "Ada Lovelace"),
    ("user", "add", "admin"): ("name-taken", "admin"),
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
    ("publisher", "set", "tools", "1", "--mode", "MANAGE"): ("malformed", "MANAGE"),
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
def test_a_place_of_the_house_itself_is_refused(house: Shell, words: tuple[str, ...]) -> None:
    """A copy must not lie in what it copies."""
    code, says = WRONG_IN_THE_DATA_FOLDER[words]
    error = house.run(*words, "--json").error
    assert (code, True) == (error["code"], says in error["message"] + error["hint"])


@pytest.mark.parametrize("words", WRONG, ids=" ".join)
def test_an_error_is_told_as_json(house: Shell, words: tuple[str, ...]) -> None:
    """With --json an error is one object on standard error, with a code, a message and what to do; the exit code is 1."""
    code, says = WRONG[words]
    error = house.run(*words, "--json", stdin="short\n").error
    assert {"code", "message", "hint"} == error.keys()
    assert code == error["code"]
    assert says in error["message"] + error["hint"]
    assert error["hint"]


def test_an_error_is_told_to_people_in_one_line(house: Shell) -> None:
    """Without --json an error is one sentence, without a trace of where it came from."""
    ran = house.run("channel", "show", UNKNOWN)
    assert (1, "") == (ran.code, ran.out)
    assert [ran.err.strip()] == ran.err.splitlines()
    assert ran.err.startswith("seaway: There is no channel named")


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
def test_a_wrong_command_line_changes_nothing(house: Shell, words: tuple[str, ...]) -> None:
    """What cannot be understood, or is not confirmed, ends with a usage error, and nothing was done."""
    before = rows(house)
    ran = house.run(*words)
    assert ran.code in ((1, 2) if words[1:] == ("remove", "tools") else (2,))
    assert "Traceback" not in ran.err
    assert before == rows(house)


def rows(house: Shell) -> dict[str, list[Any]]:
    """Everything that commands change."""
    with opened(house) as seaway, seaway.database.read() as tx:
        tables = (users, channels, members, keys, files, audit)
        return {table.name: [tuple(row) for row in tx.execute(select(table))] for table in tables}


@contextmanager
def opened(house: Shell) -> Iterator[Seaway]:
    """The house of a shell, opened beside its commands."""
    with closing(build(house.folder)) as seaway:
        yield seaway


def needs_a_folder() -> None:
    """What a test does to files; on other states the same is tested in tests/indexing and tests/packages."""
    if state.chosen() != state.SQLITE_DISK:
        pytest.skip("the blobs are no files here")


def test_a_command_that_failed_left_nothing(house: Shell) -> None:
    """A refused password makes no account."""
    house.run("user", "add", "eve", "--password-stdin", stdin="short\n")
    assert ["ada", "bob"] == [user["name"] for user in house.run("user", "list", "--json").value]


def test_a_password_is_kept_out_of_sight(house: Shell) -> None:
    """A password comes by standard input, is not printed, and cannot be read in the data."""
    ran = house.run("user", "add", "eve", "--password-stdin", "--json", stdin="correct horse battery\n")
    stored = repr(rows(house))
    assert "horse" not in ran.out + ran.err
    assert "horse" not in stored
    assert "$argon2id$" in stored


def test_a_channel_is_removed_after_its_name_was_typed(house: Shell) -> None:
    """Without --yes the name is asked for; another one deletes nothing, the right one does."""
    wrong = house.run("channel", "remove", "tools", stdin="tool\n")
    between = house.run("channel", "list", "--json").value
    right = house.run("channel", "remove", "tools", stdin="tools\n")
    assert [2, 0] == [wrong.code, right.code]
    assert [1, 0] == [len(between), len(house.run("channel", "list", "--json").value)]


def test_lists_of_nothing_say_how_to_begin(shell: Shell) -> None:
    """An empty list is `[]` for scripts, and for people the command that makes the first one."""
    shell.run("migrate")
    assert [] == shell.run("user", "list", "--json").value
    assert "seaway user add" in shell.run("user", "list").err
    assert [] == shell.run("channel", "list", "--json").value
    assert "seaway channel add" in shell.run("channel", "list").err


def test_the_modes_in_the_help_are_those_that_there_are(shell: Shell) -> None:
    """The help of `key add` names every mode, and each is taken."""
    text = shell.run("key", "add", "--help").out
    assert [] == [mode.name for mode in Mode if mode.name not in text]


def test_a_secret_is_shown_once(house: Shell) -> None:
    """A key is printed when it is made and in no list afterwards."""
    secret = house.run("key", "add", "ada", "ci").out.strip()
    assert secret.startswith("swy-u-")
    assert secret[6:] not in house.run("key", "list", "ada", "--json").out


# Uploading from this machine


def fill(folder: Path) -> Path:
    """A folder as build tools leave it: packages in subfolders, and other files."""
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


def statuses(ran: Ran) -> dict[str, str]:
    return {one["file"]: one["status"] for one in json.loads(ran.out)["files"]}


BUILT = {"one-1.0-h1_0.conda", "two-1.0-h1_0.conda", "three-1.0-h1_0.tar.bz2"}


def test_a_folder_is_uploaded(house: Shell) -> None:
    """Every package below a folder goes to the subdir that it says; again it is exit code 1, unless skipped or forced."""
    folder = fill(house.folder / "built")
    options = ((), (), ("--skip-existing",), ("--force",))
    runs = [house.run("upload", "tools", folder, *some, "--json") for some in options]
    assert [0, 1, 0, 0] == [ran.code for ran in runs], runs[0].err
    assert dict.fromkeys(BUILT, "uploaded") == statuses(runs[0])
    assert [{"exists"}, {"exists"}, {"replaced"}] == [set(statuses(ran).values()) for ran in runs[1:]]
    assert 4 == house.run("channel", "show", "tools", "--json").value["files"]
    assert house.run("check", "--json").value["ok"]


def test_a_bad_file_does_not_stop_the_good_ones(house: Shell) -> None:
    """A refused file is exit code 1 with its reason, and the others are uploaded."""
    folder = fill(house.folder / "built")
    (folder / "bad-1.0-0.conda").write_bytes(b"no package")
    ran = house.run("upload", "tools", folder, "--json")
    told = {one["file"]: one["message"] for one in json.loads(ran.out)["files"]}
    assert (1, "refused") == (ran.code, statuses(ran)["bad-1.0-0.conda"])
    assert told["bad-1.0-0.conda"]
    assert dict.fromkeys(BUILT, "uploaded") == {name: statuses(ran)[name] for name in BUILT}
    people = house.run("upload", "tools", folder / "bad-1.0-0.conda")
    assert (1, True) == (people.code, "bad-1.0-0.conda: " in people.out)


def test_an_upload_to_no_channel_is_refused(house: Shell) -> None:
    """Without the channel every file is refused."""
    ran = house.run("upload", UNKNOWN, FILE.name, "--json")
    assert (1, {FILE.name: "refused"}) == (ran.code, statuses(ran))


# Looking after a store


def a_blob(house: Shell) -> Path:
    return next(path for path in (house.folder / "data" / "store" / "blobs").rglob("*") if path.is_file())


def test_a_trusted_root_can_be_kept_and_given_back(house: Shell, tmp_path: Path) -> None:
    """From a file; what is none is refused, and what was there stays."""
    good, bad = tmp_path / "root.json", tmp_path / "bad.json"
    good.write_bytes(MiniSigstore().trusted_root)
    bad.write_text("{}")

    assert 1 == house.run("sigstore", "update", "--file", str(bad)).code
    assert ["https://rekor.example.com"] == house.run("sigstore", "update", "--file", str(good), "--json").value["logs"]
    assert "database" == house.run("sigstore", "show", "--json").value["origin"]
    assert 2 == house.run("sigstore", "update").code
    assert 2 == house.run("channel", "set", "tools", "--attestations", "maybe").code
    assert "program" == house.run("sigstore", "update", "--embedded", "--json").value["origin"]


def test_a_check_finds_a_blob_that_is_gone(house: Shell) -> None:
    """A file without its bytes is exit code 1, with the promise that does not hold and the place."""
    needs_a_folder()
    a_blob(house).unlink()
    ran = house.run("check", "--json")
    broken = json.loads(ran.out)["broken"]
    assert (1, [("S1", f"tools/noarch/{FILE.name}")]) == (
        ran.code, [(entry["check"], entry["where"]) for entry in broken],
    )  # fmt: skip


@pytest.mark.parametrize(("options", "code"), [((), 1), (("--quick",), 0)], ids=["whole", "quick"])
def test_a_check_reads_every_byte_unless_it_is_quick(house: Shell, options: tuple[str, ...], code: int) -> None:
    """One bit that turned in a blob is found by reading it; the quick check looks at sizes only."""
    needs_a_folder()
    blob = a_blob(house)
    content = bytearray(blob.read_bytes())
    content[100] ^= 1
    blob.write_bytes(content)
    assert code == house.run("check", *options).code


def test_a_check_repairs(house: Shell) -> None:
    """What is damaged is taken out of use and named with exit code 1; with a backup it comes back, and all is well."""
    needs_a_folder()
    house.run("backup", "backup.tar")
    blob, name = a_blob(house), f"tools/noarch/{FILE.name}"
    content = blob.read_bytes()
    blob.unlink()
    blob.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    ran = house.run("check", "--repair", "--json")
    told = json.loads(ran.out)
    assert (1, [], [name]) == (ran.code, told["repair"]["repaired"], told["repair"]["broken"])
    assert [name] == [entry["where"] for entry in told["broken"]]
    assert (False, 1) == (blob.exists(), house.run("check", "--backup", "backup.tar").code)
    ran = house.run("check", "--repair", "--backup", "backup.tar")
    assert (0, f"{name} was repaired.\nNo problems found.\n") == (ran.code, ran.out)
    assert content == blob.read_bytes()
    assert {"verified": 1, "repaired": [], "dropped": [], "broken": [], "unread": []} == (
        house.run("check", "--repair", "--json").value["repair"]
    )


def test_a_sweep_is_told(house: Shell) -> None:
    """The sweep says what it took: here the bytes of a channel that was deleted days ago."""
    needs_a_folder()
    house.run("channel", "remove", "tools", "--yes")
    for path in (house.folder / "data" / "store").rglob("*"):
        os.utime(path, (1_600_000_000, 1_600_000_000))
    taken = house.run("sweep", "--yes", "--json").value
    assert (1, len(FILE.content)) == (taken["blobs"], taken["bytes"])


def test_adopt_writes_an_identity_that_cannot_be_read_anew(house: Shell) -> None:
    """What the error of every other command says helps."""
    needs_a_folder()
    (house.folder / "data" / "store" / "identity").write_bytes(b"{")
    assert "adopt" in house.run("check").err
    assert 0 == house.run("adopt").code
    assert 0 == house.run("check").code


# The machine


def seaway_in(folder: Path, *arguments: str, **options: Any) -> "subprocess.Popen[str]":
    """A command in a process of its own, for what the driver does not show."""
    return subprocess.Popen(
        [sys.executable, "-m", "seaway", *arguments], cwd=folder, env=variables() | state.variables(folder),
        stderr=subprocess.PIPE, text=True, **options,
    )  # fmt: skip


def test_a_pipe_whose_reader_left_is_no_failure(house: Shell) -> None:
    """`seaway ... | head -0` ends without a traceback."""
    reading, writing = os.pipe()
    os.close(reading)
    with seaway_in(house.folder, "user", "list", stdout=writing) as process:
        os.close(writing)
        _, told = process.communicate(timeout=60)
    assert (1, "") == (process.returncode, told)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is full")
def test_a_full_disk_for_what_is_printed_is_told(house: Shell) -> None:
    """What could not be written is said, in one sentence."""
    with Path("/dev/full").open("w") as full, seaway_in(house.folder, "user", "list", stdout=full) as process:
        _, told = process.communicate(timeout=60)
    assert (1, "seaway: The disk is full. Free some space and try again.\n") == (process.returncode, told)


# Settings


SECRET = "hunter2/@x"


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        (f"postgresql://seaway:{SECRET}@db:5432/house", "postgresql://seaway@db:5432/house"),
        (f"postgresql://seaway@db/house?password={SECRET}", "postgresql://seaway@db/house"),
        (f"postgresql://seaway:a?{SECRET}@db/house", None),
        (f"mysql://seaway:{SECRET}@db/house", None),
    ],
)
def test_the_password_of_the_database_is_never_shown(shell: Shell, address: str, shown: str | None) -> None:
    """Neither `config` nor the refusal of an address prints what may be a password."""
    ran = shell.run("config", "--json", SEAWAY_DATABASE_URL=address)
    assert "hunter2" not in ran.out + ran.err
    if shown is None:
        assert (1, True) == (ran.code, "database_url" in ran.err)
    else:
        assert shown in ran.value["database_url"]


def test_packages_in_memory_are_for_one_worker(shell: Shell) -> None:
    """Several workers would each have packages of their own."""
    ran = shell.run("config", SEAWAY_STORAGE_URL="memory:", SEAWAY_WORKERS="2")
    assert (1, True) == (ran.code, "storage_url" in ran.err)


def test_settings_come_from_file_variable_and_option_in_this_order(shell: Shell) -> None:
    """A variable goes before the file, an option before both, and the rest is as documented."""
    (shell.folder / "seaway.toml").write_text('port = 1111\nhost = "0.0.0.0"\ndata = "from-file"\n')
    seen = shell.run("--data", "from-option", "config", "--json", SEAWAY_PORT="2222", SEAWAY_DATA="from-variable").value
    assert ("0.0.0.0", 2222, "from-option") == (seen["host"], seen["port"], seen["data"])
    assert set(Settings.model_fields) == set(seen)


@pytest.mark.parametrize("by", ["option", "variable"])
def test_another_settings_file_can_be_named(shell: Shell, by: str) -> None:
    """--config and SEAWAY_CONFIG name the file to read."""
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


@pytest.mark.parametrize(("variables", "text", "says", "cure"), BAD_SETTINGS.values(), ids=BAD_SETTINGS.keys())
@pytest.mark.parametrize("command", ["serve", "config"])
def test_a_setting_that_cannot_work_is_named(
    shell: Shell, command: str, variables: dict[str, str], text: str | bytes, says: str, cure: str
) -> None:
    """A bad setting is one sentence with its name and the cure; nothing was started and nothing made."""
    if text:
        (shell.folder / "seaway.toml").write_bytes(text if isinstance(text, bytes) else text.encode())
    ran = shell.run(command, **variables)
    assert (1, "") == (ran.code, ran.out)
    assert [ran.err.strip()] == ran.err.splitlines()
    assert says in ran.err
    assert cure in ran.err
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
def test_a_public_address_that_can_work_is_taken(shell: Shell, address: str, insecure: str) -> None:
    """https needs nothing, nor does this machine itself; other plain http needs a word of consent."""
    seen = shell.run("config", "--json", SEAWAY_PUBLIC_URL=address, SEAWAY_INSECURE_HTTP=insecure).value
    assert address.rstrip("/") == seen["public_url"]


def test_a_data_folder_that_is_a_file_is_named(shell: Shell) -> None:
    """When the data folder cannot be made, the sentence says which it is."""
    (shell.folder / "data").write_text("not a folder")
    ran = shell.run("user", "list")
    assert 1 == ran.code
    assert [ran.err.strip()] == ran.err.splitlines()
    assert "The data folder data" in ran.err
    assert "SEAWAY_DATA" in ran.err


# A script from nothing to a package on a running server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("served"), examiners=1) as one:
        yield one


@pytest.fixture
def beside(shell: Shell, server: Server) -> Shell:
    """A shell beside the running server, on the same data."""
    return Shell(shell.driver, server.folder, {"SEAWAY_DATA": str(server.folder / "data")})


def test_a_script_makes_all_that_an_upload_needs(beside: Shell, server: Server) -> None:
    """With what the commands printed as JSON, and nothing else, a script goes from nothing to a package."""
    owner = beside.run("user", "add", "script-owner", "--json").value["name"]
    friend = beside.run(
        "user", "add", "script-friend", "--password-stdin", "--json", stdin="mossy lantern over weir\n"
    ).value["name"]
    channel = beside.run("channel", "add", "script-made", "--owner", owner, "--public", "--json").value["name"]
    beside.run("member", "add", channel, friend, "--json").value["role"]
    key = beside.run("key", "add", friend, "ci", "--channel", channel, "--json").value["key"]
    with server.client(key) as http:
        assert 201 == upload(http, channel, FILE).status_code
        assert [FILE.name] == list(http.get(f"/{channel}/noarch/repodata.json").json()["packages.conda"])
        beside.run("key", "revoke", friend, "ci")
        assert 401 == upload(http, channel, conda(index_json("late"))).status_code
    assert 1 == beside.run("channel", "show", channel, "--json").value["files"]
    assert beside.run("check", "--json").value["ok"]


def test_a_folder_is_uploaded_to_a_server(beside: Shell, server: Server, tmp_path: Path) -> None:
    """The same upload goes to a server, with the same outcomes and exit codes."""
    beside.run("user", "add", "remote-owner")
    beside.run("channel", "add", "remote", "--owner", "remote-owner", "--public")
    variables = {
        "SEAWAY_SERVER": server.address + "/",
        "SEAWAY_KEY": beside.run("key", "add", "remote-owner", "ci", "--mode", "READ_WRITE_DELETE").out.strip(),
    }
    folder = fill(tmp_path / "built")
    runs = [
        beside.run("upload", "remote", folder, *options, "--json", **variables)
        for options in ((), (), ("--skip-existing",), ("--force",))
    ]
    assert [0, 1, 0, 0] == [ran.code for ran in runs], runs[0].err
    assert [{"uploaded"}, {"exists"}, {"exists"}, {"replaced"}] == [set(statuses(ran).values()) for ran in runs]
    refused = beside.run("upload", "remote", folder, "--json", **{**variables, "SEAWAY_KEY": "swy-u-wrong"})
    assert (1, {"refused"}) == (refused.code, set(statuses(refused).values()))
    assert "API key" in json.loads(refused.out)["files"][0]["message"]


def test_a_server_that_is_not_there_is_told(house: Shell) -> None:
    """An upload to where nobody listens is refused with a sentence, file by file."""
    ran = house.run("upload", "tools", FILE.name, "--server", "http://127.0.0.1:1", "--key", "k", "--json")
    assert (1, {FILE.name: "refused"}) == (ran.code, statuses(ran))
    assert "could not be reached" in json.loads(ran.out)["files"][0]["message"]


def test_a_file_that_cannot_be_sent_is_told(house: Shell) -> None:
    """Whatever is wrong with one file, it is one sentence, and the others are tried."""
    (house.folder / "caf\xe9-1.0-0.conda").write_bytes(FILE.content)
    (house.folder / "away-1.0-0.conda").symlink_to("/nowhere/away.conda")
    (house.folder / "more").mkdir()
    for name in ("caf\xe9-1.0-0.conda", "away-1.0-0.conda"):
        (house.folder / name).rename(house.folder / "more" / name)
    ran = house.run("upload", "tools", "more", FILE.name, "--server", "http://127.0.0.1:1", "--key", "k", "--json")
    told = {each["file"]: each["message"] for each in json.loads(ran.out)["files"]}
    assert ["away-1.0-0.conda", "caf\xe9-1.0-0.conda", FILE.name] == list(told)
    assert "cannot be read" in told["away-1.0-0.conda"]
    assert "file name" in told["caf\xe9-1.0-0.conda"]


def test_commands_and_the_server_share_the_data(beside: Shell, server: Server) -> None:
    """What a command does beside a running server is served on the next request."""
    beside.run("user", "add", "sharer")
    beside.run("channel", "add", "shared", "--owner", "sharer", "--public")
    FILE.write_to(beside.folder)
    with server.client() as http:
        before = http.get("/shared/noarch/repodata.json").json()["packages.conda"]
        beside.run("upload", "shared", FILE.name)
        after = http.get("/shared/noarch/repodata.json").json()["packages.conda"]
        beside.run("channel", "set", "shared", "--private")
        private: httpx.Response = http.get("/shared/noarch/repodata.json")
    assert ([], [FILE.name], 401) == (list(before), list(after), private.status_code)
