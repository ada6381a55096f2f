"""The decoding policy under some thousand mutated files; fuzz.py is the same for an hour, and says what must hold."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def fuzz(*options):
    command = [sys.executable, str(Path(__file__).with_name("fuzz.py")), *options]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=200)


def test_mutated_files_are_read_alike_twice_or_refused():
    done = fuzz("--seconds", "30")
    assert done.returncode == 0, done.stdout
    assert "unforeseen" not in done.stdout
    words = done.stdout.split()
    assert words[0] == "done" and int(words[1]) > 100, done.stdout
    assert "'accepted'" in done.stdout and "'rejected'" in done.stdout
