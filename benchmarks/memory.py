#!/usr/bin/env python
"""Peak memory and seconds of real steps, each in its own process, beside the planner's estimates.

    python benchmarks/memory.py --out records/memory.json
    python benchmarks/memory.py --sizes 64 128 --full
    python benchmarks/memory.py --sizes 256 --options recompute=true

Memory is measured after the fourth step; the time is the median of the last three. A test compares the planner with
the record in benchmarks/results. With --add, new results replace those of the same configuration in a record.
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
    """Peak, time and estimates of one configuration."""
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
    needs = planner.estimate(Options(**given))
    seconds = answer["seconds"][1:]
    gflop_per_s = ceilings.sgemm(0.5)  # as --dry_run measures it
    estimated_s = planner.step_seconds(needs, gflop_per_s)
    tags = {"options": given, "sgemm_gflop_per_s": gflop_per_s}
    return [
        record.result(f"{name}: peak", "mib", [answer["peak_mib"]]) | {"tags": tags},
        record.result(f"{name}: plan / peak", "ratio", [needs.total / planner.MIB / answer["peak_mib"]])
        | {"tags": tags},
        record.result(f"{name}: step", "seconds", seconds) | {"tags": tags},
        record.result(f"{name}: plan / step", "ratio", [estimated_s / statistics.median(seconds)]) | {"tags": tags},
    ]


def main(argv: list[str] | None = None) -> int:
    parser = arguments.parser(__doc__)
    parser.add_argument("--add", action="store_true", help="keep the file's results of other configurations")
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
    data, said = {"images": "uniform noise"}, {"threads": options.threads}
    record.finish("memory", options, data, results, PACKAGES, said=said)
    return 0


if __name__ == "__main__":
    sys.exit(main())
