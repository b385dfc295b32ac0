"""The list of what needs a fresh sign-in is what the code asks for."""

import re

from seaway.callers.site_permissions import RequiredCredential, SiteAction
from seaway.channels.roles import Action
from tests.docs.test_manual import ROOT

SESSION = {
    RequiredCredential.FRESH: "fresh",
    RequiredCredential.FRESH_PERSON: "fresh",
    RequiredCredential.PERSON: "any",
}
SESSION[RequiredCredential.NEW_SESSION] = "began less than 30 minutes ago"
ROW = re.compile(r"\| `([a-z-]+)` \| [^|]+ \| ([^|]+) \| ([^|]+) \|")


def test_the_page_lists_what_the_code_asks_for() -> None:
    """Every action that takes more than a key in its mode, with what it takes."""
    section = (
        (ROOT / "docs/security.md").read_text().partition("## What needs a fresh sign-in")[2].partition("\n## ")[0]
    )
    listed = {name: (session, key != "no") for name, session, key in ROW.findall(section)}
    actions = [action for action in (*Action, *SiteAction) if action.proof is not RequiredCredential.ANY]
    assert {one.value: (SESSION[one.proof], not one.proof.needs_person) for one in actions} == listed
