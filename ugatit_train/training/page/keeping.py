"""Keeps a run's page: writes index.html at every sample and at the end, in little of the run's time."""

import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from ugatit_data.files import write_whole
from ugatit_train.options.config import Options
from ugatit_train.options.schedule import Schedule
from ugatit_train.training.page import content
from ugatit_train.training.page.reading import Run

PAGE_FILE = "index.html"
SHARE = 0.01  # of the run's time at most

_log = logging.getLogger(__name__)


@contextlib.contextmanager
def keeping(
    out: Path | None, options: Options, schedule: Schedule, interruptions: tuple[type[BaseException], ...]
) -> Iterator[Callable[[], None]]:
    """A function that brings the page in the folder `out` up to date, for each sample. The end tells how the run ended.

    None is for a process that writes nothing. One of `interruptions` says that the run can go on; any other exception
    is a failure. What keeps the page from being written is a warning, never an end.
    """
    if out is None:
        yield lambda: None
        return
    page = Page(out, options, schedule)
    try:
        yield page.update
    except BaseException as error:
        page.close("interrupted" if isinstance(error, interruptions) else "failed", str(error) or type(error).__name__)
        raise
    page.close("finished")


class Page:
    """The page of the run in `out`. `clock` is in seconds."""

    def __init__(self, out: Path, options: Options, schedule: Schedule, clock: Callable[[], float] = time.monotonic):
        self._run, self._path = Run(out, options), out / PAGE_FILE
        self._iteration, self._clock = schedule.iteration, clock
        self._began, self._spent, self._longest = clock(), 0.0, 0.0
        self._first: tuple[int, float] | None = None  # step and time of the first writing
        self._latest = 0.0
        self._ailing = False

    def update(self) -> None:
        """Writes it, unless that would take more than `SHARE` of the time since the beginning."""
        expected = self._spent + self._longest
        if expected <= SHARE * (self._clock() - self._began):
            self._write("running", "")

    def close(self, state: content.State, words: str = "") -> None:
        """Writes it for the last time."""
        self._write(state, words)

    def _write(self, state: content.State, words: str) -> None:
        began = self._clock()
        try:
            run = self._run.read()
            write_whole(self._path, content.page(run, self._status(state, words, began)))
            if self._first is None:
                _log.info("the run's page, for a browser: %s", self._path)
            self._ailing = False
        except Exception as error:  # whatever it is: a run of days does not end for its page
            if not self._ailing:
                _log.warning("%s is not up to date: %s: %s", self._path, type(error).__name__, error)
            self._ailing = True
        took = self._clock() - began
        self._spent += took
        # The first writing of a resumed run reads all that is there; the later ones only what is new.
        self._longest = took if self._first is None else max(took, 0.5 * self._longest)
        self._first = self._first or (self._run.curves.step, began)
        self._latest = began

    def _status(self, state: content.State, words: str, now: float) -> content.Status:
        step_s = 0.0
        if self._first and self._run.curves.step > self._first[0]:
            step_s = (now - self._first[1]) / (self._run.curves.step - self._first[0])
        return content.Status(
            state=state,
            iteration=self._iteration,
            words=words,
            step_s=step_s,
            written=time.strftime("%Y-%m-%d %H:%M:%S %Z"),
            written_s=time.time(),
            every_s=now - (self._latest or self._began),
        )
