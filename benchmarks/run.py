#!/usr/bin/env python
"""Run a suite of benchmarks and put their records into one file, for `report.py`.

    python benchmarks/run.py --suite quick --out bench/run.json      # under ten minutes on 2 cores
    python benchmarks/run.py --suite all --out bench/all.json        # an hour; leave the machine alone meanwhile

The file is written after each benchmark, so an interrupted run keeps what is done. A peer that is not installed is
recorded as skipped; `pip install 'ugatit[bench]'` installs them.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import arguments
import record

HERE = Path(__file__).parent
PROFILE = HERE.parent / "tools" / "profile_step.py"

SUITES: dict[str, dict[str, str]] = {
    "quick": {
        "roofline": "",
        "data_loading": "--images 100 --seconds 0.4 --only ours imdecode MindDataset torch",
        "conversion": "--images 500 --repeats 3 --encodings original",
        "scale": "--rounds 3 --seconds 0.3 --series threads_raw batch_jpeg size_raw images shards --images 40",
        "step_time": "--sizes 64",
        "profile": "--light --img_size 64 --n_dis 5",
    },
    "all": {
        "roofline": "",
        "data_loading": "--images 400",
        "conversion": "--encodings original jpeg raw",
        "scale": "",
        "step_time": "--sizes 64 128 256",
        "inference": "--sizes 64 128 256 --batches 1",
        "profile": "--light --img_size 256 --steps 2",
    },
    "tiny": {  # for the tests
        "roofline": "--ceiling_scale 0.05 --rounds 1 --sizes 256",
        "scale": "--rounds 2 --seconds 0.02 --series images --image_counts 20 40 --least_samples 40",
    },
}


def run(name: str, given: str, folder: Path) -> dict | None:
    """The record of a benchmark; None if it failed, with its message on stderr."""
    out = folder / f"{name}.json"
    words = given.split()
    if name == "profile":
        command = [sys.executable, PROFILE, "--out", folder / "profile", *words]
    else:
        command = [sys.executable, HERE / f"{name}.py", "--out", out, *words]
    done = subprocess.run([*map(str, command)], env=arguments.environment(HERE.parent), stdout=subprocess.DEVNULL)
    if done.returncode:
        return None
    if name == "profile":
        _profile_record(folder / "profile" / "operations.json", out, words)
    return json.loads(out.read_text())


def _profile_record(figures: Path, out: Path, words: list[str]) -> None:
    """Write the record of tools/profile_step.py's table: for each operation its milliseconds in a step."""
    body = json.loads(figures.read_text())
    results = [record.result(f"{row['kind']}", "ms", [row["total_ms"]]) | {"tags": row} for row in body.pop("rows")]
    record.write(out, "profile", {"arguments": words}, body, results, ["mindspore", "numpy"])


def main(argv: list[str] | None = None) -> int:
    parser = arguments.parser(__doc__, record=False)
    parser.add_argument("--suite", choices=SUITES, default="quick", help="`tiny` is for the tests")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="some of the suite's benchmarks")
    parser.add_argument("--out", type=arguments.path, required=True, metavar="FILE", help="the run's record")
    options = parser.parse_args(argv)
    chosen = {name: words for name, words in SUITES[options.suite].items() if name in (options.only or [name])}
    if not chosen:
        parser.error(f"--only {' '.join(options.only)}: the suite has {', '.join(SUITES[options.suite])}")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    records, failed = [], []
    try:
        with tempfile.TemporaryDirectory() as scratch:
            for number, (name, words) in enumerate(chosen.items(), 1):
                print(f"[{number}/{len(chosen)}] {name} {words}", file=sys.stderr, flush=True)
                began = time.perf_counter()
                made = run(name, words, Path(scratch))
                print(f"    {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
                (records.append(made) if made else failed.append(name))
                body = {"schema": 1, "suite": options.suite, "records": records}
                options.out.write_text(json.dumps(body, indent=1) + "\n")
    except KeyboardInterrupt:
        print(f"benchmarks/run.py: interrupted: {len(records)} records are in {options.out}", file=sys.stderr)
        return 1
    if failed:
        print(f"benchmarks/run.py: failed: {', '.join(failed)}; the others are in {options.out}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
