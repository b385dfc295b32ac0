"""
Answers that were found a moment ago, for as long as nothing at all has changed.

1. An answer is given again only while no connection of any process has committed anything since before it
   was found: a revoked key, a lost role, a new file are seen by the next request (P6, S2).
2. It is given again only for the same credentials, address and encodings, and not after the credential expired.
3. Forgetting is always allowed: the memory is bounded by the number of answers and by their bytes.

SQLite tells in microseconds whether anything was committed (`PRAGMA data_version`), PostgreSQL in one round trip;
asking every row again costs many times as much.
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import NamedTuple

from anyio import to_thread

from seaway.database.engine import Database
from seaway.serving.answer import Answer
from seaway.serving.identity import Secrets

_MOST_ANSWERS = 8_192
_MOST_BYTES = 32 * 1024 * 1024
_ENTRY_BYTES = 2_000  # measured with tracemalloc: question, answer and form without their texts and content


class Question(NamedTuple):
    """What somebody asks for, and how: `encodings` are the content codings that the asker takes, best first."""

    secrets: Secrets
    channel: str
    path: tuple[str, ...]
    encodings: tuple[str, ...]


@dataclass(slots=True)
class Held:
    """An answer, and the moment after which it, or the credential that opened it, is not good any more."""

    answer: Answer
    good_until_ms: int | None
    key_id: int | None = None  # the key that opened it
    form: object = None  # what the face that gave the answer has made of it; kept with it, and looked at by nobody else


class Memory:
    """The answers of one process; used from the event loop only."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._mark: object = None
        self._bytes = 0
        self._answers: OrderedDict[Question, Held] = OrderedDict()

    async def mark(self) -> object:
        """The state of the database; taken before an answer is looked for, and handed to `keep` with it."""
        if self._database.marks_cost_nothing:
            mark = self._database.change_mark()
        else:
            mark = await to_thread.run_sync(self._database.change_mark)
        if mark != self._mark:
            self._answers.clear()
            self._bytes, self._mark = 0, mark
        return mark

    def recall(self, question: Question, now_ms: int) -> Held | None:
        """The answer that still holds, or None; call `mark` first."""
        held = self._answers.get(question)
        if held is None or (held.good_until_ms is not None and held.good_until_ms <= now_ms):
            return None
        self._answers.move_to_end(question)
        return held

    def keep(self, mark: object, question: Question, held: Held) -> None:
        """Remember an answer that was found after `mark` was taken."""
        if mark != self._mark or question in self._answers:
            return
        self._answers[question] = held
        self._bytes += _weight(question, held)
        while len(self._answers) > _MOST_ANSWERS or self._bytes > _MOST_BYTES:
            self._bytes -= _weight(*self._answers.popitem(last=False))


def _weight(question: Question, held: Held) -> int:
    """Return the bytes that an entry holds; callers choose how long their questions are."""
    texts = (*question.secrets.bearer, question.secrets.session, question.channel, *question.path, *question.encodings)
    return _ENTRY_BYTES + len(held.answer.content or b"") + sum(map(len, texts))
