"""Users by the beginning of their name, for whoever wants to make one a member."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field

from seaway.accounts import people
from seaway.accounts.people import LEAST_CHARS
from seaway.accounts.permissions import SiteAction, require_site
from seaway.api.v1.asking import Asked
from seaway.api.v1.shapes import Page, Shown, whole

router = APIRouter(tags=["members"])

Beginning = Annotated[
    str, Query(description=f"How the name begins: {LEAST_CHARS} characters or more.", max_length=39, examples=["ad"])
]


class PersonShown(Shown):
    """A user, as everybody who is signed in may find them."""

    name: str = Field(examples=["ada"])


@router.get("/people", operation_id="findPeople")
def find(call: Asked, name: Beginning) -> Page[PersonShown]:
    """At most ten users whose names begin so; none for less than two characters. How often you ask is limited."""
    require_site(call.by, SiteAction.FIND_USERS)
    found = people.find(call.house.reading.database, call.now_ms, str(call.by.user_id), name)
    return whole([PersonShown(name=one) for one in found])
