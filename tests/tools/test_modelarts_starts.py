"""ModelArts' two ways of starting, with stand-ins for the cards and for MindSpore, started as the platform starts them.

The whole tools are run, up to the loop, which is replaced by one that joins the others and writes down what it is.
"""

import json
import os
import socket
import subprocess
import sys

import pytest

from ugatit_data.storage import Mirror, open_storage

from .conftest import ROOT, TOOLS

LOOP = """
import json, os, sys, types
from pathlib import Path

def train(options, open_judge):
    from ugatit_train import runtime
    import mindspore
    worker = runtime.setup(options.device_target, options.device_id, options.distributed)
    found = {"rank": worker.rank, "world": worker.world, "device": mindspore.device, "data": options.data_path}
    found["role"] = os.environ.get("MS_ROLE", "")
    Path(os.environ["FOUND"], f"process-{os.getpid()}.json").write_text(json.dumps(found))

loop = types.ModuleType("loop")
loop.train = train
sys.modules["ugatit_train.training.loop"] = loop
"""
# Joining: by the rank table without listening on a port, or at the scheduler, which ends with the last worker.
MINDSPORE = """
import os, socket, sys, time, types
from pathlib import Path

GRAPH_MODE, device = 0, None

def set_context(**options):
    pass

def set_device(target, device_id=None):
    global device
    role = os.environ.get("MS_ROLE")
    device = device_id if device_id is not None else int(os.environ["DEVICE_ID"]) if role == "MS_WORKER" else 0

def init():
    role, found = os.environ.get("MS_ROLE"), Path(os.environ["FOUND"])
    at = (os.environ.get("MS_SCHED_HOST"), int(os.environ.get("MS_SCHED_PORT", 0)))
    if role is None:
        (found / f"joined-{get_rank()}").touch()
        while len([*found.glob("joined-*")]) < get_group_size():
            time.sleep(0.01)
    elif role == "MS_SCHED":
        (found / f"scheduler-{os.getpid()}").touch()
        with socket.create_server(at) as server:
            workers = [server.accept()[0] for _ in range(int(os.environ["MS_WORKER_NUM"]))]
        for worker in workers:
            worker.sendall(b"go")
    else:
        while True:
            try:
                scheduler = socket.create_connection(at)
                break
            except ConnectionRefusedError:
                time.sleep(0.01)
        assert scheduler.recv(2) == b"go"

def get_rank():
    return int(os.environ["RANK_ID"])

def get_group_size():
    return int(os.environ["RANK_SIZE"])

communication = types.ModuleType("mindspore.communication")
communication.init, communication.get_rank, communication.get_group_size = init, get_rank, get_group_size
sys.modules["mindspore.communication"] = communication
"""


@pytest.fixture
def platform(tmp_path, dataset, s3_server, of_a_user):
    """platform([variables, ...], argument, ...) -> what the processes, started at once, say and are."""
    stand_in, found = tmp_path / "stand_in", tmp_path / "found"
    for folder in (stand_in, found):
        folder.mkdir()
    (stand_in / "sitecustomize.py").write_text(LOOP)
    (stand_in / "mindspore.py").write_text(MINDSPORE)
    Mirror(dataset, open_storage("s3://bucket/data", s3_server), "dataset.json").push()
    shared = of_a_user(os.environ) | {
        "PYTHONPATH": f"{stand_in}{os.pathsep}{ROOT}", "FOUND": str(found), "S3_ENDPOINT": s3_server
    }  # fmt: skip

    def start(processes, *arguments):
        command = [sys.executable, TOOLS / "train.py", "--enable_modelarts", "--data_url", "s3://bucket/data"]
        started = []
        for folder, variables in processes:
            (tmp_path / folder).mkdir(exist_ok=True)
            started.append(subprocess.Popen(
                [*command, *map(str, arguments)], env=shared | {name: str(value) for name, value in variables.items()},
                cwd=tmp_path / folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            ))  # fmt: skip
        said = [process.communicate(timeout=300)[1] for process in started]
        assert [process.returncode for process in started] == [0] * len(started), said
        return said, sorted((json.loads(path.read_text()) for path in found.glob("*.json")), key=lambda a: a["rank"])

    return start


def test_a_preset_image_starts_eight_at_once_which_join_and_start_none(platform, tmp_path):
    job = {"RANK_TABLE_FILE": "/user/config/jobstart_hccl.json", "RANK_SIZE": 8, "MA_NUM_HOSTS": 1, "MA_NUM_GPUS": 8}
    each = [("host", job | {"RANK_ID": i, "ASCEND_DEVICE_ID": 7 - i}) for i in range(8)]
    said, found = platform(each, "--train_url", "s3://bucket/job", "--device_target", "Ascend")
    assert found == [{"rank": i, "world": 8, "device": 7 - i, "data": "cache/data", "role": ""} for i in range(8)]
    for i in range(8):
        line = (
            "tools/train.py: ModelArts: started by a preset image, once per card (RANK_TABLE_FILE is set, with "
            f"RANK_ID {i} and RANK_SIZE 8): joins the others on device {7 - i}, starts none"
        )
        assert said[i].splitlines().count(line) == 1 == said[i].count("ModelArts: ")
    assert not (tmp_path / "host" / "msrun_logs").exists() and not [*(tmp_path / "found").glob("scheduler-*")]


def test_a_custom_command_on_two_hosts_starts_two_workers_on_each(platform, tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    job = {
        "MA_NUM_HOSTS": 2, "MA_NUM_GPUS": 2, "VC_WORKER_HOSTS": "127.0.0.1,127.0.0.2", "MASTER_PORT": port,
        "RANK_TABLE_FILE": "/user/config/jobstart_hccl.json",  # may be there, but no rank is given
    }  # fmt: skip
    each = [(f"host{i}", job | {"VC_TASK_INDEX": i}) for i in range(2)]
    said, found = platform(each, "--device_target", "Ascend")
    assert [(one["rank"], one["world"], one["device"], one["role"]) for one in found] == [
        (rank, 4, rank % 2, "MS_WORKER") for rank in range(4)
    ]
    for i in range(2):
        line = (
            "tools/train.py: ModelArts: started by a custom command, once per host (RANK_TABLE_FILE and RANK_ID are "
            f"not both set, 2 hosts with 2 devices each): host {i} starts 2 workers, the scheduler is at 127.0.0.1"
        )
        assert said[i].splitlines().count(line) == 1 == said[i].count("ModelArts: ")
        logs = [path.name for path in (tmp_path / f"host{i}" / "msrun_logs").iterdir()]
        assert sorted(logs) == [*["scheduler.log"] * (i == 0), f"worker_{2 * i}.log", f"worker_{2 * i + 1}.log"]
    assert len([*(tmp_path / "found").glob("scheduler-*")]) == 1
