"""Stop signals during the start of a process."""

import os
from types import FrameType


class StopSignal:
    """
    Signal handler while the server does not handle signals: during its start and its shutdown.

    Until `only_record`, the handler ends the process with exit code 0, which is as safe as a kill at the same line. An
    exception instead would be raised at an arbitrary line of the start: some were swallowed in a callback of the
    garbage collector, printed by a destructor, or logged by a library. Afterwards a signal is only recorded, so that
    the shutdown is not interrupted.
    """

    def __init__(self) -> None:
        self.is_requested = False
        self._has_begun = False

    def __call__(self, _signal: int, _frame: FrameType | None) -> None:
        self.is_requested = True
        if not self._has_begun:
            os._exit(0)

    def only_record(self) -> None:
        """Stop ending the process: from now on, signals are only recorded."""
        self._has_begun = True
