"""One server and one browser for all tests of the pages."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import BrowserContext, ConsoleMessage, Page

from tests.browser.stage import CHROMIUM, Stand, standing


# Until the last test of this folder and no longer: Playwright keeps an event loop in this thread, beside which other
# tests could not run theirs.
@pytest.fixture(scope="package")
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
        # What a test asked for or cut off in order to see what follows is no complaint.
        is_meant = "the server responded with a status of" in message.text or "ERR_CONNECTION_RESET" in message.text
        if message.type in ("error", "warning") and not is_meant:
            self.complaints.append(message.text)


@pytest.fixture
def page(stand: Stand) -> Iterator[Page]:
    """Somebody's browser, by day."""
    with stand.context() as context:
        watched = Watched(context)
        yield context.new_page()
        assert [] == watched.complaints
