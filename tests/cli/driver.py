"""
Run commands in forked processes: each as real as one started by a shell, without importing all modules each time.

A request is one line of JSON on standard input; the response is one line with the exit code.
"""

import gc
import importlib
import json
import os
import sys
import traceback

PRELOADED = (
    "seaway.cli.main",
    "seaway.api.v1.app",
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
    gc.freeze()  # share the loaded objects with the forks: a garbage collection would write to them, and so copy them
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            run_request(json.loads(line))
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def run_request(request: dict) -> None:
    """Run the requested command in this process; does not return."""
    for number, (path, flags) in enumerate(
        ((request["stdin"], os.O_RDONLY), (request["stdout"], os.O_WRONLY), (request["stderr"], os.O_WRONLY))
    ):
        os.dup2(os.open(path, flags), number)
    sys.stdin = os.fdopen(0)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv = ["seaway", *request["arguments"]]
    os._exit(exit_code())


def exit_code() -> int:
    """Run the command; return the exit code of the interpreter, whose own exit is slower because it frees everything."""
    from seaway.cli.main import run

    try:
        run()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001 - the interpreter would print it too
        traceback.print_exc()
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return 0


if __name__ == "__main__":
    main()
