"""
Check for members at reserved paths of an environment.

1. conda-meta/*.json are the records of installed packages. Such a file in a package breaks every later command in the
   environment, or claims that another package is installed, so it is refused. Case is ignored, as on two of three
   platforms.
2. Clients relocate the folders site-packages/ and python-scripts/ of noarch python packages, so neither may be a file.
"""

from collections.abc import Mapping

from seaway.conda.listed_files import UnpackedMember
from seaway.conda.paths import format_paths
from seaway.conda.refusals import RefusalReason, Refused
from seaway.conda.tar_reader import MemberType

_STATE_FOLDER = "conda-meta"
_PYTHON_FOLDERS = ("site-packages", "python-scripts")


def check(members: Mapping[str, UnpackedMember], *, is_noarch_python: bool) -> list[str]:
    """Return a warning for other files in conda-meta/; raise `Refused` if the package breaks an invariant."""
    if is_noarch_python:
        for folder in _PYTHON_FOLDERS:
            _require_folder(folder, members.get(folder))
    state = []
    for path, stored in members.items():
        first, _, rest = path.lower().partition("/")
        if first != _STATE_FOLDER:
            continue
        if not rest:
            _require_folder(path, stored)
        elif rest.partition("/")[0].endswith(".json"):
            raise Refused(
                RefusalReason.RESERVED_PATH,
                f"The package contains {path[:120]!a}, which clients would read as the record of an installed package.",
                "Remove it, then build the package again; only clients write conda-meta/*.json.",
            )
        elif stored.kind is not MemberType.FOLDER:
            state.append(path)
    if not state:
        return []
    return [f"The package contains {format_paths(state)}; clients keep the state of an environment in conda-meta/."]


def _require_folder(path: str, stored: UnpackedMember | None) -> None:
    if stored is not None and stored.kind is not MemberType.FOLDER:
        raise Refused(
            RefusalReason.RESERVED_PATH,
            f"The package contains {path!a} as a file or link, where clients need a folder.",
            "Rename the file or move it into that folder, then build the package again.",
        )
