#!/usr/bin/env python3
"""Check that a device trains as it should, and write a report to send back."""

if __name__ == "__main__":
    from script import start_tool

    start_tool(__file__)

import shlex
import time
from pathlib import Path

from ugatit_data.commands import command
from ugatit_train import runtime
from ugatit_train.evaluation.device import record, speed
from ugatit_train.evaluation.device.process import CHECKS
from ugatit_train.evaluation.device.runner import Processes, beside
from ugatit_train.evaluation.device.shared import Job

from .commandline import (
    Parser,
    checking,
    end_when_interrupted,
    filling,
    path,
    refuse_full_folder,
    say_device,
    whole,
    working,
)

MINUTES = 5


def parser() -> Parser:
    made = Parser(
        "check_device",
        description="Check in a few minutes that a device trains as it should: its versions and precision, five steps "
        "of a tiny network against losses recorded in float64, save and resume, export, the mean over two devices, the "
        "time of a step, a profile. Each check passes, fails, or is skipped with the reason.",
        epilog="Examples:\n"
        "  %(prog)s --device_target Ascend\n"
        "  %(prog)s --device_target CPU --quick --out checked\n\n"
        f"{record.PAGE_FILE} is the page to read, {record.RECORD_FILE} the record: send both back.\n"
        "They hold versions, the chip, figures, and variables of the environment such as ASCEND_* and MS_*.\n\n"
        "Exit code: 0 no check failed, 1 one failed, 2 bad input.",
    )
    made.add_argument("--device_target", choices=runtime.DEVICE_TARGETS, required=True, help="device to check")
    made.add_argument("--device_id", type=whole(0), default=0, help="number of the device")
    made.add_argument("--out", type=path, default=Path("device_check"), metavar="FOLDER", help="new folder")
    made.add_argument("--quick", action="store_true", help="time and profile the tiny network only")
    made.add_argument("--minutes", type=whole(1), default=MINUTES, help="a check that would go on after these is ended")
    return made


def main(argv: list[str]) -> int:
    given = parser().parse_args(argv)
    with checking("give another --out"):
        refuse_full_folder(given.out, "--out")
    job = Job(
        device_target=given.device_target, device_id=given.device_id, quick=given.quick,
        deadline=time.time() + 60 * given.minutes, folder=str(given.out), known={},
    )  # fmt: skip
    processes = Processes(job, {name: (check.title, check.process) for name, check in CHECKS.items()}, beside(job))
    again = f"the report in {given.out} holds the checks that were done: given again, it begins anew"
    end_when_interrupted("check_device", again, processes.stop)
    with working(again, where=given.out), filling(given.out):
        began, clock = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()), time.perf_counter()
        say_device(given.device_target, given.device_id)
        sizes = speed.described(job)
        print(sizes, flush=True)
        about = {
            "device_target": given.device_target, "command": shlex.join([command("check_device"), *argv]),
            "began": began, "sizes": sizes,
        }  # fmt: skip
        results = []
        for result in processes.run():
            print(result.line(), flush=True)
            results.append(result)
            results.sort(key=lambda one: [*CHECKS].index(one.name))  # some work side by side
            made = record.whole(results, about | {"seconds": time.perf_counter() - clock})
            record.write(made, given.out)  # at each check: what ends this program leaves a report too
    print(f"{made['pass']} passed, {made['fail']} failed, {made['skipped']} skipped in {made['seconds']:.0f} s")
    print(f"to send back: {given.out / record.PAGE_FILE} and {given.out / record.RECORD_FILE}")
    return 1 if made["fail"] else 0
