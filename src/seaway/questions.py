"""Questions to something that may hang."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

T = TypeVar("T")


class Question(Generic[T]):
    """
    One question that is asked again and again, in a thread of its own and never twice at a time.

    Who asks while it is under way gets the answer that is awaited already: however many ask something that hangs,
    it holds one thread. The thread is a daemon, so that it does not keep the process from its end.
    """

    def __init__(self, ask: Callable[[], T]) -> None:
        self._ask = ask
        self._lock = threading.Lock()
        self._answer: Future[T] | None = None

    def put(self) -> Future[T]:
        """The answer to come, or the exception that `ask` raises; whoever waits for it sets the bound."""
        with self._lock:
            if self._answer is None or self._answer.done():
                answer: Future[T] = Future()
                answer.set_running_or_notify_cancel()  # else one who stops waiting would cancel it for all
                threading.Thread(target=self._find, args=(answer,), name="question", daemon=True).start()
                self._answer = answer
            return self._answer

    def _find(self, answer: Future[T]) -> None:
        try:
            found = self._ask()
        except BaseException as error:  # noqa: BLE001  it is raised where the answer is awaited
            answer.set_exception(error)
        else:
            answer.set_result(found)
