"""The benchmarks, as modules and as commands that leave a record."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def load(monkeypatch):
    """Imports a file of benchmarks/ by its name."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module


@pytest.fixture
def run(tmp_path):
    """Runs a benchmark by its name: gives its record, which lies in tmp_path/records, and what it printed."""

    def call(name: str, *arguments: object) -> tuple[dict, str]:
        out = tmp_path / "records" / f"{name}.json"
        command = [sys.executable, BENCHMARKS / f"{name}.py", "--out", out, *arguments]
        done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        return read_record(out, name), done.stdout

    return call


@pytest.fixture
def run_here(load, tmp_path, capsys):
    """As `run`, in the test's process."""

    def call(name: str, *arguments: object) -> tuple[dict, str]:
        out = tmp_path / "records" / f"{name}.json"
        assert load(name).main(["--out", str(out), *map(str, arguments)]) == 0
        return read_record(out, name), capsys.readouterr().out

    return call


def read_record(path: Path, name: str) -> dict:
    written = json.loads(path.read_text())
    assert (written["schema"], written["benchmark"]) == (1, name)
    assert written["host"]["cores"] >= 1 and "numpy" in written["versions"]
    return written


@pytest.fixture
def results(run):
    """As `run`, but gives the record's results by their names."""

    def call(name: str, *arguments: object) -> tuple[dict[str, dict], str]:
        written, said = run(name, *arguments)
        return {entry["name"]: entry for entry in written["results"]}, said

    return call
