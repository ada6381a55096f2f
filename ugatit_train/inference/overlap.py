"""Work before and after the network in threads of its own, in the same order, and with the same errors."""

from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")
AHEAD = 4  # items that wait between two stages: so many frames are in memory

_END: Any = object()


def ahead(items: Generator[T, None, None]) -> Generator[T, None, None]:
    """The same items, made in a thread, up to AHEAD of them before they are asked for; raises what making one raises.

    Close it (`contextlib.closing`) if it may be left early: the thread ends, and `items` is closed.
    """
    pool = ThreadPoolExecutor(1)
    waiting = deque(pool.submit(next, items, _END) for _ in range(AHEAD))
    try:
        while (item := waiting.popleft().result()) is not _END:
            waiting.append(pool.submit(next, items, _END))
            yield item
    finally:
        pool.shutdown(cancel_futures=True)
        items.close()


class Behind:
    """Calls a function in a thread, one call after the other; at most AHEAD calls wait. A context manager.

    A call that fails is the last one: what it raised is raised by the next `call`, `finish` or the context's end, also
    in place of another exception there, which is of later work. `done` is called here, once for each call that is done.
    """

    def __init__(self, function: Callable[..., object], done: Callable[[], object]):
        self._function, self._done = function, done
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
        while len(self._waiting) >= AHEAD:
            self._collect()
        self._waiting.append(self._pool.submit(self._run, arguments))

    def finish(self) -> None:
        """Waits for all calls."""
        while self._waiting:
            self._collect()

    def _run(self, arguments: tuple) -> None:
        if not self._failed:
            try:
                self._function(*arguments)
            except BaseException:
                self._failed = True
                raise

    def _collect(self) -> None:
        self._waiting.popleft().result()
        self._done()
