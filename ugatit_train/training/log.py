"""What a run tells while it goes: console and train.log, metrics.jsonl, TensorBoard's events."""

import contextlib
import errno
import json
import logging
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ugatit_data.files import write_whole
from ugatit_train.errors import UgatitError
from ugatit_train.options.schedule import Schedule
from ugatit_train.training.prospect import Pace

METRICS_FILE = "metrics.jsonl"
EVALUATIONS_FILE = "evaluations.jsonl"
DIRECTIONS = ("a2b", "b2a")

_log = logging.getLogger(__name__)


class MetricsError(UgatitError):
    """A metrics file with a line that is no step of a run."""

    exit_code = 2


@contextlib.contextmanager
def reporting(
    out: Path | None,
    schedule: Schedule,
    done: int,
    tensorboard: bool,
    pace: Pace,
    at_closed: Callable[[], object] = lambda: None,
) -> Iterator[Callable[[int, dict[str, float]], None]]:
    """A function that reports a step, by its number and its values, everywhere; ten log lines a sample picture.

    `out` is the run's folder, None in a process that only logs to the console; `done` steps were done before. `pace`
    tells the mean time of a step, and the time left. `at_closed` is called when stdout turns out to be a pipe that
    nobody reads; no more is written there.

    Raises:
        MetricsError: a line of the metrics is no step.
    """
    with contextlib.ExitStack() as stack:
        metrics = events = None
        if out:
            metrics = stack.enter_context(Metrics(out / METRICS_FILE, done))
            _cut_evaluations(out / EVALUATIONS_FILE, done)
            if tensorboard:
                events = stack.enter_context(Events(out / "tensorboard", done))
        stack.enter_context(_log_to(out / "train.log" if out else None, at_closed))
        shown = out is not None and sys.stderr.isatty()
        bar = stack.enter_context(tqdm(total=schedule.iteration, initial=done, unit="step", disable=not shown))

        def report(step: int, values: dict[str, float]) -> None:
            if metrics:
                metrics.write(step, values)
            if events:
                events.write(step, values)
            bar.set_postfix(
                d_loss=f"{values['d_loss']:.3f}",
                g_loss=f"{values['g_loss']:.1f}",
                data=f"{values['data_wait_s']:.3f}s",
                device=f"{values['step_s']:.3f}s",
                refresh=False,
            )
            bar.update()
            step_s = values["data_wait_s"] + values["step_s"]
            pace.add(step, step_s)
            if step % max(1, schedule.print_every // 10) == 0 or step == schedule.iteration:
                line = log_line(step, schedule.iteration, step_s, values["d_loss"], values["g_loss"])
                _log.info("%s%s", line, pace.said(step))

        yield report


@contextlib.contextmanager
def _log_to(path: Path | None, at_closed: Callable[[], object]) -> Iterator[None]:
    """The package's log on the console, beside the progress bar, and in a file if there is one."""
    logger = logging.getLogger("ugatit_train")
    layout = logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%d %H:%M:%S")
    handlers: list[logging.Handler] = [_ConsoleHandler(at_closed), *([logging.FileHandler(path)] if path else [])]
    for handler in handlers:
        handler.setFormatter(layout)
        logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        for handler in handlers:
            logger.removeHandler(handler)
            handler.close()


class _ConsoleHandler(logging.Handler):
    """Writes to stdout, above a progress bar; a run does not end because its console is gone."""

    def __init__(self, at_closed: Callable[[], object]):
        super().__init__()
        self._at_closed, self._is_open = at_closed, sys.stdout is not None

    def emit(self, record: logging.LogRecord) -> None:
        if not self._is_open:
            return
        try:
            tqdm.write(self.format(record))
            sys.stdout.flush()  # a pipe's reader sees the line now, and so do we whether there is one
        except BrokenPipeError:
            self._is_open = False
            self._at_closed()
        except OSError as error:
            if error.errno != errno.EIO:  # which a terminal gives that was closed
                raise
            self._is_open = False


def log_line(step: int, iteration: int, step_s: float, d_loss: float, g_loss: float) -> str:
    """The model zoo's line of a step on the console and in the log."""
    width = len(str(iteration))
    return f"[{step:{width}d}/{iteration}] time per iter: {step_s:.3f}s, d_loss: {d_loss:.7g}, g_loss: {g_loss:.7g}"


class Metrics:
    """The run's `metrics.jsonl`: a JSON object a step, each line handed to the system before `write` returns.

    Opening it drops every line after `done_steps`: a killed run has done steps after its last checkpoint. The file
    then equals that of a run without an interruption, apart from the times.

    Raises:
        MetricsError: the file holds a line that is no step (a torn last line is dropped instead).
    """

    def __init__(self, path: Path, done_steps: int = 0):
        kept = read_metrics(path, done_steps) if path.exists() else []
        write_whole(path, "".join(json.dumps(line) + "\n" for line in kept))
        self._file = path.open("a")

    def write(self, step: int, values: Mapping[str, Any]) -> None:
        """Append one step. Values are numbers, NumPy's too; names end in their unit where they have one (`step_s`)."""
        line = {"step": step} | {name: float(value) for name, value in values.items()}
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> "Metrics":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Events:
    """TensorBoard's files of the same values, written by tensorboardX; a resumed run overwrites what it does again."""

    def __init__(self, folder: Path, done_steps: int = 0):
        from tensorboardX import SummaryWriter

        self._writer = SummaryWriter(str(folder), purge_step=done_steps + 1)

    def write(self, step: int, values: Mapping[str, Any]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, float(value), step)

    def __enter__(self) -> "Events":
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.close()


def read_metrics(path: Path, last: int | None = None) -> list[dict[str, Any]]:
    """Every step of a metrics file in order; a torn last line, of a run that was killed, is left out.

    With `last`, those up to this step: what stands behind it is not looked at.

    Raises:
        MetricsError: a line in the middle is not a step.
        OSError: the file cannot be read.
    """
    return read_lines(path, last, _is_step, "not a step of a run")


def _is_step(line: Any) -> bool:
    return all(type(value) in (int, float) for value in line.values())


def read_lines(path: Path, last: int | None, is_good: Callable[[Any], bool], complaint: str) -> list[dict[str, Any]]:
    """The lines of a file of steps, as `read_metrics`; a line that is not `is_good` is an error with the `complaint`.

    `is_good` may raise what a line of another shape makes it raise.
    """
    lines = path.read_bytes().split(b"\n")[:-1]  # what follows the last newline is nothing, or a torn line
    steps: list[dict[str, Any]] = []
    for number, text in enumerate(lines, start=1):
        if last is not None and (steps[-1]["step"] if steps else 0) >= last:
            break
        try:
            line = json.loads(text)
            if type(line["step"]) is not int or not is_good(line):
                raise ValueError("other values")
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            raise MetricsError(f"{path}, line {number}: {complaint}: remove the line, or the file") from None
        steps.append(line)
    return steps if last is None else [line for line in steps if line["step"] <= last]


def read_evaluations(path: Path, last: int | None = None) -> list[dict[str, Any]]:
    """Every evaluation of a run's `evaluations.jsonl` in order; a torn last line is left out.

    With `last`, those up to this step: what stands behind it is not looked at. A line is {"step": 2000, "metric":
    "kid", "features": "inception.ckpt, sha256 ...", "a2b": {"images": 100, "mean": 0.1, "std": 0.01, "identity": 0.2},
    "b2a": likewise, "evaluate_s": 9.1}: mean and deviation of the distance to the other domain, lower is better, beside
    it that of the untouched pictures.

    Raises:
        MetricsError: a line in the middle is no evaluation.
        OSError: the file cannot be read.
    """
    return read_lines(path, last, _is_evaluation, "no evaluation of a run")


def _cut_evaluations(path: Path, done: int) -> None:
    """Drops the evaluations behind the step `done`: they are of weights that a resumed run makes anew."""
    if path.exists():
        write_whole(path, "".join(json.dumps(line) + "\n" for line in read_evaluations(path, done)))


def _is_evaluation(line: Any) -> bool:
    return (
        isinstance(line["metric"], str)
        and isinstance(line["features"], str)
        and all(
            type(line[direction][name]) in (int, float)
            for direction in DIRECTIONS
            for name in ("images", "mean", "std", "identity")
        )
    )
