"""The servers and the proxy that other tests rely on: they are what they say, and fail when they are told to."""

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
from tests.support.proxy import Answer, FaultProxy, Pass, Refuse, Slow, Stall
from tests.support.s3 import S3Server


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    """A server that may be stopped without anybody else noticing."""
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


def test_a_new_database_is_empty_and_its_own(server: Postgres) -> None:
    """What is written in one is not in another, and its user does not rule the server."""
    one, other = server.new_database(), server.new_database()
    write(one, "a")
    write(other, "b")
    assert (["a"], ["b"]) == (notes(one), notes(other))
    with psycopg.connect(one) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("CREATE ROLE another")


def test_a_dropped_database_is_gone(server: Postgres) -> None:
    """Also when somebody is connected to it."""
    url = server.new_database()
    connection = psycopg.connect(url)
    server.drop_database(url)
    with pytest.raises(psycopg.OperationalError):
        connection.execute("SELECT 1")
    connection.close()
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        psycopg.connect(url)


def test_databases_are_made_by_many_at_once(server: Postgres) -> None:
    """Threads that ask together all get one of their own."""
    with ThreadPoolExecutor(8) as threads:
        urls = list(threads.map(lambda _: server.new_database(), range(8)))
    assert 8 == len(set(urls))
    for url in urls:
        write(url, url)
        assert [url] == notes(url)


def test_a_restart_keeps_the_data(server: Postgres) -> None:
    """The address stays too."""
    url = server.new_database()
    write(url, "before")
    server.restart()
    write(url, "after")
    assert ["after", "before"] == notes(url)


@pytest.mark.parametrize("durable", [False, True])
def test_what_was_committed_survives_a_crash(durable: bool) -> None:
    """What was not is gone, and connections break at once."""
    with Postgres(durable=durable) as server:
        url = server.new_database()
        write(url, "committed")
        open_one = psycopg.connect(url)
        open_one.execute("INSERT INTO notes VALUES ('open')")
        server.kill()
        with pytest.raises(psycopg.OperationalError):
            open_one.execute("SELECT 1")
        open_one.close()
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(url)
        server.start()
        assert ["committed"] == notes(url)


def test_the_shared_servers_are_started_once() -> None:
    """Everybody gets the same."""
    assert postgres.shared() is postgres.shared()
    assert s3.shared() is s3.shared()


def test_a_bucket_is_usable(storage: S3Server) -> None:
    """Put, read, list, put once only, signed addresses, and delete."""
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
    """Neither a wrong key nor none at all opens a bucket."""
    bucket = storage.new_bucket()
    obstore.put(storage.store(bucket), "name", b"content")
    with pytest.raises(PermissionDeniedError):
        obstore.get(storage.store(bucket, secret_key="wrong"), "name")
    assert 403 == httpx.get(f"{storage.endpoint}/{bucket}/name").status_code


def test_objects_survive_a_crash(storage: S3Server) -> None:
    """What was put before is there at the same address."""
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
    """Signatures hold through it, in both directions and at any size."""
    store = storage.store(storage.new_bucket(), endpoint=proxy.through(storage.endpoint))
    content = bytes(range(256)) * 50_000
    obstore.put(store, "name", content)
    assert content == obstore.get(store, "name").bytes()


def test_the_proxy_leads_to_databases(server: Postgres) -> None:
    """A connection that is cut fails, and the next one works."""
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


def test_the_proxy_refuses(storage: S3Server, proxy: FaultProxy) -> None:
    """Nobody new gets through; who was there does until it is cut."""
    url = proxy.through(storage.endpoint)
    with httpx.Client(base_url=url) as there, httpx.Client(base_url=url) as new:
        assert not refuses(there)
        proxy.mode = Refuse()
        assert refuses(new)
        assert not refuses(there)
        proxy.cut()
        assert refuses(there)
        proxy.mode = Pass()
        assert not refuses(there)


@pytest.mark.parametrize("size", [0, 10_000_000])
def test_the_proxy_answers(storage: S3Server, proxy: FaultProxy, size: int) -> None:
    """Old connections and new ones get the status, however much they send."""
    url = proxy.through(storage.endpoint)
    with httpx.Client(base_url=url) as there, httpx.Client(base_url=url) as new:
        assert 403 == there.get("/").status_code
        proxy.mode = Answer(503)
        assert 503 == there.put("/name", content=bytes(size)).status_code
        assert 503 == new.put("/name", content=bytes(size)).status_code
        proxy.mode = Pass()
        assert 403 == new.get("/").status_code


def test_the_proxy_answers_for_nobody() -> None:
    """It needs nobody upstream to answer; without an answer, the connection breaks."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        with FaultProxy(*closed.getsockname()) as proxy, httpx.Client(base_url=f"http://127.0.0.1:{proxy.port}") as one:
            assert refuses(one)
            proxy.mode = Answer(500)
            assert 500 == one.get("/").status_code


def test_the_proxy_stalls(storage: S3Server, proxy: FaultProxy) -> None:
    """What was held back arrives once the mode changes."""
    with httpx.Client(base_url=proxy.through(storage.endpoint)) as client, ThreadPoolExecutor(1) as thread:
        proxy.mode = Stall()
        with pytest.raises(httpx.ReadTimeout):
            client.get("/", timeout=0.2)
        held = thread.submit(client.get, "/", timeout=30)
        time.sleep(0.2)  # as long as it is held, nothing can be waited for
        assert not held.done()
        proxy.mode = Pass()
        assert 403 == held.result(30).status_code


def test_the_proxy_slows_down(storage: S3Server, proxy: FaultProxy) -> None:
    """The bytes come later than without, until it does not slow down any more."""
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


def test_the_proxy_cuts_what_it_holds_back(storage: S3Server, proxy: FaultProxy) -> None:
    """A connection need not move to be cut."""
    with httpx.Client(base_url=proxy.through(storage.endpoint)) as client, ThreadPoolExecutor(1) as thread:
        assert not refuses(client)
        proxy.mode = Stall()
        waiting = thread.submit(refuses, client)
        while not waiting.done():
            proxy.cut()
            time.sleep(0.02)
        assert waiting.result()
