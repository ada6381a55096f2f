"""The launcher: signals go on, it waits, and nothing is left. Its workers here are small programs without MindSpore.

Two real workers are trained with in tests/tools/test_run_distributed_train.py.
"""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from ugatit_train.training import workers

ROOT = Path(__file__).parents[3]

# A worker that joins, "trains" until it is told to stop, and saves for a while; worker 1 does not save.
WORKER = """
import os, pathlib, signal, sys, time
rank, here = os.environ["RANK_ID"], pathlib.Path(sys.argv[1])
got = []
signal.signal(signal.SIGTERM, lambda *_: got.append(1))
(here / f"pid{rank}").write_text(str(os.getpid()))
while not got:
    time.sleep(0.01)
time.sleep(0.5 if rank == "0" else 0)
(here / f"saved{rank}").touch()
sys.exit("tools/train.py: interrupted: saved step 3: go on with --resume")
"""
SCHEDULER = """
import os, pathlib, sys, time
pathlib.Path(sys.argv[1], "pids").write_text(str(os.getpid()))
time.sleep(99)
"""
SHOW = """
import os, sys
names = "MS_ROLE MS_WORKER_NUM MS_NODE_ID MS_SCHED_HOST MS_SCHED_PORT RANK_ID RANK_SIZE DEVICE_ID".split()
print(*[os.environ.get(name, "-") for name in names])
"""


def program(code: str, *arguments) -> list[str]:
    return [sys.executable, "-c", code, *map(str, arguments)]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def cluster(folder, local=2, world=0, node=0):
    return workers.Cluster(local=local, world=world or local, node=node, port=free_port(), logs=folder / "logs")


def wait_for(*paths):
    last = time.monotonic() + 60
    while not all(path.exists() and path.read_text() for path in paths):
        assert time.monotonic() < last, paths
        time.sleep(0.01)


def alive(folder) -> list[str]:
    """Those of the processes, by their files of ids, that still run."""
    return [path.name for path in folder.glob("pid*") if Path(f"/proc/{path.read_text()}").exists()]


def do_when_they_run(folder, *actions):
    """Calls each of the functions, the first when all processes run, the next a moment later each."""

    def work():
        wait_for(folder / "pids", folder / "pid0", folder / "pid1")
        for action in actions:
            action()
            time.sleep(0.2)

    threading.Thread(target=work).start()


def signal_us(number):
    return lambda: os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_goes_on_to_the_workers_and_the_launcher_waits_until_they_have_saved(tmp_path, number, caplog):
    do_when_they_run(tmp_path, signal_us(number))
    with pytest.raises(workers.LaunchError, match="interrupted: the workers have saved and ended: --resume goes on"):
        workers.run(cluster(tmp_path), program(WORKER, tmp_path), program(SCHEDULER, tmp_path))
    assert (tmp_path / "saved0").exists() and (tmp_path / "saved1").exists()
    assert "a second signal kills them" in caplog.text
    assert alive(tmp_path) == []


def test_a_second_signal_kills_what_does_not_end(tmp_path):
    deaf = WORKER.replace("while not got:", "while True:")
    do_when_they_run(tmp_path, signal_us(signal.SIGTERM), signal_us(signal.SIGTERM))
    with pytest.raises(workers.LaunchError, match="interrupted twice: the workers were killed"):
        workers.run(cluster(tmp_path), program(deaf, tmp_path), program(SCHEDULER, tmp_path))
    assert alive(tmp_path) == []


def test_a_worker_that_fails_ends_the_others_which_wait_for_it(tmp_path, monkeypatch):
    monkeypatch.setattr(workers, "GRACE_S", 0.5)
    failing = WORKER.replace("while not got:", "if rank == '1': sys.exit(3)\nwhile True:")
    with pytest.raises(workers.LaunchError, match="^worker 1 ended with exit code 3$"):
        workers.run(cluster(tmp_path), program(failing, tmp_path), program(SCHEDULER, tmp_path))
    assert alive(tmp_path) == []


def test_an_interrupted_worker_that_could_not_save_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(workers, "GRACE_S", 0.5)
    one_dies = WORKER.replace("while not got:", "if rank == '1': signal.signal(15, signal.SIG_DFL)\nwhile True:")
    do_when_they_run(tmp_path, lambda: time.sleep(0.2), signal_us(signal.SIGTERM))
    with pytest.raises(workers.LaunchError, match="interrupted before all could save: worker 1 ended by SIGTERM"):
        workers.run(cluster(tmp_path), program(one_dies, tmp_path), program(SCHEDULER, tmp_path))
    assert alive(tmp_path) == []


def test_a_dead_scheduler_is_an_error_at_once_and_the_workers_save(tmp_path, caplog):
    do_when_they_run(tmp_path, lambda: os.kill(int((tmp_path / "pids").read_text()), signal.SIGKILL))
    began = time.monotonic()
    with pytest.raises(workers.LaunchError, match="^the scheduler ended by SIGKILL$"):
        workers.run(cluster(tmp_path), program(WORKER, tmp_path), program(SCHEDULER, tmp_path))
    assert time.monotonic() - began < 20
    assert "the scheduler ended by SIGKILL: the workers are asked to save" in caplog.text
    assert (tmp_path / "saved0").exists() and alive(tmp_path) == []


def test_a_held_port_is_an_error_before_anything_is_started(tmp_path):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        held = workers.Cluster(local=1, world=1, port=other.getsockname()[1], logs=tmp_path / "logs")
        with pytest.raises(workers.AddressError, match=f"^port {held.port}: Address already in use: give another"):
            workers.run(held, program(WORKER, tmp_path), program(SCHEDULER, tmp_path))
    assert not (tmp_path / "logs").exists()


@pytest.mark.parametrize(
    ("master", "words"),
    [("192.0.2.1", "192.0.2.1 is no address of this host"), ("no.such.host.invalid", "give the address of host 0")],
)
def test_an_address_that_is_not_ours(tmp_path, master, words):
    with pytest.raises(workers.AddressError, match=f"MASTER_ADDR .*{words}"):
        workers.run(workers.Cluster(local=1, world=1, master=master, logs=tmp_path), program(WORKER, tmp_path))


@pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG is Linux's")
def test_the_workers_of_a_killed_launcher_save_and_end(tmp_path):
    code = (
        "import sys\nfrom pathlib import Path\nfrom ugatit_train.training import workers\n"
        f"c = workers.Cluster(local=2, world=2, port={free_port()}, logs=Path({str(tmp_path / 'logs')!r}))\n"
        f"workers.run(c, {program(WORKER, tmp_path)!r}, {program(SCHEDULER, tmp_path)!r})"
    )
    with subprocess.Popen(program(code), cwd=ROOT) as launcher:
        wait_for(tmp_path / "pids", tmp_path / "pid0", tmp_path / "pid1")
        launcher.kill()
    last = time.monotonic() + 20
    while alive(tmp_path):
        assert time.monotonic() < last
        time.sleep(0.01)
    assert (tmp_path / "saved0").exists() and (tmp_path / "saved1").exists()


def test_two_hosts_of_two_have_one_scheduler_and_four_ranks(tmp_path):
    hosts = [cluster(tmp_path / str(node), world=4, node=node) for node in (0, 1)]
    for host in hosts:
        workers.run(host, program(SHOW), program(SHOW))
    assert [path.name for path in sorted((tmp_path / "1" / "logs").iterdir())] == ["worker_2.log", "worker_3.log"]
    first, second = [f"127.0.0.1 {host.port}" for host in hosts]
    said = {path.stem: path.read_text().strip() for path in tmp_path.glob("*/logs/*.log")}
    assert said == {
        "scheduler": f"MS_SCHED 4 - {first} - 4 -",
        "worker_0": f"MS_WORKER 4 0 {first} 0 4 0",
        "worker_1": f"MS_WORKER 4 1 {first} 1 4 1",
        "worker_2": f"MS_WORKER 4 2 {second} 2 4 0",
        "worker_3": f"MS_WORKER 4 3 {second} 3 4 1",
    }
