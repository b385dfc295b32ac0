"""Images as bytes, valid and hostile."""

import io
import struct
import zlib
from typing import Any

from PIL import Image, ImageDraw


def png(size: tuple[int, int] = (40, 30), color: tuple[int, ...] = (200, 80, 20), **options: Any) -> bytes:
    """Return an image of one color."""
    return encode(Image.new("RGB", size, color), "PNG", **options)


def sample_logo() -> bytes:
    """Return a recognizable logo: a robot arm over water."""
    image = Image.new("RGB", (512, 512), (16, 72, 96))
    pen = ImageDraw.Draw(image)
    pen.rectangle((0, 380, 512, 512), fill=(206, 230, 238))
    pen.line((150, 400, 150, 210, 330, 140, 380, 250), fill=(253, 251, 245), width=44, joint="curve")
    for x, y in ((150, 210), (330, 140)):
        pen.ellipse((x - 36, y - 36, x + 36, y + 36), fill=(244, 119, 42))
    return encode(image, "PNG")


def encode(image: Image.Image, file_format: str, **options: Any) -> bytes:
    """Return the image as a file in this format."""
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


def jpeg_with_many_scans(size: int) -> bytes:
    """Return a large progressive JPEG of about `size` bytes that repeats its last scan as often as possible."""
    plain = encode(Image.new("L", (4_096, 4_096), 90), "JPEG", progressive=True)
    last, end = plain.rindex(b"\xff\xda"), plain.rindex(b"\xff\xd9")
    scan = plain[last:end]
    return plain[:end] + scan * ((size - len(plain)) // len(scan)) + plain[end:]


def photo_with_exif() -> bytes:
    """Return a JPEG whose EXIF data contain a rotation, a description and a location."""
    image = Image.new("RGB", (60, 20), (10, 60, 120))
    exif = Image.Exif()
    exif[0x0112] = 6  # rotate by 90 degrees
    exif[0x010E] = "taken at the secret harbor"
    exif.get_ifd(0x8825)[2] = (53.0, 33.0, 1.5)
    return encode(image, "JPEG", exif=exif, comment=b"secret comment")


def animated(file_format: str) -> bytes:
    """Return an animation of two frames."""
    frames = [Image.new("RGB", (20, 20), color) for color in ((255, 0, 0), (0, 255, 0))]
    return encode(frames[0], file_format, save_all=True, append_images=frames[1:], duration=100, loop=0)


def png_with_size(width: int, height: int, content: bytes = b"") -> bytes:
    """Return a PNG that claims this size, whatever its content."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", head) + _chunk(b"IDAT", zlib.compress(content)) + _chunk(b"IEND", b"")


def text_bomb() -> bytes:
    """Return a PNG with 8 KiB of compressed text that unpacks to 8 MiB."""
    text = _chunk(b"zTXt", b"words\0\0" + zlib.compress(bytes(8 * 1024 * 1024), 9))
    image = png()
    return image[:33] + text + image[33:]


def chunks(png: bytes) -> list[str]:
    """Return the chunk types of a PNG."""
    kinds, position = [], 8
    while position < len(png):
        length, kind = struct.unpack(">I4s", png[position : position + 8])
        kinds.append(kind.decode())
        position += 12 + length
    return kinds


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
