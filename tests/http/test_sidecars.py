"""Downloading attestations: the URLs of CEP 50, caching, and private channels."""

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
from tests.support.packages import PackageFile, conda, index_json, tar_bz2, zstd
from tests.support.requests import bearer
from tests.support.sites import publish_file
from tests.support.workflows import Attester

FILE = conda(index_json("attested"))


@dataclass(frozen=True)
class Attested:
    """A channel with a file that a workflow attested, and its sidecar."""

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
        seaway = self.site.factory.seaway
        by = self.attester.caller(self.channel.name)
        asyncio.run(publish_file(seaway, self.channel.name, file, by=by, force=True, attestation=attestation))


@pytest.fixture(scope="session")
def attester(site: Site) -> Attester:
    return Attester.trusted_by(site.factory.seaway)


def attested(site: Site, attester: Attester, *, public: bool = True) -> Attested:
    channel = make_channel(site, public=public)
    bundle = attester.bundle(FILE, channel.name)
    channel_with_file = Attested(site, attester, channel, b"[" + bundle + b"]")
    channel_with_file.publish(FILE, bundle)
    return channel_with_file


@pytest.fixture
def public(site: Site, attester: Attester) -> Attested:
    return attested(site, attester)


@pytest.fixture(scope="module")
def private(site: Site, attester: Attester) -> Attested:
    return attested(site, attester, public=False)


def test_sidecar_is_served_at_all_its_urls(http: httpx.Client, public: Attested) -> None:
    """The CEP 50 name, the prefix.dev name and the name with the hash serve the same JSON; the record has the hash."""
    for end in (".sigs", ".v0.sigs", f".sigs.{public.digest}"):
        response = http.get(public.path(end))
        assert (200, public.sidecar) == (response.status_code, response.content)
        assert "application/json" == response.headers["content-type"]
    repodata = http.get(f"/{public.channel.name}/noarch/repodata.json").json()
    assert public.digest == repodata["packages.conda"][FILE.name]["attestations_sha256"]


def test_shard_contains_the_sidecar_hash_as_text(http: httpx.Client, public: Attested) -> None:
    """md5 and sha256 are bytes in shards; this hash stays text, because conda converts only those two."""
    folder = f"/{public.channel.name}/noarch"
    index = msgspec.msgpack.decode(zstd.decompress(http.get(f"{folder}/repodata_shards.msgpack.zst").content))
    digest = index["shards"]["attested"].hex()
    shard = msgspec.msgpack.decode(zstd.decompress(http.get(f"{folder}/shards/{digest}.msgpack.zst").content))

    assert public.digest == shard["packages.conda"][FILE.name]["attestations_sha256"]


def test_only_url_with_hash_is_immutable(http: httpx.Client, public: Attested) -> None:
    """The other names can get another sidecar later."""
    plain = http.get(public.path(".sigs"))
    fixed = http.get(public.path(f".sigs.{public.digest}"))

    assert "public, max-age=0, must-revalidate" == plain.headers["cache-control"]
    assert "public, max-age=31536000, immutable" == fixed.headers["cache-control"]
    again = http.get(public.path(".sigs"), headers={"If-None-Match": plain.headers["etag"]})
    assert 304 == again.status_code
    assert "public, max-age=0, must-revalidate" == again.headers["cache-control"]


def test_replaced_sidecar_stays_available_by_hash(http: httpx.Client, public: Attested) -> None:
    """After an overwrite without attestations, the names without a hash return 404."""
    public.publish(conda(index_json("attested"), files={"a": b"other"}))

    assert 404 == http.get(public.path(".sigs")).status_code
    assert 404 == http.get(public.path(".v0.sigs")).status_code
    assert public.sidecar == http.get(public.path(f".sigs.{public.digest}")).content


def test_yanked_file_keeps_its_sidecar_and_deleted_file_does_not(http: httpx.Client, public: Attested) -> None:
    """Clients install yanked files from lock files and can verify them."""
    removing = public.site.factory.seaway.site
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
def test_other_sidecar_urls_return_404(http: httpx.Client, public: Attested, end: str) -> None:
    """Only the URLs of CEP 50 and prefix.dev exist."""
    path = public.path(end.format(digest=public.digest, upper=public.digest.upper()))

    assert 404 == http.get(path).status_code


def test_file_without_attestations_has_no_sidecar(http: httpx.Client, public: Attested) -> None:
    """Also if its name resembles a sidecar name, and in another subdir."""
    other = tar_bz2(index_json("odd", build="0.sigs_1"))
    public.publish(other)

    assert 200 == http.get(public.path("", other)).status_code
    assert 404 == http.get(public.path(".sigs", other)).status_code
    assert 404 == http.get(f"/{public.channel.name}/linux-64/{FILE.name}.sigs").status_code


def test_sidecar_of_private_channel_is_hidden_without_access(http: httpx.Client, private: Attested) -> None:
    """Members read it by header or path, uncached by shared caches; others get the response for a missing channel."""
    for end in (".sigs", ".v0.sigs", f".sigs.{private.digest}"):
        path, unknown = private.path(end), f"/no-such-channel/noarch/{FILE.name}{end}"
        for response in (
            http.get(path, headers=bearer(private.channel.viewer)),
            http.get(f"/t/{private.channel.viewer}{path}"),
        ):
            assert (200, private.sidecar) == (response.status_code, response.content)
            assert response.headers["cache-control"].startswith("private, ")
        for headers in ({}, bearer(private.channel.nonmember)):
            hidden, missing = http.get(path, headers=headers), http.get(unknown, headers=headers)
            assert (missing.status_code, missing.content) == (hidden.status_code, hidden.content)
            assert hidden.status_code == (404 if headers else 401)


def test_sidecar_supports_head_and_ranges(http: httpx.Client, public: Attested) -> None:
    head = http.head(public.path(".sigs"))
    assert (200, str(len(public.sidecar))) == (head.status_code, head.headers["content-length"])
    part = http.get(public.path(".sigs"), headers={"Range": "bytes=0-9"})
    assert (206, public.sidecar[:10]) == (part.status_code, part.content)
