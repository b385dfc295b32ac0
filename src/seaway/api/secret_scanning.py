"""
Reports of leaked secrets from GitHub (its secret scanning partner program).

    POST /api/github/secret-scanning    [{"token", "type", "url", "source"}], signed
                                        -> [{"token_raw", "token_type", "label": "true_positive" | "false_positive"}]
"""

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from seaway.errors import NotFound
from seaway.http import credentials
from seaway.http.bodies import read_body
from seaway.http.parts import parts_of
from seaway.secret_scanning import leaked_secrets

_MAX_BYTES = 1024 * 1024


async def report(request: Request) -> Response:
    """Revoke the reported keys."""
    parts = parts_of(request)
    if not parts.secret_scanning.public_keys.is_enabled:
        raise NotFound("This page does not exist.", "Check the URL.")
    body = await read_body(request, _MAX_BYTES, what="report", hint="Split it.")
    identifier = request.headers.get("github-public-key-identifier", "")
    signature = request.headers.get("github-public-key-signature", "")
    labels = await to_thread.run_sync(
        leaked_secrets.process_report,
        parts.secret_scanning,
        body,
        identifier,
        signature,
        credentials.client_ip(request),
    )
    return JSONResponse(
        [
            {
                "token_raw": label.token,
                "token_type": label.type,
                "label": "true_positive" if label.is_ours else "false_positive",
            }
            for label in labels
        ]
    )
