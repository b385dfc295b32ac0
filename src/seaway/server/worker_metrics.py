"""
Metrics of several workers, merged by their parent process.

1. Each worker counts in its own memory-mapped files in one folder, without locks between workers.
2. Counters never decrease: the counts of a dead worker are added to a common file of all dead workers between scrapes.
3. The folder is deleted when the parent ends.
"""

import os
import shutil
import tempfile
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from prometheus_client import Metric, mmap_dict, multiprocess
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from seaway.errors import BadSetting
from seaway.server.workers import WorkerObserver

_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
_DEAD = "dead"

# The library has no types for these modules.
_mmap_dict: Any = mmap_dict.MmapedDict
_multiprocess: Any = multiprocess


class WorkerMetrics(Collector, WorkerObserver):
    """Folder of the workers' counts; create it before the first worker, which finds it through its environment."""

    def __init__(self) -> None:
        try:
            self._folder = Path(tempfile.mkdtemp(prefix="seaway-metrics-"))
        except OSError as error:
            raise BadSetting(
                f"The temporary folder for the metrics of the workers cannot be created: {error.strerror}.",
                "Set TMPDIR to a writable folder, or unset metrics_port.",
            ) from None
        os.environ[_FOLDER] = str(self._folder)
        self._lock = threading.Lock()
        self._pids: dict[int, int] = {}
        self._deaths = 0

    def close(self) -> None:
        """Delete the folder."""
        os.environ.pop(_FOLDER, None)
        with self._lock:
            shutil.rmtree(self._folder, ignore_errors=True)

    def started(self, number: int, pid: int) -> None:
        with self._lock:
            self._pids[number] = pid

    def died(self, number: int, pid: int) -> None:
        with self._lock:
            self._pids.pop(number, None)
            self._deaths += 1
            self._merge_dead(pid)

    def pids(self) -> Mapping[str, int]:
        """Return the pids of the running processes by name."""
        with self._lock:
            return {"parent": os.getpid(), **{str(number): pid for number, pid in self._pids.items()}}

    def collect(self) -> Iterable[Metric]:
        with self._lock:
            # A file that was just opened is still empty, and the library fails on it.
            files = [str(path) for path in self._folder.glob("*.db") if path.stat().st_size]
            merged = list(_multiprocess.MultiProcessCollector.merge(files))
            deaths = self._deaths
        yield from merged
        yield CounterMetricFamily("seaway_worker_deaths_total", "Workers that died and were restarted.", value=deaths)

    def _merge_dead(self, pid: int) -> None:
        _multiprocess.mark_process_dead(pid, str(self._folder))
        for path in self._folder.glob(f"*_{pid}.db"):
            if path.stat().st_size:
                _add(path, path.with_name(path.name.replace(f"_{pid}.db", f"_{_DEAD}.db")))
            path.unlink()


def _add(source: Path, target: Path) -> None:
    total = _mmap_dict(str(target))
    try:
        for key, value, _, _ in _mmap_dict.read_all_values_from_file(str(source)):
            total.write_value(key, total.read_value(key)[0] + value, 0.0)
    finally:
        total.close()
