#!/usr/bin/env python
"""Peak memory and seconds of real steps, each in its own process, beside the planner's estimates.

    python benchmarks/memory.py --out records/memory.json
    python benchmarks/memory.py --sizes 64 128 --full
    python benchmarks/memory.py --sizes 256 --options recompute=true
    python benchmarks/memory.py --sizes 64 128 --forms ascend --add --out records/memory.json

Memory is measured after the fourth step; the time is the median of the last three. A test compares the planner with
the record in benchmarks/results. With --add, new results replace those of the same configuration in a record. --forms
measures the step that another device trains (`ugatit_train/forms.py`) on this CPU: its memory, for its time tells
nothing.
"""

from __future__ import annotations

import dataclasses
import statistics
import sys

import arguments
import record
import yaml
from step_time import PACKAGES, Worker

from ugatit_train.forms import ASCEND, CPU, Forms
from ugatit_train.options.config import Options
from ugatit_train.performance import ceilings, costs, planner

FORMS = {  # name -> the forms, and what they are called in a record
    "cpu": (CPU, ""),
    "plain": (Forms(), "plain forms"),
    "ascend": (dataclasses.replace(ASCEND, padding="mirror"), "Ascend's forms"),  # the CPU has no ReflectionPad2D
}


def measure(shape: dict, options: dict, of: str) -> list[dict]:
    """Peak, time and estimates of one configuration in the forms `of`."""
    forms, called = FORMS[of]
    given = {"img_size": shape["size"], "batch_size": shape["batch"]}
    given |= {name: shape[name] for name in ("light", "ch", "n_res", "n_dis")} | options
    name = ", ".join(
        [("light" if shape["light"] else "full"), f"{shape['size']} px", f"ch {shape['ch']}", f"batch {shape['batch']}"]
        + ([f"n_res {shape['n_res']}"] if shape["n_res"] != 4 else [])
        + [f"{key} {value}" for key, value in options.items()]
        + ([called] if called else [])
    )
    worker = Worker("ours", options | ({"forms": dataclasses.asdict(forms)} if called else {}), shape)
    answer = {} if worker.skipped else worker.ask(4)
    if worker.skipped:
        return [record.skipped(name, worker.skipped)]
    worker.close()
    needs = planner.estimate(Options(**given), forms)
    if called:
        return _memory(name, answer["peak_mib"], needs, {"options": given, "forms": of})
    seconds = answer["seconds"][1:]
    gflop_per_s = ceilings.sgemm(0.5)  # as --dry_run measures it
    estimated_s = planner.step_seconds(needs, gflop_per_s)
    tags = {"options": given, "sgemm_gflop_per_s": gflop_per_s}
    return [
        *_memory(name, answer["peak_mib"], needs, tags),
        record.result(f"{name}: step", "seconds", seconds) | {"tags": tags},
        record.result(f"{name}: plan / step", "ratio", [estimated_s / statistics.median(seconds)]) | {"tags": tags},
    ]


def _memory(name: str, peak_mib: float, needs: planner.Estimate, tags: dict) -> list[dict]:
    return [
        record.result(f"{name}: peak", "mib", [peak_mib]) | {"tags": tags},
        record.result(f"{name}: plan / peak", "ratio", [needs.total / planner.MIB / peak_mib]) | {"tags": tags},
    ]


def main(argv: list[str] | None = None) -> int:
    parser = arguments.parser(__doc__)
    parser.add_argument("--add", action="store_true", help="keep the file's results of other configurations")
    arguments.add_model(parser, [64, 128, 256])
    parser.add_argument("--full", action="store_true", help="the full model instead of the light one")
    parser.add_argument("--forms", choices=FORMS, default="cpu", help="of the operators: as which device trains")
    parser.add_argument("--threads", type=arguments.count, default=arguments.CORES, help="of the step")
    parser.add_argument("--options", nargs="*", default=[], metavar="NAME=VALUE", help="further options of the step")
    options = parser.parse_args(argv)
    more = {name: yaml.safe_load(value) for name, _, value in (text.partition("=") for text in options.options)}
    results = []
    for size in options.sizes:
        shape = {"size": size, "batch": options.batch, "light": not options.full, "ch": options.ch}
        shape |= {"n_res": options.n_res, "n_dis": costs.n_dis_for(size, options.n_dis), "threads": options.threads}
        results += measure(shape, dict(more), options.forms)
    data, said = {"images": "uniform noise"}, {"threads": options.threads}
    record.finish("memory", options, data, results, PACKAGES, said=said)
    return 0


if __name__ == "__main__":
    sys.exit(main())
