"""Shared by all commands: effective settings, the opened store, and output."""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

if TYPE_CHECKING:
    from pydantic import BaseModel

    from seaway.http.request_context import RequestContext
    from seaway.models import InputModel
    from seaway.server.wiring import Seaway
    from seaway.settings import Settings

    Result = BaseModel | dict[str, Any]

_Model = TypeVar("_Model", bound="InputModel")
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


@dataclass(frozen=True)
class Context:
    """Options given before the command."""

    config: Path | None
    data: Path | None

    def settings(self, **overrides: Any) -> Settings:
        """Return the effective settings."""
        from seaway import settings

        return settings.load(self.config, **{"data": self.data, **overrides})

    @contextmanager
    def open_site(
        self, *, paired: bool = True, makes_data: bool = False, makes_database: bool = False
    ) -> Iterator[Seaway]:
        """
        Open the local store for one command; servers can be running on it at the same time.

        With `paired=False`, database and store need not belong together. A missing data folder is created only with
        `makes_data`, and a missing database in it only with `makes_database`: otherwise a mistyped folder would
        look like an empty site.
        """
        from seaway import logs
        from seaway.server import listen_addresses, wiring

        logs.set_up("text", "warning")
        settings = listen_addresses.with_saved_address(self.settings())
        if not makes_data:
            require_data(settings, needs_database=not makes_database)
        seaway = wiring.build(settings, checks_pairing=paired)
        try:
            yield seaway
        finally:
            seaway.close()

    @contextmanager
    def open_call(self) -> Iterator[RequestContext]:
        """Open the local store like `open_site`, to call functions of the API as the operator."""
        from seaway.callers.caller import OPERATOR
        from seaway.http.request_context import RequestContext

        with self.open_site() as seaway:
            yield RequestContext(seaway.request_parts, OPERATOR)


def options(context: typer.Context) -> Context:
    """Return the options given before the command."""
    found: Context = context.obj
    return found


def given(model: type[_Model], context: typer.Context, **more: Any) -> _Model:
    """Return the fields of the model that were given as options of the same name, and `more`."""
    names = {field.alias or name for name, field in model.model_fields.items()}
    return model.parse(options_among(context, names - set(more)) | more)


def options_among(context: typer.Context, names: Collection[str]) -> dict[str, Any]:
    """Return the options that have these names and were given."""
    found = {name: value for name, value in context.params.items() if name in names and value not in (None, ())}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in found.items()}


def require_data(settings: Settings, *, needs_database: bool = True) -> None:
    """Raise `BadSetting` if the data folder is missing, or a required database in it."""
    from seaway.errors import BadSetting

    hint = (
        "Correct --data or SEAWAY_DATA; `seaway serve`, `migrate`, `restore` and `user add` create a new data folder."
    )
    if not settings.data.exists():
        raise BadSetting(f"The data folder {settings.data} does not exist.", hint)
    if not settings.data.is_dir():
        raise BadSetting(
            f"The data folder {settings.data} is not a folder.", "Choose another one with --data or SEAWAY_DATA."
        )
    is_beside = needs_database and not settings.database_url.get_secret_value()
    if is_beside and not settings.database_file.exists():
        raise BadSetting(f"The data folder {settings.data} has no database.", hint)


def show(result: Result | None, as_json: bool, sentence: str = "") -> None:
    """Print one result: its JSON (null if the API returns nothing), or the sentence, or a line for each field."""
    value = None if result is None else _fields(result)
    if as_json:
        print(json.dumps(value))
    else:
        print(sentence or "\n".join(f"{name}: {_plain(field) or 'none'}" for name, field in (value or {}).items()))


def show_rows(results: Sequence[Result], as_json: bool, *, nothing: str) -> None:
    """Print a list: a JSON array, or a table with the names of the fields as header."""
    rows = [_fields(result) for result in results]
    if as_json:
        print(json.dumps(rows))
        return
    if not rows:
        print(nothing, file=sys.stderr)
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(*rows[0], box=None, pad_edge=False, show_edge=False)
    for row in rows:
        table.add_row(*(_plain(value) for value in row.values()), style=None)
    Console(markup=False, highlight=False, width=None if sys.stdout.isatty() else 200).print(table)


def bytes_of(text: str) -> int | None:
    """Parse a quota: a number of bytes, or `none`."""
    if text == "none":
        return None
    if not text.isascii() or not text.isdigit():
        raise typer.BadParameter("a quota is a number of bytes, or none")
    return int(text)


def _fields(result: Result) -> dict[str, Any]:
    return result if isinstance(result, dict) else result.model_dump(mode="json")


def _plain(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, list):
        return ", ".join(map(_plain, value))
    if isinstance(value, dict):  # an item of a list: its name, and the other fields in parentheses
        first, *others = (
            name if field is True else _plain(field) for name, field in value.items() if field is not False
        )
        return f"{first} ({', '.join(others)})"
    return "yes" if value is True else "no" if value is False else str(value)
