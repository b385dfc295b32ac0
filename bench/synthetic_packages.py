"""
Synthetic packages of a large channel, the same in every run: names, versions, builds, dependencies.

The number of builds per name follows a power law, as on conda-forge: the median name has a few builds, the largest have
thousands. The forms of the dependencies are those of the packages in tests/data. Their number per package is made up
(usually three to eight), since most of those packages were made for tests and have none.
"""

import functools
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rattler.package import IndexJson

from tests.support.packages import PackageFile, conda, real_packages, tar_bz2

SUBDIR = "linux-64"

_MIN_BUILDS = 2
_EXPONENT = 0.8  # gives a median of five builds per name and a mean of thirty
_MAX_BUILDS = 5_000
_MAX_SHARE = 0.05  # the largest share of all builds that one name can have
_OLD_FORMAT_PART = 0.1
_FIRST_TIME_MS = 1_500_000_000_000
_PYTHONS = ("3.10", "3.11", "3.12", "3.13")
_LICENSES = ("MIT", "BSD-3-Clause", "Apache-2.0", "GPL-3.0-or-later", "LGPL-2.1-or-later")
_COMMON = (
    "__glibc >=2.17,<3.0.a0", "libgcc >=13", "libstdcxx >=13", "libzlib >=1.3.1,<2.0a0", "openssl >=3.4.0,<4.0a0",
    "numpy >=1.21,<3", "libblas >=3.9.0,<4.0a0", "xz >=5.2.6,<6.0a0",
)  # fmt: skip
_STARTS = (
    "aio", "arrow", "aws", "bio", "boost", "cloud", "cmake", "compute", "cuda", "data", "django", "fast", "flask",
    "geo", "graph", "grid", "hdf", "image", "jupyter", "lang", "mesh", "micro", "mpi", "net", "nox", "open", "opto",
    "pandas", "parse", "plot", "proto", "pyro", "quant", "sphinx", "spec", "tensor", "text", "torch", "url", "xml",
)  # fmt: skip
_ENDS = (
    "bridge", "cache", "cli", "client", "core", "db", "dev", "engine", "ext", "flow", "format", "glue", "io", "kit",
    "lab", "lite", "ml", "models", "parser", "plus", "proxy", "runtime", "sdk", "server", "store", "tools", "types",
    "utils", "viz", "wrap",
)  # fmt: skip
_KINDS = ("python-{}", "lib{}", "r-{}", "{}", "{}", "{}", "py{}", "perl-{}", "{}-python")


@dataclass(frozen=True, slots=True)
class SyntheticPackage:
    """Package name and the common properties of its builds."""

    name: str
    count: int
    seed: int
    depends: tuple[str, ...]
    is_python: bool


@dataclass(frozen=True, slots=True)
class Build:
    """Package file to create: its index.json and its format."""

    index: dict[str, Any]
    extension: str

    @property
    def file_name(self) -> str:
        return f"{self.index['name']}-{self.index['version']}-{self.index['build']}{self.extension}"

    def pack(self) -> PackageFile:
        """Return a small, complete package file with typical metadata."""
        name = self.index["name"]
        payload = {f"lib/{name}/{part}.txt": f"{self.file_name} {part}\n".encode() * 20 for part in ("a", "b", "c")}
        paths = [{"_path": path, "path_type": "hardlink", "size_in_bytes": len(payload[path])} for path in payload]
        about = {
            "home": f"https://example.org/{name}",
            "license": self.index["license"],
            "summary": f"What {name} does.",
        }
        make = conda if self.extension == ".conda" else tar_bz2
        return make(self.index, files=payload, paths={"paths": paths, "paths_version": 1}, about=about, run_exports={})


def generate(total: int, *, seed: int = 1) -> list[SyntheticPackage]:
    """Return package names with this total number of builds."""
    dice = random.Random(seed)
    most = max(_MIN_BUILDS, min(_MAX_BUILDS, int(total * _MAX_SHARE)))
    packages: list[SyntheticPackage] = []
    taken: set[str] = set()
    missing = total
    while missing > 0:
        count = min(int(_MIN_BUILDS * dice.random() ** (-1 / _EXPONENT)), most, missing)
        name = _new_name(dice, taken)
        depends = _depends(dice, [package.name for package in packages[:200]])
        packages.append(SyntheticPackage(name, count, dice.getrandbits(32), depends, is_python=dice.random() < 0.5))
        missing -= count
    return packages


def builds(package: SyntheticPackage) -> Iterator[Build]:
    """Yield every build of a name, oldest first."""
    dice = random.Random(package.seed)
    old = int(package.count * _OLD_FORMAT_PART)
    time_ms = _FIRST_TIME_MS + dice.randrange(10**11)
    for number in range(package.count):
        version, variant = divmod(number, len(_PYTHONS) if package.is_python else 1)
        time_ms += dice.randrange(10**8)
        text = f"{version // 40}.{version // 4 % 10}.{version % 4}"
        yield _build(package, text, variant, dice, time_ms, ".tar.bz2" if number < old else ".conda")


def new_builds(of: Sequence[SyntheticPackage], count: int, tag: str, *, seed: int = 2) -> list[Build]:
    """Return new builds of randomly chosen names; builds with different tags are different."""
    dice = random.Random(f"{seed} {tag}")
    now_ms = _FIRST_TIME_MS + 2 * 10**11
    return [
        _build(dice.choice(of), f"900.{number}+{tag}", number % len(_PYTHONS), dice, now_ms + number, ".conda")
        for number in range(count)
    ]


def _build(
    package: SyntheticPackage, version: str, variant: int, dice: random.Random, time_ms: int, extension: str
) -> Build:
    digest = f"h{dice.getrandbits(28):07x}"
    depends = list(package.depends)
    build = f"{digest}_{variant}"
    if package.is_python:
        python = _PYTHONS[variant]
        tag = f"cp{python.replace('.', '')}"
        build = f"py{python.replace('.', '')}{digest}_0"
        depends += [f"python >={python},<{_after(python)}.0a0", f"python_abi {python}.* *_{tag}"]
    index = {
        "arch": "x86_64",
        "build": build,
        "build_number": variant,
        "depends": depends,
        "license": _LICENSES[package.seed % len(_LICENSES)],
        "name": package.name,
        "platform": "linux",
        "subdir": SUBDIR,
        "timestamp": time_ms,
        "version": version,
    }
    return Build(index, extension)


def _after(python: str) -> str:
    major, minor = python.split(".")
    return f"{major}.{int(minor) + 1}"


def _new_name(dice: random.Random, taken: set[str]) -> str:
    while True:
        middle = dice.choice(_STARTS) + dice.choice(("", "-", "_")) + dice.choice(_ENDS)
        name = dice.choice(_KINDS).format(middle)
        # There are about ten thousand of these names; further ones get a number, as many real names do.
        for candidate in (name, f"{name}{dice.randrange(2, 10)}", f"{name}-{dice.getrandbits(20):x}"):
            if candidate not in taken:
                taken.add(candidate)
                return candidate


def _depends(dice: random.Random, names: Sequence[str]) -> tuple[str, ...]:
    common = dice.sample(_COMMON, dice.randrange(1, 5))
    count = min(len(names), dice.randrange(1, 5))
    others = [f"{name} {dice.choice(_forms())}".strip() for name in dice.sample(names, count)]
    return tuple(sorted({*common, *others}))


@functools.cache
def _forms() -> list[str]:
    """Return the part after the name in all dependencies of real packages, with repetitions."""
    forms = []
    for package in real_packages():
        if package.is_good:
            forms += [spec.partition(" ")[2] for spec in map(str, IndexJson.from_package_archive(package.path).depends)]
    return sorted(forms)
