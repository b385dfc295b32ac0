"""A Seaway instance for a test, with the real parts, and a factory of users, channels and keys."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

from sqlalchemy import insert

from seaway.callers.caller import OPERATOR, Caller, CredentialKind, Mode
from seaway.channels import channels, members
from seaway.channels.roles import Role
from seaway.clock import DAY_MS, Clock
from seaway.database.tables import totp
from seaway.keys import api_keys
from seaway.publishing.publish import Published, publish
from seaway.server import wiring
from seaway.server.wiring import Seaway
from seaway.settings import Settings
from seaway.trusted_publishing.issuer_kinds import github
from seaway.users import users
from tests.support import state, statements_once
from tests.support.packages import PackageFile


def with_site(seaway: Seaway, **changes: Any) -> Seaway:
    """Return the same Seaway with some fields of its site replaced; the request parts keep the original site."""
    return replace(seaway, site=replace(seaway.site, **changes))


def build(
    folder: Path,
    clock: Clock | None = None,
    *,
    paired: bool = True,
    github_com_api: str = "http://127.0.0.1:9",
    **settings: Any,
) -> Seaway:
    """Open a Seaway instance in `folder`; a second one on the same folder shares its database and store."""
    chosen_settings = Settings(
        data=folder / "data",
        **({"sweep_max_percent": 100} | state.settings(folder) | settings),
    )
    (state.copy_paired_data if paired else state.copy_migrated_database)(chosen_settings)
    with patch.object(github, "API_URL", github_com_api):
        seaway = wiring.build(chosen_settings, clock, checks_pairing=paired)
    statements_once.share(seaway.site.database)
    return seaway


@dataclass(frozen=True)
class Factory:
    """Shorthand that creates users, channels and keys in one line."""

    seaway: Seaway

    def user(self, name: str, *, admin: bool = False) -> str:
        """Create the user unless it exists; return the name. The first user is not an admin either unless `admin` is set."""
        with self.seaway.site.database.write_site() as tx:
            if users.find(tx, name) is None:
                users.add(tx, self._now(), OPERATOR, name, email=None, password_hash=None, is_admin=admin)
                users.set_admin(tx, self._now(), OPERATOR, name, is_admin=admin)
        return name

    def second_factor(self, name: str) -> str:
        """Give the user an authenticator app, whose codes nobody knows; return the name."""
        self.user(name)
        with self.seaway.site.database.write_site() as tx:
            user_id = users.get(tx, name).id
            tx.execute(insert(totp).values(user_id=user_id, seed=b"", confirmed_at=self._now(), last_step=0))
        return name

    def channel(self, name: str, *, owner: str = "owner", public: bool = True) -> str:
        self.user(owner)
        with self.seaway.site.database.write_site() as tx:
            channels.add(tx, self._now(), OPERATOR, name, users.get(tx, owner), description="", is_public=public)
        return name

    def member(self, channel: str, user: str, role: Role) -> str:
        self.user(user)
        with self.seaway.site.database.write_site() as tx:
            members.put(tx, self._now(), OPERATOR, channel, user, role, outbox=None)
        return user

    def key(
        self, user: str, *, mode: Mode = Mode.READ_WRITE_DELETE, only: list[str] | None = None, days: int | None = 90
    ) -> str:
        """Create an API key of a user; return its secret."""
        self.user(user)
        with self.seaway.site.database.write_site() as tx:
            count = len(api_keys.all_keys(tx, users.get(tx, user).id))
            _, secret = api_keys.add(
                tx,
                self._now(),
                OPERATOR,
                users.get(tx, user),
                f"key {count}",
                mode=mode,
                channel_ids=None if only is None else [channels.get(tx, name).id for name in only],
                expires_at_ms=None if days is None else self._now() + days * DAY_MS,
            )
        return secret

    def signed_in(self, name: str, *, confirmed: bool = True, verified: bool = True) -> Caller:
        """Return a signed-in user, who has just confirmed the password by default."""
        self.user(name)
        with self.seaway.site.database.read() as tx:
            user = users.get(tx, name)
        return Caller(
            name=name,
            user_id=user.id,
            credential=CredentialKind.PERSON,
            is_admin=user.is_admin,
            is_verified=verified,
            is_fresh=confirmed,
            is_new=confirmed,
        )

    def caller_of_key(self, secret: str) -> Caller:
        """Return the caller that uses this key."""
        with self.seaway.site.database.read() as tx:
            caller = api_keys.caller_of(tx, secret, self._now())
        assert caller is not None
        return caller

    def _now(self) -> int:
        return self.seaway.site.clock.now_ms()


class IncomingFile:
    """An upload from memory, for tests that call `publish`."""

    def __init__(
        self, file: PackageFile, *, announced_sha256: str | None = None, attestation: bytes | None = None
    ) -> None:
        self.file_name = file.name
        self.announced_sha256 = announced_sha256
        self._content, self._attestation = file.content, attestation

    async def chunks(self) -> AsyncIterator[bytes]:
        for start in range(0, len(self._content), 65_536):
            yield self._content[start : start + 65_536]

    async def finish(self) -> bytes | None:
        return self._attestation


async def publish_file(
    seaway: Seaway,
    channel: str,
    file: PackageFile,
    *,
    by: Caller = OPERATOR,
    force: bool = False,
    attestation: bytes | None = None,
) -> Published:
    """Publish one file."""
    incoming = IncomingFile(file, attestation=attestation)
    return await publish(seaway.request_parts.publishing, channel, incoming, by=by, force=force)
