"""
Errors that cross a boundary: a code, one plain sentence, and what to do about it.

    SeawayError
    ├── Malformed                   400  the request cannot be read
    ├── BadCredential               401  a required credential is missing or invalid
    ├── NotAllowed                  403  the caller can read the channel, but not do this
    │   ├── OutdatedForm            403  the form was shown to another session of this browser
    │   └── ConfirmationRequired    403  the user must confirm their identity again
    ├── NotFound                    404  it does not exist, or the caller cannot see it
    ├── TooSlow                     408  the body stopped coming
    ├── FileExists                  409  this channel, subdir and file name exists
    ├── Conflict                    409  the current state does not allow it (not for uploads, where 409 means: file exists)
    ├── WrongOffset                 409  a piece of an upload does not start where the last one ended
    ├── TooLarge                    413  more bytes than the limit
    ├── UnsupportedContentEncoding  415  the body has a Content-Encoding; bodies are sent without one
    ├── Invalid                     422  a field of a request is missing, unknown or invalid
    ├── Refused                     422  the content violates a rule; has a RefusalReason (seaway.conda.refusals)
    ├── TooManyRequests             429  too many requests in too short a time
    ├── Unavailable                 503  disk full, storage or database unreachable; try again later
    │   ├── NotWritable             503  the disk, database or store does not accept writes; reads may still work
    │   │   └── DiskFull            503  the disk or the database is full
    │   ├── DamagedDatabase         503  the database file or schema is damaged; restore a backup
    │   └── DamagedRecord           503  a row of the index or of a file is damaged; repair it
    ├── NameTaken                   422  the name of a user, channel or key is in use or reserved
    ├── WeakPassword                422  too short, too long or too easy to guess
    ├── DamagedData                      a backup or a store is damaged (seaway.backup.blob_copy)
    └── BadSetting                       a setting is invalid

Only `seaway.http.problems` maps them to statuses. Clients show 512 characters of the sentence.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

T = TypeVar("T")


class SeawayError(Exception):
    """
    Error that is shown to a user or client: `message` says what happened to which thing, `hint` what to do.

    `field` names the field of a request or form that caused it; `fields` holds the sentence for each such field.
    """

    code = "error"

    def __init__(self, message: str, hint: str = "", *, field: str = "") -> None:
        super().__init__(message, hint)
        self.message = message
        self.hint = hint
        self.fields: Mapping[str, str] = {field: self.full_message} if field else {}

    @property
    def full_message(self) -> str:
        """Message and hint in one line, as clients show it."""
        return f"{self.message} {self.hint}".strip()

    def __str__(self) -> str:
        return self.full_message


class Malformed(SeawayError):
    """The request cannot be parsed."""

    code = "malformed"


class Invalid(SeawayError):
    """Fields of a request are missing, unknown or invalid."""

    code = "invalid"

    def __init__(
        self, message: str, hint: str = "", *, field: str = "", fields: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message, hint, field=field)
        if fields is not None:
            self.fields = fields


class BadCredential(SeawayError):
    """A required credential is missing or invalid."""

    code = "bad-credential"


class NotAllowed(SeawayError):
    """The caller can see the thing, but is not allowed to do this to it."""

    code = "not-allowed"


class OutdatedForm(NotAllowed):
    """The form was shown to another session of this browser, for example before the user signed in again."""


class ConfirmationRequired(NotAllowed):
    """A sensitive action requires a more recent sign-in or confirmation."""

    code = "not-confirmed"


class NotFound(SeawayError):
    """The thing does not exist, or the caller cannot see it; the responses are the same."""

    code = "not-found"


class TooSlow(SeawayError):
    """The body of a request stopped coming."""

    code = "too-slow"


class FileExists(SeawayError):
    """
    This channel, subdir and file name exists; published files do not change.

    `path` is the file's `CHANNEL/SUBDIR/FILE`, `is_same` whether it has the bytes that were sent, and `can_replace`
    whether the caller may overwrite it.
    """

    code = "already-there"

    def __init__(
        self, message: str, hint: str = "", *, path: str = "", is_same: bool = False, can_replace: bool = False
    ) -> None:
        super().__init__(message, hint)
        self.path = path
        self.is_same = is_same
        self.can_replace = can_replace


class Conflict(SeawayError):
    """The request is valid, but the current state does not allow it."""

    code = "conflict"


class WrongOffset(SeawayError):
    """A piece of an upload does not start where the last one ended."""

    code = "wrong-offset"


class TooLarge(SeawayError):
    """More bytes than the limit allows."""

    code = "too-large"


class UnsupportedContentEncoding(SeawayError):
    """The body of a request has a Content-Encoding."""

    code = "unknown-coding"


class TooManyRequests(SeawayError):
    """Too many requests of one kind, from one sender or for one thing."""

    code = "too-many"

    def __init__(self, message: str, hint: str = "", *, retry_after_seconds: int = 60, field: str = "") -> None:
        super().__init__(message, hint, field=field)
        self.retry_after_seconds = retry_after_seconds


class Unavailable(SeawayError):
    """The server cannot do this now (disk full, database or storage unreachable); the same request may work later."""

    code = "unavailable"

    def __init__(self, message: str, hint: str = "", *, cause: str = "") -> None:
        super().__init__(message, hint)
        self.cause = cause.partition("\n")[0][:300]  # for the operator's log and terminal, never for a client


class NotWritable(Unavailable):
    """The disk, the database or the store does not accept writes until an operator acts."""


class DiskFull(NotWritable):
    """The disk or the database of the server is full."""


class DamagedDatabase(Unavailable):
    """The database is damaged: a backup must be restored, since trying again does not help."""

    code = "database-damaged"

    def __init__(self, cause: str) -> None:
        super().__init__(
            "The database is damaged.",
            "The operator must stop the server and restore a backup (docs/operate/running.md).",
            cause=cause,
        )


class DamagedRecord(Unavailable):
    """A row is damaged: requests that need it fail until it is repaired, all others work."""

    code = "record-damaged"

    def __init__(self, what: str, *, cause: str, repair_command: str = "seaway reindex --from-blobs") -> None:
        super().__init__(
            f"{what} is damaged in the database.", f"The operator can repair it with {repair_command}.", cause=cause
        )


class NameTaken(SeawayError):
    """The name of a user, channel or key is in use, reserved, or not a possible name."""

    code = "name-taken"


class WeakPassword(SeawayError):
    """A new password is too short, too long or too easy to guess."""

    code = "weak-password"


class BadSetting(SeawayError):
    """A setting is missing, invalid or contradicts another, so the server does not start."""

    code = "bad-setting"


def check_all(*checks: Callable[[], object]) -> None:
    """Run all checks; raise one error with the fields of all that fail, `Invalid` if their errors are of several kinds."""
    failed: list[SeawayError] = []
    for check in checks:
        try:
            check()
        except SeawayError as error:
            failed.append(error)
    if len(failed) == 1:
        raise failed[0]
    if failed:
        raise _combined(failed)


def _combined(failed: Sequence[SeawayError]) -> SeawayError:
    message = " ".join(error.full_message for error in failed)
    fields = {name: sentence for error in failed for name, sentence in error.fields.items()}
    first = failed[0]
    if any(type(error) is not type(first) for error in failed):
        return Invalid(message, fields=fields)
    first.message, first.hint, first.fields = message, "", fields
    return first


def at_field(name: str, work: Callable[[], T]) -> T:
    """Do work for one field of a form; an error that names no field of the form gets this one."""
    try:
        return work()
    except SeawayError as error:
        error.fields = {name: next(iter(error.fields.values()), error.full_message)}
        raise
