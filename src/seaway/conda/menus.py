"""
Menu files, Menu/*.json, from which menuinst and rattler create files and folders (CEP 11).

Clients write a shortcut for each item, named `name`, into a folder named `menu_name`, and delete that folder when the
package is removed: `menu_name: ".."` would delete the start menu itself. Commands, icons and working folders are not
checked: they belong to the program, which can use the whole machine by design.
"""

import re
from collections.abc import Iterator
from typing import Any

from seaway import strict_json
from seaway.conda import paths
from seaway.conda.refusals import RefusalReason, Refused

_FILE = re.compile(r"menu/.*\.json", re.IGNORECASE)  # conda's pattern
_PLACEHOLDER = re.compile(r"\{\{\s*(\w+)\s*\}\}|\$\{(\w+)\}")
_PREFIX = re.compile(r"(?:/|[A-Za-z]:[\\/])[^\"\x00-\x1f]*(?<!\\)")  # path of a build environment
_NOT_PATHS = frozenset({"DISTRIBUTION_NAME", "ENV_NAME", "PY_VER", "PLATFORM"})  # the other placeholders are folders
_BUNDLE = re.compile(r"\{\{\s*MENU_ITEM_LOCATION\s*\}\}/")
_NAME_KEYS = ("name", "CFBundleName", "CFBundleDisplayName")


def holds_menus(path: str) -> bool:
    """Return whether this path is the Menu folder or inside it."""
    return path.casefold().partition("/")[0] == "menu"


def is_menu(path: str) -> bool:
    """Return whether clients read the member at this path as a menu file."""
    return _FILE.fullmatch(path) is not None


def check(path: str, data: bytes) -> None:
    """Refuse a menu file that clients cannot read, or that would write shortcuts outside their folders."""
    try:
        menu = strict_json.decode(data)
    except strict_json.NotStrict as error:
        raise Refused(RefusalReason.BAD_JSON, f"{path[:120]!a} in the package is not strict JSON: {error}.") from None
    for name in _names(menu):
        used = {plain or old for plain, old in _PLACEHOLDER.findall(name)}
        if not used <= _NOT_PATHS or not paths.is_safe(_PLACEHOLDER.sub("x", name)):
            raise Refused(
                RefusalReason.UNSAFE_PATH,
                f"{path[:120]!a} in the package names the shortcut {name[:120]!a}, which would be written outside the folder for shortcuts.",
                "Use relative names without .., backslashes or placeholders for folders.",
            )


def check_placeholder(path: str, placeholder: str) -> None:
    """
    Refuse a prefix placeholder of a menu file that is not an absolute path.

    Clients replace it with the path of the environment, so another placeholder could change the checked names.
    """
    if is_menu(path) and _PREFIX.fullmatch(placeholder) is None:
        raise Refused(
            RefusalReason.UNSAFE_PATH,
            f"The prefix placeholder {placeholder[:120]!a} of {path[:120]!a} is not the path of an environment.",
            "Build the package again with a current tool.",
        )


def _names(menu: Any) -> Iterator[str]:
    """Yield every string of a menu file from which a client makes a path to write to."""
    if not isinstance(menu, dict):
        return
    yield from _strings(menu.get("menu_name"))
    items = menu.get("menu_items")
    for item in items if isinstance(items, list) else ():
        if not isinstance(item, dict):
            continue
        platforms = item.get("platforms")
        for form in (item, *(platforms.values() if isinstance(platforms, dict) else ())):
            if isinstance(form, dict):
                yield from _output_names(form)


def _output_names(form: dict[str, Any]) -> Iterator[str]:
    for key in _NAME_KEYS:
        yield from _strings(form.get(key))
    links = form.get("link_in_bundle")
    for target in links.values() if isinstance(links, dict) else ():
        for text in _strings(target):
            yield _BUNDLE.sub("", text, count=1) if _BUNDLE.match(text) else text


def _strings(value: object) -> Iterator[str]:
    """Yield the strings of a name, which may depend on the environment (`target_environment_is_base`)."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from (text for text in value.values() if isinstance(text, str))
