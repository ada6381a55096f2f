"""Starts the processes that train together, sends signals on to them, and returns when all of them have ended.

A scheduler on host 0 and a worker a device find each other by the environment variables of MindSpore's dynamic
cluster, the same that msrun sets. msrun is not used: SIGTERM ends it and leaves its workers behind, at Ctrl-C it kills
them before they save, and where its port is held it waits for ten minutes.
"""

import contextlib
import errno
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ugatit_train.errors import UgatitError
from ugatit_train.training import interrupts

PORT = 8118  # msrun's
SAVED = "interrupted: saved step"  # how the last words begin of a worker that a signal has ended as it should
GRACE_S = 10.0  # for the others' last words after one has failed: they wait for it, most likely for ever
SAVING_S = 30.0  # for the workers to save after the scheduler has died
JOINING_S = 600  # how long the hosts of a job wait for each other

SCHEDULER = "import mindspore, mindspore.communication as c; mindspore.set_device('CPU'); c.init()"

# Linux ends a child with its parent, however that ends: SIGTERM, at which a worker saves. Then the child's program.
_WITH_PARENT = (
    "import ctypes, os, signal, sys\n"
    "if sys.platform == 'linux': ctypes.CDLL(None).prctl(1, signal.SIGTERM)\n"
    "if os.getppid() == int(sys.argv[1]): os.execv(sys.argv[2], sys.argv[2:])"
)

_log = logging.getLogger(__name__)


class LaunchError(UgatitError):
    """Not all workers did all of their steps."""


class AddressError(LaunchError):
    """The scheduler's address cannot be used; nothing was started."""

    exit_code = 2


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """The processes of a job, and the part of them that this host runs."""

    local: int
    world: int
    node: int = 0
    master: str = "127.0.0.1"  # host 0, where the scheduler is
    port: int = PORT
    logs: Path

    def log(self, local_rank: int) -> Path:
        """What the worker prints."""
        return self.logs / f"worker_{self.node * self.local + local_rank}.log"


@dataclass(frozen=True)
class _Process:
    name: str
    popen: subprocess.Popen
    log: Path

    def failed(self) -> bool:
        """Whether it has ended, and not as it should."""
        return bool(self.popen.poll()) and SAVED not in self.log.read_text(errors="replace")[-4000:]


def run(cluster: Cluster, worker: Sequence[str], scheduler: Sequence[str] = (sys.executable, "-c", SCHEDULER)) -> None:
    """Runs the command `worker` once for each device of this host, with the scheduler on host 0, to their end.

    At SIGINT, SIGTERM, or SIGHUP if it is not ignored, the workers get SIGTERM, and are waited for; a second one kills
    them. When a worker or the scheduler fails the others are ended. When this process is killed they get SIGTERM (on
    Linux).

    Raises:
        AddressError: the scheduler's port is held by another program, or its address is none of host 0.
        LaunchError: a worker or the scheduler failed, or a signal came.
    """
    host = _address(cluster)
    cluster.logs.mkdir(parents=True, exist_ok=True)
    for old in (*cluster.logs.glob("worker_*.log"), cluster.logs / "scheduler.log"):
        old.unlink(missing_ok=True)
    shared = {
        "MS_WORKER_NUM": cluster.world,
        "RANK_SIZE": cluster.world,
        "MS_SCHED_HOST": host,
        "MS_SCHED_PORT": cluster.port,
        "MS_TOPO_TIMEOUT": JOINING_S,
    }
    with interrupts.noted(lambda: None, lambda: None) as got, contextlib.ExitStack() as started:

        def start(name: str, command: Sequence[str], log: Path, variables: dict[str, object]) -> _Process:
            guarded = [sys.executable, "-ISc", _WITH_PARENT, str(os.getpid()), *command]
            with log.open("wb") as out:
                popen = subprocess.Popen(
                    guarded,
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,  # a terminal's Ctrl-C comes to this process only
                    env=os.environ | {key: str(value) for key, value in (shared | variables).items()},
                )
            started.callback(_kill, popen)
            return _Process(name, popen, log)

        schedules = []
        if cluster.node == 0:
            schedules = [start("the scheduler", scheduler, cluster.logs / "scheduler.log", {"MS_ROLE": "MS_SCHED"})]
        workers = []
        for i in range(cluster.local):
            rank = cluster.node * cluster.local + i
            variables = {"MS_ROLE": "MS_WORKER", "MS_NODE_ID": rank, "RANK_ID": rank, "DEVICE_ID": i}
            workers.append(start(f"worker {rank}", worker, cluster.log(i), variables))
        complaint = _watch(workers, schedules, got)
        if not complaint and cluster.local < cluster.world:
            _wait_for_others(schedules, got)
    if complaint:
        raise LaunchError(complaint)
    if any(process.popen.returncode for process in workers):
        raise LaunchError("interrupted: the workers have saved and ended: --resume goes on")


def _watch(workers: list[_Process], schedules: list[_Process], got: list[int]) -> str:
    """Returns when all workers have ended, or should have; what went wrong, nothing if all did as they should."""
    complaint, asked, last = "", False, float("inf")
    while living := [process.popen for process in workers if process.popen.poll() is None]:
        if len(got) > 1:
            return "interrupted twice: the workers were killed: --resume goes on from the last checkpoint"
        if not complaint and (dead := [process for process in (*workers, *schedules) if process.failed()]):
            complaint, last = _died(dead[0], got), time.monotonic() + GRACE_S
            if dead[0] in schedules:
                _log.warning("%s: the workers are asked to save", complaint)
                last += SAVING_S
                got.append(0)
        if got and not asked:
            asked = True
            _log.warning("interrupted: the workers save after this step; a second signal kills them")
            for popen in living:
                popen.terminate()
        if time.monotonic() > last:
            return complaint
        time.sleep(0.05)
    failed = [process for process in workers if process.failed()]
    return complaint or (_died(failed[0], got) if failed else "")


def _died(process: _Process, got: list[int]) -> str:
    code = process.popen.returncode
    how = f"{process.name} ended with exit code {code}" if code > 0 else f"{process.name} ended by {_name(-code)}"
    if got:
        return f"interrupted before all could save: {how}: --resume goes on from the last checkpoint, if there is one"
    return how


def _name(number: int) -> str:
    return signal.Signals(number).name


def _kill(popen: subprocess.Popen) -> None:
    """Kills a process and all that it has started; does nothing if it has ended."""
    if popen.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(popen.pid, signal.SIGKILL)
        popen.wait()


def _wait_for_others(schedules: list[_Process], got: list[int]) -> None:
    """Returns when the scheduler has ended: the other hosts' workers may need it for the last step of all."""
    seen, last = len(got), time.monotonic() + SAVING_S
    while any(process.popen.poll() is None for process in schedules):
        if len(got) > seen or time.monotonic() > last:
            return
        time.sleep(0.05)


def _address(cluster: Cluster) -> str:
    """The IP address of host 0; on host 0 itself its port was free a moment ago. Raises AddressError."""
    try:
        host = socket.gethostbyname(cluster.master)
    except OSError as error:
        raise AddressError(f"MASTER_ADDR {cluster.master}: {error.strerror}: give the address of host 0") from None
    if cluster.node == 0:
        try:
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((host, cluster.port))
                probe.listen()
        except OSError as error:
            if error.errno == errno.EADDRNOTAVAIL:
                raise AddressError(
                    f"MASTER_ADDR {cluster.master} is no address of this host, which is number 0: mend it, or NODE_RANK"
                ) from None
            raise AddressError(f"port {cluster.port}: {error.strerror}: give another one as MASTER_PORT") from None
    return host
