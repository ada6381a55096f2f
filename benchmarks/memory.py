#!/usr/bin/env python
"""Peak memory and seconds of real steps beside the planner's figures, each in a process of its own.

    python benchmarks/memory.py --out records/memory.json
    python benchmarks/memory.py --sizes 64 128 --full
    python benchmarks/memory.py --sizes 256 --options recompute=true

A process is measured after its fourth step; its time is the median of the last three. The record that the planner is
held to lies in benchmarks/results; with --add, what is measured replaces what a record has of the same configuration.
"""

from __future__ import annotations

import statistics
import sys

import arguments
import record
import yaml
from step_time import PACKAGES, Worker

from ugatit_train.options.config import Options
from ugatit_train.performance import ceilings, costs, planner


def measure(shape: dict, options: dict) -> list[dict]:
    """Peak, time and plan of one configuration."""
    given = {"img_size": shape["size"], "batch_size": shape["batch"]}
    given |= {name: shape[name] for name in ("light", "ch", "n_res", "n_dis")} | options
    name = ", ".join(
        [("light" if shape["light"] else "full"), f"{shape['size']} px", f"ch {shape['ch']}", f"batch {shape['batch']}"]
        + ([f"n_res {shape['n_res']}"] if shape["n_res"] != 4 else [])
        + [f"{key} {value}" for key, value in options.items()]
    )
    worker = Worker("ours", options, shape)
    answer = {} if worker.skipped else worker.ask(4)
    if worker.skipped:
        return [record.skipped(name, worker.skipped)]
    worker.close()
    plan = planner.estimate(Options(**given))
    seconds = answer["seconds"][1:]
    gflop_per_s = ceilings.sgemm(0.5)  # as --dry_run measures it
    planned_s = planner.step_seconds(plan, gflop_per_s)
    tags = {"options": given, "sgemm_gflop_per_s": gflop_per_s}
    return [
        record.result(f"{name}: peak", "mib", [answer["peak_mib"]]) | {"tags": tags},
        record.result(f"{name}: plan / peak", "ratio", [plan.total / planner.MIB / answer["peak_mib"]])
        | {"tags": tags},
        record.result(f"{name}: step", "seconds", seconds) | {"tags": tags},
        record.result(f"{name}: plan / step", "ratio", [planned_s / statistics.median(seconds)]) | {"tags": tags},
    ]


def main(argv: list[str] | None = None) -> int:
    parser = arguments.parser(__doc__)
    parser.add_argument("--add", action="store_true", help="keep what the file already holds of other configurations")
    arguments.add_model(parser, [64, 128, 256])
    parser.add_argument("--full", action="store_true", help="the full model instead of the light one")
    parser.add_argument("--threads", type=arguments.count, default=arguments.CORES, help="of the step")
    parser.add_argument("--options", nargs="*", default=[], metavar="NAME=VALUE", help="further options of the step")
    options = parser.parse_args(argv)
    more = {name: yaml.safe_load(value) for name, _, value in (text.partition("=") for text in options.options)}
    results = []
    for size in options.sizes:
        shape = {"size": size, "batch": options.batch, "light": not options.full, "ch": options.ch}
        shape |= {"n_res": options.n_res, "n_dis": costs.n_dis_for(size, options.n_dis), "threads": options.threads}
        results += measure(shape, more)
    print(record.table(results))
    if options.out:
        said = {"threads": options.threads}
        if options.add:
            said, results = record.add_to(options.out, said, results)
        options.out.parent.mkdir(parents=True, exist_ok=True)
        record.write(options.out, "memory", said, {"images": "uniform noise"}, results, PACKAGES)
    return 0


if __name__ == "__main__":
    sys.exit(main())
