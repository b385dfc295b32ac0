"""py-rattler follows the channel relations (CEP 42) that the index declares."""

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
    """A base, a channel, and the channel that it overrides; each has another version of the package `demo`."""
    owner = site.factory.user(site.new_name("owner"))
    base, middle, overridden = (site.new_channel(owner=owner) for _ in range(3))
    with site.client(site.factory.key(owner, mode=Mode.MANAGE)) as http:
        for number, channel in enumerate((base, middle, overridden)):
            assert 201 == upload(http, channel, conda(index_json("demo", version=f"{number}.0"))).status_code
        relations = {"base": base, "overrides": overridden}
        response = http.put(f"/api/v1/channels/{middle}/relations", json=relations)
        assert (200, relations) == (response.status_code, response.json())
    return base, middle, overridden


@pytest.mark.parametrize("form", FORMS)
def test_py_rattler_follows_relations(site: Site, tmp_path: Path, related: tuple[str, str, str], form: str) -> None:
    """By default it reads the base, the channel and the overridden channel; if disabled, only the channel."""
    url = f"{site.server.address}/{related[1]}"
    results = rattler.run(
        tmp_path,
        *(
            rattler.action(
                tmp_path, "query", url, "demo", relations=mode, cache=str(tmp_path / str(mode)), **FORMS[form]
            )
            for mode in (None, "strict", "disabled")
        ),
    )
    names = [
        [[record_url.split("/")[3] for record_url in urls] for urls in result["by_channel"] if urls]
        for result in results
    ]
    all_three = [[channel] for channel in related]
    assert [all_three, all_three, [[related[1]]]] == names, results


def test_py_rattler_solves_with_the_base(site: Site, tmp_path: Path, related: tuple[str, str, str]) -> None:
    """The base has priority: its version is chosen, although the channel has a newer one."""
    results = rattler.run(tmp_path, rattler.action(tmp_path, "solve", f"{site.server.address}/{related[1]}", "demo"))
    assert ["demo-0.0-h1_0.conda"] == results[0].get("solved"), results
