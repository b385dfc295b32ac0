"""A stop during a start ends the process wherever the signal comes, also where an exception would be lost or printed."""

import subprocess
import sys

import pytest

_PLACES = {
    "a line": "signal.raise_signal(signal.SIGTERM)",
    "a callback of the collector": """
import gc
gc.callbacks.append(lambda *_: signal.raise_signal(signal.SIGTERM))
gc.collect()""",
    "a destructor": """
class Dropped:
    def __del__(self):
        signal.raise_signal(signal.SIGTERM)
Dropped()""",
    "what reports every exception": """
try:
    signal.raise_signal(signal.SIGTERM)
except BaseException:
    print("Traceback")""",
}


def ended(script: str) -> tuple[int, str]:
    start = "import signal\nfrom seaway.server.stop_signal import StopSignal\nstop = StopSignal()\nsignal.signal(signal.SIGTERM, stop)\n"
    run = subprocess.run(
        [sys.executable, "-c", f"{start}{script}\nprint('went on', stop.is_requested)"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return run.returncode, run.stdout


@pytest.mark.parametrize("place", _PLACES.values(), ids=_PLACES.keys())
def test_a_stop_during_the_start_ends_it_on_the_spot(place: str) -> None:
    """Exit code 0, and not a word, wherever it is."""
    assert (0, "") == ended(place)


def test_a_stop_after_the_start_is_remembered() -> None:
    """Once something else hears signals, letting go of everything is not cut short."""
    assert (0, "went on True\n") == ended("stop.only_record()\nsignal.raise_signal(signal.SIGTERM)")
