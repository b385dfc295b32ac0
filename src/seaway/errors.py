"""
The errors that cross a boundary: a code, one plain sentence, and what to do about it.

    SeawayError
    ├── Malformed          400  the request cannot be read
    ├── BadCredential      401  no credential where one is needed, or a bad one
    ├── NotAllowed         403  the asker may read the channel, but not do this
    │   └── NotConfirmed   403  the person must prove again to be there
    ├── NotFound           404  nothing here, or nothing that this asker may know of
    ├── TooSlow            408  the body stopped coming
    ├── AlreadyThere       409  this channel, subdir and file name exists
    ├── Conflict           409  what there is now does not allow it (never in an upload, where 409 says that the file is there)
    ├── WrongOffset        409  a piece of an upload does not begin where the last one ended
    ├── TooLarge           413  more bytes than the limit
    ├── UnknownCoding      415  the body has a Content-Encoding; bodies are sent without one
    ├── Invalid            422  a field of a request is missing, unknown, or not what it must be
    ├── Refused            422  the content breaks a rule; carries a Reason (seaway.conda.refusals)
    ├── TooMany            429  too many of these in too short a time
    ├── Unavailable        503  disk full, storage or database away; try again
    │   ├── NotWritable    503  the disk, the database or the store takes no writes; reads may go on
    │   │   └── NoRoom     503  the disk or the database is full
    │   ├── DamagedDatabase 503  the database file or schema is damaged; restore a backup
    │   └── DamagedRecord  503 a row of the index or of a file is damaged; repair it
    ├── NameTaken          422  the name of a user, channel or key is in use or reserved
    ├── WeakPassword       422  too short, too long or too easy to guess
    ├── Damaged            a backup or a store that is not what it says (seaway.moving.content)
    └── BadSetting         the operator's settings cannot work

`seaway.http.problems` alone turns them into statuses; clients show 512 characters of the sentence.
"""


class SeawayError(Exception):
    """A failure that someone outside is told of: `message` says what and to which thing, `hint` what to do."""

    code = "error"

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.message = message
        self.hint = hint

    @property
    def sentence(self) -> str:
        """The message and the hint as the one line that clients show."""
        return f"{self.message} {self.hint}".strip()

    def __str__(self) -> str:
        return self.sentence


class Malformed(SeawayError):
    """The request cannot be read as what it claims to be."""

    code = "malformed"


class Invalid(SeawayError):
    """A field of a request is missing, unknown, or not what it must be."""

    code = "invalid"


class BadCredential(SeawayError):
    """A credential is needed here and none came, or the one that came is not good."""

    code = "bad-credential"


class NotAllowed(SeawayError):
    """The asker may know of this thing, but not do that to it."""

    code = "not-allowed"


class NotConfirmed(NotAllowed):
    """What is asked for is so grave that a sign-in of a while ago is not enough."""

    code = "not-confirmed"


class NotFound(SeawayError):
    """Nothing is here, or nothing that this asker may know of: both look the same."""

    code = "not-found"


class TooSlow(SeawayError):
    """The body of a request stopped coming."""

    code = "too-slow"


class AlreadyThere(SeawayError):
    """This channel, subdir and file name exists; published files do not change."""

    code = "already-there"


class Conflict(SeawayError):
    """What is asked can be understood, but what there is now does not allow it."""

    code = "conflict"


class WrongOffset(SeawayError):
    """A piece of an upload does not begin where the last one ended."""

    code = "wrong-offset"


class TooLarge(SeawayError):
    """More bytes than the limit allows."""

    code = "too-large"


class UnknownCoding(SeawayError):
    """The body of a request has a Content-Encoding."""

    code = "unknown-coding"


class TooMany(SeawayError):
    """Too many requests of one kind, from one place or for one thing."""

    code = "too-many"

    def __init__(self, message: str, hint: str = "", *, retry_after_seconds: int = 60) -> None:
        super().__init__(message, hint)
        self.retry_after_seconds = retry_after_seconds


class Unavailable(SeawayError):
    """The server cannot do this now (disk full, database or storage away); the same request may work later."""

    code = "unavailable"

    def __init__(self, message: str, hint: str = "", *, cause: str = "") -> None:
        super().__init__(message, hint)
        self.cause = cause.partition("\n")[0][:300]  # for the operator's log and terminal, never for a client


class NotWritable(Unavailable):
    """The disk, the database or the store of the server takes no writes, and will not until an operator acts."""


class NoRoom(NotWritable):
    """The disk or the database of the server is full."""


class DamagedDatabase(Unavailable):
    """The database is damaged: trying again does not help, a backup does."""

    code = "database-damaged"

    def __init__(self, cause: str) -> None:
        super().__init__(
            "The database is damaged.",
            "The operator must stop the server and restore a backup; the manual says how (docs/operate/running.md).",
            cause=cause,
        )


class DamagedRecord(Unavailable):
    """One row is damaged: what depends on it is refused until the row is repaired, and nothing else is."""

    code = "record-damaged"

    def __init__(self, what: str, *, cause: str, cure: str = "seaway reindex --from-blobs") -> None:
        super().__init__(
            f"{what} is damaged in the database.", f"The operator can repair it with `{cure}`.", cause=cause
        )


class NameTaken(SeawayError):
    """The name of a user, channel or key is in use, reserved, or not a possible name."""

    code = "name-taken"


class WeakPassword(SeawayError):
    """A new password is too short, too long or too easy to guess."""

    code = "weak-password"


class BadSetting(SeawayError):
    """A setting is missing, unreadable or contradicts another; the start stops here."""

    code = "bad-setting"
