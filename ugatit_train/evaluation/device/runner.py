"""Starts the processes of the checks, waits for their results, ends what takes too long. MindSpore loads there only."""

import dataclasses
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import ugatit_train
from ugatit_train import runtime
from ugatit_train.evaluation.device.record import Result
from ugatit_train.evaluation.device.shared import Job, lacks_device

PROGRAM = "import sys; sys.path.pop(0); from ugatit_train.evaluation.device.process import main; main()"
LEAVING_S = 20.0  # for a process to end when it has made all of its checks
GRACE_S = 5.0  # by SIGTERM


class Processes:
    """Makes checks in processes of their own; `stop` ends the one that is at work."""

    def __init__(self, job: Job, checks: Mapping[str, tuple[str, str]]):
        """checks: name -> (title, process); those of one process share it, in this order."""
        self.job, self.checks = job, checks
        self.logs = Path(job.folder) / "logs"
        self.popen: subprocess.Popen | None = None

    def run(self) -> Iterator[Result]:
        """The results of all checks, each when it is there."""
        self.logs.mkdir()
        for process in dict.fromkeys(process for _, process in self.checks.values()):
            left = [name for name, (_, own) in self.checks.items() if own == process]
            while left:
                reason = self.reason()
                for result in [self.result(name, "skipped", reason) for name in left] if reason else self.made([*left]):
                    left.remove(result.name)
                    self.job = dataclasses.replace(self.job, known=self.job.known | {result.name: result.figures})
                    yield result

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
        with log.open("wb") as said:
            self.popen = subprocess.Popen(
                [sys.executable, "-c", PROGRAM, job],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=said,
                start_new_session=True,
                env=environment(),
            )
        begun, began, late = names[0], time.time(), False
        try:
            for line in self.answers():
                answer = json.loads(line)
                if "begun" in answer:
                    begun, began = answer["begun"], time.time()
                else:
                    begun = ""
                    yield Result(**answer["result"])
        except TimeoutError:
            late = True
        finally:
            if self.popen.stdout:
                self.popen.stdout.close()
        code = self.stop(0.0 if late else LEAVING_S)
        if begun:
            end = "the time was over: give more --minutes" if late else f"its process ended {how(code)}"
            yield self.result(
                begun, "fail", end, seconds=time.time() - began, traceback=log.read_text(errors="replace")[-6000:]
            )

    def answers(self) -> Iterator[str]:
        """The lines that the process writes, to its end. Raises TimeoutError where that is later than the deadline."""
        assert self.popen is not None and self.popen.stdout is not None  # it is a pipe
        pipe, rest = self.popen.stdout.fileno(), b""
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

    def stop(self, wait_s: float = 0.0) -> int:
        """Ends the process if it has not ended after `wait_s` seconds; its exit code."""
        if self.popen is None:
            return 0
        for seconds, end in ((wait_s, self.popen.terminate), (GRACE_S, self._kill)):
            try:
                return self.popen.wait(seconds)
            except subprocess.TimeoutExpired:
                end()
        return self.popen.wait()

    def _kill(self) -> None:
        assert self.popen is not None
        os.killpg(self.popen.pid, signal.SIGKILL)  # a session of its own, see `made`


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
