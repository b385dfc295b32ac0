"""py-rattler verifies the attestations of workflows, with the record from the index and the sidecar from the server."""

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
        inputs = {"identity": GITHUB_CLAIMS[18], "root": self.root, **changes}
        (result,) = self.reader.run(
            {**action, **inputs, "cache": self.reader.caches(str(sorted(changes.items()))[:40])}
        )
        return result


@pytest.fixture
def verifying(site: Site, tmp_path: Path) -> Verifying:
    attester, address = Attester.trusted_by(site.factory.seaway), site.server.address
    channel = site.new_channel()
    bundle = encode_bundle(attester.sigstore.bundle(statement(FILE, f"{address}/{channel}")))
    # The second Seaway instance does not know the URL of the server.
    publishing = site.factory.seaway.request_parts.publishing
    publishing = replace(publishing, attesting=AttestationParts(publishing.attesting.roots, (address,)))
    incoming = IncomingFile(FILE, attestation=bundle)
    asyncio.run(publish(publishing, channel, incoming, by=attester.caller(channel), force=False))
    root = attester.sigstore.trusted_root.decode()
    return Verifying(Reader(site, tmp_path), channel, b"[" + bundle + b"]", root)


@pytest.mark.parametrize("sharded", [True, False], ids=["shards", "repodata"])
def test_py_rattler_verifies_an_attested_file(verifying: Verifying, sharded: bool) -> None:
    """Signature, log, file, channel and workflow are valid, and the record has the hash of the sidecar."""
    assert {
        "sha256": hashlib.sha256(verifying.sidecar).hexdigest(),
        "verified": True,
        "repository": "https://github.com/acme/demo",
        "channel": verifying.reader.url(verifying.channel),
        "warnings": [],
    } == verifying.verify(sharded=sharded)


def test_py_rattler_refuses_an_unexpected_workflow(verifying: Verifying) -> None:
    """The client checks the workflow too, not only the server."""
    result = verifying.verify(identity=GITHUB_CLAIMS[18].replace("release", "other"))

    assert "does not match the trusted publisher" in result["error"]
