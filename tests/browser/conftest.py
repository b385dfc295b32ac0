"""One demo site and one browser for all browser tests."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import BrowserContext, ConsoleMessage, Page

from tests.browser.demo_site import CHROMIUM, DemoSite, running_demo_site


# Package scope: Playwright keeps an event loop in this thread, and tests of other folders could not run their own.
@pytest.fixture(scope="package")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoSite]:
    if not CHROMIUM.exists():
        pytest.skip("there is no Chromium; .ci/install-debian installs it")
    with running_demo_site(tmp_path_factory.mktemp("browser")) as built:
        yield built


class BrowserLog:
    """Errors that a browser reported (blocked by the policy, failed to load, thrown by a script), and requested hosts."""

    def __init__(self, context: BrowserContext) -> None:
        self.errors: list[str] = []
        self.hosts: set[str] = set()
        context.on("console", self._add_message)
        context.on("weberror", lambda error: self.errors.append(str(error.error)))
        context.on("request", lambda request: self.hosts.add(request.url.split("/")[2]))

    def _add_message(self, message: ConsoleMessage) -> None:
        # Tests cause these two on purpose.
        is_expected = "the server responded with a status of" in message.text or "ERR_CONNECTION_RESET" in message.text
        if message.type in ("error", "warning") and not is_expected:
            self.errors.append(message.text)


@pytest.fixture
def page(demo: DemoSite) -> Iterator[Page]:
    """A page of a new browser profile, in the light theme; the test fails if the browser reports an error."""
    with demo.context() as context:
        log = BrowserLog(context)
        yield context.new_page()
        assert [] == log.errors
