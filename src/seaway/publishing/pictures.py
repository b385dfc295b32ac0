"""
A stranger's picture, drawn anew: decoded within limits, and written as a PNG that holds nothing but its colours.

It runs in an examiner: decoders of pictures have been broken into before, and no session, key or
connection is in the memory of that process.

1. Four formats are opened, none of which can run or load anything; SVG is not one of them.
2. Width and height are looked at before a pixel is decoded: 512 KiB of PNG can claim a thousand million of them.
3. What moves is refused, and not frozen: nobody can say which of its pictures was meant.
4. Nothing of the file is passed on: no metadata (a photograph says where it was taken), no text behind the picture.
"""

import io
import warnings
from pathlib import Path

from PIL import Image, ImageOps

from seaway.errors import Invalid

SIDE = 256
MOST_ON_A_SIDE = 4_096
_FORMATS = ("PNG", "JPEG", "WEBP", "GIF")


def draw(path: Path) -> bytes:
    """The PNG; `Invalid` for what is no picture, or one that is not taken."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what a decoder finds odd is no matter for our log
        try:
            with Image.open(path, formats=_FORMATS) as picture:
                _check(picture)
                return _png(ImageOps.exif_transpose(picture))
        except (MemoryError, Invalid):
            raise
        except Exception as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise  # of the disk: Pillow gives no number
            raise _unreadable() from error


def _unreadable() -> Invalid:
    return Invalid("The file is no picture that can be read.", "Send a PNG, JPEG, WebP or GIF; SVG is not taken.")


def _check(picture: Image.Image) -> None:
    if max(picture.size) > MOST_ON_A_SIDE:
        raise Invalid(
            f"The picture is larger than {MOST_ON_A_SIDE:,} pixels on a side.",
            f"Make it smaller: {SIDE} by {SIDE} is what is shown.",
        )
    if getattr(picture, "is_animated", False):
        raise Invalid("The picture moves.", "Send one that stands still.")


def _png(picture: Image.Image) -> bytes:
    """A square of our own, the picture in the middle of it, whole."""
    fitted = ImageOps.contain(picture.convert("RGBA"), (SIDE, SIDE), Image.Resampling.LANCZOS)
    square = Image.new("RGBA", (SIDE, SIDE))
    square.paste(fitted, ((SIDE - fitted.width) // 2, (SIDE - fitted.height) // 2))
    written = io.BytesIO()
    square.save(written, "PNG")
    return written.getvalue()
