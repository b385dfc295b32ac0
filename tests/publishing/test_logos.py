"""Logos: re-encoding of pictures, including hostile ones, their blobs, and fetching of avatars."""

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
from typing import Any

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
from seaway.publishing.logos import MAX_LOGO_BYTES, Logos, NewLogo
from seaway.server.wiring import Seaway
from seaway.storage import keys
from tests.indexing.channel import RacingStore
from tests.support import images, state
from tests.support.clock import ManualClock
from tests.support.packages import conda, index_json
from tests.support.sites import Factory, publish_file


@pytest.fixture(scope="module")
def examiners() -> Iterator[Examiners]:
    """Return examiners with one process, shared by the module."""
    pool = Examiners(ArchiveLimits(), processes=1, refuse_escaping_links=False)
    yield pool
    pool.close()


@pytest.fixture
def draw(examiners: Examiners, tmp_path: Path) -> Callable[[bytes], bytes]:
    """Return a function that encodes a picture in an examiner."""

    def encode(content: bytes) -> bytes:
        path = tmp_path / "picture"
        path.write_bytes(content)
        return examiners.encode_picture(path)

    return encode


Draw = Callable[[bytes], bytes]


def open_png(png: bytes) -> Image.Image:
    picture = Image.open(io.BytesIO(png))
    picture.load()
    return picture


# Pictures


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF"])
def test_pictures_are_encoded_again(draw: Draw, form: str) -> None:
    """The result is always a PNG of 256 by 256 pixels with the whole picture in its center."""
    picture = open_png(draw(images.encode(Image.new("RGB", (64, 32), (200, 80, 20)), form)))
    assert ("PNG", (256, 256), "RGBA") == (picture.format, picture.size, picture.mode)
    red, green, blue, opaque = picture.getpixel((128, 128))  # type: ignore[misc]
    assert (abs(red - 200) < 8, abs(green - 80) < 8, abs(blue - 20) < 8, opaque) == (True, True, True, 255)
    assert 0 == picture.getpixel((128, 10))[3]  # type: ignore[index]


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "I;16"])
def test_all_color_modes_are_accepted(draw: Draw, mode: str) -> None:
    """Black and white, gray, palettes, transparency, CMYK, 16 bits."""
    content = images.encode(Image.new(mode, (20, 20)), "JPEG" if mode == "CMYK" else "PNG")
    assert (256, 256) == open_png(draw(content)).size


def test_only_pixels_are_kept(draw: Draw) -> None:
    """A photo is rotated upright, and its EXIF data and comment are removed."""
    content = images.photo_with_exif()
    png = draw(content)
    assert b"secret" in content
    assert b"secret" not in png
    assert {"IHDR", "IDAT", "IEND"} == set(images.chunks(png))
    picture = open_png(png)
    assert 255 == picture.getpixel((128, 5))[3]  # type: ignore[index]
    assert 0 == picture.getpixel((5, 128))[3]  # type: ignore[index]


def test_content_hidden_in_a_picture_is_removed(draw: Draw) -> None:
    """A file that is a picture and also a page, an archive or a script (polyglot) becomes only a picture."""
    for hidden in (b"<script>alert(1)</script>", b"PK\x03\x04 an archive", b"#!/bin/sh\n"):
        for content in (images.png() + hidden, images.png(pnginfo=_text(hidden))):
            assert hidden in content
            assert hidden not in draw(content)


def _text(hidden: bytes) -> PngInfo:
    info = PngInfo()
    info.add_text("comment", hidden.decode("latin-1"))
    return info


HOSTILE = {
    "svg": b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>",
    "svg in xml": b"<?xml version='1.0'?><!DOCTYPE svg><svg xmlns='http://www.w3.org/2000/svg'/>",
    "html": b"<!doctype html><script>alert(1)</script>",
    "gzip": b"\x1f\x8b\x08\x00",
    "postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 1 1\n",
    "bmp": images.encode(Image.new("RGB", (9, 9)), "BMP"),
    "tiff": images.encode(Image.new("RGB", (9, 9)), "TIFF"),
    "ico": images.encode(Image.new("RGB", (16, 16)), "ICO"),
    "truncated": images.encode(Image.effect_noise((300, 300), 90), "PNG")[:-20_000],
    "truncated jpeg": images.photo_with_exif()[:-40],
    "only a header": images.png()[:20],
    "wide": images.png_with_size(1_000_000, 1),
    "one pixel too wide": images.png_with_size(4_097, 1),
    "huge": images.png_with_size(100_000, 100_000),
    "no pixels": images.png_with_size(4_096, 4_096),
    "no size": images.png_with_size(0, 0),
    "bomb": images.png_with_size(12_000, 12_000, bytes(8 * 1024 * 1024)),
    "text bomb": images.text_bomb(),
    "animated gif": images.animated("GIF"),
    "animated png": images.animated("PNG"),
    "animated webp": images.animated("WEBP"),
    "one byte": b"x",
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_pictures_are_refused(draw: Draw, kind: str) -> None:
    """The refusal is a sentence, and the examiner can encode the next picture."""
    with pytest.raises(Invalid, match=r"picture"):
        draw(HOSTILE[kind])
    assert (256, 256) == open_png(draw(images.png())).size


def test_pictures_above_512_kib_are_refused_before_decoding(seaway: Seaway) -> None:
    with pytest.raises(TooLarge, match="512 KiB"):
        seaway.request_parts.logos.encode(OPERATOR, NewLogo(images.png() + bytes(512 * 1024)))


# Storage


def logo_of(seaway: Seaway, channel: str) -> bytes | None:
    with seaway.site.database.read() as tx:
        return channels.get(tx, channel).logo_sha256


def test_sweep_keeps_a_logo_while_a_channel_has_it(seaway: Seaway, factory: Factory, clock: ManualClock) -> None:
    """Two channels with the same picture share a blob, which is deleted after the last of them gave it up."""
    factory.channel("robots")
    factory.channel("others")
    for channel in ("robots", "others"):
        seaway.request_parts.logos.put(OPERATOR, channel, NewLogo(images.png()))
    first = logo_of(seaway, "robots")
    assert first is not None
    assert first == logo_of(seaway, "others")
    clock.move(30 * DAY_MS)

    def is_stored_after_a_sweep() -> bool:
        sweep(seaway.site, seaway.pairing, max_percent=100, grace_ms=0)
        return seaway.site.blobs.stat(keys.blob(first)) is not None

    assert is_stored_after_a_sweep()
    seaway.request_parts.logos.put(OPERATOR, "robots", NewLogo(images.png(color=(1, 2, 3))))
    assert is_stored_after_a_sweep()
    assert [] == list(check(seaway))
    with seaway.site.database.write_site() as tx:
        channels.remove(tx, clock.now_ms(), OPERATOR, "others")
    assert not is_stored_after_a_sweep()
    with seaway.site.database.write_site() as tx:
        logos.remove(tx, clock.now_ms(), OPERATOR, "robots")
    assert logo_of(seaway, "robots") is None


class AlwaysSweptStore(RacingStore):
    """A store whose sweep deletes every blob right after it was put."""

    def put_file(self, key: str, path: Path) -> bool:
        is_new = super().put_file(key, path)
        self.delete(key)
        return is_new


def logos_on(seaway: Seaway, blobs: Any) -> Logos:
    return replace(seaway.request_parts.logos, site=replace(seaway.site, blobs=blobs))


def test_picture_swept_before_the_commit_is_stored_again(seaway: Seaway, factory: Factory) -> None:
    """The race with the sweep is not the caller's fault: it is retried, and repeated failures return 503."""
    factory.channel("robots")
    sweeping_store = RacingStore(
        seaway.site.blobs,
        after_put=lambda: [seaway.site.blobs.delete(stat.key) for stat in state.stored_blobs(seaway.site.blobs)],
    )
    logos_on(seaway, sweeping_store).put(OPERATOR, "robots", NewLogo(images.png()))
    assert logo_of(seaway, "robots") is not None
    with pytest.raises(Unavailable):
        logos_on(seaway, AlwaysSweptStore(seaway.site.blobs)).put(
            OPERATOR, "robots", NewLogo(images.png(color=(1, 2, 3)))
        )


@pytest.mark.slow
@pytest.mark.anyio
async def test_expensive_picture_does_not_block_uploads(seaway: Seaway, factory: Factory) -> None:
    """A JPEG that repeats its last scan thousands of times is refused, and packages are accepted meanwhile."""
    factory.channel("robots", owner="ada")
    with ThreadPoolExecutor(1) as threads:
        drawing = threads.submit(
            seaway.request_parts.logos.encode, OPERATOR, NewLogo(images.jpeg_with_many_scans(MAX_LOGO_BYTES - 1))
        )
        await publish_file(
            seaway, "robots", conda(index_json("meanwhile")), by=factory.caller_of_key(factory.key("ada"))
        )
        assert not drawing.done()
        with pytest.raises(Invalid):
            await to_thread.run_sync(drawing.result)


def test_check_reports_a_missing_logo(seaway: Seaway, factory: Factory) -> None:
    factory.channel("holed")
    seaway.request_parts.logos.put(OPERATOR, "holed", NewLogo(images.png(color=(9, 9, 9))))
    digest = logo_of(seaway, "holed")
    assert digest is not None
    seaway.site.blobs.delete(keys.blob(digest))
    assert [("S7", "holed logo")] == [(broken.check, broken.where) for broken in check(seaway)]


def test_caller_who_cannot_manage_the_channel_triggers_no_work(seaway: Seaway, factory: Factory) -> None:
    """No fetch, decoding or blob; a user without access gets the response for a missing channel."""
    channel = factory.channel("closed", public=False)
    factory.member(channel, "carl", Role.CONTRIBUTOR)
    fetched: list[str] = []
    recording_logos = replace(seaway.request_parts.logos, fetch=lambda url: fetched.append(url) or b"")  # type: ignore[func-returns-value]
    with pytest.raises(NotAllowed):
        recording_logos.put(factory.signed_in("carl"), channel, NewLogo(url="https://github.com/ada.png"))
    messages = []
    for name in (channel, "no-such-channel"):
        with pytest.raises(NotFound) as refusal:
            recording_logos.put(factory.signed_in("nonmember"), name, NewLogo(url="https://github.com/ada.png"))
        messages.append(refusal.value.full_message)
    assert messages[0] == messages[1]
    assert [] == fetched


def test_logos_are_rate_limited_by_user(seaway: Seaway, factory: Factory) -> None:
    """Thirty at once."""
    owner = factory.signed_in(factory.user("eager"))
    for _ in range(30):
        with pytest.raises(Invalid):
            seaway.request_parts.logos.encode(owner, NewLogo(b"x"))
    with pytest.raises(TooManyRequests, match="new logos"):
        seaway.request_parts.logos.encode(owner, NewLogo(b"x"))


# Avatars


class AvatarServer:
    """A local HTTP server with configured responses."""

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url
        self.requested: list[str] = []
        self.responses: dict[str, Callable[[BaseHTTPRequestHandler], None]] = {}

    def avatars(self) -> Avatars:
        return Avatars((re.compile(re.escape(self.base_url) + r"/[a-z/]+"),), is_trusted=True)


@contextmanager
def _serving() -> Iterator[AvatarServer]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            server.requested.append(self.path)
            server.responses[self.path](self)

        def log_message(self, *_words: object) -> None:
            pass

    http_server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server = AvatarServer(f"http://127.0.0.1:{http_server.server_port}")
    thread = threading.Thread(target=http_server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield server
    finally:
        http_server.shutdown()
        thread.join()
        http_server.server_close()


@pytest.fixture
def server() -> Iterator[AvatarServer]:
    with _serving() as running:
        yield running


def _response(status: int, content: bytes = b"", **headers: str) -> Callable[[BaseHTTPRequestHandler], None]:
    def respond(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name.replace("_", "-"), value)
        request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        request.wfile.write(content)

    return respond


def test_avatar_is_fetched_through_allowed_redirects(server: AvatarServer) -> None:
    """github.com/NAME.png redirects to the avatar host, which is also allowed."""
    server.responses = {"/a": _response(302, Location="/b"), "/b": _response(200, b"a picture")}
    assert b"a picture" == server.avatars().fetch(f"{server.base_url}/a")
    assert ["/a", "/b"] == server.requested


@pytest.mark.parametrize(
    "location",
    ["http://127.0.0.2:1/x", "//evil.example/x", "https://github.com.evil.example/x", "file:///etc/passwd", "/../x?y"],
)
def test_redirect_to_another_host_is_refused(server: AvatarServer, location: str) -> None:
    """Each redirect is checked like the first URL, and no request is sent to the target."""
    server.responses = {"/a": _response(302, Location=location)}
    with pytest.raises(Invalid, match="Only GitHub avatars"):
        server.avatars().fetch(f"{server.base_url}/a")
    assert ["/a"] == server.requested


def test_redirects_are_limited(server: AvatarServer) -> None:
    """Four requests are sent, and no more."""
    server.responses = {"/a": _response(302, Location="/a")}
    with pytest.raises(Invalid, match="too many redirects"):
        server.avatars().fetch(f"{server.base_url}/a")
    assert 4 == len(server.requested)


def _endless_response(request: BaseHTTPRequestHandler) -> None:
    request.send_response(200)
    request.end_headers()
    try:
        for _ in range(1_000):
            request.wfile.write(bytes(64 * 1024))
    except OSError:
        pass  # the client closes the connection, as it should


@pytest.mark.parametrize(
    ("respond", "error"),
    [
        pytest.param(_endless_response, Unavailable, id="endless"),
        pytest.param(_response(200, b"x", Content_Encoding="gzip"), Unavailable, id="compressed"),
        pytest.param(_response(404), Invalid, id="not found"),
        pytest.param(_response(302), Invalid, id="redirect without location"),
        pytest.param(_response(500, b"details"), Invalid, id="server error"),
    ],
)
def test_invalid_responses_of_the_avatar_host_are_refused(
    server: AvatarServer, respond: Callable[[BaseHTTPRequestHandler], None], error: type
) -> None:
    """The response is bounded, and the error has nothing of its content, only its status."""
    server.responses = {"/a": respond}
    with pytest.raises(error) as refusal:
        server.avatars().fetch(f"{server.base_url}/a")
    assert isinstance(refusal.value, SeawayError)
    assert "details" not in refusal.value.full_message


@pytest.mark.slow
@pytest.mark.timeout(60)
def test_silent_avatar_host_times_out() -> None:
    """The server accepts the connection and sends nothing."""
    with socket.create_server(("127.0.0.1", 0)) as silent_server:
        url = f"http://127.0.0.1:{silent_server.getsockname()[1]}/a"
        with pytest.raises(Unavailable):
            Avatars((re.compile(".*"),), is_trusted=True).fetch(url)


@pytest.mark.parametrize(
    "url",
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
def test_only_github_avatar_urls_are_fetched(url: str) -> None:
    """The whole URL must match: no other scheme, host, port or user, and no other spelling of them."""
    with pytest.raises(Invalid, match="Only GitHub avatars"):
        Avatars().fetch(url)


def test_allowed_host_name_with_an_internal_address_is_refused() -> None:
    """An attacker who controls the DNS of an allowed name cannot direct requests to this machine."""
    avatars = Avatars((re.compile(".*"),), is_trusted=False)
    for url in ("https://localhost/a", "https://127.0.0.1/a", "https://[::ffff:127.0.0.1]/a", "http://8.8.8.8/a"):
        with pytest.raises(Unavailable) as refusal:
            avatars.fetch(url)
        assert "allowed" in refusal.value.cause or "https" in refusal.value.cause


def test_operator_can_disable_fetching(seaway: Seaway) -> None:
    """The picture then has to be uploaded."""
    logos_without_fetch = replace(seaway.request_parts.logos, can_fetch=False)
    with pytest.raises(Invalid, match="does not fetch pictures"):
        logos_without_fetch.encode(OPERATOR, NewLogo(url="https://github.com/ada.png"))
