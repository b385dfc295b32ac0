"""Uploads to a wrong URL."""

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
def test_upload_to_a_wrong_url_returns_404_with_the_right_url(
    site: Site, method: str, path: str, has_key: bool
) -> None:
    """One sentence for any body; it does not repeat the names of the request."""
    channel, key = site.new_channel(), site.factory.key("ada")
    path_sent = path.format(channel=channel, file=FILE.name)
    with site.client() as http:
        response: httpx.Response = http.request(
            method, path_sent, content=FILE.content, headers=bearer(key) if has_key else {}
        )
    assert 404 == response.status_code, response.text
    assert f"--url {site.server.address} " in response.text
    assert (1, False) == (len(response.text.splitlines()), channel in response.text)
    assert len(response.text) < 512


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/{channel}/noarch/repodata.json"), ("PUT", "/{channel}/noarch/x"), ("PATCH", "/{channel}"),
     ("POST", "/{channel}/package/x")],
)  # fmt: skip
def test_other_wrong_methods_return_405(site: Site, method: str, path: str) -> None:
    """Only the upload paths that clients use are treated as misplaced uploads."""
    channel, key = site.new_channel(), site.factory.key("ada")
    with site.client() as http:
        assert 405 == http.request(method, path.format(channel=channel), headers=bearer(key)).status_code


def test_upper_case_channel_name_is_explained(site: Site) -> None:
    """The response does not reveal whether the channel exists."""
    key = site.factory.key("ada")
    with site.client() as http:
        for name in (site.new_channel().upper(), "NOWHERE"):
            response = upload(http, name, FILE, key)
            assert (404, True) == (response.status_code, "lower case" in response.text), response.text


def test_upload_to_the_right_url_is_accepted(site: Site) -> None:
    """The route of misplaced uploads does not shadow the real one."""
    owner = site.factory.user(site.new_name("owner"))
    channel = site.new_channel(owner=owner)
    with site.client() as http:
        assert 201 == upload(http, channel, FILE, site.factory.key(owner)).status_code
