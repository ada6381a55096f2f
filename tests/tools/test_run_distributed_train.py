"""Training on several devices, here two CPU workers, started as a user starts it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SMALL = ("--light", "--ch", 2, "--n_res", 1, "--n_dis", 4, "--img_size", 32, "--iteration", 5)


@pytest.fixture
def launch(tmp_path, of_a_user):
    """launch("2", "0", ...) -> the finished tools/run_distributed_train.sh."""
    script = Path(__file__).parents[2] / "tools" / "run_distributed_train.sh"
    environment = of_a_user(os.environ) | {
        "PYTHON": sys.executable,
        "LOG_DIR": str(tmp_path / "logs"),
        "MASTER_PORT": "8129",
    }

    def run(*arguments) -> subprocess.CompletedProcess:
        command = ["bash", script, *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, timeout=900, env=environment, check=False)

    return run


def losses(run) -> list[dict]:
    lines = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    return [{name: value for name, value in line.items() if not name.endswith("_s")} for line in lines]


def test_two_workers_at_half_the_batch_have_the_losses_of_one(launch, run_tool, dataset, tmp_path):
    two, one = tmp_path / "two", tmp_path / "one"
    (tmp_path / "table.json").write_text("{}")  # only Ascend reads it
    done = launch(tmp_path / "table.json", 2, 0, "--data_path", dataset, "--output_path", two, *SMALL)
    assert done.returncode == 0, done.stderr
    done = run_tool("train", "--data_path", dataset, "--output_path", one, *SMALL, "--batch_size", 2)
    assert done.returncode == 0, done.stderr
    assert [line["step"] for line in losses(two)] == [1, 2, 3, 4, 5]
    for found, expected in zip(losses(two), losses(one), strict=True):
        assert found == pytest.approx(expected, rel=1e-5 if found["step"] == 1 else 1e-3)
    assert len(list((two / "checkpoints").iterdir())) == 1  # written by one worker, once

    # One device does not go on in silence where two stopped.
    done = run_tool("train", "--output_path", two, "--resume", "--iteration", 6)
    assert done.returncode == 2
    assert "trained on 2 devices with --batch_size 1, this start is on 1 with --batch_size 1" in done.stderr


def test_a_failed_worker_ends_all_and_its_last_lines_are_shown(launch, dataset, tmp_path):
    done = launch(2, 0, "--data_path", dataset, "--output_path", tmp_path / "run", *SMALL, "--device_target", "Ascend")
    assert done.returncode == 1
    assert "worker_0.log" in done.stderr
    assert "device_target Ascend cannot be used on this machine" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "give RANK_SIZE and DEVICE_START"),
        (("none.json", 2, 0), "none.json: no such rank table"),
        ((2, 0, "--iteratoin", 3), "did you mean --iteration?"),
    ],
)
def test_bad_input(launch, arguments, words):
    done = launch(*arguments)
    assert done.returncode == 2
    assert words in done.stderr


def test_distributed_without_msrun_is_refused(run_tool, dataset, tmp_path):
    done = run_tool("train", "--data_path", dataset, "--output_path", tmp_path / "run", *SMALL, "--distributed")
    assert done.returncode != 0
    assert "was not started by msrun: use tools/run_distributed_train.sh" in done.stderr
    assert not (tmp_path / "run").exists()
