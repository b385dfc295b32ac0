"""The `seaway` program: its commands, and how errors are printed."""

import errno
import json
import os
import sys
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated

import typer

from seaway import __version__
from seaway.cli import (
    backup,
    channel,
    file,
    group,
    issuer,
    jobs,
    key,
    maintenance,
    member,
    notice,
    publisher,
    rebuild,
    sigstore,
    upload,
    upload_log,
    user,
)
from seaway.cli.context import Context
from seaway.cli.serve import serve, work
from seaway.errors import DiskFull, Malformed, SeawayError, Unavailable

_MAKE_ROOM = "Free some space and try again."
_DISK_IS_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

app = typer.Typer(
    name="seaway",
    help="Host conda packages: publish with pixi or rattler-build, install with pixi, conda or mamba.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,
)
app.command()(serve)
app.add_typer(user.app, name="user")
app.add_typer(channel.app, name="channel")
app.add_typer(member.app, name="member")
app.add_typer(group.app, name="group")
app.add_typer(file.app, name="file")
app.add_typer(notice.app, name="notice")
app.add_typer(key.app, name="key")
app.add_typer(issuer.app, name="issuer")
app.add_typer(publisher.app, name="publisher")
app.command("upload")(upload.upload)
app.add_typer(upload_log.app, name="uploads")
app.add_typer(sigstore.app, name="sigstore")
app.add_typer(jobs.app, name="jobs")
app.command("work")(work)
app.command("migrate")(maintenance.migrate)
app.command("reindex")(maintenance.reindex)
app.command("check")(maintenance.check)
app.command("sweep")(maintenance.sweep)
app.command("adopt")(maintenance.adopt)
app.command("backup")(backup.backup)
app.command("restore")(backup.restore)
app.command("rebuild")(rebuild.rebuild)
app.command("move-storage")(backup.move_storage)
app.command("move-database")(backup.move_database)
app.command("config")(maintenance.config)


def _show_version(is_given: bool) -> None:
    if is_given:
        print(f"seaway {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    context: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option(help="Settings file; default: seaway.toml in this folder, if it exists.", envvar="SEAWAY_CONFIG"),
    ] = None,
    data: Annotated[Path | None, typer.Option(help="Data folder; overrides the setting.")] = None,
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    context.obj = Context(config, data)


def run() -> None:
    """Run one command; exit code 1 if it failed, 2 if the command line is wrong."""
    _open_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names from a damaged database need not be printable
    try:
        try:
            app()
        finally:
            sys.stdout.flush()  # while a failure can still be reported
    except BrokenPipeError:
        # The reader closed the pipe. The interpreter flushes again when it exits, and must not fail then.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None
    except SeawayError as error:
        raise _exit(error) from None
    except (OSError, UnicodeError, OverflowError, MemoryError) as error:
        raise _exit(_converted(error)) from None
    except Exception as error:  # errors that a database driver raised outside a transaction get a message too
        converted = _database_error(error)
        if converted is None:
            raise
        raise _exit(converted) from None


def _open_closed_streams() -> None:
    """Open /dev/null for standard streams that the shell closed (`>&-`), so that no other file gets their numbers."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode))


def _database_error(error: Exception) -> SeawayError | None:
    """Convert an error of the database or its driver; None for a bug in the program."""
    # Imported here: most commands end without an error.
    import sqlite3

    from sqlalchemy.exc import DBAPIError, OperationalError

    from seaway.database.damage import is_damage
    from seaway.database.engine import to_unavailable

    cause = error.orig if isinstance(error, DBAPIError) else error
    is_known = isinstance(error, OperationalError) or isinstance(cause, sqlite3.OperationalError) or is_damage(cause)
    return to_unavailable(cause) if is_known else None


def _exit(error: SeawayError) -> SystemExit:
    """Print the error as a sentence, or as JSON with --json."""
    hint = _MAKE_ROOM if isinstance(error, DiskFull) else error.hint  # the operator runs commands, and can free space
    if "--json" in sys.argv:
        value = {"error": {"code": error.code, "message": error.message, "hint": hint}}
        print(json.dumps(value), file=sys.stderr)
    else:
        cause = f" ({error.cause})" if isinstance(error, Unavailable) and error.cause else ""
        print(f"seaway: {error.message} {hint}".rstrip() + cause, file=sys.stderr)
    return SystemExit(1)


def _converted(error: OSError | UnicodeError | OverflowError | MemoryError) -> SeawayError:
    """Convert an error of the disk, the memory or the input into a `SeawayError`."""
    if isinstance(error, UnicodeError):
        return Malformed("An argument, or the standard input, is not UTF-8 text.", "Correct it.")
    if isinstance(error, OverflowError):
        return Malformed("A number is too large.", "Use a smaller one.")
    if isinstance(error, MemoryError):
        return Unavailable("This machine is out of memory.", "Stop other programs and try again.")
    where = f" {error.filename}" if error.filename else ""
    reason = error.strerror or str(error)
    if error.errno in _DISK_IS_FULL:
        return Unavailable(f"The disk is full{f' at{where}' if where else ''}.", _MAKE_ROOM)
    return Unavailable(
        f"The file{where} cannot be used: {reason}." if where else f"The system refused a call: {reason}.",
        "Check its permissions and its disk.",
    )
