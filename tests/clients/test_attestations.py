"""py-rattler verifies what a workflow attested: its own verifier, the record from the index, the sidecar from the server."""

import asyncio
import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from seaway.publishing.publish import publish
from seaway.publishing.verify_attestation import AttestationParts
from tests.clients.test_rattler import Reader
from tests.conftest import Site
from tests.support.packages import conda, index_json
from tests.support.sigstore import GITHUB_CLAIMS, encode_bundle, statement
from tests.support.sites import IncomingFile
from tests.support.workflows import Attester

FILE = conda(index_json("attested"))


@dataclass(frozen=True)
class Verifying:
    """A channel with an attested file, and py-rattler."""

    reader: Reader
    channel: str
    sidecar: bytes
    root: str

    def verify(self, **changes: Any) -> dict[str, Any]:
        action = self.reader.action("verify", self.reader.url(self.channel), "attested")
        given = {"identity": GITHUB_CLAIMS[18], "root": self.root, **changes}
        (told,) = self.reader.run({**action, **given, "cache": self.reader.caches(str(sorted(changes.items()))[:40])})
        return told


@pytest.fixture
def verifying(site: Site, tmp_path: Path) -> Verifying:
    attester, address = Attester.trusted_by(site.factory.seaway), site.server.address
    channel = site.new_channel()
    bundle = encode_bundle(attester.sigstore.bundle(statement(FILE, f"{address}/{channel}")))
    # The house beside the server does not know where the server listens.
    publishing = site.factory.seaway.request_parts.publishing
    here = replace(publishing, attesting=AttestationParts(publishing.attesting.roots, (address,)))
    incoming = IncomingFile(FILE, attestation=bundle)
    asyncio.run(publish(here, channel, incoming, by=attester.caller(channel), force=False))
    root = attester.sigstore.trusted_root.decode()
    return Verifying(Reader(site, tmp_path), channel, b"[" + bundle + b"]", root)


@pytest.mark.parametrize("sharded", [True, False], ids=["shards", "repodata"])
def test_what_we_took_holds_for_a_client(verifying: Verifying, sharded: bool) -> None:
    """Signature, log, file, channel, workflow, and the hash of the sidecar in the record, in both forms of the index."""
    assert {
        "sha256": hashlib.sha256(verifying.sidecar).hexdigest(),
        "verified": True,
        "repository": "https://github.com/acme/demo",
        "channel": verifying.reader.url(verifying.channel),
        "warnings": [],
    } == verifying.verify(sharded=sharded)


def test_a_client_that_expects_another_workflow_is_not_content(verifying: Verifying) -> None:
    """The client compares, and not the server alone."""
    told = verifying.verify(identity=GITHUB_CLAIMS[18].replace("release", "other"))

    assert "does not match the trusted publisher" in told["error"]
