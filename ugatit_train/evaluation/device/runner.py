"""Starts the processes of the checks, waits for their results, ends what takes too long. MindSpore loads there only."""

import dataclasses
import functools
import json
import os
import queue
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import ugatit_train
from ugatit_data.files import available_cores
from ugatit_train import runtime
from ugatit_train.evaluation.device.record import Result
from ugatit_train.evaluation.device.shared import Job, lacks_device

PROGRAM = "import sys; sys.path.pop(0); from ugatit_train.evaluation.device.process import main; main()"
LEAVING_S = 20.0  # for a process to end when it has made all of its checks
GRACE_S = 5.0  # by SIGTERM


def beside(job: Job) -> tuple[str, ...]:
    """The processes that work beside the others: on some cores, where no time is measured that is to be believed.

    On a card they would share its memory.
    """
    return ("ranks", "full") if job.device_target == "CPU" and job.quick and available_cores() > 1 else ()


class Processes:
    """Makes checks in processes of their own; `stop` ends those that are at work."""

    def __init__(self, job: Job, checks: Mapping[str, tuple[str, str]], beside: Sequence[str] = ()):
        """checks: name -> (title, process); those of one process share it, in this order.

        The processes follow each other, but for those of `beside`, which do so too, from when there is a device.
        """
        self.job, self.checks, self.beside = job, checks, beside
        self.logs = Path(job.folder) / "logs"
        self.at_work: list[subprocess.Popen] = []
        self._lines: list[threading.Thread] = []
        self._one_by_one, self._stopped = threading.RLock(), False
        self._found: queue.SimpleQueue[Result | BaseException | None] = queue.SimpleQueue()

    def run(self) -> Iterator[Result]:
        """The results of all checks, each when it is there."""
        self.logs.mkdir()
        names = list(dict.fromkeys(process for _, process in self.checks.values()))
        self._begin([name for name in names if name not in self.beside])
        waiting, lines = [name for name in names if name in self.beside], 1
        try:
            while lines:
                found = self._found.get()
                if isinstance(found, BaseException):
                    raise found
                if isinstance(found, Result):
                    yield found
                else:
                    lines -= 1
                if waiting:
                    self._begin([*waiting])
                    waiting.clear()
                    lines += 1
        finally:
            self.stop()
            for line in self._lines:
                line.join()

    def _begin(self, names: Sequence[str]) -> None:
        self._lines.append(threading.Thread(target=self._follow, args=(names,), daemon=True))
        self._lines[-1].start()

    def _follow(self, names: Sequence[str]) -> None:
        """Makes the checks of these processes, one process after the other; None is the end of what is found."""
        try:
            for name in names:
                left = [check for check, (_, own) in self.checks.items() if own == name]
                while left and not self._stopped:
                    reason, checks = self.reason(), [*left]
                    skipped = (self.result(check, "skipped", reason) for check in checks)
                    for result in skipped if reason else self.made(checks):
                        left.remove(result.name)
                        with self._one_by_one:  # before the next process is told what is known
                            known = self.job.known | {result.name: result.figures}
                            self.job = dataclasses.replace(self.job, known=known)
                        self._found.put(result)
            self._found.put(None)
        except BaseException as error:
            self._found.put(error)

    def reason(self) -> str:
        """Why no other check can be made; empty if it can."""
        if any(lacks_device(name, figures) for name, figures in self.job.known.items()):
            return "the device cannot be used"
        return "the time was over: give more --minutes" if time.time() > self.job.deadline else ""

    def result(self, name: str, status: Any, said: str, **more) -> Result:
        return Result(name=name, title=self.checks[name][0], status=status, said=said, **more)

    def made(self, names: list[str]) -> Iterator[Result]:
        """What one process makes of the checks: all results, or those up to the one that it ends at."""
        log = self.logs / f"{names[0]}.log"
        job = json.dumps([dataclasses.asdict(self.job), names])
        with self._one_by_one:
            if self._stopped:
                return
            with log.open("wb") as said:
                popen = subprocess.Popen(
                    [sys.executable, "-c", PROGRAM, job],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=said,
                    start_new_session=True,
                    env=environment(),
                )
            self.at_work.append(popen)
        begun, began, late = names[0], time.time(), False
        try:
            for line in self.answers(popen):
                answer = json.loads(line)
                if "begun" in answer:
                    begun, began = answer["begun"], time.time()
                else:
                    begun = ""
                    yield Result(**answer["result"])
        except TimeoutError:
            late = True
        finally:
            if popen.stdout:
                popen.stdout.close()
        code = _ended(popen, 0.0 if late else LEAVING_S)
        self.at_work.remove(popen)
        if begun:
            end = "the time was over: give more --minutes" if late else f"its process ended {how(code)}"
            yield self.result(
                begun, "fail", end, seconds=time.time() - began, traceback=log.read_text(errors="replace")[-6000:]
            )

    def answers(self, popen: subprocess.Popen) -> Iterator[str]:
        """The lines that the process writes, to its end. Raises TimeoutError where that is later than the deadline."""
        assert popen.stdout is not None  # it is a pipe
        pipe, rest = popen.stdout.fileno(), b""
        with selectors.DefaultSelector() as ready:
            ready.register(pipe, selectors.EVENT_READ)
            while True:
                if not ready.select(max(self.job.deadline - time.time(), 0)):
                    raise TimeoutError
                found = os.read(pipe, 1 << 16)
                if not found:
                    return
                *lines, rest = (rest + found).split(b"\n")
                yield from (line.decode() for line in lines)

    def stop(self) -> None:
        """Ends the processes that are at work; no other begins."""
        with self._one_by_one:
            self._stopped = True
        for popen in [*self.at_work]:
            _ended(popen, 0.0)


def _ended(popen: subprocess.Popen, wait_s: float) -> int:
    """The exit code of a process, which is made to end if it has not after `wait_s` seconds."""
    kill = functools.partial(os.killpg, popen.pid, signal.SIGKILL)  # a session of its own, see `made`
    for seconds, end in ((wait_s, popen.terminate), (GRACE_S, kill)):
        try:
            return popen.wait(seconds)
        except subprocess.TimeoutExpired:
            end()
    return popen.wait()


def how(code: int) -> str:
    """by SIGSEGV, or with exit code 3."""
    return f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"


def environment() -> dict[str, str]:
    """For a process of checks: it finds the package as this one does, and takes memory in huge pages as training.

    No graph comes from the user's cache: the checks compile, but for the one of a cache of its own.
    """
    paths = [str(Path(ugatit_train.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    shown = {"PYTHONPATH": os.pathsep.join(filter(None, paths)), "GLIBC_TUNABLES": runtime.MALLOC_TUNABLES}
    return shown | os.environ | {"PYTHONPATH": shown["PYTHONPATH"], "UGATIT_COMPILE_CACHE": "off"}
