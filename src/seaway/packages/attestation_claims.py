"""Attestations of the files of a package, and the provenance of its versions."""

from collections.abc import Mapping, Sequence

import msgspec
from sqlalchemy import select

from seaway.attestations import provenance
from seaway.attestations.bundles import AttestedClaims
from seaway.attestations.provenance import Provenance
from seaway.database.engine import Tx
from seaway.database.tables import attestations, files, subdirs
from seaway.packages.files import in_package
from seaway.packages.versions import Version

_claims = msgspec.json.Decoder(AttestedClaims)


def claims_of(tx: Tx, channel_id: int, package: str) -> dict[int, AttestedClaims]:
    """Return the certificate claims of the files of a package that have a current attestation, by file id."""
    rows = tx.execute(
        select(files.c.id, attestations.c.claims)
        .join(subdirs, subdirs.c.id == files.c.subdir_id)
        .join(
            attestations,
            (attestations.c.subdir_id == files.c.subdir_id) & (attestations.c.file_name == files.c.file_name),
        )
        .where(*in_package(channel_id, package), attestations.c.superseded_at.is_(None))
    )
    return {file_id: _claims.decode(claims) for file_id, claims in rows}


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
