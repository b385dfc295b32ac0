"""Identify blobs that no manifest names, from the metadata inside package files."""

from dataclasses import dataclass

from seaway.backup.blob_copy import BlobEntry
from seaway.conda import archive, filename, metadata
from seaway.conda.filename import CONDA, TAR_BZ2, FileName
from seaway.conda.limits import MIB, ArchiveLimits
from seaway.conda.refusals import Refused
from seaway.conda.zip_reader import read_spans
from seaway.packages.file_listings import open_seekable
from seaway.storage.blobs import BlobStore

# Only a little of each blob is read: its info part, or the beginning of a .tar.bz2.
_LIMITS = ArchiveLimits(info_bytes=4 * MIB, min_unpacked_bytes=8 * MIB, max_unpacked_bytes=8 * MIB)
_ZIP, _BZIP2 = b"PK\x03\x04", b"BZh"
_INFO_PART, _TAR_ZST = "info-", ".tar.zst"


@dataclass(frozen=True, slots=True)
class UnnamedBlob:
    """A blob, and the subdir and file name of the package in it; empty if it is not a package or unreadable."""

    sha256: bytes
    size: int
    package: str
    problem: str = ""  # why it could not be read


def identify(blobs: BlobStore, blob: BlobEntry) -> UnnamedBlob:
    """Identify a blob; raise errors of the store, except if the blob is gone."""
    try:
        return UnnamedBlob(blob.sha256, blob.size, _package_of(blobs, blob))
    except (Refused, FileNotFoundError):
        return UnnamedBlob(blob.sha256, blob.size, "")


def _package_of(blobs: BlobStore, blob: BlobEntry) -> str:
    with open_seekable(blobs, blob.key, blob.size) as file:
        head = file.read(len(_ZIP))
        if head == _ZIP:
            stems = [name for name in read_spans(file, blob.size) if name.startswith(_INFO_PART)]
            name = filename.parse(stems[0].removeprefix(_INFO_PART).removesuffix(_TAR_ZST) + CONDA) if stems else None
        else:
            name = FileName("", "", "", TAR_BZ2) if head.startswith(_BZIP2) else None
        if name is None:
            return ""
        file.seek(0)
        info = archive.read_info(file, blob.size, name, _LIMITS, until=archive.INDEX_JSON).info
    if archive.INDEX_JSON not in info:
        return ""
    index = metadata.read_index_json(info[archive.INDEX_JSON])
    return f"{index.get('subdir')}/{FileName(index['name'], index['version'], index['build'], name.extension)}"
