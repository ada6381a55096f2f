"""Every benchmark runs, tiny, and leaves a record with all of its samples."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def run(name, tmp_path, *arguments):
    out = tmp_path / "records" / "record.json"
    command = [sys.executable, BENCHMARKS / f"{name}.py", "--out", out, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    written = json.loads(out.read_text())
    assert written["schema"] == 1
    assert written["benchmark"] == name
    assert written["host"]["cores"] >= 1
    assert "numpy" in written["versions"]
    return {entry["name"]: entry for entry in written["results"]}, done.stdout


def test_data_loading(tmp_path):
    options = ("--images", 6, "--img_size", 32, "--batch_size", 2, "--repeats", 2, "--seconds", 0.05)
    results, said = run("data_loading", tmp_path, *options, "--only", "ours raw, uint8", "memcpy", "ffcv")
    for name in ("imdecode alone, 1 thread", "ours raw, uint8", "ours raw, uint8, check every"):
        assert results[name]["unit"] == "images_per_s"
        assert len(results[name]["samples"]) == 2
        assert results[name]["low"] <= results[name]["median"] <= results[name]["high"]
    assert "skipped" in results["ffcv raw 286, uint8"]
    assert "| ours raw, uint8 |" in said


def test_conversion(tmp_path):
    results, said = run("conversion", tmp_path, "--images", 10, "--repeats", 1, "--encodings", "original")
    assert results["decode once, all cores"]["unit"] == "seconds"
    assert len(results["convert original, start-up apart"]["samples"]) == 1
    assert results["peak memory"]["median"] > 50
    assert results["write MindRecord"]["median"] > 0
    assert "| write MindRecord |" in said
