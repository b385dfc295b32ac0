"""Members of a channel: users and groups."""

from typing import Annotated, Literal

from fastapi import APIRouter, Path
from pydantic import ConfigDict, Field

from seaway.api.v1.api_request import ApiRequestDep, ChannelName
from seaway.api.v1.schemas import Moment, RequestBody, ResponseBody
from seaway.channels import members
from seaway.channels.roles import Action, Role
from seaway.clock import format_time

router = APIRouter(tags=["members"])

UserName = Annotated[str, Path(description="The name of a user.", examples=["ada"], max_length=39)]
GroupName = Annotated[str, Path(description="The name of a group.", examples=["crew"], max_length=39)]
RoleName = Annotated[str, Field(json_schema_extra={"enum": [role.value for role in Role]})]
GivenRole = Literal["viewer", "contributor"]


class Member(ResponseBody):
    """A user who is a member of a channel."""

    user: str = Field(examples=["ada"])
    role: RoleName
    added_at: Moment


class MemberGroup(ResponseBody):
    """A group that is a member of a channel; all its users have the role."""

    group: str = Field(examples=["crew"])
    role: RoleName
    users: int | None = Field(description="Number of users in the group; null unless you are in it or a site admin.")
    added_at: Moment


class Members(ResponseBody):
    """The members of a channel; of several roles of a user, the strongest counts."""

    users: list[Member]
    groups: list[MemberGroup]


class RoleUpdate(RequestBody):
    """The role of a member. A channel has one owner, who can be changed only by a transfer."""

    role: GivenRole

    model_config = ConfigDict(json_schema_extra={"examples": [{"role": "contributor"}]})


@router.get("/channels/{channel}/members", operation_id="listMembers")
def list_members(call: ApiRequestDep, channel: ChannelName) -> Members:
    """List the members of a channel. Members only."""
    with call.read() as tx:
        users, groups = members.list_all(tx, call.by, channel)
    return Members(users=[_user(user) for user in users], groups=[_group(group) for group in groups])


@router.put("/channels/{channel}/members/{user}", operation_id="putMember")
def put_member(call: ApiRequestDep, channel: ChannelName, user: UserName, given: RoleUpdate) -> Member:
    """Add a user as a member, effective immediately and with a notification email, or change their role."""
    with call.write_channel(channel, Action.ADMIT) as tx:
        member = members.put(
            tx, call.now_ms, call.by, channel, user, Role(given.role), outbox=call.parts.accounts.outbox
        )  # fmt: skip
    return _user(member)


@router.delete("/channels/{channel}/members/{user}", operation_id="removeMember", status_code=204)
def remove_member(call: ApiRequestDep, channel: ChannelName, user: UserName) -> None:
    """Remove a member; files they uploaded stay."""
    with call.write_channel(channel, Action.ADMIT) as tx:
        members.remove(tx, call.now_ms, call.by, channel, user)


@router.put("/channels/{channel}/groups/{group}", operation_id="putMemberGroup")
def put_member_group(call: ApiRequestDep, channel: ChannelName, group: GroupName, given: RoleUpdate) -> MemberGroup:
    """Add a group as a member, or change its role."""
    with call.write_channel(channel, Action.ADMIT) as tx:
        return _group(members.put_group(tx, call.now_ms, call.by, channel, group, Role(given.role)))


@router.delete("/channels/{channel}/groups/{group}", operation_id="removeMemberGroup", status_code=204)
def remove_member_group(call: ApiRequestDep, channel: ChannelName, group: GroupName) -> None:
    """Remove a group from a channel."""
    with call.write_channel(channel, Action.ADMIT) as tx:
        members.remove_group(tx, call.now_ms, call.by, channel, group)


@router.post("/channels/{channel}/leave", operation_id="leaveChannel", status_code=204)
def leave_channel(call: ApiRequestDep, channel: ChannelName) -> None:
    """Leave a channel; an owner must transfer it first."""
    with call.write_channel(channel, members.require_can_leave) as tx:
        members.leave(tx, call.now_ms, call.by, channel)


def _user(member: members.Member) -> Member:
    return Member(user=member.user, role=member.role.value, added_at=format_time(member.added_at_ms))


def _group(group: members.MemberGroup) -> MemberGroup:
    return MemberGroup(
        group=group.group, role=group.role.value, users=group.user_count, added_at=format_time(group.added_at_ms)
    )
