"""
Parse and check the files of info/: index.json, paths.json, about.json, run_exports.json, link.json.

Their values reach the solver of every client, so a value of the wrong type is refused and not repaired: one package
with `depends: null` has made whole channels unreadable. Only two repairs are made, on which all clients agree:
a missing `depends` is an empty list, and null fields are left out.
"""

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, Literal, NamedTuple, NoReturn

import msgspec

from seaway import strict_json
from seaway.conda import filename, menus, paths
from seaway.conda.limits import limit_hint
from seaway.conda.refusals import RefusalReason, Refused
from seaway.conda.subdir import is_known_subdir

MAX_SPECS = 2_000
MAX_TEXT = 1_000

_TEXT_FIELDS = ("license", "license_family", "arch", "platform", "python_site_packages_path", "preferred_env")
_SPEC_FIELDS = ("depends", "constrains")
_TEXT_LIST_FIELDS = ("purls", "flags", "requires")
_RUN_EXPORT_KINDS = ("weak", "strong", "noarch", "weak_constrains", "strong_constrains")
_ABOUT_TEXTS = (
    "home",
    "dev_url",
    "doc_url",
    "doc_source_url",
    "source_url",
    "license",
    "license_family",
    "summary",
    "description",
)
_IDENTITY = (
    ("name", "package name", RefusalReason.BAD_PACKAGE_NAME, filename.name_problem),
    ("version", "version", RefusalReason.BAD_VERSION, filename.version_problem),
    ("build", "build string", RefusalReason.BAD_BUILD_STRING, filename.build_problem),
)
# As rattler reads them. Both names are written into the source code of a script.
_DOTTED_NAME = r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*"
_ENTRY_POINT = re.compile(rf"[^=:]+=\s*{_DOTTED_NAME}\s*:\s*{_DOTTED_NAME}\s*")
_FLAG = re.compile(r"[a-z0-9_]+(?::[a-z0-9_]+)?")
_EXTRA = re.compile(r"[a-z0-9_.+-]{1,64}")
_QUOTES = "\"'"
_MODES = ("text", "binary")
_OLD_PLACEHOLDER = "/opt/anaconda1anaconda2anaconda3"  # default of has_prefix lines without one
_MAX_TIMESTAMP = 253_370_764_800_000  # start of the year 9999, close to the latest that rattler reads
# C0, DEL, C1 and the line and paragraph separators: characters that end a line or control a terminal in some reader.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_NAME_FIELDS = ("preferred_env", "icon")  # conda 4.4 and Navigator use these as the names of a folder and a file


def read_index_json(data: bytes) -> dict[str, Any]:
    """Return the checked fields of info/index.json without null values; unknown fields are kept."""
    index = {key: value for key, value in _strict_object(data, "index.json").items() if value is not None}
    _check_identity(index)
    for key, value in index.items():
        _check_no_controls([key, value], f"{key[:60]!a} of index.json")
    index.setdefault("depends", [])
    for key in _SPEC_FIELDS + _TEXT_LIST_FIELDS:
        if key in index:
            _check_strings(index[key], f"{key} of index.json")
    for key in _TEXT_FIELDS:
        if key in index:
            _check_string(index[key], f"{key} of index.json")
    _check_paths(index)
    _check_features(index)
    _check_flags(index.get("flags", []))
    _check_extra_depends(index.get("extra_depends", {}))
    _check_timestamp(index)
    _check_noarch(index)
    return index


def read_run_exports(data: bytes) -> dict[str, list[str]]:
    """Return the non-empty kinds of info/run_exports.json (CEP 12); a plain list, the old form, means `weak`."""
    value = _strict_json(data, "run_exports.json")
    if isinstance(value, list):
        value = {"weak": value}
    if not isinstance(value, dict):
        _refuse_field("run_exports.json is not an object")
    kept = {}
    for kind in _RUN_EXPORT_KINDS:
        specs = value.get(kind)
        if specs:
            _check_strings(specs, f"{kind} of run_exports.json")
            kept[kind] = specs
    return kept


def read_about(data: bytes) -> dict[str, str]:
    """
    Return the strings of info/about.json that pages or channeldata.json show.

    A list gives its first string; values of other types are left out.
    """
    about = _strict_object(data, "about.json")
    texts = {key: _first_string(about.get(key)) for key in _ABOUT_TEXTS}
    return {key: text for key, text in texts.items() if text}


def _first_string(value: object) -> str:
    """Return the string, or the first of a list (recipes can have several URLs); an empty string for other values."""
    values = value if isinstance(value, list) else [value]
    return next((item for item in values if isinstance(item, str) and item), "")


def validate_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return values of `depends`, `constrains`, `license` or `track_features` that pass the checks of index.json."""
    values = dict(fields)
    for key in _SPEC_FIELDS:
        if key in values:
            _check_strings(values[key], key)
    if "license" in values:
        _check_string(values["license"], "license")
    _check_features(values)
    return values


def has_controls(text: str) -> bool:
    """Return whether a text contains a control character or a line separator."""
    return not text.isprintable() and _CONTROL.search(text) is not None


class PathEntry(msgspec.Struct):
    """Entry of paths.json, restricted to values that both conda and py-rattler accept."""

    path: str = msgspec.field(name="_path")
    path_type: Literal["hardlink", "softlink", "directory"]
    file_mode: Literal["binary", "text"] | None = None
    prefix_placeholder: str | None = None
    no_link: bool = False
    sha256: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-fA-F]{64}\Z")] | None = None
    size_in_bytes: Annotated[int, msgspec.Meta(ge=0)] | None = None


class _Paths(msgspec.Struct):
    paths: list[PathEntry]
    paths_version: Literal[1]


def read_paths_json(data: bytes, max_entries: int) -> list[PathEntry]:
    """
    Return the entries of paths.json; raise `Refused` if clients cannot read it or a path leaves its folder.

    The number of entries is limited: 64 MiB of paths.json, 7 kB in the archive, can contain five million paths, which
    took 9 s to check.
    """
    _check_count(data.count(b'"_path"'), max_entries, "info/paths.json")  # much cheaper than decoding
    try:
        entries = msgspec.json.decode(data, type=_Paths).paths
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Refused(
            RefusalReason.BAD_FIELD,
            f"info/paths.json of the package is not a valid list of paths: {str(error)[:120]}.",
        ) from None
    _check_count(len(entries), max_entries, "info/paths.json")
    try:  # duplicate keys, which clients resolve differently, and sizes that rattler cannot read
        strict_json.require_single_keys(data)
    except strict_json.NotStrict as error:
        raise _not_strict("paths.json", error) from None
    for entry in entries:
        paths.check(entry.path)
        menus.check_placeholder(entry.path, entry.prefix_placeholder or "/")
    return entries


def prefix_traits(entries: Iterable[PathEntry]) -> frozenset[str]:
    """Return the traits for prefix replacement in text or binary files (CEP 38)."""
    return frozenset(f"{entry.file_mode}_prefix" for entry in entries if entry.prefix_placeholder and entry.file_mode)


def read_files(data: bytes, what: str, max_entries: int) -> list[str]:
    """Return the paths in a plain list of an old package (files, no_link, no_softlink), checked like paths.json."""
    lines = list(_lines(data, what, max_entries))
    for line in lines:
        paths.check(line)
    return lines


class PrefixLine(NamedTuple):
    """Line of info/has_prefix: clients replace the placeholder in the file at the path."""

    text: str
    path: str
    placeholder: str
    mode: str
    is_readable: bool  # by all clients


def read_has_prefix(data: bytes, max_entries: int, *, is_used: bool) -> list[PrefixLine]:
    """
    Return the lines of info/has_prefix, the list of files with a prefix placeholder in old packages.

    `is_used`: the package has no paths.json, so clients read this list; lines that no client can read are refused.
    """
    lines = [_read_has_prefix(text, is_used=is_used) for text in _lines(data, "has_prefix", max_entries)]
    for line in lines:
        if line.path:
            paths.check(line.path)
            menus.check_placeholder(line.path, line.placeholder)
    return lines


def _check_count(count: int, max_entries: int, what: str) -> None:
    if count > max_entries:
        raise Refused(
            RefusalReason.TOO_MANY_MEMBERS,
            f"{what} of the package lists {count:,} files; at most {max_entries:,} are allowed.",
            limit_hint("archive_members"),
        )


def check_link_json(data: bytes, *, is_noarch_python: bool) -> None:
    """
    Refuse entry points and executables that a client would write outside the folders for them.

    Clients read link.json only in noarch python packages; there, entry points that py-rattler cannot read are refused
    as well.
    """
    link = _strict_object(data, "link.json")
    _check_preferred_env(link.get("preferred_env"))
    noarch = link.get("noarch")
    if is_noarch_python:
        _check_noarch_link(noarch, link.get("package_metadata_version"))
    points = noarch.get("entry_points") if isinstance(noarch, dict) else None
    if points is None:
        return
    _check_strings(points, "entry_points of link.json")
    for point in points:
        command = point.split("=", 1)[0].strip()
        if "=" not in point or ":" in command or command.startswith(".") or not paths.is_safe_name(command):
            raise Refused(
                RefusalReason.UNSAFE_ENTRY_POINT,
                f"The entry point {point[:120]!a} would be written outside the bin folder.",
                "Write it as command = module:function.",
            )
        paths.check_lengths(command, "The command of an entry point is")
        if is_noarch_python and not _ENTRY_POINT.fullmatch(point):
            raise Refused(
                RefusalReason.BAD_ENTRY_POINT,
                f"The entry point {point[:120]!a} is not of the form command = module:function, so clients fail to install the package.",
                "Use dotted names of ASCII letters, digits and underscores for module and function, without [extras].",
            )


def _check_noarch_link(noarch: object, version: object) -> None:
    if not isinstance(noarch, dict) or noarch.get("type") != "python":
        _refuse_field("noarch.type of link.json is not python, although index.json says noarch: python")
    if noarch.get("entry_points", ()) is None:
        _refuse_field("entry_points of link.json is null, which clients fail to read")
    if not isinstance(version, int) or isinstance(version, bool) or version < 0:
        _refuse_field("package_metadata_version of link.json is missing or not a number")


def _check_preferred_env(preferred: object) -> None:
    """Check the paths that conda 4.4 linked into another environment."""
    if not isinstance(preferred, dict):
        return
    for key in ("executable_paths", "softlink_paths"):
        if preferred.get(key) is not None:
            _check_strings(preferred[key], f"{key} of link.json")
            for path in preferred[key]:
                paths.check(path, f"{key} of link.json has the path")
    if isinstance(preferred.get("name"), str):
        _check_name(preferred["name"], "preferred_env of link.json")


def _lines(data: bytes, what: str, max_entries: int) -> Iterator[str]:
    """Yield the lines as clients read them: separated by line feeds only, without spaces around the path."""
    _check_count(data.count(b"\n"), max_entries, f"info/{what}")
    try:
        text = data.decode()
    except UnicodeDecodeError:
        _refuse_field(f"info/{what} is not UTF-8")
    for line in text.removesuffix("\n").split("\n") if text else ():
        yield line.strip(" \r")


def _read_has_prefix(text: str, *, is_used: bool) -> PrefixLine:
    """
    Parse a line of the form `path` or `placeholder mode path`, where each part may be quoted.

    conda skips empty lines and lines that start with `#`; rattler fails to read them. conda reads only modes in lower
    case, rattler only modes without quotes.
    """
    if not text or text.startswith("#"):
        return PrefixLine(text, "", "", "", is_readable=False)
    try:
        parts = shlex.split(text, posix=False)
    except ValueError:
        parts = []
    mode = parts[1] if len(parts) == 3 else "text"
    if len(parts) not in (1, 3) or mode.strip(_QUOTES).lower() not in _MODES:
        if is_used:
            _refuse_field(
                f"info/has_prefix has the line {text[:120]!a}, which is not of the form placeholder mode path"
            )
        parts = text.split(maxsplit=2)  # old tools did not quote spaces in paths
    placeholder = parts[0].strip(_QUOTES) if len(parts) == 3 else _OLD_PLACEHOLDER
    return PrefixLine(text, parts[-1].strip(_QUOTES), placeholder, mode.strip(_QUOTES), mode in _MODES)


def _check_paths(index: dict[str, Any]) -> None:
    if "python_site_packages_path" in index:
        paths.check(index["python_site_packages_path"], "python_site_packages_path of index.json is")
    for key in _NAME_FIELDS:
        if isinstance(index.get(key), str) and index[key]:
            _check_name(index[key], f"{key} of index.json")


def _check_name(name: str, what: str) -> None:
    if not paths.is_safe_name(name):
        raise Refused(
            RefusalReason.UNSAFE_PATH,
            f"{what} is {name[:120]!a}, which is not a valid file name.",
            "Use a name without slashes, then build the package again.",
        )


def _check_identity(index: dict[str, Any]) -> None:
    for key, what, reason, problem_of in _IDENTITY:
        value = index.get(key)
        problem = problem_of(value) if isinstance(value, str) else "is missing or not a string"
        if problem:
            shown = f" {value[:120]!a}" if isinstance(value, str) else ""
            raise Refused(
                reason,
                f"The {what}{shown} in index.json {problem}.",
                "Correct it in the recipe, then build the package again.",
            )
    number = index.get("build_number")
    if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number < 1 << 63:
        _refuse_field("build_number of index.json is not a non-negative integer")
    subdir = index.get("subdir")
    if subdir is None:
        raise Refused(
            RefusalReason.MISSING_SUBDIR,
            "index.json of the package has no subdir.",
            "Build the package again with a current tool, which writes it.",
        )
    if not isinstance(subdir, str) or not is_known_subdir(subdir):
        shown = ascii(subdir)[:120] if isinstance(subdir, str) else "A value that is not a string"
        raise Refused(RefusalReason.UNKNOWN_SUBDIR, f"{shown} is not a known platform, such as noarch or linux-64.")


def _check_features(index: dict[str, Any]) -> None:
    """Check the features and join lists of them with spaces: rattler reads `features` only as a string."""
    for key in ("features", "track_features"):
        if key in index and not isinstance(index[key], str):
            _check_strings(index[key], f"{key} of index.json")
            index[key] = " ".join(index[key])
        _check_string(index.get(key, ""), f"{key} of index.json")


def _check_flags(flags: list[str]) -> None:
    for flag in flags:
        if not _FLAG.fullmatch(flag):
            _refuse_field(f"the flag {flag[:60]!a} in index.json does not have the form required by CEP 45")


def _check_extra_depends(extra: object) -> None:
    if not isinstance(extra, dict) or len(extra) > MAX_SPECS:
        _refuse_field("extra_depends of index.json is not an object of lists")
    for group, specs in extra.items():
        if not _EXTRA.fullmatch(group):
            _refuse_field(
                f"the name {group[:60]!a} in extra_depends of index.json does not have the form required by CEP 44"
            )
        _check_strings(specs, "extra_depends of index.json")


def _check_timestamp(index: dict[str, Any]) -> None:
    timestamp = index.get("timestamp", 0)
    if not isinstance(timestamp, int) or isinstance(timestamp, bool) or not 0 <= timestamp <= _MAX_TIMESTAMP:
        _refuse_field("timestamp of index.json is not an integer number of milliseconds before the year 9999")


def _check_noarch(index: dict[str, Any]) -> None:
    """Keep `python` and `generic`; `true`, written by old tools, means generic, and empty means none (pixi#4344)."""
    noarch = index.get("noarch")
    if noarch is True:
        index["noarch"] = "generic"
    elif noarch is False or noarch == "":
        index.pop("noarch")
    elif noarch not in (None, "python", "generic"):
        _refuse_field("noarch of index.json is neither python nor generic")


def _check_strings(values: object, what: str) -> None:
    if not isinstance(values, list) or len(values) > MAX_SPECS:
        _refuse_field(f"{what} is not a list of at most {MAX_SPECS:,} strings")
    for value in values:
        _check_string(value, what)


def _check_no_controls(value: object, what: str) -> None:
    """Refuse control characters in all strings and keys of a value; the caller has bounded its nesting."""
    if isinstance(value, str):
        if has_controls(value):
            raise Refused(
                RefusalReason.BAD_FIELD,
                f"{what} contains a control character, such as a tab or a line feed.",
                "Remove it from the recipe, then build the package again.",
            )
    elif isinstance(value, dict):
        for key, inner in value.items():
            _check_no_controls(key, what)
            _check_no_controls(inner, what)
    elif isinstance(value, list):
        for inner in value:
            _check_no_controls(inner, what)


def _check_string(value: object, what: str) -> None:
    if not isinstance(value, str) or len(value) > MAX_TEXT or has_controls(value):
        _refuse_field(f"{what} is not a string of at most {MAX_TEXT:,} characters without control characters")


def _strict_object(data: bytes, what: str) -> dict[str, Any]:
    value = _strict_json(data, what)
    if not isinstance(value, dict):
        _refuse_field(f"{what} is not an object")
    return value


def _strict_json(data: bytes, what: str) -> Any:
    try:
        return strict_json.decode(data)
    except strict_json.NotStrict as error:
        raise _not_strict(what, error) from None


def _not_strict(what: str, error: strict_json.NotStrict) -> Refused:
    return Refused(RefusalReason.BAD_JSON, f"info/{what} of the package is not strict JSON: {error}.")


def _refuse_field(what: str) -> NoReturn:
    raise Refused(RefusalReason.BAD_FIELD, f"{what}.", "Build the package again with a current tool.")
