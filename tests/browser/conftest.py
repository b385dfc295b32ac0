"""One server and one browser for all tests of the pages."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import BrowserContext, ConsoleMessage, Page

from tests.browser.stage import CHROMIUM, Stand, standing


@pytest.fixture(scope="session")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    if not CHROMIUM.exists():
        pytest.skip("there is no Chromium; .ci/install-debian installs it")
    with standing(tmp_path_factory.mktemp("browser")) as built:
        yield built


class Watched:
    """What a browser complained of: refused by the policy, failed to load, thrown by a script."""

    def __init__(self, context: BrowserContext) -> None:
        self.complaints: list[str] = []
        self.hosts: set[str] = set()
        context.on("console", self._said)
        context.on("weberror", lambda error: self.complaints.append(str(error.error)))
        context.on("request", lambda request: self.hosts.add(request.url.split("/")[2]))

    def _said(self, message: ConsoleMessage) -> None:
        # The status of a page that is asked for in order to see its error is no complaint.
        if message.type in ("error", "warning") and "the server responded with a status of" not in message.text:
            self.complaints.append(message.text)


@pytest.fixture
def page(stand: Stand) -> Iterator[Page]:
    """Somebody's browser, by day."""
    with stand.context() as context:
        watched = Watched(context)
        yield context.new_page()
        assert [] == watched.complaints
