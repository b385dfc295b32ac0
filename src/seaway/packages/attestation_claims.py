"""Attestations of the files of a package, and the provenance of its versions."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import Select, select

from seaway.attestations import provenance
from seaway.attestations.bundles import AttestedClaims
from seaway.attestations.provenance import Provenance
from seaway.database.engine import Tx
from seaway.database.tables import attestations, files, subdirs
from seaway.packages.files import in_package
from seaway.packages.versions import Version, VersionLine

_claims = msgspec.json.Decoder(AttestedClaims)
# Of a file of the enclosing query. With a join, SQLite would read all attestations of the subdirs.
_CURRENT = (
    select(attestations.c.claims)
    .where(
        attestations.c.subdir_id == files.c.subdir_id,
        attestations.c.file_name == files.c.file_name,
        attestations.c.superseded_at.is_(None),
    )
    .correlate(files)
)


def claims_of(
    tx: Tx, channel_id: int, package: str, versions: Collection[str] | None = None
) -> dict[int, AttestedClaims]:
    """Return the certificate claims of the attested files of a package, or of some of its versions, by file id."""
    claims = _CURRENT.scalar_subquery().label("claims")
    query = _files(channel_id, package).add_columns(files.c.id, claims)
    rows = tx.execute(query if versions is None else query.where(files.c.version.in_(versions)))
    return {file_id: _claims.decode(claims) for file_id, claims in rows if claims is not None}


def claims_of_file(tx: Tx, file_id: int) -> AttestedClaims | None:
    """Return the certificate claims of one file, or None if it has no current attestation."""
    claims = tx.execute(select(_CURRENT.scalar_subquery()).where(files.c.id == file_id)).scalar_one_or_none()
    return None if claims is None else _claims.decode(claims)


def attested_versions(tx: Tx, channel_id: int, package: str) -> set[str]:
    """Return the versions of a package that have an attested file."""
    query = _files(channel_id, package).add_columns(files.c.version).where(_CURRENT.exists()).distinct()
    return set(tx.execute(query).scalars())


def compared_versions(lines: Sequence[VersionLine], attested: Collection[str], shown: Collection[str]) -> set[str]:
    """Return the shown versions, and the version that the provenance of each is compared with."""
    compared, last = set(shown), None
    for line in sorted(lines, key=lambda line: line.first_upload):
        if line.version in shown and last is not None:
            compared.add(last)
        if line.version in attested:
            last = line.version
    return compared


def provenance_of(versions: Sequence[Version], claims: Mapping[int, AttestedClaims]) -> dict[str, Provenance]:
    """Return the provenance of each version, by version; it depends on the versions uploaded before it."""
    oldest_first = sorted(
        versions, key=lambda version: min((build.indexed_at_ms, build.id) for build in version.builds)
    )
    by_version = provenance.provenance(
        [
            provenance.VersionClaims(version.version, [claims.get(build.id) for build in version.builds])
            for version in oldest_first
        ]
    )
    return {version.version: version for version in by_version}


def _files(channel_id: int, package: str) -> Select[Any]:
    in_channel = in_package(channel_id, package)
    return select().select_from(files).join(subdirs, subdirs.c.id == files.c.subdir_id).where(*in_channel)
