"""Content of a channel in use: real packages with their files, an attested package, a year of downloads."""

import asyncio
import random

from sqlalchemy import delete, insert, select

from seaway.clock import DAY_MS
from seaway.database.tables import daily_storage, files, packages
from seaway.packages import downloads, storage_usage
from seaway.packages.client_families import ClientFamily
from seaway.packages.downloads import DownloadKey
from seaway.server.wiring import Seaway
from tests.support.packages import REAL, PackageFile, conda, index_json, paths_json
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
LONG_NAME = "inverse-kinematics-of-arms-with-seven-or-more-revolute-joint"  # 60 characters
# Parts of a file name have at most 64 characters; other fields have no such limit, and may have no place for a line break.
_LONG_FILES = {f"share/{'deep/' * 8}{'n' * 120}.txt": b""}
LONG = conda(
    index_json(
        LONG_NAME,
        "2026.11.30.dev20261130101512+g9f3c1e07b5a24d68.linux.ci.4711.abc",
        build="py313h4616a5c_cuda129_mpi_openmpi_nompi_debug_static_release_042",
        depends=[f"{LONG_NAME} >=2026.11.30.dev20261130101512,<2027.{'9.' * 40}0", "python"],
        license="LicenseRef-" + "A" * 120,
    ),
    about={
        "summary": "Seven joints, " + "and_one_word_that_has_no_place_to_break" * 4,
        "description": f"See `{'x' * 150}` and https://example.org/{'path/' * 40}",
        "home": f"https://example.org/{'a' * 150}",
    },
    files=_LONG_FILES,
    paths=paths_json(_LONG_FILES),
)
LONG_VERSION = f"1.4.2.dev20261130+g{'0123456789abcdef' * 3}"[:64]
LONG_BUILD = f"py312_cuda126_{'0123456789' * 5}"
BUILT = "force-sensor"  # two versions, one with 15 builds for three platforms
_ABOUT = {
    "summary": "Where the arm is, from what its cameras see.",
    "description": "Calibrates cameras and joints **together**.\n\n- reads `rosbag`\n- writes `urdf`",
    "home": "https://example.org/calibration",
    "dev_url": "https://github.com/acme/demo",
    "license": "Apache-2.0",
}
CLIENT_SHARES = {
    ClientFamily.RATTLER: 0.5,
    ClientFamily.CONDA: 0.2,
    ClientFamily.MAMBA: 0.15,
    ClientFamily.BROWSER: 0.05,
    ClientFamily.OTHER: 0.1,
}
ATTESTED = conda(
    index_json("calibration", "1.4.2", depends=["gripper >=1", "numpy >=2,<3"], license="Apache-2.0"),
    about=_ABOUT,
    run_exports={"weak": ["calibration >=1.4.2,<2.0a0"]},
)


def real_files() -> list[PackageFile]:
    """Packages built by other projects."""
    return [PackageFile(path.name, path.read_bytes()) for path in EDITORS]


def tide_tables() -> list[PackageFile]:
    """More packages than a page lists, for several platforms and with several licenses; one has the longest names."""
    ports = [f"tide-{place}-{number:02}" for number in range(1, 14) for place in ("brest", "dover", "esbjerg", "vigo")]
    licenses = ("MIT", "Apache-2.0", "LGPL-2.1-or-later WITH GCC-exception-3.1 AND BSD-3-Clause", "CC0-1.0")
    made = []
    for number, port in enumerate(ports):
        place = {} if number % 3 else {"subdir": ("linux-64", "osx-arm64")[number % 2], "noarch": ...}
        index = index_json(port, f"2026.{number}", license=licenses[number % 4], **place)
        made.append(conda(index, about={"summary": f"High and low water of {port[5:-3].capitalize()}, to a minute."}))
    longest = index_json("tide-" + "x" * 59, "2026.11.30." + "1." * 26 + "0", license="MIT")
    return [*made, conda(longest, about={"summary": "A name and a version of 64 characters. " * 8})]


def files_in_many_builds() -> list[PackageFile]:
    """A package with many builds of a version, one with a long version and build string, and one to be yanked."""
    about = {"summary": "Six-axis force and torque sensors: drivers and filters.", "license": "MIT"}
    found = [conda(index_json(BUILT, "1.9.0", depends=["gripper"]), about=about)]
    for subdir in ("linux-64", "osx-arm64", "win-64"):
        for python in range(9, 14):
            name = f"py3{python}_0"
            depends = [f"python >=3.{python},<3.{python + 1}.0a0", "gripper >=1", "libtrajectory"]
            if subdir == "linux-64":
                depends.append("libstdcxx >=13")
            index = index_json(BUILT, "2.0.0", build=name, subdir=subdir, noarch=..., depends=depends)
            found.append(conda(index, about=about))
    long = index_json("gripper-firmware", LONG_VERSION, build=LONG_BUILD, subdir="linux-64", noarch=...)
    old = index_json("legacy-driver", "0.3")
    return [*found, conda(long, about=about), conda(old, about={"summary": "The driver of the first arm."})]


def publish_attested(seaway: Seaway, channel: str) -> None:
    """Publish the attested package as the workflow that built it."""
    attester = Attester.trusted_by(seaway)
    bundle = attester.bundle(ATTESTED, channel)
    asyncio.run(publish_file(seaway, channel, ATTESTED, by=attester.caller(channel), attestation=bundle))


def add_year_of_downloads(seaway: Seaway) -> None:
    """Add downloads of every file on most days, more on working days and on recent days; always the same numbers."""
    generator, today = random.Random(7), seaway.site.clock.now_ms() // DAY_MS
    with seaway.site.database.write_site() as tx:
        found = tx.execute(
            select(files.c.id, packages.c.name).join(packages, packages.c.id == files.c.package_id)
        ).all()
        counts = {}
        for file_id, name in found:
            maximum = {"pixi-editor": 90, "gripper": 45, "calibration": 30}.get(name, 8)
            for days in range(365):
                is_working_day = (today - days + 3) % 7 < 5  # 1970-01-01 was a Thursday
                count = int(generator.random() * maximum * (1 if is_working_day else 0.3) * (1 - days / 500))
                for client, share in CLIENT_SHARES.items():
                    if int(count * share):
                        counts[DownloadKey(file_id, today - days, client)] = int(count * share)
        downloads.add(tx, counts, today=today)


def add_year_of_storage(seaway: Seaway) -> None:
    """Add daily sizes of every channel that grow to its size today."""
    today = seaway.site.clock.now_ms() // DAY_MS
    with seaway.site.database.write_site() as tx:
        tx.execute(delete(daily_storage))  # a task may have sampled the channels when they were empty
        storage_usage.sample(tx, today)
        rows = tx.execute(select(daily_storage)).mappings().all()
        past = [
            {**row, "day": today - days, "size": int(row["size"] * (1 - (days // 20) / 25))}
            for row in rows
            for days in range(1, 340)
        ]
        tx.execute(insert(daily_storage), past)
