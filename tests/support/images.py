"""Pictures, honest ones and hostile ones, as bytes."""

import io
import struct
import zlib
from typing import Any

from PIL import Image, ImageDraw


def png(size: tuple[int, int] = (40, 30), colour: tuple[int, ...] = (200, 80, 20), **saving: Any) -> bytes:
    """A picture of one colour."""
    return encode(Image.new("RGB", size, colour), "PNG", **saving)


def sample_logo() -> bytes:
    """A logo that one recognizes: an arm over water."""
    picture = Image.new("RGB", (512, 512), (16, 72, 96))
    pen = ImageDraw.Draw(picture)
    pen.rectangle((0, 380, 512, 512), fill=(206, 230, 238))
    pen.line((150, 400, 150, 210, 330, 140, 380, 250), fill=(253, 251, 245), width=44, joint="curve")
    for x, y in ((150, 210), (330, 140)):
        pen.ellipse((x - 36, y - 36, x + 36, y + 36), fill=(244, 119, 42))
    return encode(picture, "PNG")


def encode(picture: Image.Image, form: str, **saving: Any) -> bytes:
    """A picture as a file of this form."""
    file = io.BytesIO()
    picture.save(file, form, **saving)
    return file.getvalue()


def jpeg_with_many_scans(size: int) -> bytes:
    """A progressive JPEG of about so many bytes that is large, and repeats its last scan as often as there is room."""
    plain = encode(Image.new("L", (4_096, 4_096), 90), "JPEG", progressive=True)
    last, end = plain.rindex(b"\xff\xda"), plain.rindex(b"\xff\xd9")
    scan = plain[last:end]
    return plain[:end] + scan * ((size - len(plain)) // len(scan)) + plain[end:]


def photo_with_exif() -> bytes:
    """A JPEG that lies on its side, and says so, and where it was taken, in its EXIF."""
    picture = Image.new("RGB", (60, 20), (10, 60, 120))
    exif = Image.Exif()
    exif[0x0112] = 6  # turn it to look at it
    exif[0x010E] = "taken at the secret harbour"
    exif.get_ifd(0x8825)[2] = (53.0, 33.0, 1.5)
    return encode(picture, "JPEG", exif=exif, comment=b"secret comment")


def animated(form: str) -> bytes:
    """Two pictures in one, for a film."""
    frames = [Image.new("RGB", (20, 20), colour) for colour in ((255, 0, 0), (0, 255, 0))]
    return encode(frames[0], form, save_all=True, append_images=frames[1:], duration=100, loop=0)


def png_with_size(width: int, height: int, content: bytes = b"") -> bytes:
    """A PNG that says that it is so large, whatever is in it."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", head) + _chunk(b"IDAT", zlib.compress(content)) + _chunk(b"IEND", b"")


def text_bomb() -> bytes:
    """A PNG with 8 KiB of compressed text, which unpack to 8 MiB."""
    text = _chunk(b"zTXt", b"words\0\0" + zlib.compress(bytes(8 * 1024 * 1024), 9))
    whole = png()
    return whole[:33] + text + whole[33:]


def chunks(png: bytes) -> list[str]:
    """What a PNG is made of."""
    found, at = [], 8
    while at < len(png):
        length, kind = struct.unpack(">I4s", png[at : at + 8])
        found.append(kind.decode())
        at += 12 + length
    return found


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
