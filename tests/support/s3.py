"""A real S3 server on loopback in a temporary folder, which checks signatures."""

import atexit
import functools
import json
import secrets
import shutil
import signal
import subprocess
import sysconfig
import tempfile
import threading
import time
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Self

import httpx
import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

from tests.support.postgres import Guard, free_ports

_START_SECONDS = 60
_STOP_SECONDS = 60
_POLL_SECONDS = 0.02
_PARTS = ("master", "volume", "filer", "s3")


class S3Server:
    """SeaweedFS in one process, with one user, whose keys are new for each server."""

    def __init__(self) -> None:
        self.access_key = "AKIA" + secrets.token_hex(8).upper()
        self.secret_key = secrets.token_hex(20)
        self.region = "us-east-1"
        self._numbers = count(1)
        self._guard: Guard | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._folder = Path()
        self._ports: dict[str, int] = {}

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def port(self) -> int:
        return self._ports["s3.port"]

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start the server, without buckets the first time, and wait until an object can be stored and read."""
        assert self._process is None, "the server runs"
        if self._guard is None:
            self._guard = self._create()
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._folder,
                # It reads configuration from HOME and credentials from variables, and does not return memory.
                env={"HOME": str(self._folder), "GOMEMLIMIT": "400MiB"},
                start_new_session=True,
            )
        self._guard.watch(self._process.pid)
        if not self._await_start():
            self.kill()
            raise AssertionError("SeaweedFS did not start:\n" + (self._folder / "log").read_text())

    def stop(self) -> None:
        """Stop the server; keep the objects."""
        # A regular shutdown waits 15 seconds for idle connections, and sometimes hangs.
        self.kill()

    def kill(self) -> None:
        """Kill the server, as a crash would."""
        if self._process is not None:
            assert self._guard is not None
            self._process.kill()
            self._process.wait(_STOP_SECONDS)
            self._guard.watch(None)
            self._process = None

    def restart(self) -> None:
        """Stop the server and start it on the same port and objects."""
        self.stop()
        self.start()

    def close(self) -> None:
        """Stop the server and remove its objects."""
        self.kill()
        if self._guard is not None:
            self._guard.close()
            self._guard = None

    def new_bucket(self) -> str:
        """Create an empty bucket; return its name."""
        name = f"test-{next(self._numbers)}"
        assert self._create_bucket(name) == 200
        return name

    def store(self, bucket: str, *, endpoint: str | None = None, secret_key: str | None = None) -> S3Store:
        """Return a client of a bucket, without retries; `endpoint` can be that of a proxy."""
        return S3Store(
            bucket,
            endpoint=endpoint or self.endpoint,
            region=self.region,
            access_key_id=self.access_key,
            secret_access_key=secret_key or self.secret_key,
            client_options={"allow_http": True},
            retry_config={"max_retries": 0},
        )

    def _create_bucket(self, name: str) -> int:
        # obstore cannot create buckets, but can sign the URL of a bucket, which is that of an object without a name.
        url = obstore.sign(self.store(name), "PUT", "", timedelta(minutes=5))
        return httpx.put(url, trust_env=False, verify=False, timeout=30).status_code

    def _create(self) -> Guard:
        self._folder = Path(tempfile.mkdtemp(prefix="seaway-s3-"))
        names = [f"{part}.port{suffix}" for part in _PARTS for suffix in ("", ".grpc")]
        self._ports = dict(zip(names, free_ports(len(names)), strict=True))
        # The server creates these sockets besides the configured ones, and leaves them behind when it is killed.
        sockets = [Path(f"/tmp/seaweedfs-{part}-grpc-{self._ports[f'{part}.port.grpc']}.sock") for part in _PARTS]
        guard = Guard(self._folder, signal.SIGKILL, *sockets)
        (self._folder / "data").mkdir()
        # One volume per bucket is enough; the default is seven.
        (self._folder / "master.toml").write_text("[master.volume_growth]\ncopy_1 = 1\n")
        user = {
            "name": "seaway",
            "credentials": [{"accessKey": self.access_key, "secretKey": self.secret_key}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }
        (self._folder / "s3.json").write_text(json.dumps({"identities": [user]}))
        return guard

    def _command(self) -> list[str]:
        options: dict[str, object] = {
            "dir": self._folder / "data",
            "ip": "127.0.0.1",
            "ip.bind": "127.0.0.1",
            "master.peers": "none",  # otherwise it waits for a leader election
            "master.telemetry": "false",
            "master.volumePreallocate": "false",
            "master.volumeSizeLimitMB": 128,
            "volume.max": 1000,  # the default depends on the free disk space, and can be zero
            "volume.minFreeSpace": "1MiB",
            "filer": "true",
            "filer.localSocket": self._folder / "filer.sock",
            "s3": "true",
            "s3.config": self._folder / "s3.json",
            "s3.localSocket": self._folder / "s3.sock",
            "s3.iam": "false",
            "s3.port.iceberg": 0,
            "s3.port.lance": 0,
            "s3.autoCreateBucket": "false",  # like S3
            "s3.allowDeleteBucketNotEmpty": "false",
        }
        options |= self._ports
        arguments = [f"-{name}={value}" for name, value in options.items()]
        return [_program(), "-logtostderr=true", "server", *arguments]

    def _await_start(self) -> bool:
        assert self._process is not None
        deadline = time.monotonic() + _START_SECONDS
        while not self._works():
            if self._process.poll() is not None or time.monotonic() > deadline:
                return False
            time.sleep(_POLL_SECONDS)
        return True

    def _works(self) -> bool:
        """Return whether all parts of the server work; they start at different times."""
        try:
            if self._create_bucket("started") not in {200, 409}:
                return False
            store = self.store("started")
            obstore.put(store, "object", b"content")
            return obstore.get(store, "object").bytes() == b"content"
        except (httpx.HTTPError, BaseError):
            return False


_lock = threading.Lock()


def shared() -> S3Server:
    """Return the server of this process, started at the first call; a test that stops it must start it again."""
    with _lock:
        return _start_shared()


@functools.cache
def _start_shared() -> S3Server:
    server = S3Server()
    atexit.register(server.close)
    server.start()
    return server


def _program() -> str:
    """Return the path of `weed`, which the wheel installs with the scripts."""
    program = shutil.which("weed", path=sysconfig.get_path("scripts"))
    assert program is not None
    return program
