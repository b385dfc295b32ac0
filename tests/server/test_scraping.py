"""`/metrics` of real servers, of one process and of several."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.server.conftest import PACKAGES, Watched, furnished
from tests.support.requests import until, upload
from tests.support.server import serving


def test_one_process_tells_what_it_did(watched: Watched) -> None:
    """After uploads, a repetition and a download, the scrape says so; the text is what Prometheus reads."""
    with watched.client() as http:
        statuses = [upload(http, watched.channel, file).status_code for file in (*PACKAGES, PACKAGES[0])]
        http.get("/health/ready").raise_for_status()
    found = watched.scrape()
    assert [201] * len(PACKAGES) + [200] == statuses
    assert len(PACKAGES) == found.value("seaway_uploads_total", outcome="published")
    assert 1 == found.value("seaway_uploads_total", outcome="repeated", code="")
    assert sum(len(file.content) for file in PACKAGES) == found.value("seaway_stored_bytes", what="packages")
    assert 1 == found.value("seaway_requests_total", route="/health/ready", status="200")
    assert 1 == found.value("seaway_database_up")
    assert 0 < found.value("process_resident_memory_bytes", worker="1")


def test_metrics_are_not_on_the_public_port(watched: Watched) -> None:
    """What strangers reach has no metrics, and the port of the metrics has nothing else."""
    with watched.client() as http:
        public = http.get("/metrics")
    other = httpx.get(watched.metrics_address.replace("/metrics", "/"))
    assert (404, 404) == (public.status_code, other.status_code)
    assert "seaway_" not in public.text + other.text


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    """When something else listens there, the start ends with a sentence that names the port and the setting."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        settings = {"SEAWAY_METRICS_PORT": str(port), "SEAWAY_PORT": "0", "SEAWAY_DATA": str(tmp_path / "data")}
        own = {name: value for name, value in os.environ.items() if not name.startswith("SEAWAY_")}
        command = [sys.executable, "-m", "seaway", "serve"]
        ran = subprocess.run(command, env=own | settings, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (1, "", [ran.stderr.strip()]) == (ran.returncode, ran.stdout, ran.stderr.splitlines())
    assert f"port {port}" in ran.stderr
    assert "SEAWAY_METRICS_PORT" in ran.stderr


@pytest.mark.slow
def test_workers_are_counted_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The scrape adds all workers up, no counter falls when one is killed, and the end leaves no file behind."""
    shared = tmp_path / "tmp"
    shared.mkdir()
    monkeypatch.setenv("TMPDIR", str(shared))
    with serving(tmp_path, workers=2, examiners=1, metrics_port=0) as server:
        watched = furnished(server, tmp_path)
        for file in PACKAGES:
            with watched.client() as http:  # each on a connection of its own, which any worker may take
                assert 201 == upload(http, watched.channel, file).status_code
        before = watched.scrape()
        victim = next(pid for pid, content in counters(shared).items() if b"/api/v1/upload" in content)
        os.kill(victim, signal.SIGKILL)
        until(lambda: watched.scrape().value("seaway_worker_deaths_total") == 1)
        after = watched.scrape()
        buried = victim not in counters(shared)
        code = server.stop()
    assert buried
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
    """The processes that have a file of counters, and what is in it."""
    files = shared.glob("seaway-metrics-*/counter_*.db")
    return {int(path.stem.partition("_")[2]): path.read_bytes() for path in files if path.stem != "counter_dead"}
