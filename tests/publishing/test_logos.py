"""Logos: what becomes of pictures, hostile ones too, and of the blobs that they are."""

import io
import re
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from anyio import to_thread
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from seaway.callers.caller import OPERATOR
from seaway.channels import channels, logos
from seaway.channels.roles import Role
from seaway.clock import DAY_MS
from seaway.conda.limits import ArchiveLimits
from seaway.errors import Invalid, NotAllowed, NotFound, SeawayError, TooLarge, TooManyRequests, Unavailable
from seaway.maintenance.check import check
from seaway.packages.sweep import sweep
from seaway.publishing.avatars import Avatars
from seaway.publishing.examiners import Examiners
from seaway.publishing.logos import MOST_BYTES, NewLogo
from seaway.server.wiring import Seaway
from seaway.storage import keys
from tests.indexing.channel import RacingStore
from tests.support import pictures, state
from tests.support.clock import TurnedClock
from tests.support.house import People, publish_file
from tests.support.packages import conda, index_json


@pytest.fixture(scope="module")
def examiners() -> Iterator[Examiners]:
    """One process, which draws everything."""
    pool = Examiners(ArchiveLimits(), processes=1, refuse_escaping_links=False)
    yield pool
    pool.close()


@pytest.fixture
def draw(examiners: Examiners, tmp_path: Path) -> Callable[[bytes], bytes]:
    """A picture drawn by an examiner."""

    def drawn(content: bytes) -> bytes:
        path = tmp_path / "picture"
        path.write_bytes(content)
        return examiners.encode_picture(path)

    return drawn


Draw = Callable[[bytes], bytes]


def opened(png: bytes) -> Image.Image:
    picture = Image.open(io.BytesIO(png))
    picture.load()
    return picture


# Pictures


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF"])
def test_pictures_are_drawn_anew(draw: Draw, form: str) -> None:
    """Of whatever form and size: a PNG of 256 by 256, the picture whole in the middle of it."""
    picture = opened(draw(pictures.written(Image.new("RGB", (64, 32), (200, 80, 20)), form)))
    assert ("PNG", (256, 256), "RGBA") == (picture.format, picture.size, picture.mode)
    red, green, blue, opaque = picture.getpixel((128, 128))  # type: ignore[misc]
    assert (abs(red - 200) < 8, abs(green - 80) < 8, abs(blue - 20) < 8, opaque) == (True, True, True, 255)
    assert 0 == picture.getpixel((128, 10))[3]  # type: ignore[index]


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "I;16"])
def test_colours_of_every_kind_are_taken(draw: Draw, mode: str) -> None:
    """Black and white, grey, palettes, transparency, ink, sixteen bits."""
    content = pictures.written(Image.new(mode, (20, 20)), "JPEG" if mode == "CMYK" else "PNG")
    assert (256, 256) == opened(draw(content)).size


def test_nothing_but_colours_is_kept(draw: Draw) -> None:
    """A photograph is turned upright, and neither its EXIF nor its comment is in what is shown."""
    content = pictures.photograph()
    png = draw(content)
    assert b"secret" in content
    assert b"secret" not in png
    assert {"IHDR", "IDAT", "IEND"} == set(pictures.chunks(png))
    picture = opened(png)
    assert 255 == picture.getpixel((128, 5))[3]  # type: ignore[index]
    assert 0 == picture.getpixel((5, 128))[3]  # type: ignore[index]


def test_what_hides_behind_a_picture_is_gone(draw: Draw) -> None:
    """A picture that is a page, an archive or a script as well is only a picture afterwards."""
    for hidden in (b"<script>alert(1)</script>", b"PK\x03\x04 an archive", b"#!/bin/sh\n"):
        for content in (pictures.png() + hidden, pictures.png(pnginfo=_text(hidden))):
            assert hidden in content
            assert hidden not in draw(content)


def _text(hidden: bytes) -> PngInfo:
    info = PngInfo()
    info.add_text("words", hidden.decode("latin-1"))
    return info


HOSTILE = {
    "svg": b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>",
    "svg in xml": b"<?xml version='1.0'?><!DOCTYPE svg><svg xmlns='http://www.w3.org/2000/svg'/>",
    "html": b"<!doctype html><script>alert(1)</script>",
    "gzip": b"\x1f\x8b\x08\x00",
    "postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 1 1\n",
    "bmp": pictures.written(Image.new("RGB", (9, 9)), "BMP"),
    "tiff": pictures.written(Image.new("RGB", (9, 9)), "TIFF"),
    "ico": pictures.written(Image.new("RGB", (16, 16)), "ICO"),
    "truncated": pictures.written(Image.effect_noise((300, 300), 90), "PNG")[:-20_000],
    "truncated jpeg": pictures.photograph()[:-40],
    "only a head": pictures.png()[:20],
    "wide": pictures.claiming(1_000_000, 1),
    "wide enough": pictures.claiming(4_097, 1),
    "huge": pictures.claiming(100_000, 100_000),
    "nothing of it": pictures.claiming(4_096, 4_096),
    "no size": pictures.claiming(0, 0),
    "bomb": pictures.claiming(12_000, 12_000, bytes(8 * 1024 * 1024)),
    "text bomb": pictures.text_bomb(),
    "gif that moves": pictures.moving("GIF"),
    "png that moves": pictures.moving("PNG"),
    "webp that moves": pictures.moving("WEBP"),
    "one byte": b"x",
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_pictures_are_refused(draw: Draw, kind: str) -> None:
    """With a sentence, and the next picture is drawn all the same."""
    with pytest.raises(Invalid, match=r"picture"):
        draw(HOSTILE[kind])
    assert (256, 256) == opened(draw(pictures.png())).size


def test_large_files_are_refused_before_they_are_opened(seaway: Seaway) -> None:
    """512 KiB is the most."""
    with pytest.raises(TooLarge, match="512 KiB"):
        seaway.request_parts.logos.draw(OPERATOR, NewLogo(pictures.png() + bytes(512 * 1024)))


# Keeping


def logo_of(seaway: Seaway, channel: str) -> bytes | None:
    with seaway.database.read() as tx:
        return channels.get(tx, channel).logo


def test_a_logo_lives_as_long_as_its_channel_has_it(seaway: Seaway, people: People, clock: TurnedClock) -> None:
    """The sweep takes neither it nor its like in another channel, and takes it when nobody has it any more."""
    people.channel("robots")
    people.channel("others")
    for channel in ("robots", "others"):
        seaway.request_parts.logos.put(OPERATOR, channel, NewLogo(pictures.png()))
    first = logo_of(seaway, "robots")
    assert first is not None
    assert first == logo_of(seaway, "others")
    clock.move(30 * DAY_MS)

    def is_there_after_a_sweep() -> bool:
        sweep(seaway.sweeping, grace_ms=0)
        return seaway.blobs.stat(keys.blob(first)) is not None

    assert is_there_after_a_sweep()
    seaway.request_parts.logos.put(OPERATOR, "robots", NewLogo(pictures.png(colour=(1, 2, 3))))
    assert is_there_after_a_sweep()
    assert [] == list(check(seaway))
    with seaway.database.write_site() as tx:
        channels.remove(tx, clock.now_ms(), OPERATOR, "others")
    assert not is_there_after_a_sweep()
    with seaway.database.write_site() as tx:
        logos.remove(tx, clock.now_ms(), OPERATOR, "robots")
    assert logo_of(seaway, "robots") is None


class Swept(RacingStore):
    """A store whose sweep takes every blob as soon as it is there."""

    def put_file(self, key: str, path: Path) -> bool:
        is_new = super().put_file(key, path)
        self.delete(key)
        return is_new


def test_a_picture_that_is_swept_before_it_is_named_is_put_again(seaway: Seaway, people: People) -> None:
    """A race with our own sweep is not the caller's fault: it is tried again, and in the end a 503."""
    people.channel("robots")
    given = seaway.request_parts.logos
    meddled = RacingStore(
        seaway.blobs, after_put=lambda: [seaway.blobs.delete(s.key) for s in state.stored(seaway.blobs)]
    )
    replace(given, blobs=meddled).put(OPERATOR, "robots", NewLogo(pictures.png()))
    assert logo_of(seaway, "robots") is not None
    with pytest.raises(Unavailable):
        replace(given, blobs=Swept(seaway.blobs)).put(OPERATOR, "robots", NewLogo(pictures.png(colour=(1, 2, 3))))


@pytest.mark.slow
@pytest.mark.anyio
async def test_a_dear_picture_keeps_no_package_waiting(seaway: Seaway, people: People) -> None:
    """A JPEG that repeats its last scan thousands of times is given up, and packages come in meanwhile."""
    people.channel("robots", owner="ada")
    with ThreadPoolExecutor(1) as threads:
        drawing = threads.submit(
            seaway.request_parts.logos.draw, OPERATOR, NewLogo(pictures.many_scans(MOST_BYTES - 1))
        )
        await publish_file(seaway, "robots", conda(index_json("meanwhile")), by=people.by_key(people.key("ada")))
        assert not drawing.done()
        with pytest.raises(Invalid):
            await to_thread.run_sync(drawing.result)


def test_a_logo_that_is_gone_is_a_broken_promise(seaway: Seaway, people: People) -> None:
    """`check` says so."""
    people.channel("holed")
    seaway.request_parts.logos.put(OPERATOR, "holed", NewLogo(pictures.png(colour=(9, 9, 9))))
    digest = logo_of(seaway, "holed")
    assert digest is not None
    seaway.blobs.delete(keys.blob(digest))
    assert [("S7", "holed logo")] == [(broken.check, broken.where) for broken in check(seaway)]


def test_who_may_not_manage_makes_us_do_nothing(seaway: Seaway, people: People) -> None:
    """No fetch, no decoding, no blob: not for a contributor, not for a stranger, who is told what a channel that is not
    there would be told."""
    channel = people.channel("closed", public=False)
    people.member(channel, "carl", Role.CONTRIBUTOR)
    asked: list[str] = []
    watched = replace(seaway.request_parts.logos, fetch=lambda address: asked.append(address) or b"")  # type: ignore[func-returns-value]
    with pytest.raises(NotAllowed):
        watched.put(people.person("carl"), channel, NewLogo(url="https://github.com/ada.png"))
    said = []
    for name in (channel, "no-such-channel"):
        with pytest.raises(NotFound) as refusal:
            watched.put(people.person("stranger"), name, NewLogo(url="https://github.com/ada.png"))
        said.append(refusal.value.full_message)
    assert said[0] == said[1]
    assert [] == asked


def test_logos_are_limited_for_each_user(seaway: Seaway, people: People) -> None:
    """Thirty at once, then one now and then."""
    owner = people.person(people.user("eager"))
    for _ in range(30):
        with pytest.raises(Invalid):
            seaway.request_parts.logos.draw(owner, NewLogo(b"x"))
    with pytest.raises(TooManyRequests, match="new logos"):
        seaway.request_parts.logos.draw(owner, NewLogo(b"x"))


# Avatars


class Host:
    """A host on this machine that answers as it is told."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.asked: list[str] = []
        self.answers: dict[str, Callable[[BaseHTTPRequestHandler], None]] = {}

    def avatars(self) -> Avatars:
        return Avatars((re.compile(re.escape(self.address) + r"/[a-z/]+"),), is_trusted=True)


@contextmanager
def _serving() -> Iterator[Host]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            host.asked.append(self.path)
            host.answers[self.path](self)

        def log_message(self, *_words: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    host = Host(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield host
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def host() -> Iterator[Host]:
    with _serving() as running:
        yield running


def _says(status: int, content: bytes = b"", **headers: str) -> Callable[[BaseHTTPRequestHandler], None]:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name.replace("_", "-"), value)
        request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        request.wfile.write(content)

    return answer


def test_an_avatar_is_fetched_and_its_redirects_are_followed(host: Host) -> None:
    """github.com/NAME.png leads to where avatars are, and that place is on the list."""
    host.answers = {"/a": _says(302, Location="/b"), "/b": _says(200, b"a picture")}
    assert b"a picture" == host.avatars().fetch(f"{host.address}/a")
    assert ["/a", "/b"] == host.asked


@pytest.mark.parametrize(
    "location",
    ["http://127.0.0.2:1/x", "//evil.example/x", "https://github.com.evil.example/x", "file:///etc/passwd", "/../x?y"],
)
def test_a_redirect_leads_nowhere_else(host: Host, location: str) -> None:
    """Where it leads is looked at as at the first address, and nothing is asked there."""
    host.answers = {"/a": _says(302, Location=location)}
    with pytest.raises(Invalid, match="Only GitHub avatars"):
        host.avatars().fetch(f"{host.address}/a")
    assert ["/a"] == host.asked


def test_redirects_end(host: Host) -> None:
    """Four hosts are asked, not one more."""
    host.answers = {"/a": _says(302, Location="/a")}
    with pytest.raises(Invalid, match="too many redirects"):
        host.avatars().fetch(f"{host.address}/a")
    assert 4 == len(host.asked)


def _pours(request: BaseHTTPRequestHandler) -> None:
    request.send_response(200)
    request.end_headers()
    try:
        for _ in range(1_000):
            request.wfile.write(bytes(64 * 1024))
    except OSError:
        pass  # they hung up, as they should


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        pytest.param(_pours, Unavailable, id="endless"),
        pytest.param(_says(200, b"x", Content_Encoding="gzip"), Unavailable, id="packed"),
        pytest.param(_says(404), Invalid, id="nobody of this name"),
        pytest.param(_says(302), Invalid, id="a redirect to nowhere"),
        pytest.param(_says(500, b"words"), Invalid, id="broken"),
    ],
)
def test_hosts_that_misbehave(host: Host, answer: Callable[[BaseHTTPRequestHandler], None], error: type) -> None:
    """What comes is bounded, and what is said of it tells nothing of the answer but its status."""
    host.answers = {"/a": answer}
    with pytest.raises(error) as refusal:
        host.avatars().fetch(f"{host.address}/a")
    assert isinstance(refusal.value, SeawayError)
    assert "words" not in refusal.value.full_message


@pytest.mark.slow
@pytest.mark.timeout(60)
def test_a_silent_host_does_not_hold_us() -> None:
    """One that takes the connection and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/a"
        with pytest.raises(Unavailable):
            Avatars((re.compile(".*"),), is_trusted=True).fetch(address)


@pytest.mark.parametrize(
    "address",
    [
        "http://github.com/ada.png",
        "https://github.com/ada",
        "https://github.com/ada/repository.png",
        "https://github.com/../x.png",
        "https://github.com:444/ada.png",
        "https://github.com@127.0.0.1/ada.png",
        "https://ada@github.com/ada.png",
        "https://github.com/ada.png#x",
        "https://github.com/ada.png\n",
        "https://github.com.evil.example/ada.png",
        "https://evil.example/github.com/ada.png",
        "https://avatars.githubusercontent.com.evil.example/u/1",
        "https://avatars.githubusercontent.com/u/1@evil.example",
        "https://avatars.githubusercontent.com\\@evil.example/u/1",
        "https://raw.githubusercontent.com/u/1",
        "https://127.0.0.1/ada.png",
        "https://[::1]/ada.png",
        "https://169.254.169.254/latest/meta-data",
        "https://localhost/ada.png",
        "HTTPS://GITHUB.COM/ada.png",
        "file:///etc/passwd",
        "data:image/png;base64,AAAA",
        "ftp://github.com/ada.png",
        "",
    ],
)
def test_only_avatars_at_github_are_fetched(address: str) -> None:
    """By the whole address: no other scheme, host, port, user, nor a way to write one of these otherwise."""
    with pytest.raises(Invalid, match="Only GitHub avatars"):
        Avatars().fetch(address)


def test_a_known_name_that_leads_into_our_network_is_not_visited() -> None:
    """Whoever answers for GitHub's names here cannot send us to this machine."""
    here = Avatars((re.compile(".*"),), is_trusted=False)
    for address in ("https://localhost/a", "https://127.0.0.1/a", "https://[::ffff:127.0.0.1]/a", "http://8.8.8.8/a"):
        with pytest.raises(Unavailable) as refusal:
            here.fetch(address)
        assert "allowed" in refusal.value.cause or "https" in refusal.value.cause


def test_an_operator_can_switch_fetching_off(seaway: Seaway) -> None:
    """Then a picture has to be sent."""
    closed = replace(seaway.request_parts.logos, can_fetch=False)
    with pytest.raises(Invalid, match="does not fetch pictures"):
        closed.draw(OPERATOR, NewLogo(url="https://github.com/ada.png"))
