"""What pages show of a channel that is in use: real packages with their files, an attested one, a year of downloads."""

import asyncio
import random

from sqlalchemy import select

from seaway.clock import DAY_MS
from seaway.database.tables import files, packages
from seaway.packages import downloads
from seaway.server.wiring import Seaway
from tests.support.packages import REAL, PackageFile, conda, index_json
from tests.support.sites import publish_file
from tests.support.workflows import Attester

EDITORS = (
    REAL / "pixi/noarch/pixi-editor-1.0.0-h4616a5c_0.conda",
    REAL / "pixi/noarch/pixi-editor-2.0.0-h4616a5c_0.conda",
)
SUMMARIES = {
    "arm-driver": "Speaks to the controllers of six-axis arms.",
    "gripper": "Grippers with two and three fingers: force, width, slip.",
    "inverse-kinematics": "Closed forms where there are any, and a solver where not.",
    "libtrajectory": "Jerk-limited trajectories through waypoints.",
}
_ABOUT = {
    "summary": "Where the arm is, from what its cameras see.",
    "description": "Calibrates cameras and joints **together**.\n\n- reads `rosbag`\n- writes `urdf`",
    "home": "https://example.org/calibration",
    "dev_url": "https://github.com/acme/demo",
    "license": "Apache-2.0",
}
ATTESTED = conda(
    index_json("calibration", "1.4.2", depends=["gripper >=1", "numpy >=2,<3"], license="Apache-2.0"),
    about=_ABOUT,
    run_exports={"weak": ["calibration >=1.4.2,<2.0a0"]},
)


def real_files() -> list[PackageFile]:
    """Packages that others made."""
    return [PackageFile(path.name, path.read_bytes()) for path in EDITORS]


def attest(beside: Seaway, channel: str) -> None:
    """Publish the attested one, as the workflow that built it does."""
    attester = Attester.trusted_by(beside)
    bundle = attester.bundle(ATTESTED, channel)
    asyncio.run(publish_file(beside, channel, ATTESTED, by=attester.caller(channel), attestation=bundle))


def fetch_for_a_year(beside: Seaway) -> None:
    """Downloads of every file on most days, more on working days and more lately; the same each time."""
    dice, today = random.Random(7), beside.clock.now_ms() // DAY_MS
    with beside.database.write_site() as tx:
        named = tx.execute(
            select(files.c.id, packages.c.name).join(packages, packages.c.id == files.c.package_id)
        ).all()
        counts = {}
        for file_id, name in named:
            most = {"pixi-editor": 90, "gripper": 45, "calibration": 30}.get(name, 8)
            for ago in range(365):
                is_working_day = (today - ago + 3) % 7 < 5  # the first day of 1970 was a Thursday
                count = int(dice.random() * most * (1 if is_working_day else 0.3) * (1 - ago / 500))
                if count:
                    counts[file_id, today - ago] = count
        downloads.add(tx, counts)
