"""What there is to say to a reader, before anybody thinks of HTTP."""

from dataclasses import dataclass
from enum import Enum


class Keep(Enum):
    """How long a reader may keep an answer without asking again."""

    # package files of channels that allow overwriting; attestations under the name of their file: whoever asks sees those of its
    # bytes; documents that could not be built
    NEVER = "never"
    REVALIDATE = "revalidate"  # index documents: always ask, mostly hear «not changed»
    FOR_EVER = "for ever"  # shards and sidecars that are named by their content; package files that are never replaced


@dataclass(frozen=True, slots=True)
class Answer:
    """
    A representation that exists and that the asker may see.

    The bytes are `content`, or else those of the blob `blob_key`. `etag` is strong and never the same for
    two addresses or two contents: mamba and conda send the validator of one document when they ask for another.
    """

    etag: str
    size: int
    media_type: str
    keep: Keep
    is_public: bool
    content: bytes | None = None
    blob_key: str = ""
    content_encoding: str = ""
    varies_by_encoding: bool = False
    revision: int | None = None
    is_package: bool = False
    file_id: int | None = None  # of a package file, whose downloads are counted
    good_until_ms: int | None = None  # from then on it says something else, though nothing was changed
    is_outdated: bool = False  # the newest could not be built: nobody may remember this answer
