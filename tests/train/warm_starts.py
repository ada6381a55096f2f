#!/usr/bin/env python3
"""Compares a step that was compiled with one whose graph was loaded, for every kind of step: a command by hand.

    .venv/bin/python tests/train/warm_starts.py [KIND ...]

Each kind is run in two processes with one empty folder for the compile cache. Losses and all parameters of every step
must be equal to the last bit; a kind that is not ends the command with exit code 1. All kinds take a core for
a quarter of an hour. `tests/train/training/test_step.py` holds two of them at each run of the suite.
"""

import json
import os
import pickle
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TESTS = Path(__file__).parents[1]


def kinds():
    """name -> (configuration, forms): those of the tests, and the demo's kind in other forms, with recompute."""
    from dataclasses import replace

    from train.stepping import ASCEND_HERE, CONFIGURATIONS, TRACED

    from ugatit_train.forms import CPU, Forms

    found = {name: (configuration, None) for name, configuration in CONFIGURATIONS.items()}
    demo = CONFIGURATIONS[TRACED]
    found["plain_forms"] = (demo, Forms(convolution="matmul"))
    found["joined_cycles"] = (demo, replace(CPU, cycles="joined", sigma="own"))
    found["half_forms"] = (replace(demo, loss_scale="dynamic"), replace(ASCEND_HERE, half=True))
    found["recompute"] = (replace(demo, recompute=True), None)
    found["full_per_step"] = (replace(demo, light=False), None)
    return found


def run_one(name: str, folder: Path, out: Path) -> None:
    """Runs a kind in this process; writes what it gave, prints whether its graph was loaded, and the seconds."""
    from ugatit_train import runtime

    runtime.setup("CPU")
    from train.stepping import run

    from ugatit_train.networks.compiling import GraphCache

    class Timed(GraphCache):
        def compile(self, cell, *inputs):
            began = time.perf_counter()
            loaded = super().compile(cell, *inputs)
            print(json.dumps([loaded, time.perf_counter() - began]))
            return loaded

    configuration, forms = kinds()[name]
    losses, parameters = run(configuration, forms, Timed(folder))
    out.write_bytes(pickle.dumps([each.tobytes() for each in losses] + [sorted(dump(each)) for each in parameters]))


def dump(parameters):
    return [(name, value.tobytes()) for name, value in parameters.items()]


def compare(name: str) -> bool:
    """Prints a line about a kind; whether both runs are equal, and the second was a loaded one."""
    results, said = [], []
    with tempfile.TemporaryDirectory() as place:
        for start in ("cold", "warm"):
            out = Path(place) / start
            command = [sys.executable, __file__, "--one", name, str(Path(place) / "graphs"), str(out)]
            environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (TESTS, TESTS.parent)))}
            done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
            said.append(json.loads(done.stdout))
            results.append(out.read_bytes())
    (cold, cold_s), (warm, warm_s) = said
    good = results[0] == results[1] and (cold, warm) == (False, True)
    print(f"{name}: {'equal' if good else 'DIFFERENT, or not loaded'}: compiled {cold_s:.1f} s, loaded {warm_s:.1f} s")
    return good


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        run_one(sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4]))
        sys.exit()
    sys.path[:0] = [str(TESTS), str(TESTS.parent)]
    asked = sys.argv[1:] or list(kinds())
    different = [name for name in asked if not compare(name)]
    sys.exit(bool(different))
