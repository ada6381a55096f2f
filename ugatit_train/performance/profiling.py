"""Where the time of a step goes: MindSpore's profiler records some steps; its files become a table, a chart, a trace.

On the CPU the operations of a graph run one after the other, so their times and the time between them add up to the
step. On Ascend the rest is what the card waits. MindSpore's own files stay, for its viewer (MindStudio Insight).
"""

import dataclasses
import json
import logging
import math
import re
import statistics
from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ugatit_data.files import write_whole
from ugatit_train import runtime  # noqa: F401 - runtime before MindSpore: it sets the environment
from ugatit_train.performance import ceilings, recorded
from ugatit_train.performance.opcosts import op_cost
from ugatit_train.performance.recorded import Execution

# isort: split
from mindspore.profiler import (
    AicoreMetrics,
    ProfilerActivity,
    ProfilerLevel,
    _ExperimentalConfig,
    profile,
    schedule,
    tensorboard_trace_handler,
)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Row:
    """All operations of a kind in one step. FLOPs and bytes are None where they are unknown (see `opcosts`)."""

    kind: str
    calls: int
    total_ms: float
    mean_us: float
    share: float  # of the step
    gflop: float | None
    gbytes: float | None
    gflop_per_s: float | None
    gb_per_s: float | None
    of_ceiling: float | None  # the larger of the shares of the two measured ceilings, product and copy


BETWEEN = "(between operations)"


class StepProfiler:
    """Records `active` steps after `skip` others, then writes a report into `folder`; a context manager.

    The report is operations.md, .json, .parquet and .png, and trace.json: on the CPU with this machine's ceilings,
    measured after the last step; on Ascend with what its profiler says of the step. For a GPU there is none.
    MindSpore's own files are in mindspore/.
    """

    def __init__(self, folder: Path, title: str, device_target: str = "CPU", skip: int = 2, active: int = 3):
        self.folder, self.title, self.target = folder, title, device_target
        self.rows: list[Row] = []
        self.text = ""
        activities, config = [ProfilerActivity.CPU], None
        if device_target == "Ascend":  # not run on a card
            activities.append(ProfilerActivity.NPU)
            # The first level that records shapes. It measures its own metrics of the cores, or says so in a warning.
            config = _ExperimentalConfig(profiler_level=ProfilerLevel.Level1, aic_metrics=AicoreMetrics.PipeUtilization)
        elif device_target == "GPU":  # not run on a card
            activities.append(ProfilerActivity.GPU)
        steps = schedule(wait=max(0, skip - 1), warmup=1, active=active, repeat=1)
        own = tensorboard_trace_handler(str(folder / "mindspore"))
        self._profile = profile(activities=activities, schedule=steps, on_trace_ready=own, experimental_config=config)
        self._active, self._left = active, skip + active
        self._seconds: list[float] = []

    def __enter__(self) -> "StepProfiler":
        self._profile.start()
        return self

    def step(self, seconds: float) -> bool:
        """Call it after each step, when the losses are read: the step took `seconds`.

        True once all is recorded; later calls do nothing.
        """
        if self._left > 0:
            self._left -= 1
            self._seconds.append(seconds)
            self._profile.step()
            if self._left == 0:
                self._profile.stop()
                self._report()
        return self._left == 0

    def __exit__(self, *error: object) -> None:
        if self._left > 0:
            _log.warning("no profile: %d more steps were needed", self._left)
            self._left = 0
            self._profile.stop()

    def _report(self) -> None:
        own = self.folder / "mindspore"
        if self.target == "GPU":
            _log.info("profile: %s, for MindSpore's viewer", own)
            return
        step_s = statistics.mean(self._seconds[-self._active :])
        measured: dict[str, float] = {}
        if self.target == "Ascend":
            card = recorded.read_ascend(own, self._active)
            executions, found = card.executions, _of_card(card)
        else:
            executions = recorded.read_cpu(own)
            measured = {name: probe() for name, probe in ceilings.probes().items()}
            found = ", ".join(f"{name} {value:.0f} {ceilings.UNITS[name]}" for name, value in measured.items())
        self.rows = table(executions, self._active, step_s, measured)
        write_parquet(executions, self.folder / "operations.parquet")
        write_trace(executions, self.folder / "trace.json")
        draw(self.rows, self.folder / "operations.png", self.title)
        dearest = ", ".join(row.kind for row in self.rows[:3])
        self.text = (
            f"{as_text(self.rows)}\n\n{self.title}; {found}; step under the profiler {step_s:.3f} s\n"
            f"the operations account for {accounted(self.rows):.1%} of it; the three most expensive: {dearest}\n"
        )
        write_whole(self.folder / "operations.md", self.text)
        figures = {"title": self.title, "step_s": step_s, "ceilings": measured}
        figures["rows"] = [dataclasses.asdict(row) for row in self.rows]
        write_whole(self.folder / "operations.json", json.dumps(figures, indent=1) + "\n")
        _log.info("profile: %s", self.folder)


def _of_card(card: recorded.CardProfile) -> str:
    """What the card's own clock says of a step; its ceilings are not measured."""
    cores = ", ".join(f"{core} {spent:.1f}" for core, spent in card.by_core.items())
    return (
        f"on the card, ms a step: computing {card.computing_ms:.1f} ({cores}), communication alone "
        f"{card.communication_ms:.1f}, waiting {card.free_ms:.1f}"
    )


def table(executions: Sequence[Execution], steps: int, step_s: float, measured: dict[str, float]) -> list[Row]:
    """A row for each kind, the most expensive first, and the rest of the step as `BETWEEN`.

    The executions are those of `steps` steps of `step_s` seconds each. `measured` are this machine's ceilings, as
    `ceilings.probes` gives them: `sgemm` in GFLOP/s and `copy` in GB/s.
    """
    groups = defaultdict(list)
    takers: deque = deque(maxlen=500)  # what runs later and may take im2col's columns
    for execution in reversed(executions):
        cost = execution.cost or op_cost(execution.kind, execution.shapes, takers)
        groups[execution.kind].append((execution, *cost))
        if execution.kind in ("MatMul", "BatchMatMul", "Transpose"):
            takers.appendleft(execution.shapes)
    rows = [_row(kind, group, steps, step_s, measured) for kind, group in groups.items()]
    rows.sort(key=lambda row: -row.total_ms)
    rest_ms = step_s * 1e3 - sum(row.total_ms for row in rows)
    unknown = dict.fromkeys(("gflop", "gbytes", "gflop_per_s", "gb_per_s", "of_ceiling"))
    calls = len(executions) // steps
    rows.append(
        Row(kind=BETWEEN, calls=calls, total_ms=rest_ms, mean_us=rest_ms * 1e3 / calls, share=rest_ms / step_s / 1e3,
            **unknown)
    )  # fmt: skip
    return rows


def _row(kind: str, group: list, steps: int, step_s: float, measured: dict[str, float]) -> Row:
    total_s = sum(execution.duration_us for execution, _, _ in group) / 1e6 / steps
    flops, moved = ([cost[i] for cost in group] for i in (1, 2))
    gflop = None if None in flops else sum(flops) / 1e9 / steps
    gbytes = None if None in moved else sum(moved) / 1e9 / steps
    gflop_per_s, gb_per_s = (None if amount is None else amount / total_s for amount in (gflop, gbytes))
    shares = [(gflop_per_s, measured.get("sgemm")), (gb_per_s, measured.get("copy"))]
    reached = [rate / ceiling for rate, ceiling in shares if rate is not None and ceiling]
    calls = len(group) // steps
    return Row(
        kind=kind, calls=calls, total_ms=total_s * 1e3, mean_us=total_s * 1e6 * steps / len(group),
        share=total_s / step_s, gflop=gflop, gbytes=gbytes, gflop_per_s=gflop_per_s, gb_per_s=gb_per_s,
        of_ceiling=max(reached, default=None),
    )  # fmt: skip


def accounted(rows: Sequence[Row]) -> float:
    """The share of the step that is spent in operations."""
    return sum(row.share for row in rows if row.kind != BETWEEN)


def as_text(rows: Sequence[Row], top: int | None = None) -> str:
    """The table in Markdown; with `top`, its first rows and the last."""
    lines = [
        "| operation | calls | total ms | mean us | share | GFLOP | GB | GFLOP/s | GB/s | of ceiling |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows if top is None else [*rows[:top], rows[-1]]:
        figures = (row.gflop, row.gbytes, row.gflop_per_s, row.gb_per_s)
        known = ["" if value is None else f"{value:.3g}" for value in figures]
        reached = "" if row.of_ceiling is None else f"{row.of_ceiling:.0%}"
        lines.append(
            f"| {row.kind} | {row.calls} | {row.total_ms:.1f} | {row.mean_us:.1f} | {row.share:.1%} | "
            f"{' | '.join(known)} | {reached} |"
        )
    return "\n".join(lines)


def write_parquet(executions: Sequence[Execution], path: Path) -> None:
    """Write every operation that ran as a row: name, kind, begin_us, duration_us, shapes."""
    columns = {
        "name": [e.name for e in executions],
        "kind": [e.kind for e in executions],
        "begin_us": [e.begin_us for e in executions],
        "duration_us": [e.duration_us for e in executions],
        "shapes": [[list(shape) for shape in e.shapes] for e in executions],
    }
    write_whole(path, lambda partial: pq.write_table(pa.table(columns), partial, compression="zstd"))


def write_trace(executions: Sequence[Execution], path: Path) -> None:
    """Write a Chrome trace for Perfetto or chrome://tracing; MindSpore's own has its times as strings."""
    named = [("process_name", "training step"), ("thread_name", "operations")]
    events: list[dict] = [{"ph": "M", "name": what, "pid": 1, "tid": 1, "args": {"name": name}} for what, name in named]
    for e in executions:
        details = {"scope": e.name, "inputs": " ".join(map(str, e.shapes))}
        events.append(
            {"ph": "X", "name": e.kind, "cat": _network(e.name), "pid": 1, "tid": 1, "ts": round(e.begin_us, 3),
             "dur": round(e.duration_us, 3), "args": details}
        )  # fmt: skip
    write_whole(path, json.dumps({"traceEvents": events, "displayTimeUnit": "ms"}))


def _network(name: str) -> str:
    """The network and direction in an operation's scope, such as `genA2B backward`; else `other`."""
    found = re.search(r"\b(gen|dis)[A-Z0-9]+", name)
    direction = "backward" if name.startswith("Gradients") else "forward"
    return f"{found[0]} {direction}" if found else "other"


def draw(rows: Sequence[Row], path: Path, title: str, top: int = 15) -> None:
    """Draw a bar chart of the most expensive kinds: their time, and their time at this machine's ceiling."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    shown = sorted(rows, key=lambda row: row.total_ms)[-top:]
    figure, axes = pyplot.subplots(figsize=(9, 0.35 * len(shown) + 1.2), layout="constrained")
    axes.barh([row.kind for row in shown], [row.total_ms for row in shown], color="#c9d6e8", label="measured")
    least = [row.total_ms * (row.of_ceiling or math.nan) for row in shown]
    axes.barh([row.kind for row in shown], least, color="#2f5d8a", label="at this machine's ceiling")
    axes.set(xlabel="ms a step", title=title)
    axes.legend(loc="lower right")
    write_whole(path, lambda partial: figure.savefig(partial, format="png", dpi=110))
    pyplot.close(figure)
