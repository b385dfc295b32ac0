"""The platform folders of a channel: one table (those that conda and rattler know)."""

NOARCH = "noarch"

KNOWN_SUBDIRS = (
    NOARCH,
    "linux-32",
    "linux-64",
    "linux-aarch64",
    "linux-armv6l",
    "linux-armv7l",
    "linux-loongarch64",
    "linux-ppc",
    "linux-ppc64",
    "linux-ppc64le",
    "linux-riscv32",
    "linux-riscv64",
    "linux-s390x",
    "osx-64",
    "osx-arm64",
    "win-32",
    "win-64",
    "win-arm64",
    "android-32",
    "android-64",
    "android-aarch64",
    "android-armv7a",
    "emscripten-wasm32",
    "emscripten-wasm64",
    "freebsd-32",
    "freebsd-64",
    "freebsd-arm64",
    "ios-arm64",
    "iossimulator-64",
    "iossimulator-arm64",
    "wasi-wasm32",
    "zos-z",
)

_KNOWN = frozenset(KNOWN_SUBDIRS)


def is_known(subdir: str) -> bool:
    """Whether clients know this platform; index documents of a known one always exist."""
    return subdir in _KNOWN
