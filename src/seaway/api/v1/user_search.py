"""User search by the start of the name, for adding members."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field

from seaway.api.v1.api_request import ApiRequestDep
from seaway.api.v1.schemas import Page, ResponseBody, single_page
from seaway.callers.site_permissions import SiteAction, require_site
from seaway.users import user_search
from seaway.users.user_search import MIN_CHARS

router = APIRouter(tags=["members"])

Beginning = Annotated[
    str, Query(description=f"Start of the name, at least {MIN_CHARS} characters.", max_length=39, examples=["ad"])
]


class UserMatch(ResponseBody):
    """A user, as visible to all signed-in users."""

    name: str = Field(examples=["ada"])


@router.get("/user-names", operation_id="findUsers")
def find_users(call: ApiRequestDep, name: Beginning) -> Page[UserMatch]:
    """Return up to ten users whose names start with `name`; none for fewer than two characters. Rate-limited."""
    require_site(call.by, SiteAction.FIND_USERS)
    names = user_search.find(call.parts.site.database, call.now_ms, str(call.by.user_id), name)
    return single_page([UserMatch(name=user_name) for user_name in names])
