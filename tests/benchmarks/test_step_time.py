"""The step benchmark runs, tiny, and leaves a record with all of its samples; its parts do what they say."""

from __future__ import annotations

import ast
import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def test_step_time(tmp_path):
    """Ours beside a peer that is there, or is recorded as skipped where torch is not installed."""
    out = tmp_path / "records" / "step_time.json"
    shape = ("--sizes", 24, "--ch", 2, "--n_res", 1, "--n_dis", 4, "--rounds", 2)
    command = [sys.executable, BENCHMARKS / "step_time.py", "--out", out, *shape, "--ceiling_scale", 0.05]
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    written = json.loads(out.read_text())
    assert written["benchmark"] == "step_time"
    results = {entry["name"]: entry for entry in written["results"]}
    assert len(results["24 px: ours"]["samples"]) == 2
    assert results["24 px: ours, first step"]["median"] > results["24 px: ours"]["median"]
    assert results["24 px: ours, peak memory"]["median"] > 300
    assert len(results["24 px: ceiling, sgemm"]["samples"]) == 3
    assert results["24 px: ceiling, copy"]["median"] > 0.1
    if importlib.util.find_spec("torch"):
        assert len(results["24 px: torch"]["samples"]) == len(results["24 px: ours / torch"]["samples"]) == 2
        assert results["24 px: ours / floor"]["median"] > 1
    else:
        assert results["24 px: torch"]["skipped"] == "torch is not installed"
        assert results["24 px: ceiling, convolution"]["skipped"] == "torch is not installed"
    assert "| 24 px: ours |" in done.stdout


def test_the_savings_are_those_that_have_a_plain_form():
    source = (BENCHMARKS.parent / "tests" / "train" / "plain_forms.py").read_text()
    tree = ast.parse(source)
    (forms,) = [node.value for node in tree.body if isinstance(node, ast.Assign) and node.targets[0].id == "FORMS"]
    listed = re.search(r"SAVINGS = (\(.*?\))", (BENCHMARKS / "step_time.py").read_text(), re.DOTALL)
    assert ast.literal_eval(listed[1]) == tuple(key.value for key in forms.keys)
