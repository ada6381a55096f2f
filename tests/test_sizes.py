"""Files, functions and folders stay small enough to be read: the limits, and that they find what they forbid."""

import ast
import subprocess
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("ugatit_data", "ugatit_train", "tools", "benchmarks")
FILES = sorted(path.relative_to(ROOT) for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
LINES_OF_A_FILE, LINES_OF_A_FUNCTION, ENTRIES_OF_A_PACKAGE = 300, 80, 14


def too_long(source: str) -> list[str]:
    """The file, if it is too long, and each function that is, with its lines. A decorator is a line of its function."""
    lines = len(source.splitlines())
    found = [f"{lines} lines"] if lines > LINES_OF_A_FILE else []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            length = (node.end_lineno or first) - first + 1
            if length > LINES_OF_A_FUNCTION:
                found.append(f"{node.name}: {length} lines")
    return found


def crowded(paths: list[str]) -> dict[str, int]:
    """The packages with too many entries at their top, of the paths that git knows, and how many there are."""
    entries = {tuple(path.split("/")[:2]) for path in paths if path.startswith(("ugatit_data/", "ugatit_train/"))}
    return {name: count for name, count in Counter(top for top, _ in entries).items() if count > ENTRIES_OF_A_PACKAGE}


@pytest.mark.parametrize("path", FILES, ids=Path.as_posix)
def test_a_file_and_its_functions_are_short(path):
    assert too_long((ROOT / path).read_text()) == []


def test_a_package_has_few_entries_at_its_top():
    if not (ROOT / ".git").exists():
        pytest.skip("no clone of git: its list of files is not there")
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "ugatit_data/__init__.py" in listed
    assert crowded(listed.splitlines()) == {}


def test_what_is_too_long_is_found():
    function = "def f():\n" + "    x = 1\n" * 79
    assert too_long(function) == []
    assert too_long("@property\n" + function) == ["f: 81 lines"]
    assert too_long("class C:\n    def g(self):\n" + "        x = 1\n" * 80) == ["g: 81 lines"]
    assert too_long("x = 1\n" * 300) == []
    assert too_long("x = 1\n" * 301) == ["301 lines"]


def test_a_crowded_package_is_found():
    paths = [f"ugatit_data/{i}/a.py" for i in range(14)] + ["ugatit_data/0/b.py", "README.md"]
    assert crowded(paths) == {}
    assert crowded([*paths, "ugatit_data/one_more.py", "ugatit_train/x.py"]) == {"ugatit_data": 15}
