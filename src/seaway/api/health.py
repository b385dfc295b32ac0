"""
What orchestrators ask: whether to restart this process, and whether to send it requests.

    GET /health/live     200 as soon as requests are answered at all; nothing else is asked
    GET /health/ready    200 when the database, the storage and the spool can be used, 503 with what is wrong
"""

from starlette.requests import Request
from starlette.responses import Response

from seaway.http import problems
from seaway.http.house import House
from seaway.serving.readiness import NO_ANSWER


async def live(_request: Request) -> Response:
    """The process answers."""
    return problems.text("alive", 200)


async def ready(request: Request) -> Response:
    """What it needs answers too; the log says what does not, and why."""
    house: House = request.app.state.house
    away = await house.readiness.away()
    if not away:
        return problems.text("ready", 200)
    silent = [part for part, problem in away.items() if problem == NO_ANSWER]
    named = " and ".join(f"the {part}" for part in silent)
    sentences = [f"{named.capitalize()} {'do' if len(silent) > 1 else 'does'} not answer."] if silent else []
    sentences += [f"The {part} {problem}." for part, problem in away.items() if problem != NO_ANSWER]
    return problems.text(" ".join(sentences), 503)
