"""Small package files for tests: valid ones, ones with exactly one error, and the real ones in tests/data."""

import bz2
import hashlib
import io
import json
import sys
import tarfile
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

DATA = Path(__file__).parents[1] / "data"
REAL = DATA / "packages"


@dataclass(frozen=True, slots=True)
class PackageFile:
    """A package file in memory."""

    name: str
    content: bytes

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    def write_to(self, folder: Path) -> Path:
        path = folder / self.name
        path.write_bytes(self.content)
        return path


@dataclass(frozen=True, slots=True)
class Tar:
    """The members of a tar: the content of paths, and members with headers of their own."""

    files: Mapping[str, bytes]
    extra: Iterable[tuple[tarfile.TarInfo, bytes]] = field(default_factory=tuple)

    def build(self) -> bytes:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for path, content in self.files.items():
                info = tarfile.TarInfo(path)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
            for info, content in self.extra:
                tar.addfile(info, io.BytesIO(content))
        return buffer.getvalue()


def index_json(name: str = "demo", version: str = "1.0", build: str = "h1_0", **fields: Any) -> dict[str, Any]:
    """Return the index.json of a small package; a field of None is null, a field of `...` is left out."""
    index = {
        "name": name,
        "version": version,
        "build": build,
        "build_number": 0,
        "subdir": "noarch",
        "noarch": "generic",
        "depends": [],
        "license": "MIT",
        "timestamp": 1_700_000_000_000,
        **fields,
    }
    return {key: value for key, value in index.items() if value is not ...}


def info_files(index: Mapping[str, Any], **others: Any) -> dict[str, bytes]:
    """Return the files of info/; `others` are JSON values by file name without `.json`; `...` leaves a file out."""
    values = {"index": index, "paths": {"paths": [], "paths_version": 1}, "about": {"summary": "A demo."}, **others}
    return {f"info/{name}.json": json.dumps(value).encode() for name, value in values.items() if value is not ...}


def paths_json(files: Mapping[str, bytes], **fields: Any) -> dict[str, Any]:
    """Return the paths.json of these files; `fields` are added to each entry; `...` leaves a field out."""
    entries = []
    for path, content in files.items():
        entry = {
            "_path": path,
            "path_type": "hardlink",
            "sha256": hashlib.sha256(content).hexdigest(),
            "size_in_bytes": len(content),
        }
        entries.append({key: value for key, value in {**entry, **fields}.items() if value is not ...})
    return {"paths": entries, "paths_version": 1}


def conda(
    index: Mapping[str, Any] | None = None,
    *,
    files: Mapping[str, bytes] | None = None,
    info: Mapping[str, bytes] | None = None,
    file_name: str | None = None,
    **others: Any,
) -> PackageFile:
    """Return a .conda; everything has a default."""
    index = index_json() if index is None else index
    stem = f"{index.get('name')}-{index.get('version')}-{index.get('build')}"
    name = file_name or f"{stem}.conda"
    return PackageFile(
        name,
        conda_bytes(
            name.removesuffix(".conda"),
            info_tar=Tar(info if info is not None else info_files(index, **others)).build(),
            pkg_tar=Tar(files if files is not None else {"share/demo.txt": name.encode()}).build(),
        ),
    )


def conda_bytes(
    stem: str,
    *,
    info_tar: bytes | None = None,
    pkg_tar: bytes | None = None,
    info_zst: bytes | None = None,
    pkg_zst: bytes | None = None,
    metadata: bytes = b'{"conda_pkg_format_version": 2}',
) -> bytes:
    """Return the ZIP of a .conda, from tars or from compressed tars."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as file:
        for name, content in (
            ("metadata.json", metadata),
            (f"pkg-{stem}.tar.zst", pkg_zst if pkg_zst is not None else zstd.compress(pkg_tar or b"")),
            (f"info-{stem}.tar.zst", info_zst if info_zst is not None else zstd.compress(info_tar or b"")),
        ):
            file.writestr(zipfile.ZipInfo(name), content)  # without a time: the same bytes in every run
    return buffer.getvalue()


def tar_bz2(
    index: Mapping[str, Any] | None = None,
    *,
    files: Mapping[str, bytes] | None = None,
    info: Mapping[str, bytes] | None = None,
    file_name: str | None = None,
    **others: Any,
) -> PackageFile:
    """Return a .tar.bz2; everything has a default."""
    index = index_json() if index is None else index
    name = file_name or f"{index.get('name')}-{index.get('version')}-{index.get('build')}.tar.bz2"
    members = {
        **(info if info is not None else info_files(index, **others)),
        **(files if files is not None else {"share/demo.txt": name.encode()}),
    }
    return PackageFile(name, bz2.compress(Tar(members).build()))


@dataclass(frozen=True, slots=True)
class RealPackage:
    """A package file in tests/data."""

    path: Path
    sha256: str
    subdir: str
    is_good: bool

    @property
    def file(self) -> PackageFile:
        return PackageFile(self.path.name, self.path.read_bytes())


def real_packages() -> list[RealPackage]:
    """Return the files in tests/data/packages that packages.tsv lists."""
    lines = (DATA / "packages.tsv").read_text().splitlines()[1:]
    rows = (line.split("\t") for line in lines)
    return [RealPackage(REAL / file, sha256, subdir, state == "ok") for file, sha256, subdir, state in rows]
