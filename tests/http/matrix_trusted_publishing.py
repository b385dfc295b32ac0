"""Requests of the permission table: trusted publishing and secret scanning."""

from collections.abc import Iterable

from seaway.callers.caller import OPERATOR
from seaway.channels import channels
from seaway.trusted_publishing import publishers
from seaway.trusted_publishing.publisher import PublisherSettings
from tests.http.matrix_requests import MatrixContext, RouteRequest, builds, form


@builds("POST /api/oidc/mint_token")
def _minting_a_token(_context: MatrixContext, _caller: str) -> Iterable[RouteRequest]:
    yield RouteRequest("/api/oidc/mint_token", json={"token": "a.b.c"})


@builds("POST /api/github/secret-scanning")
def _reporting_a_leak(_context: MatrixContext, _caller: str) -> Iterable[RouteRequest]:
    yield RouteRequest("/api/github/secret-scanning", json=[])


def _new_project(context: MatrixContext) -> dict[str, str]:
    return {"namespace": "acme", "project": context.site.new_name("project")}


def _new_publisher(context: MatrixContext) -> int:
    """Replace the publishers of the channel with a new one; return its id."""
    seaway = context.site.factory.seaway
    with seaway.site.database.write_site() as tx:
        for publisher in publishers.in_channel(tx, channels.get(tx, context.channel).id):
            publishers.remove(tx, 1, OPERATOR, seaway.request_parts.accounts.outbox, context.channel, publisher.id)
        now_ms, notifier = seaway.site.clock.now_ms(), seaway.request_parts.accounts.outbox
        settings = PublisherSettings(fields=_new_project(context))
        return publishers.add(tx, now_ms, OPERATOR, notifier, context.channel, "gitlab", settings).id


@builds("POST /api/v1/channels/{channel}/publishers")
def _adding_a_publisher(context: MatrixContext, _caller: str) -> Iterable[RouteRequest]:
    body = {"issuer": "gitlab", "fields": _new_project(context)}
    yield RouteRequest(f"/api/v1/channels/{context.channel}/publishers", json=body)


@builds("PATCH /api/v1/channels/{channel}/publishers/{publisher}")
def _changing_a_publisher(context: MatrixContext, _caller: str) -> Iterable[RouteRequest]:
    yield RouteRequest(
        f"/api/v1/channels/{context.channel}/publishers/{_new_publisher(context)}", json={"mode": "READ"}
    )


@builds("POST /api/v1/channels/{channel}/publishers/test")
def _testing_a_token(context: MatrixContext, _caller: str) -> Iterable[RouteRequest]:
    yield RouteRequest(f"/api/v1/channels/{context.channel}/publishers/test", json={"token": "a.b.c"})


@builds("DELETE /api/v1/channels/{channel}/publishers/{publisher}")
def _removing_a_publisher(context: MatrixContext, _caller: str) -> Iterable[RouteRequest]:
    yield RouteRequest(f"/api/v1/channels/{context.channel}/publishers/{_new_publisher(context)}")


@builds("POST /channels/{channel}/settings/publishers")
def _adding_a_publisher_by_page(context: MatrixContext, _caller: str) -> Iterable[RouteRequest]:
    fields = {"owner": "octo", "repository": context.site.new_name("repo"), "workflow": "publish.yml"}
    yield form(f"/channels/{context.channel}/settings/publishers", issuer="github", mode="READ", **fields)


@builds("POST /channels/{channel}/settings/publishers/test")
def _testing_a_token_by_page(context: MatrixContext, _caller: str) -> Iterable[RouteRequest]:
    yield form(f"/channels/{context.channel}/settings/publishers/test", token="a.b.c")


@builds("POST /channels/{channel}/settings/publishers/rules")
def _setting_rules_by_page(context: MatrixContext, _caller: str) -> Iterable[RouteRequest]:
    yield form(f"/channels/{context.channel}/settings/publishers/rules", attestations="optional")
