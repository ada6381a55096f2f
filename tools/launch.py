#!/usr/bin/env python3
"""Train on several devices, of this machine or of several."""

if __name__ == "__main__":
    from script import start_tool

    start_tool(__file__)

import contextlib
import io
import os
from pathlib import Path

from ugatit_data import BadInputError
from ugatit_data.commands import command
from ugatit_train import runtime
from ugatit_train.options import arguments, config
from ugatit_train.performance import planner
from ugatit_train.training import workers

from . import train
from .commandline import path, say, say_device

MANUAL = """usage: {name} [RANK_TABLE] RANK_SIZE DEVICE_START [OPTION OF {train}] ...

  RANK_TABLE    HCCL's rank table file (optional; it is handed to MindSpore as RANK_TABLE_FILE, which only Ascend reads)
  RANK_SIZE     how many workers on this machine, one a device
  DEVICE_START  number of the first device; ignored on the CPU

Environment: LOG_DIR (default msrun_logs), MASTER_PORT (default {port}). On several hosts, on each: WORKER_NUM, all
workers (default RANK_SIZE); NODE_RANK, which host this is (0); MASTER_ADDR, the address of host 0 (127.0.0.1).
On ModelArts, {train} --enable_modelarts does all of this.

Ctrl-C and SIGTERM let the workers save, and wait for them; a second one kills them. A worker that fails ends all, and
the last lines of each log are shown.

Examples:
  {name} 8 0 --device_target Ascend --data_path dataset --output_path runs/eight
  {name} 2 0 --data_path dataset --output_path runs/two --light --img_size 64 --n_dis 5

Exit code: 0 done, 1 a worker failed or a signal came, 2 bad input."""


def main(argv: list[str]) -> int:
    if argv[:1] in (["-h"], ["--help"]):
        print(MANUAL.format(name=command("launch"), train=command("train"), port=workers.PORT))
        return 0
    if argv[:1] == ["--"]:  # what follows is no option, whatever it begins with
        argv = argv[1:]
    table, rest = (str(path(argv[0])), argv[1:]) if argv and not argv[0].isdigit() else ("", argv)
    if table and not Path(table).is_file():
        raise BadInputError(f"{table}: no such rank table: give a file, or leave it out")
    if len(rest) < 2 or not (rest[0].isdigit() and rest[1].isdigit() and int(rest[0])):
        raise BadInputError("give RANK_SIZE and DEVICE_START: --help tells")
    size, start, options = int(rest[0]), int(rest[1]), rest[2:]
    cluster = workers.Cluster(
        local=size,
        world=runtime.number("WORKER_NUM", size),
        node=runtime.number("NODE_RANK", 0),
        master=os.environ.get("MASTER_ADDR") or "127.0.0.1",
        port=runtime.number("MASTER_PORT", workers.PORT),
        logs=train.logs(),
    )
    if (cluster.node + 1) * size > cluster.world:
        raise BadInputError(
            f"WORKER_NUM {cluster.world} and NODE_RANK {cluster.node} leave no {size} for this host: mend one"
        )
    given = arguments.given(options)
    if given.get("phase") == "test":
        raise BadInputError(f"--phase test is for one device: use {command('train')}")
    with contextlib.redirect_stdout(io.StringIO()):  # all checks, once, before anything is started
        train.main([*options, "--distributed", "true", "--dry_run", "true"])
    if not given.get("enable_modelarts"):
        planned = arguments.resolve(given)
        say_device(planned.device_target, start if size == 1 else f"{start} to {start + size - 1}")
        warn(planned, size)
    if table:
        os.environ["RANK_TABLE_FILE"] = str(Path(table).resolve())
    for name in ("ASCEND_RT_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES"):
        os.environ.setdefault(name, ",".join(map(str, range(start, start + size))))
    return train.launch(cluster, options)


def warn(planned: config.Options, processes: int) -> None:
    """Says where a run of so many processes does not fit this machine; of one that does not, the check has said it."""
    if not planner.warning(planned) and (too_large := planner.warning(planned, processes)):
        say("launch", too_large)
