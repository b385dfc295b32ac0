"""Single-flight calls to dependencies that may hang."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

T = TypeVar("T")


class SingleFlight(Generic[T]):
    """
    Function that is called repeatedly, in its own thread and never twice at a time.

    Callers that come while a call is running share its result: however many wait for a dependency that hangs, only
    one thread is blocked. The thread is a daemon, so that it does not keep the process from exiting.
    """

    def __init__(self, call: Callable[[], T]) -> None:
        self._call = call
        self._lock = threading.Lock()
        self._future: Future[T] | None = None

    def start(self) -> Future[T]:
        """Return a future of the result or exception of `call`; the caller sets the timeout."""
        with self._lock:
            if self._future is None or self._future.done():
                future: Future[T] = Future()
                future.set_running_or_notify_cancel()  # otherwise one waiter could cancel it for all
                threading.Thread(target=self._run, args=(future,), name="single-flight", daemon=True).start()
                self._future = future
            return self._future

    def _run(self, future: Future[T]) -> None:
        try:
            result = self._call()
        except BaseException as error:  # noqa: BLE001  raised where the result is awaited
            future.set_exception(error)
        else:
            future.set_result(result)
