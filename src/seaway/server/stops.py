"""How a start is stopped: on the spot, wherever it is."""

import os
from types import FrameType


class Stop:
    """
    Hears a signal for as long as nothing else does: while a server starts, and while it lets go of everything.

    Until `begun` the process ends in the handler, with exit code 0. Nothing is half done then that a kill at the same
    line would not leave as well. An exception would be raised wherever the start happens to be, and was seen to
    vanish in a callback of the collector, to be printed by a destructor, and to be logged by a library.
    Afterwards whoever serves hears signals, and one that comes here is only remembered, so that the end is not cut.
    """

    def __init__(self) -> None:
        self.is_asked = False
        self._has_begun = False

    def __call__(self, _signal: int, _frame: FrameType | None) -> None:
        self.is_asked = True
        if not self._has_begun:
            os._exit(0)

    def begun(self) -> None:
        """From here on something else ends what was started."""
        self._has_begun = True
