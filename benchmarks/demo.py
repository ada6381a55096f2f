#!/usr/bin/env python
"""`make demo` as a new user has it, installation apart: how long it takes, and what its pictures come to.

    python benchmarks/demo.py --out records/demo.json        # ten minutes; leave the machine alone

The demo is made in the folder --work, which must be new: its contact sheet is the picture of the same run. The step is
compiled anew, as on a machine that has never run it.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import arguments
import record

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT))  # for the tools, which no installation has under this name

from tools import demo  # noqa: E402
from ugatit_train.training import log  # noqa: E402

PACKAGES = ["mindspore", "numpy", "opencv-python-headless"]


def main(argv: list[str] | None = None) -> int:
    parser = arguments.parser(__doc__)
    parser.add_argument(
        "--work", type=arguments.path, default=Path("bench/demo"), metavar="FOLDER", help="what the demo makes"
    )
    parser.add_argument("--iteration", type=arguments.count, default=demo.STEPS, help="training steps; fewer to try it")
    options = parser.parse_args(argv)
    if options.work.exists():
        parser.error(f"{options.work} exists: remove it, or give another --work")
    words = ["--out", str(options.work), "--iteration", str(options.iteration)]
    settings = demo.settings_of(demo.parser().parse_args(words))

    command = [sys.executable, str(ROOT / "tools" / "demo.py"), *words]
    began = time.perf_counter()
    code = subprocess.run(command, env=os.environ | {"UGATIT_COMPILE_CACHE": "off"}, check=False).returncode
    took = time.perf_counter() - began
    if code != 0:
        return code
    data = {"images": "the demo's sample data", "training": demo.training(settings)}
    record.finish("demo", options, data, results(options.work, took), PACKAGES, said=settings)
    return 0


def results(work: Path, took: float) -> list[dict]:
    """What a finished demo in the folder `work`, which took so many seconds, comes to."""
    figures = json.loads((work / demo.FIGURES_FILE).read_text())
    steps = log.read_metrics(work / "run" / "metrics.jsonl")
    after = steps[1:] or steps
    found = [record.result("all", "seconds", [took])]
    found += [record.result(f"stage: {name}", "seconds", [value]) for name, value in figures.pop("seconds").items()]
    found += [
        record.result("compilation", "seconds", [steps[0]["compile_s"]]),
        record.result("a step, median", "seconds", [statistics.median(step["step_s"] for step in after)]),
        record.result("a step, fastest", "seconds", [min(step["step_s"] for step in after)]),
        record.result("data wait of a step", "ms", [1000 * statistics.median(step["data_wait_s"] for step in after)]),
    ]
    return found + [
        record.result(name, "0-255" if "difference" in name else "1", [value]) for name, value in figures.items()
    ]


if __name__ == "__main__":
    sys.exit(main())
