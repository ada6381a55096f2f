"""The memory benchmark runs, tiny, and leaves a record; a further run adds to it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def test_memory(tmp_path):
    out = tmp_path / "records" / "memory.json"
    out.parent.mkdir()
    kept = {"name": "light, 8 px: peak", "unit": "mib", "samples": [1], "median": 1, "low": 1, "high": 1}
    out.write_text(json.dumps({"results": [kept], "options": {}, "commit": "1234"}))
    shape = ("--sizes", 24, "--ch", 2, "--n_res", 1, "--n_dis", 4, "--options", "use_global_norm=true")
    command = [sys.executable, BENCHMARKS / "memory.py", "--add", "--out", out, *shape]
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    written = json.loads(out.read_text())
    assert written["benchmark"] == "memory"
    first, peak, ratio, step, of_step = written["results"]
    assert first == {"commit": "1234"} | kept
    assert peak["name"] == "light, 24 px, ch 2, batch 1, n_res 1, use_global_norm True: peak"
    assert peak["tags"]["options"]["use_global_norm"] is True
    assert peak["median"] > 300
    assert 0.75 < ratio["median"] < 1.25
    assert len(step["samples"]) == 3 and step["median"] > 0 and of_step["median"] > 0
    assert step["tags"]["sgemm_gflop_per_s"] > 1
