"""Commands to paste for each tool."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Command:
    """A command, the tool it is for, and what to do before it."""

    tool: str
    text: str
    note: str = ""


def of_channel(site: str, channel: str) -> list[Command]:
    """Return the commands that use a channel."""
    address = f"{site}/{channel}"
    return [
        Command("pixi", f"pixi workspace channel add {address}"),
        Command("conda", f"conda install -c {address} PACKAGE"),
        Command("mamba", f"mamba install -c {address} PACKAGE"),
        Command("rattler-build", f"rattler-build build -r recipe.yaml -c {address}"),
    ]


def of_package(site: str, channel: str, package: str, version: str = "") -> list[Command]:
    """Return the commands that install a package, in the given version if there is one."""
    address = f"{site}/{channel}"
    spec = f"{package}=={version}" if version else package
    conda = f"{package}={version}" if version else package
    return [
        Command("pixi", f"pixi workspace channel add {address} && pixi add {_quoted(spec)}"),
        Command("conda", f"conda install -c {address} {_quoted(conda)}"),
        Command("mamba", f"mamba install -c {address} {_quoted(conda)}"),
        Command(
            "rattler-build",
            f"rattler-build build -r recipe.yaml -c {address}",
            f"Add {_requirement(package, version)} to the requirements in recipe.yaml, then build:",
        ),
    ]


def to_publish(site: str, channel: str) -> list[Command]:
    """Return the commands that publish to a channel."""
    return [
        Command("pixi", f"pixi upload prefix --url {site} --channel {channel} PACKAGE.conda"),
        Command("rattler-build", f"rattler-build upload prefix --url {site} --channel {channel} PACKAGE.conda"),
    ]


def _requirement(package: str, version: str) -> str:
    return f"{package} =={version}" if version else package


def _quoted(spec: str) -> str:
    """Quote a spec that a shell would interpret, for example the `!` of an epoch."""
    return spec if all(character.isalnum() or character in "._-=+" for character in spec) else f"'{spec}'"
