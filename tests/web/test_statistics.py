"""Statistics page of a channel and charts of downloads, in a browser without scripts, and the same numbers in the API."""

import re
from collections.abc import Iterator
from html import unescape

import httpx
import pytest
from sqlalchemy import update

from seaway.channels import channels
from seaway.clock import format_day
from seaway.database.tables import daily_storage
from seaway.packages import downloads, storage_usage, versions
from seaway.packages.client_families import ClientFamily
from seaway.packages.download_history import DownloadHistory, DownloadSeries
from seaway.packages.downloads import DownloadKey, Split
from seaway.packages.storage_usage import StorageSample
from seaway.web import daily_chart
from tests.conftest import Site
from tests.support.packages import conda, index_json
from tests.support.requests import upload

PIXI, CONDA, BROWSER = ClientFamily.RATTLER, ClientFamily.CONDA, ClientFamily.BROWSER


@pytest.fixture(scope="module")
def http(site: Site) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=site.server.address, headers={"Accept": "text/html"}) as client:
        yield client


def today_of(site: Site) -> int:
    return downloads.day_of(site.factory.seaway.site.clock.now_ms())


def downloaded_channel(site: Site, http: httpx.Client, *, public: bool = True) -> str:
    """Return a channel with two versions of a package, and downloads of some months."""
    owner = site.factory.user(site.new_name("owner"))
    channel, seaway, today = site.new_channel(public=public, owner=owner), site.factory.seaway, today_of(site)
    for version in ("1.0", "2.0"):
        assert 201 == upload(http, channel, conda(index_json("lib", version)), site.factory.key(owner)).status_code
    with seaway.site.database.write_site() as tx:
        channel_id = channels.get(tx, channel).id
        (new,), (old,) = (version.builds for version in versions.of_package(tx, channel_id, "lib"))
        counts = {
            (new.id, today, PIXI): 4, (new.id, today, CONDA): 1, (old.id, today, CONDA): 3,
            (old.id, today - 60, CONDA): 40, (old.id, today - 300, BROWSER): 200,
        }  # fmt: skip
        downloads.add(tx, {DownloadKey(*key): count for key, count in counts.items()}, today=today)
        storage_usage.sample(tx, today)
        tx.execute(update(daily_storage).where(daily_storage.c.channel_id == channel_id).values(day=today - 1))
    return channel


def shown(http: httpx.Client, path: str) -> str:
    response = http.get(path)
    assert 200 == response.status_code, response.text[:500]
    return response.text


def chart_of(page: str) -> list[str]:
    """Return the numbers of the bands in the table of the downloads, oldest first; the drawing shows the same days."""
    drawing, _, table = page[page.index('data-plot="bars"') :].partition("</svg>")
    rows = re.findall(r'data-values="([\d ]+)"', table.partition("</table>")[0])
    assert len(rows) == drawing.count("<title>")
    assert len(rows[0].split()) == drawing.count("<path")
    return rows[::-1]


def legend_of(page: str) -> list[tuple[str, str]]:
    return re.findall(r'<span class="break">(.*?)</span> <span class="soft">([\d,]+)</span>', page)


def test_chart_of_a_package_is_divided_and_filtered_through_the_url(site: Site, http: httpx.Client) -> None:
    """Invalid choices fall back to the default."""
    package = f"/channels/{downloaded_channel(site, http)}/packages/lib"

    def chart(query: str) -> list[str]:
        return chart_of(shown(http, f"{package}?{query}"))

    assert ["8"] == chart("") == chart("of=3.0&days=7&by=moon")
    assert ["40", "3"] == chart("of=1.0&days=90")
    assert ["200", "40", "8"] == chart("days=365")
    assert ["40 0", "3 5"] == chart("days=90&by=version")
    assert ["200 0 0", "0 40 0", "0 4 4"] == chart("days=365&by=client")
    page = shown(http, f"{package}?by=client&days=365")
    assert [("Browsers", "200"), ("conda", "44"), ("pixi and rattler", "4")] == legend_of(page)
    assert [("noarch", "8")] == legend_of(shown(http, f"{package}?by=subdir"))
    assert [("conda", "1"), ("pixi and rattler", "4")] == sorted(legend_of(shown(http, f"{package}?by=client&of=2.0")))


def test_choices_of_a_chart_keep_each_other(site: Site, http: httpx.Client) -> None:
    """One click changes one choice; the version that the page shows is kept too."""
    path = f"/channels/{downloaded_channel(site, http)}/packages/lib"
    page = unescape(shown(http, f"{path}?version=1.0&of=2.0&by=client&days=90"))
    assert "5 in 90 days for 2.0" in page
    for link in ("version=1.0&of=2.0&by=subdir&days=90", "version=1.0&of=2.0&days=90", "version=1.0&of=2.0&by=client"):
        assert f'href="{path}?{link}#downloads"' in page
    for field, value in {"version": "1.0", "by": "client", "days": "90"}.items():
        assert f'<input type="hidden" name="{field}" value="{value}">' in page


def test_statistics_page_shows_what_the_api_returns(site: Site, http: httpx.Client) -> None:
    """Totals, downloads by day, the most downloaded packages, the newest files and the size by day."""
    channel, today = downloaded_channel(site, http), today_of(site)
    page = shown(http, f"/channels/{channel}/statistics?by=package&days=90")
    found = http.get(f"/api/v1/channels/{channel}/statistics?by=package&days=90").json()
    assert ["40", "8"] == chart_of(page)
    assert [("lib", "48")] == legend_of(page)
    assert (1, 2, 248, 8) == tuple(
        found[name] for name in ("packages", "files", "downloads_total", "downloads_30_days")
    )
    days = [{"day": format_day(today - 60), "count": 40}, {"day": format_day(today), "count": 8}]
    assert {"total": 48, "days": days, "series": [{"name": "lib", "total": 48, "days": days}]} == found["downloads"]
    assert [{"package": "lib", "downloads": 8}] == found["top_packages"]
    assert ["2.0", "1.0"] == [file["version"] for file in found["newest_files"]]
    size = {"size": found["size"], "files": 2, "packages": 1}
    assert [{"day": format_day(day), **size} for day in (today - 1, today)] == found["storage"]
    for text in ("<dd>248</dd>", "<dd>8</dd>", f"/channels/{channel}/packages/lib", "lib 2.0", format_day(today - 1)):
        assert text in page


def test_statistics_of_a_new_channel(site: Site, http: httpx.Client) -> None:
    """There is nothing to draw yet."""
    page = shown(http, f"/channels/{site.new_channel()}/statistics")
    assert "No downloads in the last 30 days." in page
    assert "No packages yet." in page
    assert "0 B" in page
    assert "No files were stored in this period." in page
    assert 'data-plot="line"' not in page


def test_downloads_of_a_package_in_the_api(site: Site, http: httpx.Client) -> None:
    """By day, of one version, split by client family."""
    path, today = f"/api/v1/channels/{downloaded_channel(site, http)}/packages/lib/downloads", today_of(site)
    assert {"total": 8, "days": [{"day": format_day(today), "count": 8}], "series": []} == http.get(path).json()
    found = http.get(path, params={"by": "client", "version": "2.0"}).json()
    assert [("rattler", 4), ("conda", 1)] == [(one["name"], one["total"]) for one in found["series"]]
    assert 422 == http.get(path, params={"by": "package"}).status_code


def test_bars_are_stacked_in_proportion() -> None:
    """The highest day has the full height; what is in no series is on top."""
    history = DownloadHistory(12, 3, Split.VERSION, {10: 4, 12: 8}, (DownloadSeries("1.0", {10: 4, 12: 2}),))
    drawn = daily_chart.draw_downloads(history)
    assert [("1.0", 0, 6), ("Other", 6, 6)] == [(band.name, band.color, band.total) for band in drawn.bands]
    assert ["M24.0 120.0V60.0h152.0V120.0zM424.0 120.0V90.0h152.0V120.0z", "M424.0 90.0V0.0h152.0V90.0z"] == [
        band.path for band in drawn.bands
    ]
    assert [("1970-01-11", 4, (4, 0)), ("1970-01-13", 8, (2, 6))] == [
        (row.day, row.total, row.counts) for row in drawn.rows
    ]
    assert ("1970-01-11", "1970-01-13", 8, 12) == (drawn.first, drawn.last, drawn.highest, drawn.total)


def test_size_is_drawn_as_steps() -> None:
    """Between two samples the size is that of the earlier one."""
    samples = [StorageSample(8, 5, 1, 1), StorageSample(10, 10, 2, 1)]
    drawn = daily_chart.draw_storage(samples, today=10, days=3)
    assert ("M100.0 60.0H500.0V0.0", "M100.0 60.0H500.0V0.0V120H100.0z") == (drawn.edge, drawn.area)
