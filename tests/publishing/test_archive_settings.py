"""Archive limits are settings."""

from contextlib import closing
from pathlib import Path

import pytest

from seaway.conda.filename import parse
from seaway.conda.refusals import Refused
from tests.support import sites
from tests.support.hostile import digest_of
from tests.support.packages import conda

LARGE = {
    "archive_members": (20, {f"share/{number}": b"" for number in range(21)}),
    "archive_unpacked_bytes": (1024**2, {"share/x": bytes(1024**2)}),
}


@pytest.mark.parametrize("setting", LARGE)
def test_archive_limits_are_settings(setting: str, tmp_path: Path) -> None:
    """A package over the limit is refused with the name of the setting; the default accepts it."""
    limit, files = LARGE[setting]
    file = conda(files=files)
    for settings, status in (({setting: limit}, 422), ({}, 201)):
        with closing(sites.build(tmp_path / str(status), **settings)) as seaway:
            examiners = seaway.request_parts.publishing.examiners
            path = file.write_to(tmp_path)
            if status == 201:
                assert examiners.examine(path, parse(file.name), digest_of(file.content)).warnings == ()
                continue
            with pytest.raises(Refused, match=f"raise {setting}"):
                examiners.examine(path, parse(file.name), digest_of(file.content))
