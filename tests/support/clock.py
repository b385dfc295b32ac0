"""A clock for tests."""


class ManualClock:
    """A clock that only tests move."""

    def __init__(self, now_ms: int = 1_800_000_000_000) -> None:
        self._now_ms = now_ms

    def now_ms(self) -> int:
        return self._now_ms

    def move(self, milliseconds: int) -> None:
        self._now_ms += milliseconds
