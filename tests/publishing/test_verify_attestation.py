"""Uploads with attestations: verified before they are recorded, stored byte for byte, and named in the index."""

import hashlib
from dataclasses import replace

import msgspec
import pytest
from sqlalchemy import func, select, update

from seaway.attestations import sidecars
from seaway.audit import Event
from seaway.callers.caller import OPERATOR
from seaway.channels import channels, upload_log
from seaway.channels.channel import Attestations, ChannelSettings
from seaway.conda.refusals import RefusalReason, Refused
from seaway.database.tables import attestations, audit, files
from seaway.errors import FileExists
from seaway.indexing import rebuild
from seaway.indexing.file_rows import get_subdir
from seaway.maintenance.check import check
from seaway.packages import removal
from seaway.server.wiring import Seaway
from tests.support.packages import conda
from tests.support.sites import Factory, publish_file
from tests.support.workflows import Attester

pytestmark = pytest.mark.anyio

FILE = conda()
OTHER_BYTES = conda(files={"a": b"other"})


@pytest.fixture
def attester(seaway: Seaway, factory: Factory) -> Attester:
    factory.channel("robots")
    return Attester.trusted_by(seaway)


def record(seaway: Seaway, name: str = FILE.name) -> dict:
    with seaway.site.database.read() as tx:
        return msgspec.json.decode(tx.execute(select(files.c.record).where(files.c.file_name == name)).scalar_one())


def sidecar(seaway: Seaway, sha256: bytes | None = None) -> bytes | None:
    with seaway.site.database.read() as tx:
        channel_id = channels.get(tx, "robots").id
        if sha256 is None:
            return sidecars.current(tx, channel_id, "noarch", FILE.name)
        return sidecars.by_hash(tx, channel_id, "noarch", FILE.name, sha256)


def is_consistent(seaway: Seaway) -> bool:
    return [*check(seaway)] == []


def set_attestations(seaway: Seaway, mode: Attestations) -> None:
    with seaway.site.database.write_site() as tx:
        channels.change(tx, seaway.site.clock.now_ms(), OPERATOR, "robots", ChannelSettings(attestations=mode))


async def refusal_reason(
    seaway: Seaway, attester: Attester, attestation: bytes | None, **arguments: object
) -> RefusalReason:
    with pytest.raises(Refused) as refused:
        await publish_file(
            seaway, "robots", FILE, **{"by": attester.caller("robots"), "attestation": attestation} | arguments
        )
    with seaway.site.database.read() as tx:
        assert 0 == tx.execute(select(func.count()).select_from(files)).scalar()
        assert 0 == tx.execute(select(func.count()).select_from(attestations)).scalar()
        assert 0 == tx.execute(select(func.count()).where(audit.c.action == Event.FILE_UPLOADED.value)).scalar()
    assert [] == [stat.key for stat in seaway.site.blobs.list() if stat.key.startswith("blobs/")]
    return refused.value.reason


async def test_verified_attestation_is_stored_and_recorded(seaway: Seaway, attester: Attester) -> None:
    """Sidecar, record and upload log have the same hash, and the bundle is stored byte for byte."""
    bundle = attester.bundle(FILE, "robots") + b"\n "
    await publish_file(seaway, "robots", FILE, by=attester.caller("robots"), attestation=bundle)
    digest = hashlib.sha256(b"[" + bundle + b"]").hexdigest()

    assert b"[" + bundle + b"]" == sidecar(seaway)
    assert digest == record(seaway)["attestations_sha256"]
    with seaway.site.database.read() as tx:
        (row,) = upload_log.rows(tx, "robots")
    assert (digest, "acme/demo", 1) == (row["attestations_sha256"], row["repository"], row["publisher_id"])
    assert is_consistent(seaway)


async def test_repeated_upload_by_the_same_workflow_succeeds(seaway: Seaway, attester: Attester) -> None:
    """Its first response may be lost. An attestation for a file without one is refused, not dropped silently."""
    by = attester.caller("robots")
    await publish_file(seaway, "robots", FILE, by=by)
    assert (await publish_file(seaway, "robots", FILE, by=by)).repeated
    with pytest.raises(FileExists):
        await publish_file(seaway, "robots", FILE, by=by, attestation=attester.bundle(FILE, "robots"))
    other = replace(by, name="GitHub: acme/other")
    with pytest.raises(FileExists):
        await publish_file(seaway, "robots", FILE, by=other)


async def test_record_without_attestation_has_no_attestations_sha256(seaway: Seaway, attester: Attester) -> None:
    """The field is present exactly if the sidecar is (CEP 50)."""
    await publish_file(seaway, "robots", FILE, by=attester.caller("robots"))

    assert "attestations_sha256" not in record(seaway)
    assert sidecar(seaway) is None
    assert is_consistent(seaway)


async def test_attestation_for_another_subject_leaves_nothing(seaway: Seaway, attester: Attester) -> None:
    """Another file, another channel or an invalid bundle is refused with its reason, and nothing is stored."""
    assert RefusalReason.OTHER_SUBJECT is await refusal_reason(seaway, attester, attester.bundle(OTHER_BYTES, "robots"))
    assert RefusalReason.OTHER_CHANNEL is await refusal_reason(seaway, attester, attester.bundle(FILE, "other"))
    assert RefusalReason.BAD_BUNDLE is await refusal_reason(seaway, attester, b"{}")


async def test_attestation_from_a_caller_that_is_no_workflow_is_refused(seaway: Seaway, attester: Attester) -> None:
    """The certificate names a workflow, so another caller cannot be compared with it."""
    bundle = attester.bundle(FILE, "robots")

    assert RefusalReason.UNWANTED_ATTESTATION is await refusal_reason(seaway, attester, bundle, by=OPERATOR)


async def test_channel_can_require_attestations(seaway: Seaway, attester: Attester) -> None:
    """Workflows without one are refused after the bytes, other callers before them."""
    set_attestations(seaway, Attestations.REQUIRED)

    assert RefusalReason.MISSING_ATTESTATION is await refusal_reason(seaway, attester, None)
    assert RefusalReason.MISSING_ATTESTATION is await refusal_reason(seaway, attester, None, by=OPERATOR)
    bundle = attester.bundle(FILE, "robots")
    await publish_file(seaway, "robots", FILE, by=attester.caller("robots"), attestation=bundle)
    assert is_consistent(seaway)


async def test_channel_can_disable_attestations(seaway: Seaway, attester: Attester) -> None:
    """An attestation that would not be served is not accepted."""
    set_attestations(seaway, Attestations.OFF)

    assert RefusalReason.UNWANTED_ATTESTATION is await refusal_reason(seaway, attester, attester.bundle(FILE, "robots"))
    await publish_file(seaway, "robots", FILE, by=attester.caller("robots"))


async def test_overwrite_without_attestation_removes_it_from_the_record(seaway: Seaway, attester: Attester) -> None:
    """The old sidecar stays available under its hash (CEP 50)."""
    by, bundle = attester.caller("robots"), attester.bundle(FILE, "robots")
    await publish_file(seaway, "robots", FILE, by=by, attestation=bundle)
    old = sidecar(seaway)
    assert old is not None
    await publish_file(seaway, "robots", OTHER_BYTES, by=by, force=True)

    assert "attestations_sha256" not in record(seaway)
    assert (None, old) == (sidecar(seaway), sidecar(seaway, sidecars.digest(old)))
    assert is_consistent(seaway)


async def test_earlier_attestation_can_become_current_again(seaway: Seaway, attester: Attester) -> None:
    """There is one row for each sidecar, and the record names the current one."""
    by, bundle = attester.caller("robots"), attester.bundle(FILE, "robots")
    for file, attestation in ((FILE, bundle), (OTHER_BYTES, attester.bundle(OTHER_BYTES, "robots")), (FILE, bundle)):
        await publish_file(seaway, "robots", file, by=by, force=True, attestation=attestation)

    assert b"[" + bundle + b"]" == sidecar(seaway)
    assert sidecars.digest(b"[" + bundle + b"]").hex() == record(seaway)["attestations_sha256"]
    with seaway.site.database.read() as tx:
        assert 2 == tx.execute(select(func.count()).select_from(attestations)).scalar()
    assert is_consistent(seaway)


async def test_deleted_file_has_no_attestations(seaway: Seaway, attester: Attester) -> None:
    """A yanked file keeps them; a deleted one does not, even if a file of that name is uploaded later."""
    by, bundle = attester.caller("robots"), attester.bundle(FILE, "robots")
    await publish_file(seaway, "robots", FILE, by=by, attestation=bundle)
    digest = sidecars.digest(b"[" + bundle + b"]")
    removal.yank(seaway.site, OPERATOR, "robots", "noarch", FILE.name)
    assert sidecar(seaway) is not None
    removal.delete(seaway.site, OPERATOR, "robots", "noarch", FILE.name)
    assert (None, None) == (sidecar(seaway), sidecar(seaway, digest))
    await publish_file(seaway, "robots", FILE, by=OPERATOR, force=True)

    assert (None, None) == (sidecar(seaway), sidecar(seaway, digest))
    assert is_consistent(seaway)


async def test_rebuilt_index_keeps_attestations(seaway: Seaway, attester: Attester) -> None:
    """The index is built from the file rows."""
    await publish_file(
        seaway, "robots", FILE, by=attester.caller("robots"), attestation=attester.bundle(FILE, "robots")
    )
    with seaway.site.database.write_site() as tx:
        (subdir_id,) = rebuild.all_subdirs(tx)
        subdir = get_subdir(tx, subdir_id)
        assert subdir is not None
        assert 0 == rebuild.rebuild(tx, subdir, seaway.site.clock.now_ms(), 100_000).changed
    assert is_consistent(seaway)


@pytest.mark.parametrize(
    "values",
    [
        pytest.param({"content": b"[]"}, id="other bytes"),
        pytest.param({"superseded_at": 1}, id="superseded"),
        pytest.param({"file_name": "other-1.0-0.conda"}, id="of another file"),
        pytest.param({"file_sha256": bytes(32)}, id="for other bytes"),
        pytest.param({"sha256": bytes(32)}, id="another hash"),
    ],
)
async def test_check_finds_sidecars_that_do_not_match_records(
    seaway: Seaway, attester: Attester, values: dict[str, object]
) -> None:
    """In both directions: a record without its sidecar, and a sidecar without its record."""
    bundle = attester.bundle(FILE, "robots")
    await publish_file(seaway, "robots", FILE, by=attester.caller("robots"), attestation=bundle)
    with seaway.site.database.write_site() as tx:
        tx.execute(update(attestations).values(values))

    assert {"S6"} == {broken.check for broken in check(seaway)}
