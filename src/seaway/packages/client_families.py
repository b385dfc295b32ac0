"""Client families: the kind of program that downloads a package, by its User-Agent. Only the family is stored."""

from enum import Enum
from functools import lru_cache

_CACHED_AGENTS = 1_024
_MAX_CHARS = 512  # of a User-Agent: anonymous callers choose it


class ClientFamily(Enum):
    """Kind of program that downloads packages."""

    RATTLER = "rattler"
    CONDA = "conda"
    MAMBA = "mamba"
    BROWSER = "browser"
    OTHER = "other"


# The program is the first product of a User-Agent: conda names requests after itself, and mamba libcurl.
_FAMILY_BY_PRODUCT = {
    "pixi": ClientFamily.RATTLER,
    "rattler": ClientFamily.RATTLER,
    "rattler-build": ClientFamily.RATTLER,
    "py-rattler": ClientFamily.RATTLER,
    "conda": ClientFamily.CONDA,
    "conda-build": ClientFamily.CONDA,
    "mamba": ClientFamily.MAMBA,
    "micromamba": ClientFamily.MAMBA,
    "libmamba": ClientFamily.MAMBA,
    "mozilla": ClientFamily.BROWSER,
    "opera": ClientFamily.BROWSER,
}


def family_of(user_agent: str | None) -> ClientFamily:
    """Return the family of a client; mirrors, scripts and clients without a User-Agent are `OTHER`."""
    return _family_of((user_agent or "")[:_MAX_CHARS])


@lru_cache(_CACHED_AGENTS)
def _family_of(user_agent: str) -> ClientFamily:
    text = user_agent.lower()
    # Crawlers pose as browsers: "Mozilla/5.0 (compatible; Googlebot/2.1; +http://...)".
    if "compatible;" in text:
        return ClientFamily.OTHER
    return _FAMILY_BY_PRODUCT.get(text.partition("/")[0].strip(), ClientFamily.OTHER)
