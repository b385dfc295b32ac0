"""Requests of the permission table: trusted publishing and secret scanning."""

from collections.abc import Iterable

from seaway.callers.caller import OPERATOR
from seaway.channels import channels
from seaway.trusted_publishing import publishers
from seaway.trusted_publishing.publisher import PublisherSettings
from tests.http.matrix_requests import Ask, Stage, builds, form


@builds("POST /api/oidc/mint_token")
def _minting_a_token(_stage: Stage, _caller: str) -> Iterable[Ask]:
    yield Ask("/api/oidc/mint_token", json={"token": "a.b.c"})


@builds("POST /api/github/secret-scanning")
def _reporting_a_leak(_stage: Stage, _caller: str) -> Iterable[Ask]:
    yield Ask("/api/github/secret-scanning", json=[])


def _new_project(stage: Stage) -> dict[str, str]:
    return {"namespace": "acme", "project": stage.site.new_name("project")}


def _new_publisher(stage: Stage) -> int:
    """Replace the publishers of the channel with a new one; return its id."""
    seaway = stage.site.factory.seaway
    with seaway.database.write_site() as tx:
        for publisher in publishers.in_channel(tx, channels.get(tx, stage.channel).id):
            publishers.remove(tx, 1, OPERATOR, seaway.request_parts.exchanging.notifier, stage.channel, publisher.id)
        now_ms, notifier = seaway.clock.now_ms(), seaway.request_parts.exchanging.notifier
        settings = PublisherSettings(fields=_new_project(stage))
        return publishers.add(tx, now_ms, OPERATOR, notifier, stage.channel, "gitlab", settings).id


@builds("POST /api/v1/channels/{channel}/publishers")
def _adding_a_publisher(stage: Stage, _caller: str) -> Iterable[Ask]:
    body = {"issuer": "gitlab", "fields": _new_project(stage)}
    yield Ask(f"/api/v1/channels/{stage.channel}/publishers", json=body)


@builds("PATCH /api/v1/channels/{channel}/publishers/{publisher}")
def _changing_a_publisher(stage: Stage, _caller: str) -> Iterable[Ask]:
    yield Ask(f"/api/v1/channels/{stage.channel}/publishers/{_new_publisher(stage)}", json={"mode": "READ"})


@builds("DELETE /api/v1/channels/{channel}/publishers/{publisher}")
def _removing_a_publisher(stage: Stage, _caller: str) -> Iterable[Ask]:
    yield Ask(f"/api/v1/channels/{stage.channel}/publishers/{_new_publisher(stage)}")


@builds("POST /channels/{channel}/settings/publishers")
def _adding_a_publisher_by_page(stage: Stage, _caller: str) -> Iterable[Ask]:
    fields = {"owner": "octo", "repository": stage.site.new_name("repo"), "workflow": "publish.yml"}
    yield form(f"/channels/{stage.channel}/settings/publishers", issuer="github", mode="READ", **fields)


@builds("POST /channels/{channel}/settings/publishers/rules")
def _setting_rules_by_page(stage: Stage, _caller: str) -> Iterable[Ask]:
    yield form(f"/channels/{stage.channel}/settings/publishers/rules", attestations="optional")
