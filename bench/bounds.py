"""Limits of the disk and the CPU: the minimal work of an upload, without a server."""

import hashlib
import os
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

from bench.http_client import BatchTimes

_FILE_BYTES = 3_000
_ROW_BYTES = 2_000
_CHUNK_BYTES = 1024 * 1024


class Disk:
    """Minimal disk work of an upload: a file synced with its folder, and a SQLite commit with synchronous=FULL."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._folder = folder
        self._numbers = count()
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(folder / "rows.db", isolation_level=None, check_same_thread=False)
        for statement in (
            "PRAGMA journal_mode = WAL",
            "PRAGMA synchronous = FULL",
            "CREATE TABLE rows (id INTEGER PRIMARY KEY, content BLOB)",
        ):
            self._connection.execute(statement)

    def close(self) -> None:
        """Close the database."""
        self._connection.close()

    def one_by_one(self, times: int) -> BatchTimes:
        """Run the uploads one after the other."""
        return _batch_times(times, 1, self._one)

    def at_once(self, times: int, clients: int) -> BatchTimes:
        """Run the uploads of several clients in parallel, each with its own commit."""
        return _batch_times(times, clients, self._one)

    def together(self, times: int, clients: int) -> BatchTimes:
        """Run the uploads of several clients in parallel with one shared commit, which is the minimum."""
        barrier = threading.Barrier(clients, action=lambda: self._commit(clients))

        def one() -> None:
            self._sync_file()
            barrier.wait()

        return _batch_times(times // clients * clients, clients, one)

    def _one(self) -> None:
        self._sync_file()
        with self._lock:
            self._commit(1)

    def _sync_file(self) -> None:
        folder = self._folder / f"{next(self._numbers) % 256:02x}"
        folder.mkdir(exist_ok=True)
        path = folder / str(next(self._numbers))
        with path.open("wb") as file:
            file.write(os.urandom(_FILE_BYTES))
            file.flush()
            os.fsync(file.fileno())
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _commit(self, rows: int) -> None:
        self._connection.execute("BEGIN IMMEDIATE")
        for _ in range(rows):
            self._connection.execute("INSERT INTO rows (content) VALUES (?)", [os.urandom(_ROW_BYTES)])
        self._connection.execute("COMMIT")


def write_and_sync(source: Path, target: Path) -> float:
    """Copy and sync a file; return the seconds."""
    started = time.perf_counter()
    with source.open("rb") as content, target.open("wb") as file:
        while chunk := content.read(_CHUNK_BYTES):
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
    return time.perf_counter() - started


def hash_in_turn(path: Path) -> float:
    """Compute sha256 and md5 of a file in one thread; return the seconds."""
    started = time.perf_counter()
    sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            sha256.update(chunk)
            md5.update(chunk)
    return time.perf_counter() - started


def hash_in_threads(path: Path) -> float:
    """Compute sha256 and md5 of a file in one thread each; return the seconds."""
    started = time.perf_counter()
    with ThreadPoolExecutor(2) as threads:
        for _ in threads.map(_hash_file, (path, path), ("sha256", "md5")):
            pass
    return time.perf_counter() - started


def _hash_file(path: Path, algorithm: str) -> None:
    with path.open("rb") as file:
        hashlib.file_digest(file, algorithm)


def _batch_times(times: int, clients: int, one: Callable[[], None]) -> BatchTimes:
    latencies: list[float] = []

    def work(share: int) -> None:
        for _ in range(share):
            started = time.perf_counter()
            one()
            latencies.append(time.perf_counter() - started)

    shares = [times // clients + (number < times % clients) for number in range(clients)]
    with ThreadPoolExecutor(clients) as threads:
        started = time.perf_counter()
        for _ in threads.map(work, shares):
            pass
        return BatchTimes(latencies, time.perf_counter() - started)
