#!/usr/bin/env python3
"""Show where the time of a training step goes, operation by operation."""

from __future__ import annotations

if __name__ == "__main__":
    from script import start_tool

    start_tool(__file__)

import dataclasses
import statistics
import sys
import time
from pathlib import Path

from tqdm import tqdm

from ugatit_data.files import write_whole
from ugatit_train import runtime
from ugatit_train.options import config
from ugatit_train.performance import planner

from .commandline import (
    Parser,
    abandon,
    checking,
    end_when_interrupted,
    filling,
    path,
    refuse_full_folder,
    say,
    say_device,
    whole,
    working,
)


def parser() -> Parser:
    made = Parser(
        "profile",
        description="Profile some training steps on random images: a table of operations with their FLOPs, bytes and "
        "the share of this machine's measured ceiling that they reach, a bar chart, a Parquet file with every "
        "operation that ran, and a trace for ui.perfetto.dev or chrome://tracing. On Ascend (tested on files that "
        "MindSpore's own code wrote, not yet run on a card) the same table from kernel_details.csv, op_statistic.csv "
        "and step_trace_time.csv, without ceilings.",
        epilog="Example:\n  %(prog)s --img_size 64 --n_dis 5 --light --out profile\n\n"
        "Exit code: 0 done, 1 a failure while running, 2 bad input.",
    )
    made.add_argument("--out", type=path, required=True, metavar="FOLDER", help="new folder for the results")
    made.add_argument("--img_size", type=whole(4), default=256, help="height and width, pixels")
    made.add_argument("--light", action="store_true", help="the light generator")
    made.add_argument("--ch", type=whole(1), default=64, help="channels of the first layer")
    made.add_argument("--n_res", type=whole(1), default=4, help="residual blocks in each half of the generator")
    made.add_argument("--n_dis", type=whole(4), default=6, help="size of the discriminators")
    made.add_argument("--batch_size", type=whole(1), default=1, help="images of each domain")
    made.add_argument("--device_target", choices=("CPU", "Ascend"), default="CPU", help="device to run on")
    made.add_argument("--device_id", type=whole(0), default=0, help="number of the device")
    made.add_argument("--steps", type=whole(1), default=3, help="steps to record, after as many without the profiler")
    return made


def main(argv: list[str]) -> int:
    given = parser().parse_args(argv)
    with checking("give another --out"):
        options = config.Options(
            light=given.light, ch=given.ch, n_res=given.n_res, n_dis=given.n_dis, img_size=given.img_size,
            batch_size=given.batch_size, device_target=given.device_target, device_id=given.device_id,
        )  # fmt: skip
        refuse_full_folder(given.out, "--out")
    if too_large := planner.warning(options):
        say("profile", too_large)

    again = f"what is in {given.out} is not whole; given again, it begins anew"
    end_when_interrupted("profile", again, lambda: abandon(given.out))
    with checking():
        runtime.setup(options.device_target, options.device_id)  # MindSpore loads here
        options = dataclasses.replace(options, precision=runtime.set_precision(options.precision))
    say_device(options.device_target, options.device_id)
    with working(again, memory=planner.remedy(options), where=given.out), filling(given.out):
        print(profile(options, given.steps, given.out), end="")
    return 0


def profile(options: config.Options, steps: int, out: Path) -> str:
    """Runs and records the steps; the table, which is also in `out`, as text."""
    from ugatit_train.performance import profiling
    from ugatit_train.training import build

    step = _stepper(build.build_step(options, options.schedule(1000)), options)
    bar = tqdm(total=2 * steps + 3, unit="step", disable=not sys.stderr.isatty())
    first_s = _timed(step, bar)
    plain_s = statistics.median(_timed(step, bar) for _ in range(steps))
    size = f"{'light' if options.light else 'full'}, ch {options.ch}, {options.img_size} px, batch {options.batch_size}"
    with profiling.StepProfiler(out, f"a step: {size}", options.device_target, active=steps) as profiler:
        while not profiler.step(_timed(step, bar)):
            pass
    bar.close()
    text = f"{profiler.text}compilation and first step {first_s:.1f} s; step without the profiler {plain_s:.3f} s\n"
    write_whole(out / "operations.md", text)
    return text


def _stepper(cell, options: config.Options):
    import numpy as np
    from mindspore import Tensor

    shape = (2, options.batch_size, options.img_ch, *options.image_size)
    a, b = (Tensor(image) for image in np.random.default_rng(7).uniform(-1, 1, shape).astype(np.float32))
    return lambda: cell(a, b).asnumpy()  # reading the losses waits for the step


def _timed(step, bar: tqdm) -> float:
    began = time.perf_counter()
    step()
    bar.update()
    return time.perf_counter() - began
