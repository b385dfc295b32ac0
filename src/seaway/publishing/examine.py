"""
Examine a spool file: open the package, check that it is well-formed, and return a candidate for the channel.

This runs in a separate process (`publishing.examiner`): an untrusted archive can be slow, large or malformed in
unforeseen ways, and must not bring down the server.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seaway.conda import (
    archive,
    listed_files,
    match_specs,
    metadata,
    paths,
    portable_specs,
    record,
    reserved_paths,
    version,
)
from seaway.conda.filename import CONDA, FileName
from seaway.conda.limits import ArchiveLimits
from seaway.conda.record import FileDigest, Section
from seaway.conda.refusals import RefusalReason, Refused
from seaway.conda.tar_reader import MemberType

_MAX_WARNED = 3
_DOTS = (
    "Paths in the archive begin with ./, so tools that look for info/index.json, such as indexers, do not find it;"
    " pack the folders by name: tar cjf FILE info share."
)


@dataclass(frozen=True, slots=True)
class Candidate:
    """The metadata of a well-formed package."""

    file_name: FileName
    subdir: str
    section: Section
    record: dict[str, Any]
    about: dict[str, Any]
    hashes: FileDigest
    warnings: tuple[str, ...]


def examine(
    path: Path, file_name: FileName, hashes: FileDigest, limits: ArchiveLimits, *, refuse_escaping_links: bool
) -> Candidate:
    """Read the archive within limits and check its metadata; raise `Refused` with the first problem."""
    contents = archive.read_archive(path, file_name, limits)
    index = metadata.read_index_json(contents.info[archive.INDEX_JSON])
    _check_names(index, file_name)
    run_exports = metadata.read_run_exports(contents.info.get(archive.RUN_EXPORTS_JSON, b"{}"))
    record.check_specs(index, run_exports)
    match_specs.check_readable(index)
    traits, warnings = _check_paths(contents, file_name, limits.members)
    is_noarch_python = index.get("noarch") == "python"
    warnings += reserved_paths.check(contents.members, is_noarch_python=is_noarch_python)
    if archive.LINK_JSON in contents.info:
        metadata.check_link_json(contents.info[archive.LINK_JSON], is_noarch_python=is_noarch_python)
    if "noarch" in index:
        contained = [path for path, stored in contents.members.items() if stored.kind is not MemberType.FOLDER]
        warnings += paths.portability_warnings(contained)
    about = metadata.read_about(contents.info.get(archive.ABOUT_JSON, b"{}"))
    section = record.section_of(index, file_name.extension)
    return Candidate(
        file_name=file_name,
        subdir=index["subdir"],
        section=section,
        record=record.build_record(index, run_exports, section, hashes),
        about={**about, "traits": sorted(contents.traits | traits)},
        hashes=hashes,
        warnings=(
            *_link_warnings(contents, refuse_escaping_links=refuse_escaping_links),
            *((_DOTS,) if contents.has_leading_dot_paths else ()),
            *portable_specs.warnings(record.unportable_specs(index, run_exports)),
            *_timestamp_warnings(index.get("timestamp", 0)),
            *warnings,
        ),
    )


def _check_names(index: dict[str, Any], file_name: FileName) -> None:
    stated = f"{index['name']}-{index['version']}-{index['build']}"
    if version.parse(index["version"]) is None:
        raise Refused(
            RefusalReason.BAD_VERSION,
            f"{index['version']!a} is not a version that clients can compare.",
            "Correct it in the recipe and build again.",
        )
    if stated != file_name.stem:
        raise Refused(
            RefusalReason.NAME_MISMATCH,
            f"{file_name} contains the package {stated!r}, but its file name says {file_name.stem!r}.",
            "Upload the file under the name that the build tool gave it.",
        )


def _check_paths(contents: archive.ArchiveContents, file_name: FileName, most: int) -> tuple[frozenset[str], list[str]]:
    """Check the list of files; return the traits of the package and the warnings."""
    info = contents.info
    listed = {
        name: metadata.read_files(info[name], name.removeprefix("info/"), most)
        for name in (archive.NO_LINK, archive.NO_SOFTLINK, archive.FILES)
        if name in info
    }
    is_used = archive.PATHS_JSON not in info
    prefixes = metadata.read_has_prefix(info.get(archive.HAS_PREFIX, b""), most, is_used=is_used)
    if archive.PATHS_JSON in info:
        entries = metadata.read_paths_json(info[archive.PATHS_JSON], most)
        allow_stripped = file_name.extension != CONDA
        warnings = listed_files.check(entries, contents.members, allow_stripped=allow_stripped)
        return metadata.prefix_traits(entries), warnings
    if file_name.extension == CONDA or archive.FILES not in info:
        raise Refused(
            RefusalReason.MISSING_PATHS_JSON,
            f"{file_name} does not list its files: it has no info/paths.json.",
            "Build it again with a current version of the build tool.",
        )
    warnings = listed_files.check_names(listed[archive.FILES], contents.members)
    return frozenset(), warnings + listed_files.check_prefixes(prefixes, contents.members)


def _link_warnings(contents: archive.ArchiveContents, *, refuse_escaping_links: bool) -> tuple[str, ...]:
    links = contents.escaping_links
    if not links:
        return ()
    shown = ", ".join(ascii(link) for link in links[:_MAX_WARNED])[:300]
    if refuse_escaping_links:
        raise Refused(
            RefusalReason.ESCAPING_LINK, f"Links of the package point outside of its installation folder: {shown}."
        )
    return (f"{len(links)} links of the package point outside of its installation folder: {shown}.",)


def _timestamp_warnings(timestamp: int) -> tuple[str, ...]:
    in_ms = record.timestamp_ms(timestamp)
    if timestamp == in_ms:
        return ()
    return (f"timestamp {timestamp} of index.json is in seconds; write it in milliseconds: {in_ms}.",)
