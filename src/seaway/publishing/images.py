"""
Re-encode an untrusted picture: decode it within limits and write a PNG that contains only its pixels.

This runs in an examiner process, since image decoders have had exploitable bugs and that process has no session, key or
connection in its memory.

1. Four formats are accepted, none of which can run or load anything; SVG is not accepted.
2. Width and height are checked before any pixel is decoded: a PNG of 512 KiB can claim a billion pixels.
3. Animations are refused and not reduced to a frame, since the intended frame is unknown.
4. Only pixels are kept: no metadata (photographs contain their location), no bytes after the image.
"""

import io
import warnings
from pathlib import Path

from PIL import Image, ImageOps

from seaway.errors import Invalid

SIDE = 256
MAX_SIDE = 4_096
_FORMATS = ("PNG", "JPEG", "WEBP", "GIF")


def encode_png(path: Path) -> bytes:
    """Return the picture as a PNG; raise `Invalid` for unreadable or unaccepted files."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the decoder's warnings about the file do not belong in the log
        try:
            with Image.open(path, formats=_FORMATS) as picture:
                _check(picture)
                return _png(ImageOps.exif_transpose(picture))
        except (MemoryError, Invalid):
            raise
        except Exception as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise  # a disk error: Pillow's own errors have no errno
            raise _unreadable() from error


def _unreadable() -> Invalid:
    return Invalid("The file is not a readable picture.", "Use a PNG, JPEG, WebP or GIF; SVG is not accepted.")


def _check(picture: Image.Image) -> None:
    if max(picture.size) > MAX_SIDE:
        raise Invalid(
            f"The picture is larger than {MAX_SIDE:,} pixels on a side.",
            f"Use a smaller one: it is shown at {SIDE} by {SIDE} pixels.",
        )
    if getattr(picture, "is_animated", False):
        raise Invalid("The picture is animated.", "Use a still picture.")


def _png(picture: Image.Image) -> bytes:
    """Return a square PNG with the whole picture in its center."""
    fitted = ImageOps.contain(picture.convert("RGBA"), (SIDE, SIDE), Image.Resampling.LANCZOS)
    square = Image.new("RGBA", (SIDE, SIDE))
    square.paste(fitted, ((SIDE - fitted.width) // 2, (SIDE - fitted.height) // 2))
    written = io.BytesIO()
    square.save(written, "PNG")
    return written.getvalue()
