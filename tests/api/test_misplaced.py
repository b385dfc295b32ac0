"""Uploads to a wrong address."""

import httpx
import pytest

from tests.conftest import Site
from tests.support.packages import conda
from tests.support.requests import bearer, upload

FILE = conda()


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/sub/api/v1/upload/{channel}"),
        ("POST", "/{channel}/api/v1/upload/{channel}"),
        ("POST", "/api/v1/api/v1/upload/{channel}"),
        ("POST", "/api/v1/upload/api/v1/upload/{channel}"),
        ("POST", "/channels/{channel}/api/v1/upload/{channel}"),
        ("POST", "/api/channels/{channel}/upload/{file}?force=false"),
        ("POST", "/quetz/api/channels/{channel}/upload/{file}"),
        ("PUT", "/{channel}/noarch/{file}"),
        ("PUT", "/artifactory/{channel}/noarch/{file}"),
        ("PUT", "/noarch/{file}"),
        ("PUT", "/artifactory/api/conda/{channel}/noarch/{file}"),
        ("PUT", "/api/packages/o/conda/noarch/{file}"),
        ("POST", "/api/packages/o/conda"),
        ("POST", "/api/channels/{channel}/files/"),
        ("POST", "/v1/packages/{channel}"),
        ("POST", "/upload/{channel}"),
        ("POST", "/package/{channel}/demo"),
        ("PATCH", "/package/{channel}/demo"),
        ("POST", "/stage/{channel}/demo/1.0/noarch/{file}"),
        ("POST", "/release/{channel}/demo/1.0"),
    ],
)
@pytest.mark.parametrize("has_key", [True, False])
def test_an_upload_to_a_wrong_address_hears_the_right_one(site: Site, method: str, path: str, has_key: bool) -> None:
    """404 ends it at once, in one sentence with the address, whatever the body; the names are not repeated."""
    channel, key = site.new_channel(), site.people.key("somebody")
    address = path.format(channel=channel, file=FILE.name)
    with site.client() as http:
        answer: httpx.Response = http.request(
            method, address, content=FILE.content, headers=bearer(key) if has_key else {}
        )
    assert 404 == answer.status_code, answer.text
    assert f"--url {site.server.address} " in answer.text
    assert (1, False) == (len(answer.text.splitlines()), channel in answer.text)
    assert len(answer.text) < 512


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/{channel}/noarch/repodata.json"), ("PUT", "/{channel}/noarch/x"), ("PATCH", "/{channel}"),
     ("POST", "/{channel}/package/x")],
)  # fmt: skip
def test_other_wrong_methods_stay_wrong_methods(site: Site, method: str, path: str) -> None:
    """Only what clients send to upload is taken for an upload."""
    channel, key = site.new_channel(), site.people.key("somebody")
    with site.client() as http:
        assert 405 == http.request(method, path.format(channel=channel), headers=bearer(key)).status_code


def test_capitals_in_the_channel_of_an_upload_are_told(site: Site) -> None:
    """Whether the channel exists is not told."""
    key = site.people.key("somebody")
    with site.client() as http:
        for name in (site.new_channel().upper(), "NOWHERE"):
            answer = upload(http, name, FILE, key)
            assert (404, True) == (answer.status_code, "lower case" in answer.text), answer.text


def test_the_right_address_takes_it(site: Site) -> None:
    """The route of misplaced uploads wants nothing that another one does."""
    owner = site.people.user(site.new_name("owner"))
    channel = site.new_channel(owner=owner)
    with site.client() as http:
        assert 201 == upload(http, channel, FILE, site.people.key(owner)).status_code
