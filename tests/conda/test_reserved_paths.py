"""Package members at paths that have a special meaning for clients."""

import tarfile
from pathlib import Path

import pytest

from seaway.conda.refusals import RefusalReason, Refused
from tests.support.hostile import STEM, examine_file
from tests.support.packages import PackageFile, Tar, conda, conda_bytes, index_json, info_files

RECORDS = ["conda-meta/other-1.0-0.json", "Conda-Meta/OTHER-1.0-0.JSON", "conda-meta/a.json/b", "conda-meta"]


@pytest.mark.parametrize("path", RECORDS)
def test_a_record_of_an_installed_package_is_refused(path: str, tmp_path: Path) -> None:
    """Reserved places invariant 1: clients read these files as the list of installed packages."""
    with pytest.raises(Refused) as refused:
        examine_file(conda(files={path: b"{}"}), tmp_path)
    assert RefusalReason.RESERVED_PATH is refused.value.reason
    assert repr(path) in refused.value.message


@pytest.mark.parametrize("path", ["conda-meta/history", "conda-meta/pinned", "CONDA-META/state", "conda-meta/a/b.json"])
def test_other_files_of_conda_meta_give_a_warning(path: str, tmp_path: Path) -> None:
    """Clients install these files, and some clients read them."""
    (warning,) = examine_file(conda(files={path: b"{}"}), tmp_path).warnings
    assert repr(path) in warning


@pytest.mark.parametrize("path", ["conda-metadata/a.json", "share/conda-meta/a.json", "conda-meta.json"])
def test_other_paths_give_no_warning(path: str, tmp_path: Path) -> None:
    """Only the folder at the root of an environment is special."""
    assert () == examine_file(conda(files={path: b"{}"}), tmp_path).warnings


@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.DIRTYPE])
@pytest.mark.parametrize("path", ["site-packages", "python-scripts"])
def test_a_noarch_python_folder_must_be_a_folder(path: str, kind: bytes, tmp_path: Path) -> None:
    """Reserved places invariant 2: packages that are not noarch python can have a file with this name."""
    info = tarfile.TarInfo(path)
    info.type, info.linkname = kind, "share"
    tar = Tar({"share/x": b""}, [(info, b"")]).build()
    for noarch in ("python", "generic"):
        info_tar = Tar(info_files(index_json(noarch=noarch))).build()
        file = PackageFile(f"{STEM}.conda", conda_bytes(STEM, info_tar=info_tar, pkg_tar=tar))
        if noarch == "python" and kind != tarfile.DIRTYPE:
            with pytest.raises(Refused) as refused:
                examine_file(file, tmp_path)
            assert RefusalReason.RESERVED_PATH is refused.value.reason
        else:
            assert () == examine_file(file, tmp_path).warnings
