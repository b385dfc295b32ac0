"""User search by prefix, for inviting members. The existence of a user is not secret."""

from sqlalchemy import select

from seaway.accounts.throttle import Rate, take
from seaway.database.engine import Database
from seaway.database.tables import users

LEAST_CHARS = 2
_MOST = 10


def find(database: Database, now_ms: int, asker: str, beginning: str) -> list[str]:
    """Return at most ten user names with this prefix; `asker` is rate-limited to prevent listing all names."""
    wanted = beginning.strip().lower()
    if len(wanted) < LEAST_CHARS:
        return []
    take(database, now_ms, Rate.FIND_USERS, asker)
    query = select(users.c.name).where(users.c.name.startswith(wanted, autoescape=True), users.c.disabled_at.is_(None))
    with database.read() as tx:
        return list(tx.execute(query.order_by(users.c.name).limit(_MOST)).scalars())
