"""`python -m seaway` is the command line."""

from seaway.cli.main import run

if __name__ == "__main__":
    run()
