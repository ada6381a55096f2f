#!/usr/bin/env python
"""How a training learns, ours beside PyTorch's: ratio to the hidden truth, over steps and over minutes.

On the demo's sample data, with the demo's options (`training` in `tools/demo.py`), the average of the weights included
where the demo takes one. Both begin with the same weights and are given the same pictures in the same order; the peer
is `torch_step.py`. A curve is one implementation with one seed of weights, order and augmentation. The ratio is that
of `ugatit_train/pictures/likeness.py`, on test pictures.

    python benchmarks/learning.py --out records/learning.json                      # an hour; leave the machine alone
    python benchmarks/learning.py --work bench/try --seeds 1 --steps 60 --every 20
    python benchmarks/learning.py --implementations ours torch "torch bfloat16"    # bfloat16: other numbers, see below
    python benchmarks/report.py records/learning.json --out records                # table and chart

Each curve has a process of its own, one after another on the same threads. The folder --work holds the pictures and the
curves. After a kill at any moment the same command goes on, from the last measurement. A curve's minutes are those of
its steps and of its start, compilation included; measuring and writing do not count. CPU minutes are those of all
threads together.

"torch" is the peer's fastest form in float32 on the CPU at the demo's size; benchmarks/README.md has the others.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import importlib.util
import itertools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import arguments
import measured
import record
import step_time

from ugatit_data.dataset.manifest import read_dataset
from ugatit_data.files import lock
from ugatit_train.options import config

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT))  # for the tools, which no installation has under this name

from tools import demo  # noqa: E402

DATA_SEED = 1  # of the sample data: all curves have the same pictures, and these are the demo's
PACKAGES = ["mindspore", "numpy", "torch", "opencv-python-headless"]


def main(argv: list[str] | None = None) -> int:
    options = parse(argv)
    options.work.mkdir(parents=True, exist_ok=True)
    skipped, curves = [], {}
    with alone(options.work) as descriptor:
        pictures, data = sample_data(options)
        for seed in options.seeds:
            for name in options.implementations:
                if reason := lacks(name):
                    skipped.append(record.skipped(name, reason))
                    continue
                asked = asked_of(name, seed, options, pictures, data)
                curves.setdefault(name, []).append(curve_of(asked, descriptor))
    said = {name: value for name, value in vars(options).items() if name not in ("out", "work")}
    about = {"images": "the demo's sample data", "dataset_id": read_dataset(data).dataset_id}
    about["training"] = training(options, options.seeds[0])
    unique = list({entry["name"]: entry for entry in skipped}.values())
    found = [*results(curves, options.targets), *unique]
    made = [curve for of_seeds in curves.values() for curve in of_seeds]
    files = {str(curve["commit"]): curve["measured"] for curve in made if "measured" in curve}  # not before 0.2.0
    record.finish("learning", options, about, found, PACKAGES, said=said, files=files)
    return 0


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = arguments.parser(__doc__)
    parser.add_argument(
        "--work", type=arguments.path, default=Path("bench/learning"), metavar="FOLDER", help="pictures, curves"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3], metavar="N", help="a curve of each for each")
    parser.add_argument("--steps", type=arguments.count, default=demo.STEPS, help="of a training; the demo's")
    parser.add_argument("--every", type=arguments.count, default=100, help="steps from one measurement to the next")
    parser.add_argument("--img_size", type=arguments.count, default=demo.SIZE, metavar="PX", help="the demo's")
    parser.add_argument("--ch", type=arguments.count, default=demo.CHANNELS, help="channels of the first layer")
    parser.add_argument(
        "--targets", type=float, nargs="+", default=[0.6, 0.5], metavar="RATIO", help="the minutes to each are a result"
    )
    parser.add_argument("--threads", type=arguments.count, default=arguments.CORES, help="of each implementation")
    known = f"some of {', '.join(map(repr, step_time.IMPLEMENTATIONS))}"
    parser.add_argument(
        "--implementations", nargs="+", choices=step_time.IMPLEMENTATIONS, default=["ours", "torch"], metavar="NAME",
        help=known,
    )  # fmt: skip
    options = parser.parse_args(argv)
    options.seeds = list(dict.fromkeys(options.seeds))
    try:
        for seed in options.seeds:
            config.Options(**training(options, seed))
    except config.OptionError as error:
        parser.error(str(error))
    return options


def training(options: argparse.Namespace, seed: int) -> dict:
    """The options of a training (`ugatit_train.Options`): the demo's."""
    return demo.training({"img_size": options.img_size, "ch": options.ch, "iteration": options.steps, "seed": seed})


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[int]:
    """The descriptor of a lock on the folder; a process that inherits it holds the lock too."""
    with (folder / "lock").open("w") as file:
        if not lock(file.fileno()):
            sys.exit(f"{folder}: another run is at work there: wait for its end, or give another --work")
        yield file.fileno()


def sample_data(options: argparse.Namespace) -> tuple[Path, Path]:
    """The demo's pictures and the data set of them, in the folder of the work; made as the demo makes them."""
    pictures, data = options.work / f"images-{options.img_size}", options.work / f"dataset-{options.img_size}"
    made: dict[Path, tuple] = {
        pictures: ("make_sample_dataset", pictures, "--size", options.img_size + 32, "--seed", DATA_SEED),
        data: ("convert_dataset", pictures, data),
    }
    for folder, (tool, *words) in made.items():
        if not folder.exists():
            command = [sys.executable, ROOT / "tools" / f"{tool}.py", *words]
            if (code := subprocess.run([*map(str, command)], check=False).returncode) != 0:
                sys.exit(code)
    return pictures, data


def lacks(name: str) -> str | None:
    """What this machine lacks for an implementation."""
    implementation, form = step_time.IMPLEMENTATIONS[name]
    if implementation == "torch" and importlib.util.find_spec("torch") is None:
        return "torch is not installed"
    compiler = os.environ.get("CXX", "g++")
    if form.get("compiled") and not shutil.which(compiler):
        return f"torch.compile needs a C++ compiler, {compiler} is not installed"
    return None


def asked_of(name: str, seed: int, options: argparse.Namespace, pictures: Path, data: Path) -> dict:
    """What a process of `learning_worker.py` is asked for, as JSON has it; "same" is what decides the curve."""
    implementation, form = step_time.IMPLEMENTATIONS[name]
    same = {
        "implementation": implementation, "form": form, "options": training(options, seed), "every": options.every,
        "threads": options.threads, "dataset_id": read_dataset(data).dataset_id,
    }  # fmt: skip
    stem = options.work / f"{name.replace(', ', ' ').replace(' ', '-')}-seed{seed}"
    asked = same | {
        "name": f"{name}, seed {seed}", "data": str(data), "pictures": str(pictures), "commit": record.commit(),
        "weights": str(options.work / f"weights-{options.img_size}-{options.ch}-seed{seed}.npz"), "same": same,
        "curve": f"{stem}.json", "state": f"{stem}.state.npz", "parent": os.getpid(), "measured": code(),
    }  # fmt: skip
    return json.loads(json.dumps(asked))


@functools.cache
def code() -> dict:
    """The files that this process's curves are of (`measured.py`)."""
    return measured.by("learning")


def curve_of(asked: dict, descriptor: int) -> dict:
    """The finished curve: as it lies there, or trained to its end."""
    curve, same = Path(asked["curve"]), asked["same"]
    if curve.exists() and (before := json.loads(curve.read_text()))["asked"] != same:
        changed = ", ".join(key for key, value in same.items() if before["asked"].get(key) != value)
        sys.exit(f"{curve}: a curve with other {changed}: remove it, or give another --work")
    if not curve.exists() or not json.loads(curve.read_text())["finished"]:
        if asked["implementation"] == "torch" and not Path(asked["weights"]).exists():
            start(asked | {"implementation": "weights", "form": {}}, descriptor)
        start(asked, descriptor)
    return json.loads(curve.read_text())


def start(asked: dict, descriptor: int) -> None:
    """One process of `learning_worker.py`, to its end."""
    # What users have too, a graph of an earlier start, would make one start of several cheap.
    environment = {"UGATIT_COMPILE_CACHE": "off"} | step_time.environment(asked["implementation"], ROOT)
    command = [sys.executable, str(ROOT / "benchmarks" / "learning_worker.py"), json.dumps(asked)]
    code = subprocess.run(command, env=environment, pass_fds=(descriptor,), check=False).returncode
    if code != 0:
        sys.exit(f"{asked['name']}: its process ended with {code}: the same command goes on from its last measurement")


def results(curves: dict[str, list[dict]], targets: list[float]) -> list[dict]:
    """What the record says: the samples of a result are the seeds', in order."""
    found = []
    for name, of_seeds in curves.items():
        commits = {curve["commit"] for curve in of_seeds} - {record.commit()}
        mark = {"commit": ", ".join(sorted(map(str, commits)))} if commits else {}
        tags = {"of": name}
        for points in zip(*(curve["points"] for curve in of_seeds), strict=True):
            step = points[0]["step"]
            starts = [(curve["start_s"], curve["start_cpu_s"]) for curve in of_seeds]
            spent = {
                "minutes": [(wall + p["wall_s"]) / 60 for (wall, _), p in zip(starts, points, strict=True)],
                "cpu_minutes": [(cpu + p["cpu_s"]) / 60 for (_, cpu), p in zip(starts, points, strict=True)],
                "edge_correlation": [p["edge_correlation"] for p in points],
            }
            ratios = [point["ratio"] for point in points]
            found.append(
                mark | record.result(f"{name}: ratio at step {step}", "ratio", ratios)
                | {"tags": tags | {"step": step} | spent}
            )  # fmt: skip
        found += [mark | entry | {"tags": tags} for entry in summary(name, of_seeds, targets)]
    return found


def summary(name: str, curves: list[dict], targets: list[float]) -> Iterator[dict]:
    """What the curves of an implementation come to."""
    last = [curve["points"][-1] for curve in curves]
    yield record.result(f"{name}: start", "seconds", [curve["start_s"] for curve in curves])
    yield record.result(f"{name}: a step", "seconds", [point["wall_s"] / point["step"] for point in last])
    yield record.result(f"{name}: a step, CPU", "cpu_seconds", [point["cpu_s"] / point["step"] for point in last])
    for target, unit in itertools.product(targets, ("minutes", "cpu_minutes", "steps")):
        reached = [when(curve, target, unit) for curve in curves]
        what = f"{name}: {unit} to a ratio of {target:g}"
        if None in reached:
            lowest = ", ".join(f"{min(point['ratio'] for point in curve['points']):.3f}" for curve in curves)
            yield record.skipped(what, f"not reached by each seed; the lowest ratios are {lowest}")
        else:
            yield record.result(what, unit, [value for value in reached if value is not None])


def when(curve: dict, target: float, unit: str) -> float | None:
    """When the ratio first comes down to the target, on a straight line between two measurements; None: never.

    `unit` is minutes, cpu_minutes or steps.
    """
    start = {"minutes": curve["start_s"], "cpu_minutes": curve["start_cpu_s"], "steps": 0}[unit]
    key, scale = {"minutes": ("wall_s", 60), "cpu_minutes": ("cpu_s", 60), "steps": ("step", 1)}[unit]
    before = None
    for point in curve["points"]:
        if point["ratio"] <= target:
            value = point[key]
            if before is not None:
                share = (before["ratio"] - target) / (before["ratio"] - point["ratio"])
                value = before[key] + share * (point[key] - before[key])
            return (start + value) / scale
        before = point
    return None


if __name__ == "__main__":
    sys.exit(main())
