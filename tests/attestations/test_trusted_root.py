"""Choice of the trusted root, and verification without network access."""

import json
import sys
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import pytest
from sigstore.errors import VerificationError
from sigstore.models import Bundle, TrustedRoot
from sigstore.verify import Verifier
from sigstore.verify.policy import Identity
from sqlalchemy import select

from seaway.attestations import trusted_root
from seaway.attestations.bundles import UnknownParty
from seaway.attestations.sigstore_verifier import SigstoreVerifier
from seaway.attestations.trusted_root import RootSource, TrustedRoots
from seaway.audit import Event
from seaway.callers.caller import OPERATOR
from seaway.database.tables import audit
from seaway.errors import BadSetting
from seaway.server.wiring import Seaway
from tests.support.packages import conda
from tests.support.sigstore import MiniSigstore, encode_bundle, statement

DATA = Path(__file__).parents[1] / "data" / "attestations"
REAL = DATA / "bundle_v3_github.whl"
STAGING = DATA / "a.dsse.staging-rekor-v2.txt.sigstore.json"
ISSUER = "https://token.actions.githubusercontent.com"
WORKFLOW = "https://github.com/trailofbits/rfc8785.py/.github/workflows/release.yml@refs/tags/v0.1.2"

_network_events: list[str] = []
sys.addaudithook(
    lambda event, args: (
        _network_events.append(f"{event} {args}") if event in ("socket.connect", "socket.getaddrinfo") else None
    )
)


@pytest.fixture
def offline() -> Iterator[None]:
    """Fail the test if this process resolved a host name or opened a connection."""
    before = len(_network_events)
    yield
    assert _network_events[before:] == []


@pytest.mark.usefixtures("offline")
def test_embedded_root_verifies_a_bundle_of_the_public_instance(tmp_path: Path) -> None:
    """A real file is verified; the same file with one more byte is refused."""
    (tmp_path / "root.json").write_bytes(trusted_root.embedded())
    verifier = Verifier(trusted_root=TrustedRoot.from_file(str(tmp_path / "root.json")))
    bundle = Bundle.from_json(Path(f"{REAL}.sigstore").read_bytes())

    verifier.verify_artifact(REAL.read_bytes(), bundle, Identity(identity=WORKFLOW, issuer=ISSUER))
    with pytest.raises(VerificationError):
        verifier.verify_artifact(REAL.read_bytes() + b" ", bundle, Identity(identity=WORKFLOW, issuer=ISSUER))


@pytest.mark.usefixtures("offline")
def test_rekor_v2_bundle_is_verified_by_its_own_root() -> None:
    """Rekor v2 gives no inclusion promise; the time comes from a timestamp authority (RFC 3161)."""
    staging = "https%3A%2F%2Ftuf-repo-cdn.sigstage.dev"
    root = resources.files("sigstore").joinpath("_store", staging, "trusted_root.json").read_bytes()
    signed = SigstoreVerifier(root).verify(STAGING.read_bytes())

    assert ISSUER == signed.claims[8]
    assert "a.txt" == json.loads(signed.payload)["subject"][0]["name"]
    with pytest.raises(UnknownParty, match="transparency log"):
        trusted_root.verifier_of(trusted_root.embedded()).verify(STAGING.read_bytes())


def test_stored_root_is_used_until_it_is_removed(seaway: Seaway) -> None:
    """Invariants 1 and 3: each verification uses the root stored at that moment."""
    sigstore, roots = MiniSigstore(), TrustedRoots(seaway.site.database)
    bundle = encode_bundle(sigstore.bundle(statement(conda())))
    with pytest.raises(UnknownParty):
        roots.verifier().verify(bundle)
    with seaway.site.database.write_site() as tx:
        trusted_root.keep(tx, seaway.site.clock.now_ms(), OPERATOR, sigstore.trusted_root)

    assert RootSource.DATABASE is roots.current().origin
    assert roots.verifier().verify(bundle).payload
    assert roots.verifier() is roots.verifier()
    with seaway.site.database.write_site() as tx:
        trusted_root.forget(tx, seaway.site.clock.now_ms(), OPERATOR)
        lines = tx.execute(select(audit.c.target).where(audit.c.action == Event.TRUSTED_ROOT_CHANGED.value)).scalars()
        assert ["database", "program"] == list(lines)
    assert trusted_root.embedded() == roots.current().content


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"{}", id="no root"),
        pytest.param(b"[1]", id="not an object"),
        pytest.param(MiniSigstore().trusted_root.replace(b"trustedroot", b"rootedtrust"), id="another type"),
        pytest.param(MiniSigstore().trusted_root.replace(b"rawBytes", b"rawbytes"), id="no keys"),
    ],
)
def test_invalid_root_is_not_stored(seaway: Seaway, content: bytes) -> None:
    """Invariant 2."""
    with pytest.raises(BadSetting, match="not a trusted root"), seaway.site.database.write_site() as tx:
        trusted_root.keep(tx, seaway.site.clock.now_ms(), OPERATOR, content)
    assert RootSource.PROGRAM is TrustedRoots(seaway.site.database).current().origin
