"""The signals that ask a process to end, noted while it finishes what it does."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator


def ending_signals() -> list[int]:
    """SIGINT, SIGTERM, and SIGHUP, which the end of a terminal sends; not SIGHUP where it is ignored: nohup asks so."""
    hangs_up = [] if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else [signal.SIGHUP]
    return [signal.SIGINT, signal.SIGTERM, *hangs_up]


@contextlib.contextmanager
def noted(at_first: Callable[[], object], at_second: Callable[[], object]) -> Iterator[list[int]]:
    """A list that gets the numbers of the ending signals, which end nothing here; each function is called at its one.

    SIGHUP is never a second one: a terminal that closes sends several, and a SIGTERM with them. In a thread of a user's
    program the list stays empty, for Python hands signals to the main thread only.
    """
    got: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield got
        return

    def note(number: int, _frame: object) -> None:
        before = [one for one in got if one != signal.SIGPIPE]  # of a closed pipe, which the loop notes in the list
        if not before:
            got.append(number)
            at_first()
        elif before == [signal.SIGHUP]:
            got[got.index(signal.SIGHUP)] = number
        elif number != signal.SIGHUP:
            got.append(number)
            at_second()

    before = {number: signal.signal(number, note) for number in ending_signals()}
    try:
        yield got
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
