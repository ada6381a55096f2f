"""What MindSpore's profiler wrote, read as operations: its CPU files, and the tables of its Ascend side.

The Ascend side is tested on files that the wheel's own writers made from rows of ours. No card has written one yet.
"""

import csv
import math
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ugatit_train.errors import UgatitError
from ugatit_train.performance.opcosts import FlopsBytes, Shape, conv_flops, op_cost

KERNELS, STATISTIC, STEPS = "kernel_details.csv", "op_statistic.csv", "step_trace_time.csv"
_OUTPUT = "ASCEND_PROFILER_OUTPUT"
_BYTES = {"FLOAT": 4, "FLOAT16": 2, "BF16": 2, "INT32": 4, "INT64": 8, "UINT32": 4, "UINT8": 1, "INT8": 1, "BOOL": 1}


class ProfileError(UgatitError):
    """A profile that cannot be read; the message names the folder or the file, and the remedy."""


@dataclass(frozen=True, slots=True)
class Execution:
    """One operation that ran: its begin, its duration, and the shapes of its inputs."""

    name: str  # scope and operation: Default/genA2B-Generator/.../MatMul-op3
    kind: str  # MatMul
    begin_us: float
    duration_us: float
    shapes: tuple[Shape, ...]
    cost: FlopsBytes | None = None  # where the profile tells more than the inputs' shapes, as on Ascend


@dataclass(frozen=True, kw_only=True)
class CardProfile:
    """What the Ascend profiler recorded; times are milliseconds a step, its own."""

    executions: list[Execution]
    computing_ms: float
    communication_ms: float  # that nothing overlaps
    free_ms: float  # the card waits: for launches, for the host
    by_core: dict[str, float]  # AI_CORE, AI_VECTOR_CORE, AI_CPU...: the operators' time on each kind of core


def read_cpu(folder: Path) -> list[Execution]:
    """The operations that a StepProfiler last recorded into `folder` on the CPU, in the order in which they ran.

    Raises:
        ProfileError: there is no CPU profile in the folder, or its files do not belong together.
    """
    newest = _newest(folder, "FRAMEWORK/cpu_op_execute_timestamp_*.txt")
    if newest is None:
        raise ProfileError(f"{folder}: holds no CPU profile: give --enable_profiling more steps than it skips")
    times = []
    for line in newest.read_text().splitlines():
        name, _, runs = line.split(";")[:3]
        for run in runs.split():
            begin_ns, duration_ms, _ = run.split(",")
            times.append((int(begin_ns), float(duration_ms), name))
    times.sort()
    launched = [_launched(line) for line in (newest.parent / "cpu_framework_0.txt").read_text().splitlines()]
    if [name.rpartition("/")[2] for _, _, name in times] != [short for _, short, _ in launched]:
        raise ProfileError(f"{folder}: its lists of operations differ: profile again into an empty folder")
    first = times[0][0]
    return [
        Execution(name, kind, (begin_ns - first) / 1e3, duration_ms * 1e3, shapes)
        for (begin_ns, duration_ms, name), (kind, _, shapes) in zip(times, launched, strict=True)
    ]


def _newest(folder: Path, pattern: str) -> Path | None:
    """A resumed run profiles into the same folder, under another process number: the last one counts."""
    found = folder.glob(f"*_ascend_ms/{pattern}")
    return max(found, key=lambda path: path.stat().st_mtime_ns, default=None)


def _launched(line: str) -> tuple[str, str, tuple[Shape, ...]]:
    """(kind, short name, input shapes) of a line such as `MatMul;MatMul-op0;1;input_1:[2, 3];input_2:NoShape;`."""
    kind, short, _, *inputs = line.rstrip(";").split(";")
    shapes = (re.search(r"\[(.*)\]", text) for text in inputs)
    return kind, short, tuple(tuple(map(int, filter(None, s[1].split(",")))) for s in shapes if s)


def read_ascend(folder: Path, steps: int) -> CardProfile:
    """What a StepProfiler last recorded into `folder` on Ascend, over `steps` steps.

    Raises:
        ProfileError: a table is missing or empty, lacks a column, or holds no number where one belongs.
    """
    output = _newest(folder, _OUTPUT)
    if output is None:
        raise ProfileError(
            f"{folder}: holds no *_ascend_ms/{_OUTPUT}: MindSpore did not analyse the profile; see its messages, and "
            "profile more steps than are skipped"
        )
    executions = _kernels(output / KERNELS)
    by_core: defaultdict[str, float] = defaultdict(float)
    for row in _rows(output / STATISTIC, ("OP Type", "Core Type", "Count", "Total Time(us)")):
        by_core[row["Core Type"]] += row.number("Total Time(us)") / 1e3 / steps
    columns = ("Computing", "Communication(Not Overlapped)", "Free")
    traced = list(_rows(output / STEPS, ("Step", *columns)))
    computing, communication, free = (sum(row.number(c) for row in traced) / 1e3 / steps for c in columns)
    return CardProfile(
        executions=executions, computing_ms=computing, communication_ms=communication, free_ms=free,
        by_core=dict(sorted(by_core.items(), key=lambda core: -core[1])),
    )  # fmt: skip


class _Row(dict[str, str]):
    """A row of a table, by the columns' names."""

    where: str

    def number(self, column: str) -> float:
        try:
            value = float(self[column])
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise ProfileError(f"{self.where}: {column!r} is {self[column]!r}, not a number: profile again")
        return value


def _rows(path: Path, columns: Sequence[str]) -> Iterator[_Row]:
    """The rows of a table that must have `columns`; its values without the tabs that CANN puts after long numbers."""
    if not path.exists():
        raise ProfileError(f"{path}: missing: MindSpore did not write all of the profile; see its messages")
    with path.open(newline="", encoding="utf-8") as file:
        lines = csv.DictReader(file)
        for column in columns:
            if column not in (lines.fieldnames or ()):
                found = ", ".join(lines.fieldnames or ()) or "nothing"
                raise ProfileError(
                    f"{path}: has no column {column!r}, but {found}: this is no table of MindSpore 2.10's profiler"
                )
        empty = True
        for line in lines:
            empty = False
            row = _Row({name: (value or "").strip() for name, value in line.items() if name is not None})
            row.where = f"{path}, line {lines.line_num}"
            yield row
        if empty:
            raise ProfileError(f"{path}: holds no row: nothing ran on the card while it was recorded")


def _kernels(path: Path) -> list[Execution]:
    columns = ("Name", "Type", "Start Time(us)", "Duration(us)")
    rows = sorted(((row.number("Start Time(us)"), row) for row in _rows(path, columns)), key=lambda timed: timed[0])
    return [
        Execution(
            row["Name"], row["Type"], begin - rows[0][0], row.number("Duration(us)"),
            tuple(shape for shape, _ in _tensors(row, "Input")), _cost(row),
        )
        for begin, row in rows
    ]  # fmt: skip


def _cost(row: _Row) -> FlopsBytes:
    """None where the table does not tell, as below the profiler's Level1. Bytes: inputs and outputs once each."""
    inputs, outputs = _tensors(row, "Input"), _tensors(row, "Output")
    sizes = [_BYTES.get(kind.removeprefix("DT_")) for _, kind in inputs + outputs]
    if not outputs or None in sizes:
        return None, None
    moved = sum(size * math.prod(shape) for size, (shape, _) in zip(sizes, inputs + outputs, strict=True) if size)
    kind = re.sub(r"V\d+$|(?<=[a-z])D$", "", row["Type"])  # MatMulV2, Conv2DBackpropInputD
    shapes = [shape for shape, _ in inputs]
    if "Conv" in kind:
        return conv_flops(kind, shapes, outputs[0][0]), moved
    return op_cost(kind, shapes)[0], moved


def _tensors(row: _Row, way: str) -> list[tuple[Shape, str]]:
    """The shapes and types of the inputs or outputs; none if the table does not tell.

    Written as `"1,64,256,256;64;"` and `"FLOAT;FLOAT;INT32"`, in quotes of CANN's own; a scalar's shape is empty.
    """
    shapes, kinds = (row.get(f"{way} {what}", "").strip('"') for what in ("Shapes", "Data Types"))
    if not kinds or "N/A" in (shapes, kinds) or shapes.count(";") != kinds.count(";"):
        return []
    sides = (tuple(int(side) for side in shape.split(",") if side) for shape in shapes.split(";"))
    return list(zip(sides, kinds.split(";"), strict=True))
