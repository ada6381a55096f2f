"""The command `ugatit`, and the tools' files as scripts, inside and outside of the environment."""

import os
import re
import subprocess
import sys
import time
import venv

import pytest

import ugatit_data
import ugatit_train
from ugatit_data.commands import SCRIPTS

from .conftest import ROOT, TOOLS


@pytest.fixture
def ugatit(of_a_user, tmp_path):
    """ugatit("convert", "--help") -> the finished process, run in an empty folder."""

    def run(*arguments, env=os.environ) -> subprocess.CompletedProcess:
        command = [sys.executable, "-c", "from tools.__main__ import main; main()", *map(str, arguments)]
        env = of_a_user(env) | {"PYTHONPATH": f"{ROOT}{os.pathsep}{env.get('PYTHONPATH', '')}"}
        return subprocess.run(command, capture_output=True, text=True, timeout=600, cwd=tmp_path, env=env, check=False)

    return run


def test_help_lists_every_tool_with_a_line(ugatit):
    done = ugatit("--help")
    assert (done.returncode, done.stderr) == (0, "")
    lines = dict(line.split(maxsplit=1) for line in done.stdout.splitlines() if line.startswith("  "))
    assert list(lines) == list(SCRIPTS)
    assert all(line.endswith(".") and len(line) <= 85 for line in lines.values())


def test_help_is_there_at_once(ugatit):
    """It imports none of the large libraries; in seconds of the processor, for the machine may be busy."""
    spent = []
    for _ in range(3):
        before = os.times()
        ugatit("--help")
        after = os.times()
        spent.append(after.children_user + after.children_system - before.children_user - before.children_system)
    assert min(spent) < 0.3
    code = "import sys, tools.__main__; print(sorted({'mindspore', 'numpy', 'cv2', 'numba'} & set(sys.modules)))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True, cwd=ROOT) == "[]\n"


def test_version_is_that_of_pyproject_toml(ugatit):
    version = re.search(r'^version = "(.*)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)[1]
    assert ugatit("--version").stdout == f"ugatit {version}\n"
    assert ugatit_data.__version__ == ugatit_train.__version__ == version


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "give a tool: ugatit --help lists them"),
        (("convrt",), "convrt: unknown tool: did you mean convert?"),
        (("profile-step",), "profile-step: unknown tool: did you mean profile?"),
        (("verify_dataset.py",), "verify_dataset.py: unknown tool: did you mean verify?"),
        (("quit",), "quit: unknown tool: ugatit --help lists them"),
    ],
)
def test_an_unknown_tool(ugatit, refused, arguments, words):
    refused(ugatit(*arguments), f"ugatit: {words}\n")


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_tool_has_its_manual_under_both_names(ugatit, run_tool, no_mindspore, name):
    script = SCRIPTS[name]
    one, other = ugatit(name, "--help", env=no_mindspore), run_tool(script.removesuffix(".py"), "--help")
    assert (one.returncode, one.stderr, other.returncode, other.stderr) == (0, "", 0, "")
    assert one.stdout.startswith(f"usage: ugatit {name} ") and other.stdout.startswith(f"usage: tools/{script} ")
    assert "tools/" not in one.stdout.replace("tools/run_", "")  # the shell scripts are a clone's
    assert f"ugatit {name}" not in other.stdout


def test_messages_name_the_command_that_was_given(ugatit, run_tool):
    assert ugatit("convert", "--shards", 0).stderr.startswith("ugatit convert: ")
    assert run_tool("convert_dataset", "--shards", 0).stderr.startswith("tools/convert_dataset.py: ")


@pytest.mark.parametrize("script", SCRIPTS.values())
def test_every_file_is_executable(script):
    assert os.access(TOOLS / script, os.X_OK)
    assert (TOOLS / script).read_text().startswith("#!/usr/bin/env python3\n")


def test_a_tool_runs_as_a_module_too(tmp_path, of_a_user):
    """`python -m tools.train`; the first lines of all tools are the same."""
    env = of_a_user(os.environ) | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "tools.verify_dataset", "none"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=env)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("tools/verify_dataset.py: none: no such data set")
    start = 'if __name__ == "__main__":\n    from script import start_tool\n\n    start_tool(__file__)\n'
    assert all(start in (TOOLS / script).read_text() for script in SCRIPTS.values())


def test_a_file_runs_by_its_name_from_any_folder(tmp_path, of_a_user):
    path = f"{os.path.dirname(sys.executable)}{os.pathsep}{os.environ['PATH']}"
    env = of_a_user(os.environ) | {"PATH": path}
    env.pop("PYTHONPATH", None)
    done = subprocess.run([TOOLS / "verify_dataset.py", "none"], capture_output=True, text=True, cwd=tmp_path, env=env)
    assert done.returncode == 2 and done.stderr.startswith("tools/verify_dataset.py: none: no such data set")


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """A Python without packages."""
    folder = tmp_path_factory.mktemp("bare")
    venv.create(folder, with_pip=False)
    return folder / "bin" / "python"


@pytest.mark.parametrize("script", SCRIPTS.values())
def test_outside_of_the_environment_it_says_how_to_install(bare, refused, tmp_path, script):
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run([bare, TOOLS / script], capture_output=True, text=True, cwd=tmp_path, env=env)
    refused(done, f"tools/{script}: the Python package ", "is not installed here: run `make install` in the clone once")


def test_a_tool_that_needs_huge_pages_starts_again_as_it_was_started(ugatit, dataset):
    """`ugatit train` as `python -c`: orig_argv is run again, with glibc's setting."""
    env = {name: value for name, value in os.environ.items() if name != "GLIBC_TUNABLES"}
    began = time.perf_counter()
    done = ugatit("train", "--data_path", dataset, "--dry_run", "--light", "--ch", 2, "--iteration", 9, env=env)
    assert (done.returncode, done.stderr) == (0, ""), time.perf_counter() - began
    assert "light: true\n" in done.stdout


def test_a_package_that_is_missed_late_is_named_too_and_one_of_ours_is_a_fault(load_tool, capsys, monkeypatch):
    def main(argv):
        raise ModuleNotFoundError("No module named 'x'", name=argv[0])

    monkeypatch.setattr(load_tool("convert_dataset"), "main", main)
    start = load_tool("__main__").start
    assert start("convert", ["mindspore.nn"]) == 2
    assert capsys.readouterr().err.startswith("ugatit convert: the Python package mindspore is not installed here: ")
    with pytest.raises(ModuleNotFoundError):
        start("convert", ["ugatit_data.none"])
