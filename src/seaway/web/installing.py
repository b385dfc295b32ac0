"""The exact lines to paste for each tool."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Line:
    """What to paste, and into which tool."""

    tool: str
    text: str


def of_channel(site: str, channel: str) -> list[Line]:
    """Lines that make a channel known to each tool."""
    address = f"{site}/{channel}"
    return [
        Line("pixi", f"pixi workspace channel add {address}"),
        Line("conda", f"conda install -c {address} PACKAGE"),
        Line("mamba", f"mamba install -c {address} PACKAGE"),
        Line("rattler-build", f"rattler-build build -r recipe.yaml -c {address}"),
    ]


def of_package(site: str, channel: str, package: str, version: str = "") -> list[Line]:
    """Lines that install a package, of this version if one was chosen."""
    address = f"{site}/{channel}"
    spec = f"{package}=={version}" if version else package
    conda = f"{package}={version}" if version else package
    return [
        Line("pixi", f"pixi workspace channel add {address} && pixi add {_quoted(spec)}"),
        Line("conda", f"conda install -c {address} {_quoted(conda)}"),
        Line("mamba", f"mamba install -c {address} {_quoted(conda)}"),
        Line(
            "rattler-build",
            f"rattler-build build -r recipe.yaml -c {address}  # with {_needed(package, version)} in run or host",
        ),
    ]


def to_publish(site: str, channel: str) -> list[Line]:
    """Lines that publish to a channel."""
    return [
        Line("pixi", f"pixi upload prefix --url {site} --channel {channel} PACKAGE.conda"),
        Line("rattler-build", f"rattler-build upload prefix --url {site} --channel {channel} PACKAGE.conda"),
    ]


def _needed(package: str, version: str) -> str:
    return f"{package} =={version}" if version else package


def _quoted(spec: str) -> str:
    """A spec that a shell would read otherwise is quoted: `!` of an epoch, for one."""
    return spec if all(letter.isalnum() or letter in "._-=+" for letter in spec) else f"'{spec}'"
