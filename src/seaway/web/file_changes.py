"""Yank, unyank and delete files of a package, after confirmation on a page that lists them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from urllib.parse import quote

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response

from seaway.callers.caller import Caller
from seaway.channels import channels, permissions
from seaway.channels.channel import Channel
from seaway.channels.permissions import Access, Verdict
from seaway.channels.roles import Action
from seaway.conda import filename
from seaway.counted_nouns import counted
from seaway.database.engine import Tx
from seaway.errors import Conflict, Malformed, NotFound, SeawayError
from seaway.http import problems
from seaway.http.caller import caller_of
from seaway.http.page_forms import Form, form_of
from seaway.http.parts import parts_of
from seaway.packages import removal, versions
from seaway.packages.removal import ChosenFile, FileAction, RemovalResult, Selection, UndoneYank
from seaway.packages.versions import VersionLine
from seaway.web.channel_pages import read_for_caller
from seaway.web.page_message import Message, Undo
from seaway.web.rendering import page, redirect_with_message

_LISTED = 200
_MAX_DIGITS = 18  # of an id of the audit log
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
    message = Message(_text(act, selection, changed), _undo(request, changed), is_change=bool(changed.files))
    return redirect_with_message(request, await _next_page(request, act, selection), message)


async def undo_yank(request: Request) -> Response:
    """Undo a yank; the message after the yank has the button."""
    by, names = await caller_of(request), request.path_params
    form = await form_of(request)
    yank = form.text("yank")
    if not yank.isascii() or not yank.isdigit() or len(yank) > _MAX_DIGITS:
        raise Malformed("The form does not say which yank to undo.", "Unyank the files on their page.")
    parts = parts_of(request)
    undone = await to_thread.run_sync(lambda: removal.undo_yank(parts.site, by, names["channel"], int(yank)))
    return redirect_with_message(request, _page_of_files(names, undone.files), _text_of_undone(undone))


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


def _text(act: FileAction, selection: Selection, changed: RemovalResult) -> str:
    """Return a sentence that names what was changed."""
    participle, count = _PARTICIPLES[act], len(changed.files)
    if count == 0:
        return f"Nothing changed: {'it was' if changed.unchanged == 1 else 'the files were'} already {participle}."
    if count == 1:
        return f"{changed.files[0].rpartition('/')[2]} was {participle}."
    if not selection.files:
        return f"{selection} was {participle}: {count:,} files."
    return f"{count:,} files of {selection.package} were {participle}."


def _text_of_undone(undone: UndoneYank) -> str:
    listed, yanked = counted(len(undone.listed), "file"), counted(len(undone.yanked), "file is", "files are")
    results = [f"solvers can choose {listed} again"] if undone.listed else []
    results += [f"{yanked} yanked as before"] if undone.yanked else []
    return f"The yank was undone: {', and '.join(results)}."


def _undo(request: Request, changed: RemovalResult) -> Undo | None:
    """Return the button that undoes a yank; the names of its files could be too many for the message."""
    if changed.yank is None:
        return None
    return Undo(f"{_package_page(request.path_params)}/undo-yank", {"yank": [str(changed.yank)]})


def _selection_of(form: Form, package: str) -> Selection:
    if form.text("what") == "package":
        return removal.select_files(package=package)
    if form.is_set("version"):
        return removal.select_files(package=package, version=form.text("version"))
    files = form.all("file")
    if not files:
        raise NotSelectable(
            "No file is selected.", "Select files of a version below, or use the buttons next to a version.", files
        )
    if len(files) > removal.MAX_NAMED:
        raise NotSelectable(
            f"{len(files):,} files are selected.",
            f"Select at most {removal.MAX_NAMED} files, or use the buttons next to a version.",
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
        reason=form.text("reason"),
        problem=problem,
    )


def _page_of(request: Request, selection: Selection) -> str:
    """Return the path of the page on which the selection was made."""
    if selection.version:
        return _version_page(request.path_params, selection.version)
    return _page_of_files(request.path_params, selection.files)


def _page_of_files(names: Mapping[str, str], files: Sequence[str]) -> str:
    """Return the path of the page of a file, of the version that all files belong to, or of the package."""
    if len(files) == 1:
        return f"{_package_page(names)}/files/{files[0]}"
    version = _version_of(files)
    return _version_page(names, version) if version else _package_page(names)


def _version_of(files: Sequence[str]) -> str:
    """Return the version that all of these files belong to, or an empty string."""
    found = {filename.parse(path.rpartition("/")[2]).version for path in files}
    return found.pop() if len(found) == 1 else ""


def _package_page(names: Mapping[str, str]) -> str:
    return f"/channels/{names['channel']}/packages/{names['package']}"


def _version_page(names: Mapping[str, str], version: str) -> str:
    return f"{_package_page(names)}?version={quote(version)}"


async def _next_page(request: Request, act: FileAction, selection: Selection) -> str:
    """Return the path of the page of the selection; after a deletion, of what is left: the package or the channel."""
    if act is not FileAction.DELETE:
        return _page_of(request, selection)
    names = request.path_params

    def versions_left(tx: Tx, _by: Caller) -> list[VersionLine]:
        return versions.lines_of(tx, channels.get(tx, names["channel"]).id, names["package"])

    left = await read_for_caller(request, versions_left)
    if not left:
        return f"/channels/{names['channel']}"
    of_files = _version_of(selection.files)
    is_left = any(line.version == of_files for line in left)
    return _version_page(names, of_files) if of_files and is_left else _package_page(names)
