#!/usr/bin/env python
"""Seconds of one training step, ours and PyTorch's, beside this machine's ceilings, in one run on the same threads.

Each implementation has its own process and its own loader, as in training. Below the size --apart_from they take steps
in turn, so that other load slows all alike; from this size on they do not fit into memory together, and each runs its
steps alone. The ceilings are measured in between. A step's seconds do not include the first step, which compiles, and
the wait for the loader; these are results of their own.

    python benchmarks/step_time.py --sizes 64 128 256 --out records/step_time.json
    python benchmarks/step_time.py --sizes 128 --implementations ours torch "torch compiled"
    python benchmarks/step_time.py --sizes 128 --before ../old_checkout            # the same step at another commit
    python benchmarks/step_time.py --sizes 64 --implementations ours --savings     # the long form: what each gives
    python benchmarks/step_time.py --sizes 64 --implementations ours --savings winograd "folded CAM"

With --savings, ours takes steps in turn with one plain form after another, two processes at a time. The floor of a step
is the FLOPs of its convolutions (`performance/costs.py`) divided by the convolution ceiling. PyTorch comes with the
extra `bench`; if it is missing, or a C++ compiler for "torch compiled", that is recorded as skipped.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import arguments
import pictures
import record

from ugatit_train import runtime
from ugatit_train.performance import ceilings, costs

HERE = Path(__file__).parent
IMAGES = 16  # a domain
PACKAGES = ["mindspore", "numpy", "torch", "opencv-python-headless"]
IMPLEMENTATIONS: dict[str, tuple[str, dict]] = {  # name -> (the worker's implementation, what it passes on)
    "ours": ("ours", {}),
    "ours, per_pass": ("ours", {"sn_iterations": "per_pass"}),
    "torch": ("torch", {}),
    "torch compiled": ("torch", {"compiled": True}),
    "torch bfloat16": ("torch", {"bfloat16": True}),  # other numbers: not to be compared without a word
    "torch, D back through G": ("torch", {"detach": False}),  # as in the authors' code
}

SAVINGS = {  # name -> the plain form to use instead (`ugatit_train/forms.py`)
    "winograd": {"tiles": False},
    "small up-sampling": {"upsampling": "large"},
    "batch norm primitive": {"instance_norm": "moments"},
    "folded AdaLIN": {"adalin": "unfolded"},
    "leaky ReLU by ReLU": {"leaky_relu": "operator"},
    "folded CAM": {"cam": "doubled"},
    "sigma on the output": {"sigma": "weight"},
}


def environment(implementation: str, tree: Path) -> dict[str, str]:
    """That of a process which imports our packages from `tree`."""
    # As tools/train.py sets it. Not for PyTorch: its step takes up to twice as long with it.
    tunables = {"GLIBC_TUNABLES": runtime.MALLOC_TUNABLES} if implementation == "ours" else {}
    return tunables | arguments.environment(tree) | {"GLOG_v": "3"}


class Worker:
    """A process of `step_worker.py`; `skipped` says why it cannot run, or is None."""

    def __init__(self, implementation: str, options: dict, shape: dict, tree: Path | None = None):
        asked = shape | {"implementation": implementation, "options": options}
        self.said = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        self.process = subprocess.Popen(
            [sys.executable, HERE / "step_worker.py", json.dumps(asked)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.said, text=True,
            env=environment(implementation, tree or HERE.parent),
        )  # fmt: skip
        assert self.process.stdin is not None and self.process.stdout is not None  # they are pipes
        self._asked, self._answers = self.process.stdin, self.process.stdout
        answer = self._answer()
        self.skipped = answer.get("skipped")

    def ask(self, steps: int) -> dict:
        """The answer to `steps`; empty, with `skipped` set, if the process dies on it."""
        with contextlib.suppress(BrokenPipeError):  # it died since its last answer
            self._asked.write(f"{steps}\n")
            self._asked.flush()
        answer = self._answer()
        self.skipped = answer.pop("skipped", None)
        return answer

    def _answer(self) -> dict:
        line = self._answers.readline()
        if line:
            return json.loads(line)
        self.process.wait()
        self.said.seek(0)
        said = self.said.read().decode(errors="replace").strip().splitlines() or [""]
        return {"skipped": f"its process ended with {self.process.returncode}: {said[-1][:200]}"}

    def close(self) -> None:
        with contextlib.suppress(BrokenPipeError):
            self._asked.close()
        self._answers.close()
        self.process.wait()
        self.said.close()


def measure(size: int, options: argparse.Namespace, data: Path) -> list[dict]:
    """The results of one image size."""
    shape = {"size": size, "batch": options.batch, "light": options.light, "ch": options.ch, "n_res": options.n_res}
    shape |= {"n_dis": costs.n_dis_for(size, options.n_dis), "threads": options.threads, "data": str(data)}
    wanted = {name: (*IMPLEMENTATIONS[name], None) for name in options.implementations}
    if options.before:
        wanted["ours before"] = ("ours", {}, options.before)
    probe = Worker("ceilings", {"scale": options.ceiling_scale}, shape)
    gaps: list[dict] = [probe.ask(1)]
    runs: dict[str, Run] = {}
    apart = size >= options.apart_from and options.savings is None
    for name, (implementation, passed, tree) in wanted.items():
        runs[name] = Run(implementation, passed, shape, tree)
        if apart:
            runs[name].take(options.rounds)
            runs[name].worker.close()
            gaps.append(probe.ask(1))
    for _ in range(0 if apart else options.rounds):
        for run in runs.values():
            run.take(1)
        gaps.append(probe.ask(1))
    beside: dict[str, list[float]] = {}  # seconds of ours in turn with each plain form
    for saving in options.savings or ():
        name = f"ours without {saving}"
        runs[name] = Run("ours", {"forms": SAVINGS[saving]}, shape)
        before = len(runs["ours"].seconds)
        for _ in range(options.rounds):
            runs["ours"].take(1)
            runs[name].take(1)
        beside[name] = runs["ours"].seconds[before:]
        runs[name].worker.close()
        gaps.append(probe.ask(1))
    for worker in (probe, *(run.worker for run in runs.values())):
        worker.close()
    return _results(shape, runs, gaps, beside, apart)


class Run:
    """An implementation's process after its first step, and its steps since; `skipped` as in Worker."""

    def __init__(self, implementation: str, passed: dict, shape: dict, tree: Path | None = None):
        self.worker = Worker(implementation, passed, shape, tree)
        self.first = {} if self.worker.skipped else self.worker.ask(1)
        self.seconds: list[float] = []
        self.waits: list[float] = []
        self.last = self.first

    @property
    def skipped(self) -> str | None:
        return self.worker.skipped

    def take(self, steps: int) -> None:
        if not self.skipped:
            answer = self.worker.ask(steps)
            self.seconds += answer.get("seconds", [])
            self.waits += answer.get("waits", [])
            self.last = answer


def _results(
    shape: dict, runs: dict[str, Run], gaps: list[dict], beside: dict[str, list[float]], apart: bool
) -> list[dict]:
    where = f"{shape['size']} px"
    tags = {"size": shape["size"], "batch": shape["batch"], "ch": shape["ch"], "light": shape["light"]}
    tags |= {"n_dis": shape["n_dis"], "in_turn": "process by process" if apart else "step by step"}
    results = []

    def add(what: str, unit: str, samples: list[float], **more) -> None:
        results.append(record.result(f"{where}: {what}", unit, samples) | {"tags": tags | more})

    for name, unit in ceilings.UNITS.items():
        if name in gaps[0]:
            add(f"ceiling, {name}", unit, [gap[name] for gap in gaps], ceiling=name)
        else:
            results.append(record.skipped(f"{where}: ceiling, {name}", "torch is not installed"))
    for name, run in runs.items():
        if run.skipped:
            results.append(record.skipped(f"{where}: {name}", run.skipped) | {"tags": tags | {"of": name}})
            continue
        add(name, "seconds", run.seconds, of=name, losses=run.last["losses"])
        add(f"{name}, first step", "seconds", run.first["seconds"], of=name)
        add(f"{name}, data wait", "ms", [1000 * wait for wait in run.waits], of=name)
        add(f"{name}, peak memory", "mib", [run.last["peak_mib"]], of=name)
    counted = floor_flops(shape)
    add("FLOPs of the step's convolutions", "gflop", [counted / 1e9])
    reached = {name: statistics.median(run.seconds) for name, run in runs.items() if not run.skipped}
    if "convolution" in gaps[0]:
        floor = counted / 1e9 / statistics.median(gap["convolution"] for gap in gaps)
        add("floor", "seconds", [floor])
        for name, seconds in reached.items():
            add(f"{name} / floor", "ratio", [seconds / floor], of=name)
    for name, seconds in reached.items():
        if name in beside:
            pairs = zip(runs[name].seconds, beside[name], strict=True)
            add(f"{name} / ours", "ratio", [plain / ours for plain, ours in pairs], of=name)
        elif name != "torch" and "torch" in reached:
            pairs = zip(runs[name].seconds, runs["torch"].seconds, strict=False)  # ours goes on beside plain forms
            samples = [seconds / reached["torch"]] if apart else [own / peer for own, peer in pairs]
            add(f"{name} / torch", "ratio", samples, of=name)
    return results


def floor_flops(shape: dict) -> int:
    """FLOPs of the matrix products of a step by the paper's algorithm, with the fakes made once for both updates."""
    layers = costs.networks(
        ch=shape["ch"], n_res=shape["n_res"], n_dis=shape["n_dis"], height=shape["size"], width=shape["size"],
        img_ch=3, light=shape["light"],
    )  # fmt: skip
    return sum(cost.flops for cost in costs.step_costs(layers, shape["batch"]) if cost.is_product)


def main(argv: list[str] | None = None) -> int:
    parser = arguments.parser(__doc__)
    parser.add_argument("--add", action="store_true", help="keep the file's results under other names")
    arguments.add_model(parser, [64, 128])
    parser.add_argument("--full", dest="light", action="store_false", help="the full model instead of the light one")
    parser.add_argument("--light", action="store_true", default=True, help="the light model (default)")
    parser.add_argument(
        "--rounds", type=arguments.count, default=5, help="steps of each implementation after the first"
    )
    parser.add_argument("--threads", type=arguments.count, default=arguments.CORES, help="of each implementation")
    known = f"some of {', '.join(map(repr, IMPLEMENTATIONS))}"
    parser.add_argument(
        "--implementations", nargs="+", choices=IMPLEMENTATIONS, default=["ours", "torch"], metavar="NAME", help=known
    )
    parser.add_argument(
        "--apart_from", type=arguments.count, default=256, metavar="PX", help="size from which each runs alone"
    )
    savings = f"also ours with the plain form of each saving, or of some: {', '.join(SAVINGS)}"
    parser.add_argument("--savings", nargs="*", metavar="NAME", help=savings)
    parser.add_argument(
        "--before", type=arguments.path, metavar="FOLDER", help="a checkout of ours at another commit, beside"
    )
    parser.add_argument("--ceiling_scale", type=float, default=1.0, help="smaller probes of the ceilings, for tests")
    options = parser.parse_args(argv)
    if options.savings == []:
        options.savings = list(SAVINGS)
    for name in options.savings or ():
        if name not in SAVINGS:
            parser.error(f"--savings {name!r}: give some of {', '.join(SAVINGS)}")
    if options.savings and "ours" not in options.implementations:
        parser.error("--savings compares with ours: add it to --implementations")
    results = []
    with tempfile.TemporaryDirectory() as scratch:
        for size in options.sizes:
            results += measure(size, options, pictures.dataset(Path(scratch), IMAGES, size, "original"))
    said = {name: value for name, value in vars(options).items() if name not in ("out", "add", "before")}
    if options.before:
        said["before"] = record.commit(options.before)
    data = {"images": f"{IMAGES} JPEGs a domain, of the step's size, with the spectrum of photographs"}
    record.finish("step_time", options, data, results, PACKAGES, said=said)
    return 0


if __name__ == "__main__":
    sys.exit(main())
