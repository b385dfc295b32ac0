"""Attestations as readers fetch them: the addresses of CEP 50, caching, and silence."""

import asyncio
import hashlib
from dataclasses import dataclass

import httpx
import msgspec
import pytest

from seaway.callers.caller import OPERATOR
from seaway.packages import removal
from tests.conftest import Site
from tests.http.conftest import Channel, make_channel
from tests.support.house import publish_file
from tests.support.packages import PackageFile, conda, index_json, tar_bz2, zstd
from tests.support.requests import bearer
from tests.support.workflows import Attester

FILE = conda(index_json("attested"))


@dataclass(frozen=True)
class Attested:
    """A channel with a file that a workflow attested, and what is served beside it."""

    site: Site
    attester: Attester
    channel: Channel
    sidecar: bytes

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.sidecar).hexdigest()

    def path(self, end: str = "", file: PackageFile = FILE) -> str:
        return f"/{self.channel.name}/noarch/{file.name}{end}"

    def publish(self, file: PackageFile, attestation: bytes | None = None) -> None:
        seaway = self.site.people.seaway
        by = self.attester.principal(self.channel.name)
        asyncio.run(publish_file(seaway, self.channel.name, file, by=by, force=True, attestation=attestation))


@pytest.fixture(scope="session")
def attester(site: Site) -> Attester:
    return Attester.trusted_by(site.people.seaway)


def attested(site: Site, attester: Attester, *, public: bool = True) -> Attested:
    channel = make_channel(site, public=public)
    bundle = attester.bundle(FILE, channel.name)
    made = Attested(site, attester, channel, b"[" + bundle + b"]")
    made.publish(FILE, bundle)
    return made


@pytest.fixture
def public(site: Site, attester: Attester) -> Attested:
    return attested(site, attester)


@pytest.fixture(scope="module")
def private(site: Site, attester: Attester) -> Attested:
    return attested(site, attester, public=False)


def test_the_sidecar_lies_beside_the_file(http: httpx.Client, public: Attested) -> None:
    """Under its plain name, that of prefix.dev and its hash, to the byte, as JSON; the record names the hash."""
    for end in (".sigs", ".v0.sigs", f".sigs.{public.digest}"):
        answer = http.get(public.path(end))
        assert (200, public.sidecar) == (answer.status_code, answer.content)
        assert "application/json" == answer.headers["content-type"]
    repodata = http.get(f"/{public.channel.name}/noarch/repodata.json").json()
    assert public.digest == repodata["packages.conda"][FILE.name]["attestations_sha256"]


def test_a_shard_names_the_hash_as_text(http: httpx.Client, public: Attested) -> None:
    """md5 and sha256 are bytes in shards, and this hash is 64 digits there too: conda turns only those two back."""
    folder = f"/{public.channel.name}/noarch"
    index = msgspec.msgpack.decode(zstd.decompress(http.get(f"{folder}/repodata_shards.msgpack.zst").content))
    digest = index["shards"]["attested"].hex()
    shard = msgspec.msgpack.decode(zstd.decompress(http.get(f"{folder}/shards/{digest}.msgpack.zst").content))

    assert public.digest == shard["packages.conda"][FILE.name]["attestations_sha256"]


def test_only_the_address_with_the_hash_may_be_kept(http: httpx.Client, public: Attested) -> None:
    """The plain name can mean another sidecar tomorrow."""
    plain = http.get(public.path(".sigs"))
    fixed = http.get(public.path(f".sigs.{public.digest}"))

    assert "public, max-age=0, must-revalidate" == plain.headers["cache-control"]
    assert "public, max-age=31536000, immutable" == fixed.headers["cache-control"]
    again = http.get(public.path(".sigs"), headers={"If-None-Match": plain.headers["etag"]})
    assert 304 == again.status_code
    assert "public, max-age=0, must-revalidate" == again.headers["cache-control"]


def test_a_sidecar_that_was_replaced_stays_under_its_hash(http: httpx.Client, public: Attested) -> None:
    """Overwritten without attestations the plain names are gone, and the old bytes are still what their hash says."""
    public.publish(conda(index_json("attested"), files={"a": b"other"}))

    assert 404 == http.get(public.path(".sigs")).status_code
    assert 404 == http.get(public.path(".v0.sigs")).status_code
    assert public.sidecar == http.get(public.path(f".sigs.{public.digest}")).content


def test_a_yanked_file_keeps_its_sidecar_and_a_deleted_one_does_not(http: httpx.Client, public: Attested) -> None:
    """Yanked files are downloaded by lock files, which may verify them."""
    removing = public.site.people.seaway.request_parts.removing
    removal.yank(removing, OPERATOR, public.channel.name, "noarch", FILE.name)
    assert 200 == http.get(public.path(".sigs")).status_code
    removal.delete(removing, OPERATOR, public.channel.name, "noarch", FILE.name)
    for end in (".sigs", ".v0.sigs", f".sigs.{public.digest}"):
        assert 404 == http.get(public.path(end)).status_code


@pytest.mark.parametrize(
    "end",
    [
        ".sigs.",
        ".sigs." + "0" * 64,
        ".sigs.SHA256",
        ".SIGS",
        ".v1.sigs",
        ".sigs.json",
        ".v0.sigs.{digest}",
        ".sigs.{upper}",
        ".sigs.sigs",
    ],
)
def test_nothing_else_lies_beside_it(http: httpx.Client, public: Attested, end: str) -> None:
    """Only the addresses that CEP 50 and prefix.dev know."""
    address = public.path(end.format(digest=public.digest, upper=public.digest.upper()))

    assert 404 == http.get(address).status_code


def test_a_file_without_attestations_has_no_sidecar(http: httpx.Client, public: Attested) -> None:
    """Also one whose name ends almost so, and one of the other format."""
    odd = tar_bz2(index_json("odd", build="0.sigs_1"))
    public.publish(odd)

    assert 200 == http.get(public.path("", odd)).status_code
    assert 404 == http.get(public.path(".sigs", odd)).status_code
    assert 404 == http.get(f"/{public.channel.name}/linux-64/{FILE.name}.sigs").status_code


def test_sidecars_of_a_private_channel_are_for_its_readers(http: httpx.Client, private: Attested) -> None:
    """By header or in the path, kept by nobody in between; to others the same silence as for no channel."""
    for end in (".sigs", ".v0.sigs", f".sigs.{private.digest}"):
        path, unknown = private.path(end), f"/no-such-channel/noarch/{FILE.name}{end}"
        for answer in (
            http.get(path, headers=bearer(private.channel.viewer)),
            http.get(f"/t/{private.channel.viewer}{path}"),
        ):
            assert (200, private.sidecar) == (answer.status_code, answer.content)
            assert answer.headers["cache-control"].startswith("private, ")
        for headers in ({}, bearer(private.channel.stranger)):
            hidden, none = http.get(path, headers=headers), http.get(unknown, headers=headers)
            assert (none.status_code, none.content) == (hidden.status_code, hidden.content)
            assert hidden.status_code == (404 if headers else 401)


def test_heads_and_parts_of_a_sidecar_are_answered(http: httpx.Client, public: Attested) -> None:
    """The rules of every other document hold."""
    head = http.head(public.path(".sigs"))
    assert (200, str(len(public.sidecar))) == (head.status_code, head.headers["content-length"])
    part = http.get(public.path(".sigs"), headers={"Range": "bytes=0-9"})
    assert (206, public.sidecar[:10]) == (part.status_code, part.content)
