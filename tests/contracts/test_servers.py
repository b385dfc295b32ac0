"""The servers and the proxy that other tests rely on work, and fail on demand."""

import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import httpx
import obstore
import psycopg
import pytest
from obstore.exceptions import AlreadyExistsError, BaseError, PermissionDeniedError

from tests.support import postgres, s3
from tests.support.postgres import Postgres
from tests.support.proxy import FaultProxy, Pass, Refuse, Respond, Slow, Stall
from tests.support.s3 import S3Server


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    """A server that tests can stop without affecting others."""
    with Postgres() as started:
        yield started


@pytest.fixture
def storage() -> S3Server:
    return s3.shared()


@pytest.fixture
def proxy(storage: S3Server) -> Iterator[FaultProxy]:
    with FaultProxy("127.0.0.1", storage.port) as started:
        yield started


def write(url: str, content: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS notes (content text)")
        connection.execute("INSERT INTO notes VALUES (%s)", [content])


def notes(url: str) -> list[str]:
    with psycopg.connect(url) as connection:
        return [content for (content,) in connection.execute("SELECT content FROM notes ORDER BY content")]


def refuses(client: httpx.Client) -> bool:
    try:
        client.get("/")
    except httpx.TransportError:
        return True
    return False


def test_a_new_database_is_empty_and_isolated(server: Postgres) -> None:
    """Databases do not share data, and their user is not an administrator."""
    first, second = server.new_database(), server.new_database()
    write(first, "a")
    write(second, "b")
    assert (["a"], ["b"]) == (notes(first), notes(second))
    with psycopg.connect(first) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("CREATE ROLE another")


def test_a_dropped_database_is_gone(server: Postgres) -> None:
    """Holds also with an open connection."""
    url = server.new_database()
    connection = psycopg.connect(url)
    server.drop_database(url)
    with pytest.raises(psycopg.OperationalError):
        connection.execute("SELECT 1")
    connection.close()
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        psycopg.connect(url)


def test_databases_can_be_created_concurrently(server: Postgres) -> None:
    """Concurrent threads get different databases."""
    with ThreadPoolExecutor(8) as threads:
        urls = list(threads.map(lambda _: server.new_database(), range(8)))
    assert 8 == len(set(urls))
    for url in urls:
        write(url, url)
        assert [url] == notes(url)


def test_a_restart_keeps_the_data(server: Postgres) -> None:
    """The URL stays the same too."""
    url = server.new_database()
    write(url, "before")
    server.restart()
    write(url, "after")
    assert ["after", "before"] == notes(url)


@pytest.mark.parametrize("durable", [False, True])
def test_committed_rows_survive_a_crash(durable: bool) -> None:
    """Uncommitted rows are lost, and connections break at once."""
    with Postgres(durable=durable) as server:
        url = server.new_database()
        write(url, "committed")
        open_connection = psycopg.connect(url)
        open_connection.execute("INSERT INTO notes VALUES ('open')")
        server.kill()
        with pytest.raises(psycopg.OperationalError):
            open_connection.execute("SELECT 1")
        open_connection.close()
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(url)
        server.start()
        assert ["committed"] == notes(url)


def test_the_shared_servers_are_started_once() -> None:
    assert postgres.shared() is postgres.shared()
    assert s3.shared() is s3.shared()


def test_a_bucket_is_usable(storage: S3Server) -> None:
    """Covers put, put if absent, read, list, signed URLs and delete."""
    store = storage.store(storage.new_bucket())
    obstore.put(store, "folder/name", b"content", mode="create")
    with pytest.raises(AlreadyExistsError):
        obstore.put(store, "folder/name", b"other", mode="create")
    assert b"content" == obstore.get(store, "folder/name").bytes()
    assert b"content" == httpx.get(obstore.sign(store, "GET", "folder/name", timedelta(minutes=1))).content
    assert [("folder/name", 7)] == [(entry["path"], entry["size"]) for page in obstore.list(store) for entry in page]
    obstore.delete(store, "folder/name")
    with pytest.raises(FileNotFoundError):
        obstore.head(store, "folder/name")


def test_signatures_are_checked(storage: S3Server) -> None:
    """A bucket cannot be read with a wrong key or without a key."""
    bucket = storage.new_bucket()
    obstore.put(storage.store(bucket), "name", b"content")
    with pytest.raises(PermissionDeniedError):
        obstore.get(storage.store(bucket, secret_key="wrong"), "name")
    assert 403 == httpx.get(f"{storage.endpoint}/{bucket}/name").status_code


def test_objects_survive_a_crash(storage: S3Server) -> None:
    """Objects stored before the crash are at the same endpoint afterwards."""
    store = storage.store(storage.new_bucket())
    obstore.put(store, "small", b"content")
    obstore.put(store, "large", bytes(10_000_000))
    storage.kill()
    with pytest.raises(BaseError):
        obstore.get(store, "small")
    storage.start()
    assert b"content" == obstore.get(store, "small").bytes()
    assert bytes(10_000_000) == obstore.get(store, "large").bytes()


def test_the_proxy_passes_bytes_unchanged(storage: S3Server, proxy: FaultProxy) -> None:
    """Signatures stay valid, in both directions and for large bodies."""
    store = storage.store(storage.new_bucket(), endpoint=proxy.through(storage.endpoint))
    content = bytes(range(256)) * 50_000
    obstore.put(store, "name", content)
    assert content == obstore.get(store, "name").bytes()


def test_the_proxy_works_for_databases(server: Postgres) -> None:
    """A cut connection fails, and the next one works."""
    url = server.new_database()
    with FaultProxy("127.0.0.1", server.port) as proxy:
        connection = psycopg.connect(proxy.through(url))
        connection.execute("SELECT 1")
        proxy.cut()
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
        connection.close()
        write(proxy.through(url), "a")
    assert ["a"] == notes(url)


def test_the_proxy_refuses_connections(storage: S3Server, proxy: FaultProxy) -> None:
    """New connections are refused; open ones work until they are cut."""
    url = proxy.through(storage.endpoint)
    with httpx.Client(base_url=url) as connected, httpx.Client(base_url=url) as new:
        assert not refuses(connected)
        proxy.mode = Refuse()
        assert refuses(new)
        assert not refuses(connected)
        proxy.cut()
        assert refuses(connected)
        proxy.mode = Pass()
        assert not refuses(connected)


@pytest.mark.parametrize("size", [0, 10_000_000])
def test_the_proxy_answers(storage: S3Server, proxy: FaultProxy, size: int) -> None:
    """Open and new connections get the status, independent of the size of the request."""
    url = proxy.through(storage.endpoint)
    with httpx.Client(base_url=url) as connected, httpx.Client(base_url=url) as new:
        assert 403 == connected.get("/").status_code
        proxy.mode = Respond(503)
        assert 503 == connected.put("/name", content=bytes(size)).status_code
        assert 503 == new.put("/name", content=bytes(size)).status_code
        proxy.mode = Pass()
        assert 403 == new.get("/").status_code


def test_the_proxy_answers_without_upstream() -> None:
    """It needs no upstream server to answer; without an answer mode the connection breaks."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        with (
            FaultProxy(*closed.getsockname()) as proxy,
            httpx.Client(base_url=f"http://127.0.0.1:{proxy.port}") as client,
        ):
            assert refuses(client)
            proxy.mode = Respond(500)
            assert 500 == client.get("/").status_code


def test_the_proxy_stalls_connections(storage: S3Server, proxy: FaultProxy) -> None:
    """Held data arrives after the mode changes."""
    with httpx.Client(base_url=proxy.through(storage.endpoint)) as client, ThreadPoolExecutor(1) as thread:
        proxy.mode = Stall()
        with pytest.raises(httpx.ReadTimeout):
            client.get("/", timeout=0.2)
        response = thread.submit(client.get, "/", timeout=30)
        time.sleep(0.2)  # a held request gives no event to wait for
        assert not response.done()
        proxy.mode = Pass()
        assert 403 == response.result(30).status_code


def test_the_proxy_slows_down(storage: S3Server, proxy: FaultProxy) -> None:
    """Bytes arrive slowly until the mode changes."""
    store = storage.store(storage.new_bucket(), endpoint=proxy.through(storage.endpoint))
    obstore.put(store, "name", bytes(100_000))
    proxy.mode = Slow(200_000)
    assert bytes(100_000) == obstore.get(store, "name").bytes()
    proxy.mode = Slow(1000)
    with ThreadPoolExecutor(1) as thread:
        reading = thread.submit(lambda: obstore.get(store, "name").bytes())
        time.sleep(0.2)  # the bytes take 100 seconds
        assert not reading.done()
        proxy.mode = Pass()
        assert bytes(100_000) == reading.result(30)


def test_the_proxy_cuts_stalled_connections(storage: S3Server, proxy: FaultProxy) -> None:
    """A connection without traffic can be cut."""
    with httpx.Client(base_url=proxy.through(storage.endpoint)) as client, ThreadPoolExecutor(1) as thread:
        assert not refuses(client)
        proxy.mode = Stall()
        waiting = thread.submit(refuses, client)
        while not waiting.done():
            proxy.cut()
            time.sleep(0.02)
        assert waiting.result()
