"""
Runs commands in forks of itself: each as real as one from a shell, without importing everything each time.

An order is one line of JSON on standard input; the answer is one line with the exit code.
"""

import gc
import importlib
import json
import os
import sys
import traceback

PRELOADED = (
    "seaway.cli.main",
    "seaway.maintenance.check",
    "seaway.server.wiring",
    "seaway.logs",
    "httpx",
    "rich.progress",
    "rich.table",
    "typer._adapters",
)


def main() -> None:
    for module in PRELOADED:
        importlib.import_module(module)
    gc.freeze()  # what is loaded is shared with the forks, not looked through and so copied by each
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            become(json.loads(line))
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def become(order: dict) -> None:
    """Be the command that the order says; does not return."""
    for number, (path, flags) in enumerate(
        ((order["stdin"], os.O_RDONLY), (order["stdout"], os.O_WRONLY), (order["stderr"], os.O_WRONLY))
    ):
        os.dup2(os.open(path, flags), number)
    sys.stdin = os.fdopen(0)
    os.chdir(order["folder"])
    os.environ.clear()
    os.environ.update(order["environment"])
    sys.argv = ["seaway", *order["arguments"]]
    os._exit(exit_code())


def exit_code() -> int:
    """Run the command, and say how the interpreter would end; its own end, which frees everything, takes longer."""
    from seaway.cli.main import run

    try:
        run()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001 - what the interpreter would print
        traceback.print_exc()
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return 0


if __name__ == "__main__":
    main()
