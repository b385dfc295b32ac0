"""py-rattler follows the relations of channels (CEP 42), as the index of Seaway declares them."""

from pathlib import Path

import pytest

from seaway.callers.caller import Mode
from tests.conftest import Site
from tests.support import rattler
from tests.support.packages import conda, index_json
from tests.support.requests import upload

FORMS = {"shards": {"sharded": True}, "repodata.json.zst": {"sharded": False}}


@pytest.fixture(scope="module")
def related(site: Site) -> tuple[str, str, str]:
    """A base, a channel, and the channel that it overrides; each has the package `demo` in a version of its own."""
    owner = site.factory.user(site.new_name("owner"))
    base, middle, under = (site.new_channel(owner=owner) for _ in range(3))
    with site.client(site.factory.key(owner, mode=Mode.MANAGE)) as http:
        for number, channel in enumerate((base, middle, under)):
            assert 201 == upload(http, channel, conda(index_json("demo", version=f"{number}.0"))).status_code
        given = {"base": base, "overrides": under}
        answer = http.put(f"/api/v1/channels/{middle}/relations", json=given)
        assert (200, given) == (answer.status_code, answer.json())
    return base, middle, under


@pytest.mark.parametrize("form", FORMS)
def test_py_rattler_follows_relations(site: Site, tmp_path: Path, related: tuple[str, str, str], form: str) -> None:
    """By default it reads the base before the channel and the overridden one behind it; switched off, the channel alone."""
    url = f"{site.server.address}/{related[1]}"
    told = rattler.run(
        tmp_path,
        *(
            rattler.action(
                tmp_path, "query", url, "demo", relations=mode, cache=str(tmp_path / str(mode)), **FORMS[form]
            )
            for mode in (None, "strict", "disabled")
        ),
    )
    found = [[[address.split("/")[3] for address in urls] for urls in one["by_channel"] if urls] for one in told]
    everything = [[channel] for channel in related]
    assert [everything, everything, [[related[1]]]] == found, told


def test_py_rattler_solves_with_the_base(site: Site, tmp_path: Path, related: tuple[str, str, str]) -> None:
    """The base has priority: its version is installed, though the channel has a newer one."""
    told = rattler.run(tmp_path, rattler.action(tmp_path, "solve", f"{site.server.address}/{related[1]}", "demo"))
    assert ["demo-0.0-h1_0.conda"] == told[0].get("solved"), told
