"""Run the command line with `python -m seaway`."""

from seaway.cli.main import run

if __name__ == "__main__":
    run()
