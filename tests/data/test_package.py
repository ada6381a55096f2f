"""What `import ugatit_data` offers: names that stay, whatever else is imported before or after, and a light import."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import ugatit_data

ROOT = Path(ugatit_data.__file__).parent


def run(program: str) -> str:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT.parent)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_no_offered_name_is_that_of_a_room():
    rooms = {path.stem for path in ROOT.iterdir() if path.is_dir() or path.suffix == ".py"} - {"__init__"}
    assert {"conversion", "loading", "errors"} <= rooms
    assert rooms & set(ugatit_data.__all__) == set()


@pytest.mark.parametrize("first", [True, False])
def test_offered_functions_are_functions_in_both_orders_of_import(first):
    modules = "import ugatit_data.conversion.convert, ugatit_data.conversion.verify, ugatit_data.conversion.repair"
    names = "from ugatit_data import convert, verify, repair, open_loader"
    program = "\n".join([modules, names] if first else [names, modules])
    said = run(program + "\nprint(all(map(callable, (convert, verify, repair, open_loader, ugatit_data.convert))))")
    assert said == "True"


def test_everything_that_is_listed_is_there_and_has_a_docstring():
    assert sorted(ugatit_data.__all__) == sorted(set(ugatit_data.__all__))
    for name in ugatit_data.__all__:
        assert getattr(ugatit_data, name).__doc__


def test_importing_loads_neither_mindspore_nor_numba():
    program = "import sys, ugatit_data; print({'mindspore', 'numba', 'llvmlite'} & set(sys.modules))"
    assert run(program) == "set()"


def test_the_version_is_that_of_the_project():
    text = (ROOT.parent / "pyproject.toml").read_text()
    assert f'\nversion = "{ugatit_data.__version__}"\n' in text


def test_its_types_are_offered():
    assert (ROOT / "py.typed").is_file()
