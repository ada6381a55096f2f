#!/usr/bin/env python
"""Seconds of a light generator for pictures of one size: by each engine of `ugatit translate`, and by PyTorch.

All have the same weights, each a process of its own; they translate in turn, so that other load slows all alike. The
first call, which builds the network and compiles it, is a result of its own. The whole command for one photograph is
measured too, each engine in turn, with warm files and MindSpore's compiled graph kept from a run before.

    python benchmarks/inference.py --out records/inference.json
    python benchmarks/inference.py --sizes 256 --batches 1 --implementations mindspore openvino "torch compiled"

An engine or a peer that is missing is recorded as skipped. `torch compiled` needs a C++ compiler.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import arguments
import cv2
import numpy as np
import record
import step_time

ENGINES = ("mindspore", "openvino", "onnxruntime")
IMPLEMENTATIONS = (*ENGINES, "torch", "torch compiled")
PACKAGES = ["mindspore", "openvino", "onnxruntime", "torch", "numpy"]
TRANSLATE = step_time.HERE.parent / "tools" / "translate.py"


def write_run(folder: Path, ch: int, n_res: int, size: int) -> Path:
    """A run with the weights that training begins with."""
    from ugatit_train import runtime
    from ugatit_train.forms import CPU
    from ugatit_train.networks import ugatit
    from ugatit_train.options import config, saved
    from ugatit_train.performance import costs
    from ugatit_train.training import checkpoint

    runtime.setup("CPU")
    n_dis = costs.n_dis_for(size, 6)
    options = config.Options(light=True, ch=ch, n_res=n_res, n_dis=n_dis, img_size=size, data_path="none")
    generator = ugatit.Generator(CPU, ch, n_res, size, 3, True, options.padding)
    ugatit.initialise(generator, 0)
    parameters = {f"genA2B.{name}": parameter for name, parameter in generator.parameters_and_names()}
    meta = {"step": 1, "data": {}, "options": saved.lasting(options)}
    checkpoint.save(folder / "checkpoints", parameters, meta, keep=1)
    saved.save(options, folder / saved.OPTIONS_FILE)
    return folder


def measure(run: Path, size: int, batch: int, options: argparse.Namespace) -> list[dict]:
    """The results of one size and batch."""
    shape = {"size": size, "batch": batch, "ch": options.ch, "n_res": options.n_res, "threads": options.threads}
    runs = {name: step_time.Run("generator", {"of": name, "run": str(run)}, shape) for name in options.implementations}
    for _ in range(options.rounds):
        for its in runs.values():
            its.take(1)
    for its in runs.values():
        its.worker.close()
    where, results = f"{size} px, batch {batch}", []
    best = min((statistics.median(its.seconds) for its in runs.values() if not its.skipped), default=0.0)
    for name, its in runs.items():
        tags = {"tags": {"size": size, "batch": batch, "of": name}}
        if its.skipped:  # from the start, or its process died on the way: the others' figures stay
            results.append(record.skipped(f"{where}: {name}", its.skipped) | tags)
            continue
        results.append(record.result(f"{where}: {name}", "seconds", its.seconds) | tags)
        results.append(record.result(f"{where}: {name}, first call", "seconds", its.first["seconds"]) | tags)
        ratio = statistics.median(its.seconds) / best
        results.append(record.result(f"{where}: {name} / best", "ratio", [ratio]) | tags)
    return results


def commands(run: Path, folder: Path, options: argparse.Namespace) -> list[dict]:
    """The whole command `ugatit translate photo.jpg`, by each engine; one that fails is skipped: its last words."""
    photo, size = folder / "photo.jpg", max(options.sizes)
    coarse = np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)
    cv2.imwrite(str(photo), cv2.resize(coarse, (1600, 1200)))
    samples: dict[str, list[float]] = {name: [] for name in options.implementations if name in ENGINES}
    failed: dict[str, str] = {}
    for turn in range(options.commands + 1 if options.commands else 0):  # the first one warms
        for name in [name for name in samples if name not in failed]:
            line = [photo, "--checkpoint", run, "--out", folder / f"{name} {turn}", "--engine", name]
            line += ["--compile_cache", folder / "graphs"]
            began = time.perf_counter()
            done = subprocess.run(
                [sys.executable, TRANSLATE, *map(str, line)], env=arguments.environment(step_time.HERE.parent),
                capture_output=True, text=True,
            )  # fmt: skip
            if turn:
                samples[name].append(time.perf_counter() - began)
            if done.returncode:
                said = done.stderr.strip().splitlines() or [""]
                failed[name] = f"the command ended with {done.returncode}: {said[-1][:200]}"
    what = f"one photograph at {size} px, the whole command"
    return [
        record.skipped(f"{what}: {name}", failed[name]) if name in failed
        else record.result(f"{what}: {name}", "seconds", its)
        for name, its in samples.items() if its or name in failed
    ]  # fmt: skip


def main(argv: list[str] | None = None) -> int:
    parser = arguments.parser(__doc__)
    count = arguments.count
    parser.add_argument("--add", action="store_true", help="keep the file's results under other names")
    sizes = [64, 128, 256, 512]
    parser.add_argument("--sizes", type=count, nargs="+", default=sizes, metavar="PX", help="heights and widths")
    parser.add_argument("--batches", type=count, nargs="+", default=[1, 8], metavar="N", help="pictures in a call")
    parser.add_argument("--ch", type=count, default=64, help="channels of the first layer")
    parser.add_argument("--n_res", type=count, default=4, help="residual blocks in each half of the generator")
    parser.add_argument("--rounds", type=count, default=5, help="calls of each implementation after the first")
    parser.add_argument(
        "--commands",
        type=arguments.count_or_none,
        default=3,
        help="whole commands of each engine, after one; 0 for none",
    )
    parser.add_argument("--threads", type=count, default=arguments.CORES, help="of each implementation")
    parser.add_argument(
        "--implementations", nargs="+", choices=IMPLEMENTATIONS, default=IMPLEMENTATIONS, metavar="NAME",
        help=f"some of {', '.join(map(repr, IMPLEMENTATIONS))}",
    )  # fmt: skip
    options = parser.parse_args(argv)
    options.implementations = list(options.implementations)
    with tempfile.TemporaryDirectory() as scratch:
        run = write_run(Path(scratch, "run"), options.ch, options.n_res, max(options.sizes))
        results = commands(run, Path(scratch), options)
        for size in options.sizes:
            for batch in options.batches:
                results += measure(run, size, batch, options)
    data = {"pictures": "noise", "model": f"light, ch {options.ch}, n_res {options.n_res}, direction a2b"}
    record.finish("inference", options, data, results, PACKAGES)
    return 0


if __name__ == "__main__":
    sys.exit(main())
