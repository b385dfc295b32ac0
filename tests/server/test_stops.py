"""A stop during startup ends the process wherever the signal arrives, also where an exception would be swallowed."""

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


def run_script(script: str) -> tuple[int, str]:
    start = "import signal\nfrom seaway.server.stop_signal import StopSignal\nstop = StopSignal()\nsignal.signal(signal.SIGTERM, stop)\n"
    result = subprocess.run(
        [sys.executable, "-c", f"{start}{script}\nprint('went on', stop.is_requested)"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return result.returncode, result.stdout


@pytest.mark.parametrize("place", _PLACES.values(), ids=_PLACES.keys())
def test_stop_during_startup_exits_at_once(place: str) -> None:
    """Exit code 0 and no output."""
    assert (0, "") == run_script(place)


def test_stop_after_startup_is_only_recorded() -> None:
    """Once another handler receives signals, the cleanup must not be interrupted."""
    assert (0, "went on True\n") == run_script("stop.only_record()\nsignal.raise_signal(signal.SIGTERM)")
