"""Colors of the charts: told apart by readers with each kind of color blindness, and visible on the page."""

import math
import re
from itertools import combinations
from pathlib import Path

import pytest

STYLE = (Path(__file__).parents[2] / "ui/src/numbers.css").read_text()
PAGE = {"day": ("#fdfbf5", "#f7f3e9"), "night": ("#10202f", "#0a1724")}
BANDS = 7

# Machado, Oliveira, Fernandes (2009): what is seen with complete protanopia, deuteranopia and tritanopia (linear RGB).
VISION = {
    "usual": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protanopia": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deuteranopia": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.01182, 0.04294, 0.968881)),
    "tritanopia": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.3039)),
}  # fmt: skip

Color = tuple[float, float, float]


def colors_of(theme: str) -> list[str]:
    """Return the colors of the bands of a theme; both rules of the dark theme have the same ones."""
    rules = [re.findall(r"--band-\d: (#[0-9a-f]{6})", line) for line in STYLE.splitlines() if "--band-0: " in line]
    day, *night = rules
    assert night[0] == night[1]
    return day if theme == "day" else night[0]


def linear(color: str) -> Color:
    red, green, blue = (int(color[start : start + 2], 16) / 255 for start in (1, 3, 5))

    def channel(value: float) -> float:
        return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4

    return channel(red), channel(green), channel(blue)


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colors (WCAG 2)."""

    def luminance(color: str) -> float:
        red, green, blue = linear(color)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def seen(color: str, vision: str) -> Color:
    """Return a color in OKLab, as seen with a kind of vision."""
    rgb = linear(color)
    red, green, blue = (
        min(1, max(0, sum(factor * value for factor, value in zip(row, rgb, strict=True)))) for row in VISION[vision]
    )
    long = (0.4122214708 * red + 0.5363325363 * green + 0.0514459929 * blue) ** (1 / 3)
    medium = (0.2119034982 * red + 0.6806995451 * green + 0.1073969566 * blue) ** (1 / 3)
    short = (0.0883024619 * red + 0.2817188376 * green + 0.6299787005 * blue) ** (1 / 3)
    return (
        0.2104542553 * long + 0.7936177850 * medium - 0.0040720468 * short,
        1.9779984951 * long - 2.4285922050 * medium + 0.4505937099 * short,
        0.0259040371 * long + 0.7827717662 * medium - 0.8086757660 * short,
    )


@pytest.mark.parametrize("theme", ["day", "night"])
def test_any_two_colors_differ_for_every_reader(theme: str) -> None:
    """A distance of 0.1 in OKLab is clearly visible, also in bars next to each other."""
    colors = colors_of(theme)
    assert BANDS == len(colors)
    close = [
        (one, other, vision)
        for vision in VISION
        for one, other in combinations(colors, 2)
        if math.dist(seen(one, vision), seen(other, vision)) < 0.1
    ]
    assert [] == close


@pytest.mark.parametrize("theme", ["day", "night"])
def test_each_color_is_visible_on_the_page(theme: str) -> None:
    assert [] == [color for color in colors_of(theme) for page in PAGE[theme] if contrast(color, page) < 3]
