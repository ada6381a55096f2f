"""The wheel: what it holds, and that it works from another folder, without the clone."""

import os
import shutil
import subprocess
import sys
import zipfile

import pytest

from ugatit_data.commands import SCRIPTS

from .conftest import ROOT, TOOLS

PACKAGES = {"ugatit_data": "ugatit_data", "ugatit_train": "ugatit_train", "ugatit_tools": "tools"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built of a copy: setuptools leaves a folder `build` in what it builds."""
    pytest.importorskip("setuptools", reason="setuptools is not installed: pip install 'ugatit[dev]'")
    copy = tmp_path_factory.mktemp("built") / "clone"
    for folder in PACKAGES.values():
        shutil.copytree(ROOT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, copy)
    pip("wheel", "--no-build-isolation", "--wheel-dir", copy / "dist", copy)
    return next((copy / "dist").glob("*.whl"))


def pip(command: str, *arguments) -> None:
    line = [sys.executable, "-m", "pip", "--disable-pip-version-check", command, "--no-index", "--no-deps", *arguments]
    done = subprocess.run([*map(str, line)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """A folder that holds nothing but the installed wheel."""
    folder = tmp_path_factory.mktemp("installed") / "site"
    pip("install", "--no-compile", "--target", folder, wheel)
    return folder


@pytest.fixture
def ugatit(installed, of_a_user, tmp_path):
    """ugatit("convert", ...) -> the finished command of the wheel, run in a folder of its own."""

    def run(*arguments, program=installed / "bin" / "ugatit") -> subprocess.CompletedProcess:
        command = [sys.executable, program, *map(str, arguments)]
        env = of_a_user(os.environ) | {"PYTHONPATH": str(installed)}
        done = subprocess.run(command, capture_output=True, text=True, timeout=600, cwd=tmp_path, env=env, check=False)
        assert str(ROOT) not in done.stderr
        return done

    return run


def test_it_holds_every_file_of_the_packages(wheel):
    expected = {
        f"{package}/{path.relative_to(ROOT / folder).as_posix()}"
        for package, folder in PACKAGES.items()
        for path in (ROOT / folder).rglob("*")
        if path.suffix in (".py", ".sh", ".yaml", ".css", ".js", ".html") or path.name == "py.typed"
    }
    found = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert found == expected
    assert {f"{package}/py.typed" for package in PACKAGES} <= found


def test_the_packages_are_its_own(ugatit, installed):
    code = "import ugatit_data, ugatit_train, ugatit_tools as t; print(ugatit_data.__file__, ugatit_train.__file__)"
    done = ugatit(code, program="-c")
    assert done.stdout.split() == [f"{installed}/{name}/__init__.py" for name in ("ugatit_data", "ugatit_train")]


def test_the_command_lists_and_explains_the_tools(ugatit):
    done = ugatit("--help")
    assert done.returncode == 0 and all(f"\n  {name} " in done.stdout for name in SCRIPTS)
    done = ugatit("convert", "--help")
    assert done.returncode == 0 and done.stdout.startswith("usage: ugatit convert ")


def test_convert_verify_and_a_dry_run(ugatit, pictures, tmp_path):
    done = ugatit("convert", pictures, "dataset", "--workers", 2, "--shards", 2)
    assert done.returncode == 0, done.stderr
    assert "converted 7 images, rejected 0" in done.stdout
    assert ugatit("verify", "dataset").returncode == 0
    done = ugatit(
        "train", "--data_path", "dataset", "--light", "--img_size", 32, "--n_dis", 4, "--epoch", 1, "--dry_run"
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "# memory, estimated: " in done.stdout
    done = ugatit("train", "--data_path", pictures)
    assert done.stderr == (
        f"ugatit train: {pictures}: pictures, not yet a data set: run ugatit convert {pictures} OUT, "
        "and give OUT as --data_path\n"
    )


def test_its_messages_name_the_launcher_that_is_in_it(ugatit, installed):
    assert os.access(installed / "ugatit_tools" / "run_distributed_train.sh", os.X_OK)
    done = ugatit("train", "--device_num", 8)
    assert done.stderr == "ugatit train: --device_num 8: the number of devices is the launcher's: use ugatit launch\n"
    assert ugatit("launch", "8").stderr == "ugatit launch: give RANK_SIZE and DEVICE_START: --help tells\n"


@pytest.mark.parametrize(
    ("script", "file"),
    [
        ("run_eval.sh", "evaluate.py"),
        ("run_standalone_train.sh", "train.py"),
        ("run_distributed_train.sh", "launch.py"),
    ],
)
def test_a_launcher_takes_the_python_of_its_environment(tmp_path, script, file):
    folder = tmp_path / "lib" / "python3.11" / "site-packages" / "ugatit_tools"
    folder.mkdir(parents=True)
    shutil.copy(TOOLS / script, folder)
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.write_text('#!/bin/sh\necho "mine: $@"\n')
    python.chmod(0o755)
    env = {name: value for name, value in os.environ.items() if name != "PYTHON"}
    said = subprocess.check_output([folder / script, "3", "--light"], text=True, env=env)
    device = "3" if file == "launch.py" else "--device_id 3"
    target = "--device_target Ascend " if file == "train.py" else ""
    assert said == f"mine: {folder / file} {device} {target}--light\n"


def test_its_files_run_as_scripts_too(ugatit, installed):
    """The demo, the launcher and the shell scripts start them so."""
    for name, script in SCRIPTS.items():
        done = ugatit("--help", program=installed / "ugatit_tools" / script)
        assert done.returncode == 0 and done.stdout.startswith(f"usage: ugatit {name} "), done.stderr
    assert {path.name for path in (installed / "ugatit_tools").glob("*.sh")} == {
        path.name for path in TOOLS.glob("*.sh")
    }
