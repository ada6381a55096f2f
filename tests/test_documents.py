"""The files that documents, docstrings and comments name are there."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NAMED = re.compile(r"\b(?:ugatit_data|ugatit_train|tools|tests|benchmarks)/[\w/]+\.(?:py|sh|md|yaml|json)\b")
# CHANGELOG names what was; these tests make up files, and the README of the tools shows where a new one goes.
LEFT_OUT = {"CHANGELOG.md", "tests/benchmarks/test_measured.py"}
LEFT_OUT |= {"tests/test_layering.py", "tests/test_sizes.py", "tests/test_documents.py"}


def missing(text: str) -> list[str]:
    """The files that a text names, from the top of the clone, and that are not there; NAME stands for any.

    The place of a chart may wait for its record.
    """
    text = re.sub(r"^<!-- chart: .* -->$", "", text, flags=re.MULTILINE)
    return [name for name in NAMED.findall(text) if "NAME" not in name and not (ROOT / name).is_file()]


def test_every_file_that_is_named_is_there():
    if not (ROOT / ".git").exists():
        pytest.skip("no clone of git: its list of files is not there")
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    read = [path for path in listed if path.endswith((".py", ".md", ".sh", ".toml", ".yaml")) and path not in LEFT_OUT]
    assert len(read) > 200
    wrong = {path: found for path in read if (ROOT / path).is_file() and (found := missing((ROOT / path).read_text()))}
    assert wrong == {}


def test_a_file_that_is_not_there_is_found():
    assert missing("see `tests/data/faults.py` and tools/train.py, and benchmarks/results/NAME.json") == [
        "tests/data/faults.py"
    ]
