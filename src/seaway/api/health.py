"""
Health checks for orchestrators: whether to restart this process, and whether to send it requests.

    GET /health/live     200 whenever the process can respond; checks nothing else
    GET /health/ready    200 if the database, the storage and the spool are usable, else 503 with the problem
"""

from starlette.requests import Request
from starlette.responses import Response

from seaway.http import problems
from seaway.http.parts import parts_of
from seaway.serving.readiness import NO_RESPONSE


async def live(_request: Request) -> Response:
    """Return 200: the process responds."""
    return problems.text("alive", 200)


async def ready(request: Request) -> Response:
    """Return 200 if the dependencies respond, else 503; the log has the details."""
    parts = parts_of(request)
    problem_by_part = await parts.readiness.problems()
    if not problem_by_part:
        return problems.text("ready", 200)
    silent = [part for part, problem in problem_by_part.items() if problem == NO_RESPONSE]
    names = " and ".join(f"the {part}" for part in silent)
    sentences = [f"{names.capitalize()} {'do' if len(silent) > 1 else 'does'} not respond."] if silent else []
    sentences += [f"The {part} {problem}." for part, problem in problem_by_part.items() if problem != NO_RESPONSE]
    return problems.text(" ".join(sentences), 503)
