"""The manual's list of actions that need a fresh sign-in matches the code."""

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


def test_manual_lists_every_action_that_needs_a_fresh_sign_in() -> None:
    """The list has every action that needs more than an API key with its access mode."""
    section = (
        (ROOT / "docs/security.md").read_text().partition("## What needs a fresh sign-in")[2].partition("\n## ")[0]
    )
    listed = {name: (session, key != "no") for name, session, key in ROW.findall(section)}
    actions = [action for action in (*Action, *SiteAction) if action.proof is not RequiredCredential.ANY]
    assert {action.value: (SESSION[action.proof], not action.proof.needs_person) for action in actions} == listed
