"""Responses to readers of a channel, independent of HTTP."""

from dataclasses import dataclass
from enum import Enum


class CachePolicy(Enum):
    """How long a reader can cache a response without revalidation."""

    # Package files of channels that allow overwriting; attestations addressed by file name, which must match the file's
    # current bytes; outdated documents, sent because the newest could not be built.
    NEVER = "never"
    REVALIDATE = "revalidate"  # index documents: usually answered with 304
    IMMUTABLE = "for ever"  # content-addressed shards and sidecars; package files that are never replaced


@dataclass(frozen=True, slots=True)
class ChannelResponse:
    """
    A representation that exists and that the caller is allowed to read.

    The bytes are `content`, or those of the blob `blob_key`. `etag` is strong and differs between any two paths
    and any two contents: mamba and conda send the validator of one document when they request another.
    """

    etag: str
    size: int
    media_type: str
    keep: CachePolicy
    is_public: bool
    content: bytes | None = None
    blob_key: str = ""
    content_encoding: str = ""
    varies_by_encoding: bool = False
    revision: int | None = None
    is_package: bool = False
    file_id: int | None = None  # of a package file, to count downloads
    valid_until_ms: int | None = None  # from then on the content differs, although no row was changed
    is_outdated: bool = False  # the newest version could not be built; this one must not be cached
