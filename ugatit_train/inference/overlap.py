"""Work before and after the network in threads of its own, in the same order, and with the same errors."""

from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")
AHEAD = 4  # frames that wait before the network, and as many behind it, beside those that are at work; or a batch

_END: Any = object()


def ahead(items: Generator[T, None, None], batch: int = 1) -> Generator[T, None, None]:
    """The same items, made in a thread, up to AHEAD or `batch` of them before they are asked for, whichever is more.

    Raises what making one raises. Close it (`contextlib.closing`) if it may be left early: the thread ends, and `items`
    is closed.
    """
    pool = ThreadPoolExecutor(1)
    waiting = deque(pool.submit(next, items, _END) for _ in range(max(AHEAD, batch)))
    try:
        while (item := waiting.popleft().result()) is not _END:
            waiting.append(pool.submit(next, items, _END))
            yield item
    finally:
        pool.shutdown(cancel_futures=True)
        items.close()


class Behind:
    """Calls a function in a thread, one call after the other; at most AHEAD or `batch` calls wait. A context manager.

    A call that fails is the last one: what it raised is raised by the next `call`, `finish` or the context's end, also
    in place of another exception there, which is of later work. Those that wait then are not made. `done` is called
    here, once for each call that was made and did not fail.
    """

    def __init__(self, function: Callable[..., object], done: Callable[[], object], batch: int = 1):
        self._function, self._done, self._most = function, done, max(AHEAD, batch)
        self._pool = ThreadPoolExecutor(1)
        self._waiting: deque[Future] = deque()
        self._failed = False

    def __enter__(self) -> "Behind":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_) -> None:
        try:
            if kind is None or issubclass(kind, Exception):  # Ctrl-C waits for the call at work only
                self.finish()
        finally:
            self._pool.shutdown(cancel_futures=True)

    def call(self, *arguments: object) -> None:
        while len(self._waiting) >= self._most:
            self._collect()
        self._waiting.append(self._pool.submit(self._run, arguments))

    def finish(self) -> None:
        """Waits for all calls."""
        while self._waiting:
            self._collect()

    def _run(self, arguments: tuple) -> bool:
        """Whether the call was made."""
        if self._failed:
            return False
        try:
            self._function(*arguments)
        except BaseException:
            self._failed = True
            raise
        return True

    def _collect(self) -> None:
        if self._waiting.popleft().result():
            self._done()
