"""User search by prefix, for inviting members. The existence of a user is not secret."""

from sqlalchemy import select

from seaway.callers.rate_limits import Rate, count_attempt
from seaway.database.engine import Database
from seaway.database.tables import users

MIN_CHARS = 2
_MAX_RESULTS = 10


def find(database: Database, now_ms: int, searcher: str, text: str) -> list[str]:
    """Return at most ten user names with this prefix; `searcher` is rate-limited to prevent listing all names."""
    prefix = text.strip().lower()
    if len(prefix) < MIN_CHARS:
        return []
    count_attempt(database, now_ms, Rate.FIND_USERS, searcher)
    query = select(users.c.name).where(users.c.name.startswith(prefix, autoescape=True), users.c.disabled_at.is_(None))
    with database.read() as tx:
        return list(tx.execute(query.order_by(users.c.name).limit(_MAX_RESULTS)).scalars())
