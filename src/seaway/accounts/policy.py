"""What the operator asks of people: the settings about accounts, as values."""

from dataclasses import dataclass
from enum import Enum

from seaway.errors import NotAllowed


class SecondFactorFor(Enum):
    """Who must have a second factor."""

    NOBODY = "nobody"
    OWNERS = "owners"
    EVERYBODY = "everybody"


@dataclass(frozen=True, slots=True)
class Policy:
    """Who may have an account here, and what it must have before it may do something."""

    sign_up_open: bool = True
    email_domains: frozenset[str] = frozenset()  # none: any
    require_verification: bool = True
    second_factor_for: SecondFactorFor = SecondFactorFor.NOBODY

    @property
    def asks_nothing(self) -> bool:
        """Whether nobody is judged by it: addresses are verified as they are, and factors are everybody's own matter."""
        return self.require_verification and self.second_factor_for is SecondFactorFor.NOBODY

    def require_sign_up(self) -> None:
        """Return if strangers may make an account for themselves."""
        if not self.sign_up_open:
            raise NotAllowed("Nobody can sign up here by themselves.", "Ask an admin of this site for an account.")

    def require_domain(self, address: str) -> None:
        """Return if people with this address may have an account here."""
        domain = address.rpartition("@")[2].casefold()
        if self.email_domains and domain not in self.email_domains:
            raise NotAllowed(f"Addresses at {domain} cannot be used here.", "Use one of your organization.")
