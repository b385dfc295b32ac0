"""Yank, unyank and delete files of a package, after confirmation on a page that lists them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response

from seaway.callers.caller import Caller
from seaway.channels import channels, permissions
from seaway.channels.channel import Channel
from seaway.channels.permissions import Access, Verdict
from seaway.channels.roles import Action
from seaway.counted_nouns import counted
from seaway.database.engine import Tx
from seaway.errors import Conflict, Malformed, NotFound, SeawayError
from seaway.http import problems
from seaway.http.caller import caller_of
from seaway.http.page_forms import Form, form_of
from seaway.http.parts import parts_of
from seaway.packages import removal, versions
from seaway.packages.removal import ChosenFile, FileAction, Selection
from seaway.web.channel_pages import read_for_caller
from seaway.web.rendering import page, redirect_with_message

_LISTED = 200
_PARTICIPLES = {FileAction.YANK: "yanked", FileAction.UNYANK: "unyanked", FileAction.DELETE: "deleted"}


@dataclass(frozen=True, slots=True)
class Button:
    """Button of an action, and the warning shown before it is confirmed."""

    act: FileAction
    title: str
    warning: str

    @property
    def is_danger(self) -> bool:
        """Whether the action cannot be undone."""
        return self.act is FileAction.DELETE


BUTTONS = {
    FileAction.YANK: Button(
        FileAction.YANK,
        "Yank",
        "Solvers no longer choose yanked files. They stay downloadable, so lock files that name them still work.",
    ),
    FileAction.UNYANK: Button(FileAction.UNYANK, "Unyank", "Solvers can choose unyanked files again."),
    FileAction.DELETE: Button(
        FileAction.DELETE,
        "Delete",
        "This cannot be undone. Deleted files cannot be downloaded, and lock files that name them break.",
    ),
}


class NotSelectable(Malformed):
    """The form selects no files or too many; its page is shown again with this error."""

    def __init__(self, message: str, hint: str, selected: Sequence[str]) -> None:
        super().__init__(message, hint)
        self.selected = frozenset(selected)


async def change(request: Request) -> Response:
    """Show the confirmation page, or make the confirmed change and redirect."""
    by, names = await caller_of(request), request.path_params
    act = next((act for act in FileAction if act.value == names["act"]), None)
    if act is None:
        raise NotFound("This page does not exist.", "Check the URL.")
    form = await form_of(request)
    selection = _selection_of(form, names["package"])
    if not form.is_set("confirmed"):
        return await _confirm(request, act, selection, form)
    try:
        reason = removal.checked_reason(form.text("reason"))
    except Malformed as error:
        return await _confirm(request, act, selection, form, error)
    parts = parts_of(request)
    # Selected files are named in the form. A version or package may have other files by now, so `expected` is compared.
    expected = None if selection.files else form.text("expected")
    try:
        changed = await to_thread.run_sync(
            lambda: removal.change(parts.site, by, names["channel"], act, selection, reason=reason, expected=expected)
        )
    except Conflict as error:
        return await _confirm(request, act, selection, form, error)
    return redirect_with_message(request, await _next_page(request, act, selection), _message(act, len(changed.files)))


def allowed(
    by: Caller, access: Access, package: str, *, own_file: bool, yanked: bool, listed: bool
) -> dict[str, Button]:
    """Return the buttons that this caller can use, given whether there are yanked and listed files."""
    if not by.is_person:
        return {}
    applicable = {FileAction.YANK: listed, FileAction.UNYANK: yanked, FileAction.DELETE: True}
    return {
        act.value: BUTTONS[act]
        for act, applies in applicable.items()
        if applies and permissions.decide(by, act.action, access, own_file=own_file, package=package) is Verdict.ALLOWED
    }


def _message(act: FileAction, count: int) -> str:
    if count == 0:
        return "Nothing changed."
    return f"{counted(count, 'file')} {'was' if count == 1 else 'were'} {_PARTICIPLES[act]}."


def _selection_of(form: Form, package: str) -> Selection:
    what = form.text("what")
    if what == "package":
        return removal.select_files(package=package)
    if what == "version":
        return removal.select_files(package=package, version=form.text("version"))
    files = form.all("file")
    if not files:
        raise NotSelectable("No file is selected.", "Select files, or choose the version or the package.", files)
    if len(files) > removal.MAX_NAMED:
        raise NotSelectable(
            f"{len(files):,} files are selected.",
            f"Select at most {removal.MAX_NAMED} files, or choose the version or the package.",
            files,
        )
    return replace(removal.select_files(files=files), package=package)


async def _confirm(
    request: Request, act: FileAction, selection: Selection, form: Form, problem: SeawayError | None = None
) -> Response:
    name = request.path_params["channel"]

    def find(tx: Tx, by: Caller) -> tuple[Channel, list[ChosenFile]]:
        channels.require(tx, by, Action.READ, name)
        return channels.get(tx, name), removal.preview(tx, by, name, act, selection)

    channel, files = await read_for_caller(request, find)
    return page(
        request,
        "files_act.html",
        status=200 if problem is None else problems.status_of(problem),
        channel=channel,
        package=request.path_params["package"],
        files=files[:_LISTED],
        count=len(files),
        expected=removal.digest(file.path for file in files),
        size=sum(file.size for file in files),
        selection=selection,
        button=BUTTONS[act],
        back=_page_of(request, selection),
        what=form.text("what") or "files",
        reason=form.text("reason"),
        problem=problem,
    )


def _page_of(request: Request, selection: Selection) -> str:
    """Return the path of the page on which the selection was made."""
    names = request.path_params
    package = f"/channels/{names['channel']}/packages/{names['package']}"
    return f"{package}/files/{selection.files[0]}" if len(selection.files) == 1 else package


async def _next_page(request: Request, act: FileAction, selection: Selection) -> str:
    """Return the path of the file or package page, or of the channel page if the package is gone."""
    if act is not FileAction.DELETE:
        return _page_of(request, selection)
    names = request.path_params

    def is_left(tx: Tx, _by: Caller) -> bool:
        return bool(versions.of_package(tx, channels.get(tx, names["channel"]).id, names["package"]))

    above = f"/channels/{names['channel']}"
    return f"{above}/packages/{names['package']}" if await read_for_caller(request, is_left) else above
