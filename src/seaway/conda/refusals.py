"""
Every reason for which a package file is turned away.

One list: the value of a `Reason` is the code in logs, metrics and the JSON of commands, and
`Reason.meaning` is its row in the manual (`docs/use/refusals.md`), which a test compares.
"""

from enum import Enum
from typing import Self

from seaway.errors import SeawayError


class Reason(Enum):
    """Why a file is refused; the value is the stable code."""

    meaning: str

    # The request and the file name
    BAD_FILE_NAME = "bad-file-name", "The file name is not name-version-build.conda or .tar.bz2 as CEP 26 allows it."
    HASH_MISMATCH = "hash-mismatch", "The sha256 that the client announced is not that of the bytes that arrived."
    EMPTY_FILE = "empty-file", "The file holds no bytes."

    # The outer frame
    BAD_ZIP = "bad-zip", "The .conda file is not one plain ZIP from its first to its last byte."
    ZIP_MEMBERS = (
        "zip-members",
        "The ZIP must contain exactly metadata.json, info-STEM.tar.zst and pkg-STEM.tar.zst, and no folders.",
    )
    ZIP_COMPRESSED = "zip-compressed", "A member of the ZIP is compressed or encrypted; CEP 35 wants them stored."
    ZIP_CHECKSUM = "zip-checksum", "A member of the ZIP does not have the checksum that the ZIP states."
    BAD_FORMAT_VERSION = "bad-format-version", "metadata.json does not say conda_pkg_format_version 2."
    STEM_MISMATCH = "stem-mismatch", "The members inside the .conda are named for another package than the file."
    BAD_COMPRESSION = "bad-compression", "The zstd or bzip2 stream is damaged, cut short, or followed by other bytes."
    WINDOW_TOO_LARGE = "window-too-large", "The zstd stream needs a window of more than 128 MiB to unpack."

    # The tar inside
    BAD_TAR = "bad-tar", "The tar is damaged, cut short, or followed by bytes other than zero."
    UNSAFE_PATH = (
        "unsafe-path",
        "A path or file name that the package states would leave its folder, or cannot be written everywhere.",
    )
    DUPLICATE_MEMBER = (
        "duplicate-member",
        "The archive holds the same path twice, or info/paths.json lists one path with different properties: two readers could see two packages.",
    )
    SPECIAL_MEMBER = "special-member", "The archive holds a device, a pipe, a sparse file or an unknown kind of member."
    LINK_IN_INFO = "link-in-info", "A file under info/ is a link; what it says must stand in the package itself."
    BROKEN_LINK = "broken-link", "A hard link points to a member that is missing from the archive or comes later in it."
    ESCAPING_LINK = "escaping-link", "A link in the package points out of the folder that it is installed to."
    MISPLACED_MEMBER = (
        "misplaced-member",
        "The info part holds files outside info/, or the pkg part holds metadata that clients read from info/.",
    )

    # Limits
    TOO_MANY_MEMBERS = "too-many-members", "The archive holds more members than the limit."
    UNPACKS_TOO_LARGE = "unpacks-too-large", "The archive unpacks to more bytes than the limit for its size."
    INFO_TOO_LARGE = "info-too-large", "The info part, one file of it, or a menu file is larger than the limit."
    TOOK_TOO_LONG = "took-too-long", "Reading the archive took longer than the time for its size."
    TOOK_TOO_MUCH_MEMORY = "took-too-much-memory", "Reading the archive needed more memory than the limit."

    READER_FAILED = (
        "reader-failed",
        "The package made the reader fail in a way that nobody foresaw; the server's log has it.",
    )

    # info/*.json
    MISSING_INDEX_JSON = "missing-index-json", "The package has no info/index.json."
    MISSING_PATHS_JSON = (
        "missing-paths-json",
        "A .conda has no info/paths.json, or a .tar.bz2 neither that nor info/files.",
    )
    RESERVED_PATH = (
        "reserved-path",
        "The archive contains conda-meta/*.json, where clients keep the records of installed packages, or a file where clients need a folder.",
    )
    MISSING_FILE = (
        "missing-file",
        "info/paths.json or info/files lists a file that is missing from the archive or is a folder in it.",
    )
    BAD_JSON = "bad-json", "A metadata file is not strict JSON: duplicate keys, NaN, bad text or too deep nesting."
    BAD_FIELD = "bad-field", "A field of the metadata has the wrong type, is missing, or holds a forbidden character."
    BAD_PACKAGE_NAME = "bad-package-name", "The package name is not one that CEP 26 allows."
    BAD_VERSION = "bad-version", "The version is not one that CEP 33 allows."
    BAD_BUILD_STRING = "bad-build-string", "The build string is not one that CEP 26 allows."
    MISSING_SUBDIR = "missing-subdir", "index.json does not say which subdir the package is for."
    UNKNOWN_SUBDIR = "unknown-subdir", "The subdir is not one of the platforms that conda knows."
    NAME_MISMATCH = "name-mismatch", "The file name is not name-version-build of index.json."
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
    RECORD_TOO_LARGE = "record-too-large", "What repodata would say of the file is larger than the limit."

    CASE_COLLISION = (
        "case-collision",
        "The channel has a file whose name differs only in case, and package caches on some systems cannot hold both.",
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
        "An attestation came with a credential that is not a trusted publisher's, or to a channel that takes none.",
    )
    MISSING_ATTESTATION = "missing-attestation", "The channel takes only files with an attestation, and none came."
    BAD_BUNDLE = "bad-bundle", "The attestation is not one Sigstore bundle of at most 256 KiB in strict JSON."
    UNKNOWN_SIGSTORE = (
        "unknown-sigstore",
        "The bundle was made with a log or an authority that the server's trusted root does not know.",
    )
    UNVERIFIED_BUNDLE = (
        "unverified-bundle",
        "The bundle's signature, certificate, time or log entry does not hold.",
    )
    BAD_STATEMENT = "bad-statement", "What was signed is not a statement of publication as CEP 27 has it."
    OTHER_SUBJECT = "other-subject", "The attestation is about another file: its name or its sha256 is not this one's."
    OTHER_CHANNEL = "other-channel", "The attestation is for another channel."
    OTHER_IDENTITY = (
        "other-identity",
        "The attestation was signed by another run, workflow, repository or commit than the one that uploads.",
    )

    def __new__(cls, code: str, meaning: str) -> Self:
        member = object.__new__(cls)
        member._value_ = code
        member.meaning = meaning
        return member


class Refused(SeawayError):
    """The content of an upload breaks a rule; `reason` says which one."""

    def __init__(self, reason: Reason, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.reason = reason

    @property
    def code(self) -> str:  # type: ignore[override]
        return str(self.reason.value)
