"""`/metrics` of real servers with one and with several processes."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.server.conftest import PACKAGES, WatchedServer, with_channel
from tests.support.requests import upload, wait_until
from tests.support.server import serving


def test_scrape_shows_uploads_and_requests(watched: WatchedServer) -> None:
    """Uploads, a repeated upload and requests are counted, in the format of Prometheus."""
    with watched.client() as http:
        statuses = [upload(http, watched.channel, file).status_code for file in (*PACKAGES, PACKAGES[0])]
        http.get("/health/ready").raise_for_status()
    scrape = watched.scrape()
    assert [201] * len(PACKAGES) + [200] == statuses
    assert len(PACKAGES) == scrape.value("seaway_uploads_total", outcome="published")
    assert 1 == scrape.value("seaway_uploads_total", outcome="repeated", code="")
    assert sum(len(file.content) for file in PACKAGES) == scrape.value("seaway_stored_bytes", what="packages")
    assert 1 == scrape.value("seaway_requests_total", route="/health/ready", status="200")
    assert 1 == scrape.value("seaway_database_up")
    assert 0 < scrape.value("process_resident_memory_bytes", worker="1")


def test_metrics_are_not_on_the_public_port(watched: WatchedServer) -> None:
    """The public port serves no metrics, and the metrics port serves nothing else."""
    with watched.client() as http:
        public = http.get("/metrics")
    metrics_root = httpx.get(watched.metrics_address.replace("/metrics", "/"))
    assert (404, 404) == (public.status_code, metrics_root.status_code)
    assert "seaway_" not in public.text + metrics_root.text


def test_taken_metrics_port_stops_the_start(tmp_path: Path) -> None:
    """The error is one sentence that names the port and the setting."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        settings = {"SEAWAY_METRICS_PORT": str(port), "SEAWAY_PORT": "0", "SEAWAY_DATA": str(tmp_path / "data")}
        environment = {name: value for name, value in os.environ.items() if not name.startswith("SEAWAY_")}
        command = [sys.executable, "-m", "seaway", "serve"]
        result = subprocess.run(
            command, env=environment | settings, cwd=tmp_path, capture_output=True, text=True, check=False
        )
    assert (1, "", [result.stderr.strip()]) == (result.returncode, result.stdout, result.stderr.splitlines())
    assert f"port {port}" in result.stderr
    assert "SEAWAY_METRICS_PORT" in result.stderr


@pytest.mark.slow
def test_scrape_sums_all_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No counter decreases when a worker is killed, and a stop leaves no counter files."""
    shared = tmp_path / "tmp"
    shared.mkdir()
    monkeypatch.setenv("TMPDIR", str(shared))
    with serving(tmp_path, workers=2, examiners=1, metrics_port=0) as server:
        watched = with_channel(server, tmp_path)
        for file in PACKAGES:
            with watched.client() as http:  # a new connection each, so that any worker can accept it
                assert 201 == upload(http, watched.channel, file).status_code
        before = watched.scrape()
        victim = next(pid for pid, content in counters(shared).items() if b"/api/v1/upload" in content)
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda: watched.scrape().value("seaway_worker_deaths_total") == 1)
        after = watched.scrape()
        is_removed = victim not in counters(shared)
        code = server.stop()
    assert is_removed
    assert len(PACKAGES) == before.value("seaway_uploads_total", outcome="published")
    for name in ("seaway_uploads_total", "seaway_upload_received_bytes_total", "seaway_job_attempts_total"):
        assert before.value(name) <= after.value(name)
    received = (sum(len(file.content) for file in PACKAGES), len(PACKAGES))
    assert received == (
        after.value("seaway_upload_received_bytes_total"),
        after.value("seaway_upload_stage_duration_seconds_count", stage="record"),
    )
    assert (1, 0) == (after.value("seaway_database_up"), code)
    assert before.has("process_cpu_seconds_total")
    assert [] == [path.name for path in shared.glob("seaway-metrics-*")]


def counters(shared: Path) -> dict[int, bytes]:
    """Return the contents of the counter files by process id."""
    files = shared.glob("seaway-metrics-*/counter_*.db")
    return {int(path.stem.partition("_")[2]): path.read_bytes() for path in files if path.stem != "counter_dead"}
