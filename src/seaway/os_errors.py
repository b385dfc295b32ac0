"""
Operating system errors, as messages for clients.

Clients get `Unavailable`: the request was fine, and works once an operator has fixed the machine. The original error,
which may name a path, becomes the cause, which is only logged.
"""

import errno
from dataclasses import dataclass

from seaway.errors import DiskFull, NotWritable, Unavailable

_HINT = "Try again later, or tell the operator of the server."


@dataclass(frozen=True, slots=True)
class _Kind:
    """Kind of failure: the message for clients, and the condition of the part that failed (`condition_of`)."""

    message: str
    condition: str
    error: type[Unavailable] = Unavailable


_FULL = _Kind("The disk is full: the server has no room for this now.", "is full", DiskFull)
_READ_ONLY = _Kind("The server cannot store anything now: its disk is read-only.", "is read-only", NotWritable)
_FORBIDDEN = _Kind("The server has no permission to use its own files.", "denies access to the server", NotWritable)
_TOO_MANY_FILES = _Kind("The server has too many files open.", "is unavailable: too many files are open")
_NO_MEMORY = _Kind("The server has too little memory for this now.", "is unavailable: too little memory")
_NO_THREADS = _Kind("The server cannot start a thread or a process now.", "is unavailable: no thread can be started")
_MISSING = _Kind("A file or folder of the server is missing.", "is missing")
_BROKEN = _Kind("The server cannot read or write its files now.", "cannot be read or written", NotWritable)

_KINDS = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EFBIG: _FULL,
    errno.EROFS: _READ_ONLY,
    errno.EACCES: _FORBIDDEN,
    errno.EPERM: _FORBIDDEN,
    errno.EMFILE: _TOO_MANY_FILES,
    errno.ENFILE: _TOO_MANY_FILES,
    errno.ENOMEM: _NO_MEMORY,
    errno.EAGAIN: _NO_THREADS,  # raised by fork when there are too many processes
    errno.ENOENT: _MISSING,
    errno.ENOTDIR: _MISSING,
}
_THREAD_ERROR = "can't start new thread"  # Python gives no error number


def as_unavailable(error: BaseException | None) -> Unavailable | None:
    """Return the error to show to clients for an operating system error, or None if the error is not one."""
    kind = _kind(error)
    return None if kind is None else kind.error(kind.message, _HINT, cause=f"{type(error).__name__}: {error}")


def is_server_failure(error: Exception) -> bool:
    """Return whether the error is a failure of the server or machine, so that the same request may work later."""
    return isinstance(error, Unavailable) or _kind(error) is not None


def condition_of(error: BaseException | None) -> str | None:
    """Describe the state of the part that raised this error or its cause, without naming a path."""
    kind = _kind(error) or _kind(None if error is None else error.__cause__)
    return None if kind is None else kind.condition


def _kind(error: BaseException | None) -> _Kind | None:
    if isinstance(error, MemoryError):
        return _NO_MEMORY
    if isinstance(error, RuntimeError):
        return _NO_THREADS if str(error) == _THREAD_ERROR else None
    if isinstance(error, FileNotFoundError):
        return _MISSING
    # An OSError without a number comes from Python code, not from the operating system.
    if isinstance(error, OSError) and error.errno is not None:
        return _KINDS.get(error.errno, _BROKEN)
    return None
