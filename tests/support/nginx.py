"""A real nginx with the configuration of the manual."""

import os
import shutil
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.support.postgres import free_ports
from tests.support.requests import connect

PAGE = Path(__file__).parents[2] / "docs" / "operate" / "nginx.md"
_START_SECONDS = 20
_TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


@dataclass(frozen=True)
class Nginx:
    """A running nginx that listens with and without TLS."""

    address: str
    plain_address: str
    trust: ssl.SSLContext
    log: Path
    error_log: Path

    def client(self, key: str | None = None) -> httpx.Client:
        headers = {"Accept-Encoding": "identity"} | ({} if key is None else {"Authorization": f"Bearer {key}"})
        return httpx.Client(base_url=self.address, headers=headers, verify=self.trust, timeout=60)


def configuration() -> str:
    """Return the configuration in the manual."""
    _, _, rest = PAGE.read_text(encoding="utf-8").partition("```nginx\n")
    return rest.partition("```")[0]


def permissions() -> list[str]:
    """Return the commands in the manual that let nginx read the store."""
    _, _, rest = PAGE.read_text(encoding="utf-8").partition("```sh\n")
    return rest.partition("```")[0].splitlines()


# A shared cache: it follows the cache headers of the responses, and stores responses without them for a minute.
_CACHE = """
        proxy_cache shared;
        proxy_cache_valid any 1m;
        proxy_buffering on;
        add_header Cache-Status $upstream_cache_status always;
"""


@contextmanager
def in_front_of(server: str, store: Path, folder: Path, *, caches: bool = False, user: str = "root") -> Iterator[Nginx]:
    """
    Run nginx in front of the server at this address, whose packages are in `store`.

    `user` is the user of its workers if the tests run as root.
    """
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if program is None:
        pytest.skip("nginx is not installed; .ci/install-debian installs it")
    port, plain_port = free_ports(2)
    certificate, key = _certificate(folder)
    changes = {
        "server 127.0.0.1:8000;": f"server {server.removeprefix('http://')};",
        "listen 443 ssl http2;": f"listen 127.0.0.1:{port} ssl http2; listen 127.0.0.1:{plain_port};",
        "server_name conda.example.com;": "server_name localhost;",
        "/etc/ssl/conda.example.com.pem": str(certificate),
        "/etc/ssl/conda.example.com.key": str(key),
        "/var/log/nginx/seaway.log": str(folder / "access.log"),
        "/var/log/nginx/seaway-error.log": str(folder / "seaway-error.log"),
        "/var/lib/seaway/store/": f"{store}/",
    }
    if caches:
        changes["        proxy_buffering off;\n"] = _CACHE
        changes["upstream seaway {"] = f"proxy_cache_path {folder}/cache keys_zone=shared:1m;\nupstream seaway {{"
    config = folder / "nginx.conf"
    config.write_text(_wrapped(folder, _replaced(configuration(), changes), user), encoding="utf-8")
    command = [program, "-e", str(folder / "error.log"), "-c", str(config), "-p", str(folder)]
    with (folder / "output").open("wb") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        plain_address = f"http://127.0.0.1:{plain_port}"
        _await(process, plain_address, folder)
        trust = ssl.create_default_context(cafile=str(certificate))
        yield Nginx(
            f"https://127.0.0.1:{port}", plain_address, trust, folder / "access.log", folder / "seaway-error.log"
        )
    finally:
        process.terminate()
        process.wait(20)


def _replaced(text: str, changes: dict[str, str]) -> str:
    for old, new in changes.items():
        assert 1 == text.count(old), f"{PAGE.name} has {old!r} {text.count(old)} times"
        text = text.replace(old, new)
    return text


def _wrapped(folder: Path, inner: str, user: str) -> str:
    """Wrap a file of conf.d like Debian's nginx.conf, for the server of one test."""
    as_user = f"user {user};" if os.geteuid() == 0 else ""  # the default user cannot read the folder
    temporary = "\n".join(f"{name}_temp_path {folder}/{name};" for name in _TEMPORARY)
    return f"""
{as_user}
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
events {{ worker_connections 256; }}
http {{
{temporary}
types {{ text/html html; }}
default_type text/x-not-ours;
gzip on;
gzip_types *;
{inner}
}}
"""


def _certificate(folder: Path) -> tuple[Path, Path]:
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed; .ci/install-debian installs it")
    certificate_options = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    subject_options = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    output_options = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run(
        ["openssl", "req", *certificate_options, *subject_options, *output_options], check=True, capture_output=True
    )
    return certificate, key


def _await(process: subprocess.Popen[bytes], address: str, folder: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            with connect(address):
                return
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError("nginx did not start:\n" + (folder / "output").read_text()) from None
            time.sleep(0.02)
