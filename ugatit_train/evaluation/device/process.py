"""A process of checks: `main` makes those of its command line one by one, and tells of each when it begins and ends.

MindSpore and CANN can end a process without an exception, and hold a card's memory for as long as it lives: so the
checks of one network share a process, and `runner.py` starts another one where this dies.
"""

import dataclasses
import faulthandler
import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TextIO

from ugatit_train.errors import first_line
from ugatit_train.evaluation.device import checks, speed, warm
from ugatit_train.evaluation.device.ranks import all_reduce
from ugatit_train.evaluation.device.record import CheckFailed, Result, Skipped
from ugatit_train.evaluation.device.shared import Job, Shared, lacks_device


@dataclass(frozen=True, kw_only=True)
class Check:
    """A check: what it is of, the process that it is made in, and the function."""

    title: str
    process: str
    function: Callable[[Shared, Result], str]


CHECKS = {
    "device": Check(title="versions, chip, memory, precision", process="light", function=checks.device),
    "losses_light": Check(
        title="five steps of a tiny light network against recorded float64 losses",
        process="light", function=partial(checks.losses, "light"),
    ),
    "resume": Check(title="save, load, resume", process="light", function=checks.resume),
    "export": Check(title="export and reload", process="light", function=checks.export),
    "step_time_light": Check(
        title="time of a step, light, beside its projection",
        process="light", function=partial(speed.step_time, "light"),
    ),
    "profile": Check(title="a profile of this step", process="light", function=speed.profile),
    "all_reduce": Check(title="the mean over two devices", process="ranks", function=all_reduce),
    "losses_full": Check(
        title="five steps of a tiny full network against recorded float64 losses",
        process="full", function=partial(checks.losses, "full"),
    ),
    "step_time_full": Check(
        title="time of a step, full, beside its projection",
        process="full", function=partial(speed.step_time, "full"),
    ),
    "cache_cold": Check(
        title="a step compiled with the compile cache on", process="cold", function=partial(warm.losses, False)
    ),
    "cache_warm": Check(
        title="its graph loaded in another process", process="warm", function=partial(warm.losses, True)
    ),
}  # fmt: skip


def make(name: str, shared: Shared) -> Result:
    """The result of a check, whatever it raises."""
    check = CHECKS[name]
    result = Result(name=name, title=check.title)
    began = time.perf_counter()
    try:
        result.said = check.function(shared, result)
    except Skipped as error:
        result.status, result.said = "skipped", str(error)
    except CheckFailed as error:
        result.status, result.said = "fail", str(error)
    except Exception as error:
        result.status, result.said = "fail", f"{type(error).__name__}: {first_line(error)}"
        result.traceback = traceback.format_exc()
    result.seconds = time.perf_counter() - began
    return result


def main() -> None:
    """Takes the job and the names of the checks as JSON; writes a line of JSON at each begin and end to stdout."""
    job, names = json.loads(sys.argv[1])
    faulthandler.enable()
    with os.fdopen(os.dup(1), "w", buffering=1) as answers:
        os.dup2(2, 1)  # what libraries print must not mix with the answers
        tell(Shared(Job(**job)), names, answers)


def tell(shared: Shared, names: list[str], answers: TextIO) -> None:
    """Makes the checks and writes of each that it begins, and its result; returns early if there is no device."""
    for name in names:
        print(json.dumps({"begun": name}), file=answers)
        result = make(name, shared)
        print(json.dumps({"result": dataclasses.asdict(result)}), file=answers)
        if lacks_device(name, result.figures):
            return
