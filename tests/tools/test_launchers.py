"""What the shell scripts start, with a Python that only prints its arguments."""

import os
import subprocess

import pytest

from .conftest import TOOLS


@pytest.fixture
def said(tmp_path):
    """said("run_eval.sh", "0") -> what the script would have started, without its folder."""
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\necho "$@"\n')
    python.chmod(0o755)

    def run(script, *arguments):
        command = [TOOLS / script, *arguments]
        line = subprocess.check_output(command, text=True, env=os.environ | {"PYTHON": str(python)})
        return line.replace(f"{TOOLS}/", "").strip()

    return run


def test_a_standalone_training_is_on_ascend_unless_another_device_is_given(said):
    assert said("run_standalone_train.sh", "3") == "train.py --device_id 3 --device_target Ascend"
    given = said("run_standalone_train.sh", "0", "--light", "--device_target=CPU")
    assert given == "train.py --device_id 0 --light --device_target=CPU"


@pytest.mark.parametrize(
    ("script", "arguments", "started"),
    [
        ("run_standalone_train_910.sh", ("3", "--light"), "train.py --device_id 3 --light --device_target Ascend"),
        ("run_distributed_train_910.sh", ("t.json", "8", "0"), "launch.py t.json 8 0 --device_target Ascend"),
        ("run_distributed_train_910.sh", (), "launch.py --help --device_target Ascend"),
        ("run_eval_910.sh", ("3",), "train.py --device_id 3 --phase test --device_target Ascend"),
    ],
)
def test_the_model_zoos_names_start_our_tools_on_ascend(said, script, arguments, started):
    assert said(script, *arguments) == started


@pytest.mark.parametrize(
    ("script", "arguments"),
    [
        ("run_standalone_train.sh", ()),
        ("run_standalone_train_910.sh", ("--light",)),
        ("run_eval_910.sh", ()),
        ("run_eval.sh", ("first",)),
    ],
)
def test_a_launcher_without_a_device_prints_its_own_usage(script, arguments):
    done = subprocess.run([TOOLS / script, *arguments], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"Usage: tools/{script} DEVICE_ID [OPTION OF ") and done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("device", "line"),
    [(("CPU", 3), "device: CPU"), (("Ascend", 3), "device: Ascend 3"), (("GPU", "0 to 7"), "device: GPU 0 to 7")],
)
def test_the_line_of_the_device(load_tool, capsys, device, line):
    load_tool("commandline").say_device(*device)
    load_tool("commandline").say_device("Ascend", "", "# ")  # of a worker, which its launcher gives a device
    assert capsys.readouterr().out == f"{line}\n# device: Ascend\n"
