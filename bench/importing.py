"""`seaway upload` of a folder of package files into the local store, compared with indexing that folder."""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from bench import channels, instances, servers
from bench.folders import scratch
from bench.measure import Samples
from bench.peers import Folder
from bench.report import Report, progress

TITLE = "`seaway upload FOLDER` into the local store, compared with index_fs of the same folder"
QUICK = {"sizes": [2_000], "rounds": 2}
FULL = {"sizes": [10_000], "rounds": 5}

_CHANNEL = "bench"


def run(options: argparse.Namespace, report: Report) -> None:
    """Measure folders of each size, with a new store each time."""
    for size in options.sizes:
        samples = Samples()
        with scratch(options.folder) as folder:
            packed = folder / "files"
            packed.mkdir()
            files = channels.package_files(options.cache, packed, size)
            for number in range(options.rounds):
                progress(f"{size:,} files, round {number + 1} of {options.rounds}")
                _import(options, folder / f"seaway-{number}", files, size, samples)
                _index(folder / f"rattler-{number}", files, samples)
        case = f"{size:,} files"
        report.add(
            case, "seaway upload", samples["seaway"], "s", baseline=samples["index_fs"], baseline_name="index_fs"
        )
        report.add(case, "index_fs", samples["index_fs"], "s")
        report.add(case, "files per second, seaway upload", [size / seconds for seconds in samples["seaway"]], "/s")
        report.add(case, "CPU time, seaway upload", samples["cpu"], "ms/file")
        report.add_ms(case, "  of that, startup of the command", samples["start"])


def _import(options: argparse.Namespace, folder: Path, files: Path, size: int, samples: Samples) -> None:
    # Folders are removed only at the end: for a minute after thousands of files were deleted, ext4 searches long for
    # the inode of each new file, which doubles the CPU time of an import.
    folder.mkdir()
    instances.prepare_instance(folder, {}, {_CHANNEL: 0}, None)
    with samples.timed("start"):
        _seaway(folder, options.set, "channel", "list", "--json")
    with _processor_time(samples, size), samples.timed("seaway"):
        output = _seaway(folder, options.set, "upload", "--json", _CHANNEL, str(files))
    count = sum(file["status"] == "uploaded" for file in json.loads(output)["files"])
    if count != size:
        raise RuntimeError(f"{count} of {size} files were uploaded")


def _index(folder: Path, files: Path, samples: Samples) -> None:
    indexed = Folder(folder, files)
    with samples.timed("index_fs"):
        indexed.index_by_rattler()


def _seaway(folder: Path, settings: list[tuple[str, str]], *arguments: str) -> str:
    command = [sys.executable, "-m", "seaway", "--data", str(folder / "data"), *arguments]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("SEAWAY_")}
    environment |= {f"SEAWAY_{name.upper()}": value for name, value in settings}
    done = subprocess.run(command, cwd=servers.ROOT, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout


@contextmanager
def _processor_time(samples: Samples, size: int) -> Iterator[None]:
    before = psutil.Process().cpu_times()
    yield
    after = psutil.Process().cpu_times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    samples["cpu"].append(used * 1000 / size)
