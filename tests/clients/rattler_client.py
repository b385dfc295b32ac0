"""
Run py-rattler in a separate process: read a list of actions as JSON, and write a list of results to a file.

The process skips the exit of the interpreter, which py-rattler's asynchronous calls can abort.
"""

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rattler import Channel, Gateway, MatchSpec, install, sigstore, solve
from rattler.networking import Client
from rattler.repo_data import SourceConfig

Action = dict[str, Any]


def gateway_of(action: Action) -> Gateway:
    config = SourceConfig(sharded_enabled=action["sharded"], zstd_enabled=action["zstd"], bz2_enabled=False)
    return Gateway(cache_dir=Path(action["cache"]), default_config=config, client=Client.default_client(max_retries=0))


async def query(action: Action) -> dict[str, Any]:
    """Return all records of the given names."""
    result = await gateway_of(action).query(
        [Channel(action["channel"])],
        action["platforms"],
        action["specs"],
        channel_relations=action["relations"],
        channel_notices=True,
    )
    records = [record for channel_records in result for record in channel_records]
    return {
        "files": {record.file_name: record.sha256.hex() for record in records},
        "urls": sorted(record.url for record in records),
        "by_channel": [[record.url for record in channel_records] for channel_records in result],
        "removed": sorted(record.file_name for channel_records in result.removed for record in channel_records),
        "notices": len(result.notices),
    }


async def names(action: Action) -> dict[str, Any]:
    """Return the names of all packages."""
    package_names = await gateway_of(action).names([Channel(action["channel"])], action["platforms"])
    return {"names": sorted(name.normalized for name in package_names)}


async def solve_and_install(action: Action) -> dict[str, Any]:
    """Solve the given specs, and install the solution if a prefix is given."""
    records = await solve(
        [Channel(action["channel"])],
        [MatchSpec(spec) for spec in action["specs"]],
        gateway=gateway_of(action),
        platforms=action["platforms"],
        exclude_newer=datetime.fromtimestamp(before / 1000, UTC) if (before := action.get("before_ms")) else None,
    )
    if action["prefix"]:
        await install(
            records,
            action["prefix"],
            cache_dir=Path(action["cache"]) / "pkgs",
            show_progress=False,
            client=Client.default_client(max_retries=0),
        )
    return {"solved": sorted(record.file_name for record in records)}


async def verify(action: Action) -> dict[str, Any]:
    """Verify the attestation of a file with py-rattler and the given trusted root; only the sidecar is downloaded."""
    result = await gateway_of(action).query([Channel(action["channel"])], action["platforms"], action["specs"])
    (record,) = [record for records in result for record in records]
    publisher = sigstore.Publisher(action["identity"], sigstore.Issuer.github_actions())
    outcome = await sigstore.verify_attestation(
        record,
        sigstore.VerificationPolicy.require(publisher),
        Client.default_client(max_retries=0),
        sigstore.TrustedRoot.from_json(action["root"]),
    )
    attestation = outcome.attestation
    return {
        "sha256": record.attestations_sha256.hex() if record.attestations_sha256 else None,
        "verified": outcome.is_verified,
        "repository": attestation and attestation.claims and attestation.claims.source_repository_uri,
        "channel": attestation and attestation.target_channel,
        "warnings": outcome.warnings,
    }


ACTIONS: dict[str, Callable[[Action], Awaitable[dict[str, Any]]]] = {
    "query": query,
    "names": names,
    "solve": solve_and_install,
    "verify": verify,
}


async def main(actions: list[Action]) -> list[dict[str, Any]]:
    results = []
    for action in actions:
        try:
            results.append(await ACTIONS[action["do"]](action))
        except Exception as error:  # noqa: BLE001 - the message that users see
            results.append({"error": f"{type(error).__name__}: {error}"})
    return results


if __name__ == "__main__":
    outcome = asyncio.run(main(json.load(sys.stdin)))
    Path(sys.argv[1]).write_text(json.dumps(outcome))
    os._exit(0)
