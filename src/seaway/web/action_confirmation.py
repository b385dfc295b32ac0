"""
Confirmation of dangerous actions on a page that lists the effects and has the button (`confirm_action.html`).

A reload of the page does no harm: only its form acts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Confirmation:
    """Content of a confirmation page."""

    question: str
    effects: Sequence[str]  # whole sentences, with counts
    button: str
    back: str  # path of the page that led here
    action: str  # path that the form posts to
    is_danger: bool = True
    typed: str = ""  # the name to type, if a click is not enough
    hidden: Mapping[str, str] = field(default_factory=dict)
    refused: str = ""  # why it cannot be done now; then there is no button
