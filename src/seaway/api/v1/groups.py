"""Groups: named sets of users that can be members of channels."""

from fastapi import APIRouter
from pydantic import ConfigDict, Field

from seaway.api.v1.api_request import ApiRequestDep
from seaway.api.v1.members import GroupName, RoleName, UserName
from seaway.api.v1.schemas import Moment, Page, RequestBody, ResponseBody, single_page
from seaway.callers.site_permissions import SiteAction, require_site
from seaway.channels import channels, groups
from seaway.channels.groups import MAX_DESCRIPTION
from seaway.clock import format_time
from seaway.users import users

router = APIRouter(tags=["groups"])


class Group(ResponseBody):
    """A group."""

    name: str = Field(examples=["crew"])
    description: str
    users: int
    created_at: Moment


class OwnGroup(Group):
    """A group that you are in."""

    manager: bool = Field(description="Whether you can change it.")


class GroupMember(ResponseBody):
    """A user in a group."""

    user: str = Field(examples=["ada"])
    manager: bool
    added_at: Moment


class GroupChannel(ResponseBody):
    """A channel that a group is a member of."""

    channel: str = Field(examples=["robots"])
    role: RoleName


class GroupDetail(Group):
    """A group with its users, and those of its channels that you can read."""

    members: list[GroupMember]
    channels: list[GroupChannel]


class GroupCreate(RequestBody):
    """A group to create; you become its first manager."""

    name: str = Field(max_length=39)
    description: str = Field("", max_length=MAX_DESCRIPTION)

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"name": "crew", "description": "Maintainers of our robots."}]}
    )


class GroupUpdate(RequestBody):
    """The description of a group."""

    description: str = Field(max_length=MAX_DESCRIPTION)

    model_config = ConfigDict(json_schema_extra={"examples": [{"description": "Maintainers of our robots."}]})


class GroupMemberUpdate(RequestBody):
    """The role of a user in a group."""

    manager: bool = False

    model_config = ConfigDict(json_schema_extra={"examples": [{"manager": False}]})


@router.get("/groups", operation_id="listGroups")
def list_groups(call: ApiRequestDep) -> Page[OwnGroup]:
    """List the groups that you are in, by name."""
    require_site(call.by, SiteAction.READ_ACCOUNT)
    with call.read() as tx:
        found = groups.of_user(tx, call.by.user_id or 0)
    return single_page([OwnGroup(**group_of(group).model_dump(), manager=is_manager) for group, is_manager in found])


@router.post("/groups", operation_id="createGroup", status_code=201)
def create_group(call: ApiRequestDep, given: GroupCreate) -> Group:
    """Create a group."""
    with call.write_group(given.name, SiteAction.ADD_GROUP) as tx:
        manager = users.get(tx, call.by.name)
        return group_of(groups.add(tx, call.now_ms, call.by, given.name, manager, description=given.description))


@router.get("/groups/{group}", operation_id="getGroup")
def get_group(call: ApiRequestDep, group: GroupName) -> GroupDetail:
    """Return a group. Only for users in the group."""
    with call.read() as tx:
        found, members = groups.get(tx, call.by, group)
        roles = channels.roles_of_group(tx, call.by, found.id)
    return GroupDetail(
        **group_of(found).model_dump(),
        members=[_member(member) for member in members],
        channels=[GroupChannel(channel=channel, role=role.value) for channel, role in roles],
    )


@router.patch("/groups/{group}", operation_id="changeGroup")
def change_group(call: ApiRequestDep, group: GroupName, given: GroupUpdate) -> Group:
    """Change the description of a group. Managers only."""
    with call.write_group(group, groups.require_manager) as tx:
        return group_of(groups.describe(tx, call.now_ms, call.by, group, given.description))


@router.delete("/groups/{group}", operation_id="deleteGroup", status_code=204)
def delete_group(call: ApiRequestDep, group: GroupName) -> None:
    """Delete a group; its users lose the access it granted."""
    with call.write_group(group, groups.require_manager) as tx:
        groups.remove(tx, call.now_ms, call.by, group)


@router.put("/groups/{group}/members/{user}", operation_id="putGroupMember")
def put_group_member(call: ApiRequestDep, group: GroupName, user: UserName, given: GroupMemberUpdate) -> GroupMember:
    """Add a user to a group, or change whether they manage it."""
    with call.write_group(group, groups.require_manager) as tx:
        return _member(
            groups.put_member(
                tx, call.now_ms, call.by, group, user, is_manager=given.manager, outbox=call.parts.accounts.outbox
            )
        )


@router.delete("/groups/{group}/members/{user}", operation_id="removeGroupMember", status_code=204)
def remove_group_member(call: ApiRequestDep, group: GroupName, user: UserName) -> None:
    """Remove a user from a group."""
    with call.write_group(group, groups.require_manager) as tx:
        groups.remove_member(tx, call.now_ms, call.by, group, user)


@router.post("/groups/{group}/leave", operation_id="leaveGroup", status_code=204)
def leave_group(call: ApiRequestDep, group: GroupName) -> None:
    """Leave a group; the last manager cannot leave."""
    with call.write_group(group, groups.require_can_leave) as tx:
        groups.leave(tx, call.now_ms, call.by, group)


def group_of(group: groups.Group) -> Group:
    """Return the response body for a group."""
    return Group(
        name=group.name,
        description=group.description,
        users=group.user_count,
        created_at=format_time(group.created_at_ms),
    )


def _member(member: groups.GroupMember) -> GroupMember:
    return GroupMember(user=member.user, manager=member.is_manager, added_at=format_time(member.added_at_ms))
