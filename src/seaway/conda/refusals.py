"""
Reasons for refusing a package file.

The value of a `RefusalReason` is its code in logs, metrics and the JSON output of commands. `RefusalReason.meaning` is its row in the
manual (`docs/use/refusals.md`); a test compares them.
"""

from enum import Enum
from typing import Self

from seaway.errors import SeawayError


class RefusalReason(Enum):
    """Reason for refusing a file; the value is a stable code."""

    meaning: str

    # The request and the file name
    BAD_FILE_NAME = "bad-file-name", "The file name is not a valid name-version-build.conda or .tar.bz2 (CEP 26)."
    HASH_MISMATCH = "hash-mismatch", "The sha256 announced by the client differs from that of the received bytes."
    EMPTY_FILE = "empty-file", "The file is empty."

    # The outer ZIP or compression
    BAD_ZIP = "bad-zip", "The .conda file is not a single plain ZIP from its first to its last byte."
    ZIP_MEMBERS = (
        "zip-members",
        "The ZIP must contain exactly metadata.json, info-STEM.tar.zst and pkg-STEM.tar.zst, and no folders.",
    )
    ZIP_COMPRESSED = "zip-compressed", "A member of the ZIP is compressed or encrypted; CEP 35 requires stored members."
    ZIP_CHECKSUM = "zip-checksum", "A member of the ZIP does not match its checksum."
    BAD_FORMAT_VERSION = "bad-format-version", "metadata.json does not have conda_pkg_format_version 2."
    STEM_MISMATCH = "stem-mismatch", "The members of the .conda are named for another package than the file."
    BAD_COMPRESSION = "bad-compression", "The zstd or bzip2 stream is damaged, cut short, or followed by other bytes."
    WINDOW_TOO_LARGE = "window-too-large", "The zstd stream needs a window of more than 128 MiB to unpack."

    # The tar inside
    BAD_TAR = "bad-tar", "The tar is damaged, cut short, or followed by bytes other than zero."
    UNSAFE_PATH = (
        "unsafe-path",
        "A path or file name in the package would leave its folder, or cannot be written on every platform.",
    )
    DUPLICATE_MEMBER = (
        "duplicate-member",
        "The archive contains the same path twice, or info/paths.json lists one path with different properties: two readers could see two packages.",
    )
    SPECIAL_MEMBER = (
        "special-member",
        "The archive contains a device, a pipe, a sparse file or a member of unknown type.",
    )
    LINK_IN_INFO = "link-in-info", "A file under info/ is a link; metadata must be in regular files."
    BROKEN_LINK = "broken-link", "A hard link points to a member that is missing from the archive or comes later in it."
    ESCAPING_LINK = "escaping-link", "A link in the package points outside the folder that it is installed to."
    MISPLACED_MEMBER = (
        "misplaced-member",
        "The info part contains files outside info/, or the pkg part contains metadata that clients read from info/.",
    )

    # Limits
    TOO_MANY_MEMBERS = "too-many-members", "The archive contains more members than the limit."
    UNPACKS_TOO_LARGE = "unpacks-too-large", "The archive unpacks to more bytes than the limit for its size."
    INFO_TOO_LARGE = "info-too-large", "The info part, one file of it, or a menu file is larger than the limit."
    TOOK_TOO_LONG = "took-too-long", "Reading the archive took longer than the limit for its size."
    TOOK_TOO_MUCH_MEMORY = "took-too-much-memory", "Reading the archive needed more memory than the limit."

    READER_FAILED = (
        "reader-failed",
        "The reader failed on this package for an unexpected reason; the server's log has the details.",
    )

    # info/*.json
    MISSING_INDEX_JSON = "missing-index-json", "The package has no info/index.json."
    MISSING_PATHS_JSON = (
        "missing-paths-json",
        "A .conda has no info/paths.json, or a .tar.bz2 has neither info/paths.json nor info/files.",
    )
    RESERVED_PATH = (
        "reserved-path",
        "The archive contains conda-meta/*.json, where clients keep the records of installed packages, or a file where clients need a folder.",
    )
    MISSING_FILE = (
        "missing-file",
        "info/paths.json or info/files lists a file that is missing from the archive or is a folder in it.",
    )
    BAD_JSON = (
        "bad-json",
        "A metadata file is not strict JSON: it has duplicate keys, NaN, invalid text or too deep nesting.",
    )
    BAD_FIELD = "bad-field", "A metadata field is missing, has the wrong type, or contains a forbidden character."
    BAD_PACKAGE_NAME = "bad-package-name", "The package name is not allowed by CEP 26."
    BAD_VERSION = "bad-version", "The version is not allowed by CEP 33."
    BAD_BUILD_STRING = "bad-build-string", "The build string is not allowed by CEP 26."
    MISSING_SUBDIR = "missing-subdir", "index.json has no subdir."
    UNKNOWN_SUBDIR = "unknown-subdir", "The subdir is not a known platform."
    NAME_MISMATCH = "name-mismatch", "The file name differs from name-version-build in index.json."
    BAD_MATCH_SPEC = (
        "bad-match-spec",
        "An entry of depends, constrains or run_exports cannot be read as a match spec, or names a URL or a file.",
    )
    UNSAFE_ENTRY_POINT = (
        "unsafe-entry-point",
        "An entry point of a noarch python package would be written outside bin/.",
    )
    BAD_ENTRY_POINT = (
        "bad-entry-point",
        "An entry point of a noarch python package does not have the form command = module:function.",
    )
    RECORD_TOO_LARGE = "record-too-large", "The repodata record of the file is larger than the limit."

    CASE_COLLISION = (
        "case-collision",
        "The channel has a file whose name differs only in case, and package caches on some systems cannot store both.",
    )

    # The channel's own rules
    LOOKALIKE_NAME = (
        "lookalike-name",
        "The channel refuses names that differ from another package's only by case, - _ or dots.",
    )

    # Attestations (CEP 27)
    V3_RECORD = (
        "v3-record",
        "The package needs repodata v3, which the channel refuses because older clients would not see the package.",
    )
    UNWANTED_ATTESTATION = (
        "unwanted-attestation",
        "An attestation was sent without a trusted publisher's credential, or to a channel that does not accept attestations.",
    )
    MISSING_ATTESTATION = "missing-attestation", "The channel requires an attestation, and none was sent."
    BAD_BUNDLE = "bad-bundle", "The attestation is not a single Sigstore bundle of at most 256 KiB in strict JSON."
    UNKNOWN_SIGSTORE = (
        "unknown-sigstore",
        "The bundle was made with a log or an authority that is not in the server's trusted root.",
    )
    UNVERIFIED_BUNDLE = (
        "unverified-bundle",
        "The bundle's signature, certificate, time or log entry is not valid.",
    )
    BAD_STATEMENT = "bad-statement", "The signed statement is not a publish attestation (CEP 27)."
    OTHER_SUBJECT = "other-subject", "The attestation is for another file: its name or sha256 differs."
    OTHER_CHANNEL = "other-channel", "The attestation is for another channel."
    OTHER_IDENTITY = (
        "other-identity",
        "The attestation was signed by another run, workflow, repository or commit than the uploading one.",
    )

    def __new__(cls, code: str, meaning: str) -> Self:
        member = object.__new__(cls)
        member._value_ = code
        member.meaning = meaning
        return member


class Refused(SeawayError):
    """The content of an upload breaks the rule given by `reason`."""

    def __init__(self, reason: RefusalReason, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.reason = reason

    @property
    def code(self) -> str:  # type: ignore[override]
        return str(self.reason.value)
