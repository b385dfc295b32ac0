"""`python -m bench SUBCOMMAND`: run one benchmark, print a table, and optionally write JSON."""

import argparse
import importlib
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.folders import scratch
from bench.report import Report

COMMANDS = {
    "visible": "visible",
    "uploads": "uploads",
    "fairness": "fairness",
    "documents": "documents",
    "import": "importing",
    "reads": "reads",
    "large": "large",
    "pages": "pages",
    "choices": "choices",
    "load": "load",
    "channels": "channels",
    "memory": "memory",
}


def main(arguments: list[str] | None = None) -> int:
    """Run one subcommand."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments or arguments[0] not in COMMANDS:
        print(_help(), file=sys.stdout if arguments[:1] in ([], ["--help"], ["-h"]) else sys.stderr)
        return 0 if arguments[:1] in (["--help"], ["-h"]) else 2
    command = importlib.import_module(f"bench.{COMMANDS[arguments[0]]}")
    options = _options(arguments[0], command).parse_args(arguments[1:])
    for name, value in (command.FULL if options.full else command.QUICK).items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    signal.signal(signal.SIGTERM, _stop)
    report = Report(arguments[0], vars(options))
    with _bytecode():
        command.run(options, report)
    print(report.show())
    if options.json is not None:
        report.write(options.json)
    return 0


@contextmanager
def _bytecode() -> Iterator[None]:
    """Let child processes cache bytecode, as in production, even if this process must not write it."""
    if os.environ.pop("PYTHONDONTWRITEBYTECODE", None) is None:
        yield
        return
    with scratch(None) as folder:
        os.environ["PYTHONPYCACHEPREFIX"] = str(folder)
        try:
            yield
        finally:
            del os.environ["PYTHONPYCACHEPREFIX"]
            os.environ["PYTHONDONTWRITEBYTECODE"] = "1"


def _stop(_signal: int, _frame: object) -> None:
    raise SystemExit(143)  # an exception, so that context managers stop the servers


def _help() -> str:
    lines = [f"  {name:10} {importlib.import_module(f'bench.{module}').TITLE}" for name, module in COMMANDS.items()]
    return "\n".join(["usage: python -m bench SUBCOMMAND [--help]", "", *lines])


def _options(name: str, command: object) -> argparse.ArgumentParser:
    title: str = command.TITLE  # type: ignore[attr-defined]
    parser = argparse.ArgumentParser(prog=f"python -m bench {name}", description=title)
    parser.add_argument("--sizes", "--records", type=_numbers, help="numbers of records or files, separated by commas")
    parser.add_argument("--rounds", type=int, help="number of rounds; each measures everything in turn")
    parser.add_argument("--full", action="store_true", help="use larger sizes and more rounds than by default")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results to FILE")
    parser.add_argument("--cache", type=Path, metavar="FOLDER", help="keep created channels in FOLDER for later runs")
    parser.add_argument("--folder", type=Path, help="folder for temporary data, on the disk to measure")
    parser.add_argument(
        "--set", type=_setting, action="append", default=[], metavar="NAME=VALUE", help="setting of the Seaway servers"
    )
    add = getattr(command, "add_options", None)
    if add is not None:
        add(parser)
    return parser


def _setting(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    return name, value


def _numbers(text: str) -> list[int]:
    return [int(part.replace("_", "")) for part in text.split(",")]


if __name__ == "__main__":
    sys.exit(main())
