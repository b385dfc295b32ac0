"""The site's account policy: the account settings as values."""

from dataclasses import dataclass
from enum import Enum

from seaway.errors import NotAllowed


class SecondFactorFor(Enum):
    """Users who must have a second factor."""

    NONE = "none"
    OWNERS = "owners"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class AccountPolicy:
    """Conditions for having an account here, and for using it."""

    sign_up_open: bool = True
    email_domains: frozenset[str] = frozenset()  # none: any
    require_verification: bool = True
    second_factor_for: SecondFactorFor = SecondFactorFor.NONE

    @property
    def has_no_effect(self) -> bool:
        """Return whether this policy changes nothing for any caller."""
        return self.require_verification and self.second_factor_for is SecondFactorFor.NONE

    def require_sign_up(self) -> None:
        """Return if sign-up is open; raise `NotAllowed` otherwise."""
        if not self.sign_up_open:
            raise NotAllowed("Sign-up is closed on this site.", "Ask a site admin for an account.")

    def require_domain(self, address: str) -> None:
        """Return if email addresses of this domain are accepted; raise `NotAllowed` otherwise."""
        domain = address.rpartition("@")[2].casefold()
        if self.email_domains and domain not in self.email_domains:
            raise NotAllowed(
                f"Email addresses at {domain} are not accepted here.",
                "Use an address of your organization.",
                field="address",
            )
