"""What a run tells while it goes: the line of the console and the log, the metrics file, TensorBoard's events."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def log_line(step: int, iteration: int, step_s: float, d_loss: float, g_loss: float) -> str:
    """The seed's line of the console and the log."""
    width = len(str(iteration))
    return f"[{step:{width}d}/{iteration}] time per iter: {step_s:.3f}s, d_loss: {d_loss:.7g}, g_loss: {g_loss:.7g}"


class Metrics:
    """The run's `metrics.jsonl`: a JSON object a step, each line on the disk's way before `write` returns.

    Opened for a run that has done `done_steps`: later lines, of steps that a killed run had done after its last
    checkpoint, are dropped, so that the file is that of a run without an interruption, apart from the times.

    Raises:
        ValueError: the file holds a line that is no step (a torn last line is dropped instead).
    """

    def __init__(self, path: Path, done_steps: int = 0):
        kept = [line for line in read_metrics(path) if line["step"] <= done_steps] if path.exists() else []
        partial = path.with_name(path.name + ".partial")
        partial.write_text("".join(json.dumps(line) + "\n" for line in kept))
        os.replace(partial, path)
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
    """TensorBoard's files of the same values, for who has tensorboardX; a resumed run overwrites what it does again."""

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


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Every step of a metrics file in order; a torn last line, of a run that was killed, is left out.

    Raises:
        ValueError: a line in the middle is not a step.
        OSError: the file cannot be read.
    """
    lines = path.read_text().split("\n")[:-1]  # what follows the last newline is nothing, or a torn line
    steps = []
    for number, text in enumerate(lines, start=1):
        try:
            line = json.loads(text)
            steps.append({**line, "step": int(line["step"])})
        except (ValueError, TypeError, KeyError):
            raise ValueError(f"{path}, line {number}: not a step of a run: remove the line, or the file") from None
    return steps
