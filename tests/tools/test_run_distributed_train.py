"""Training on several devices, here two CPU workers, started as a user and as ModelArts starts it."""

import json
import os
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
from safetensors.numpy import load_file

from ugatit_data.storage import open_storage
from ugatit_train.training import checkpoint

from .conftest import TOOLS

SMALL = ("--light", "--ch", 2, "--n_res", 1, "--n_dis", 4, "--img_size", "32x40", "--iteration", 16)


def free_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return str(probe.getsockname()[1])


@pytest.fixture
def launch(tmp_path, of_a_user):
    """launch("2", "0", ...) -> the finished tools/run_distributed_train.sh; see `interrupted` for `at`."""
    environment = of_a_user(os.environ) | {"PYTHON": sys.executable, "LOG_DIR": str(tmp_path / "logs")}

    def run(*arguments, at=None, port=None) -> subprocess.CompletedProcess:
        environment["MASTER_PORT"] = str(port or free_port())
        command = ["bash", TOOLS / "run_distributed_train.sh", *map(str, arguments)]
        if at:
            return interrupted(command, environment, *at)
        return subprocess.run(command, capture_output=True, text=True, timeout=900, env=environment, check=False)

    return run


def interrupted(command, environment, folder, steps) -> subprocess.CompletedProcess:
    """The finished process, which got Ctrl-C when the run in `folder` had made as many steps."""
    metrics = folder / "metrics.jsonl"
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        while not (metrics.exists() and metrics.read_text().count("\n") >= steps):
            assert process.poll() is None, process.communicate()
            time.sleep(0.005)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=600)
    return subprocess.CompletedProcess(command, process.returncode, out, err)


def losses(run) -> list[dict]:
    lines = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    return [{name: value for name, value in line.items() if not name.endswith("_s")} for line in lines]


def weights(run) -> dict[str, np.ndarray]:
    found, _ = checkpoint.latest_good(run / "checkpoints")
    return {name: array for path in sorted(found.glob("gen*.safetensors")) for name, array in load_file(path).items()}


def saved_step(run) -> int:
    return checkpoint.latest_good(run / "checkpoints")[1]["step"]


def test_two_devices_then_one_then_two_equal_one_uninterrupted(
    launch, run_tool, job, of_a_user, dataset, s3_server, tmp_path, monkeypatch
):
    """Ctrl-C at two workers, and at one; the last part is a ModelArts job of two workers, which brings its results."""
    straight, run = tmp_path / "straight", tmp_path / "run"
    done = run_tool("train", "--data_path", dataset, "--output_path", straight, *SMALL, "--batch_size", 2)
    assert done.returncode == 0, done.stderr

    (tmp_path / "table.json").write_text("{}")  # only Ascend reads it
    new = (tmp_path / "table.json", 2, 0, "--data_path", dataset, "--output_path", run, *SMALL)
    done = launch(*new, at=(run, 3))
    assert done.returncode == 1
    assert "interrupted: the workers save after this step" in done.stderr
    assert "tools/launch.py: interrupted: the workers have saved and ended: --resume goes on" in done.stderr
    first = saved_step(run)
    assert 3 <= first < 12
    assert [line["step"] for line in losses(run)] == list(range(1, first + 1))
    assert str(run) not in subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout

    # One device does not go on in silence with half of the batch.
    done = run_tool("train", "--output_path", run, "--resume")
    assert done.returncode == 2
    assert "trained on 2 devices with --batch_size 1, this start is on 1 with --batch_size 1: make the" in done.stderr
    one = [sys.executable, TOOLS / "train.py", "--output_path", run, "--resume", "--batch_size", "2"]
    done = interrupted(one, of_a_user(os.environ), run, first + 2)
    assert f"going on from step {first}" in done.stdout
    second = saved_step(run)
    assert first + 2 <= second < 16

    for name, value in {"MA_NUM_HOSTS": "1", "MA_NUM_GPUS": "2", "MASTER_PORT": free_port()}.items():
        monkeypatch.setenv(name, value)
    again = ("--output_path", run, "--resume", "--batch_size", 1)
    done = job("--train_url", "s3://bucket/results", *again)
    assert done.returncode == 0, done.stderr
    assert "ModelArts: started by a custom command" in done.stderr
    assert f"going on from step {second}" in (run / "train.log").read_text()
    for found, expected in zip(losses(run), losses(straight), strict=True):
        assert found == pytest.approx(expected, rel=1e-5 if found["step"] == 1 else 1e-3)
    found = weights(run)
    differences = np.concatenate([abs(found[name] - array).ravel() for name, array in weights(straight).items()])
    print(f"differences of weights: largest {differences.max():.1e}, mean {differences.mean():.1e}")
    # Ten steps of Adam at the learning rate 1e-4, for what has no gradient but rounding: a bias ahead of a norm.
    assert differences.max() < 1e-3 and differences.mean() < 5e-5

    open_storage("s3://bucket/results", s3_server).copy_in(tmp_path / "back")
    found, meta = checkpoint.latest_good(tmp_path / "back" / "checkpoints")
    assert (meta["step"], meta["data"]["global_batch"]) == (16, 2)
    assert "brought to s3://bucket/results" in (tmp_path / "back" / "train.log").read_text()
    for path in run.rglob("*"):
        if path.is_file():
            assert (tmp_path / "back" / path.relative_to(run)).read_bytes() == path.read_bytes(), path
    # Written by one worker, once each.
    assert len(list((run / "checkpoints").iterdir())) == 3


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
        ((2, 0, "--phase", "test"), "--phase test is for one device: use tools/train.py"),
    ],
)
def test_bad_input(launch, arguments, words):
    done = launch(*arguments)
    assert done.returncode == 2
    assert words in done.stderr


def test_a_held_port_is_said_within_seconds(launch, dataset, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = launch(2, 0, "--data_path", dataset, "--output_path", tmp_path / "run", *SMALL, port=port)
    assert done.returncode == 2
    assert done.stderr == f"tools/launch.py: port {port}: Address already in use: give another one as MASTER_PORT\n"


def test_workers_that_do_not_fit_together_are_warned_of(load_tool, monkeypatch, capsys):
    from ugatit_train.options import config
    from ugatit_train.performance import planner

    monkeypatch.setattr(planner.memory, "available_bytes", lambda: 3 * planner.GIB)
    monkeypatch.setattr(planner.memory, "total_bytes", lambda: 64 * planner.GIB)
    small = config.Options(light=True, img_size=64, n_dis=5, ch=16, n_res=1)
    load_tool("launch").warn(small, 1)
    load_tool("launch").warn(config.Options(light=True), 2)  # one alone is too large: its own check says so
    assert capsys.readouterr().err == ""
    load_tool("launch").warn(small, 2)
    assert "GiB are needed, CPU has 3.0 free of 64: end other programs, or give" in capsys.readouterr().err


def test_distributed_without_msrun_is_refused(run_tool, dataset, tmp_path):
    done = run_tool("train", "--data_path", dataset, "--output_path", tmp_path / "run", *SMALL, "--distributed")
    assert done.returncode != 0
    assert "was not started by msrun or a launcher: use tools/launch.py" in done.stderr
    assert not (tmp_path / "run").exists()
