#!/usr/bin/env python3
"""Train U-GAT-IT, or judge a run with --phase test."""

if __name__ == "__main__":
    from script import start_tool

    start_tool(__file__)

import dataclasses
import importlib.util
import os
import sys
import textwrap
from pathlib import Path

from ugatit_data import BadInputError
from ugatit_data.commands import command
from ugatit_data.dataset.manifest import DATASET_FILE, read_dataset
from ugatit_train import runtime
from ugatit_train.evaluation import judging
from ugatit_train.evaluation.evaluate import METRICS_FILE
from ugatit_train.options import arguments, config, saved
from ugatit_train.performance import ceilings, planner
from ugatit_train.training import modelarts, runfolder, workers

from .commandline import checking, end_when_interrupted, path, say, say_device, working
from .evaluate import judge


def main(argv: list[str]) -> int:
    check_path = "check the path, and that this user may write there"
    with checking(check_path):
        options = arguments.resolve(modelarts.copy_in(arguments.given(argv, lambda text: say("train", text))))
        job = modelarts.how_started() if options.enable_modelarts else modelarts.Job()
    if job.why and not options.distributed:
        say("train", f"ModelArts: {job.why}")
    if options.phase == "test":
        if job.rank:
            say("train", "--phase test: the job's first process judges the run, this one has nothing to do")
            return 0
        return test(options)
    with checking(check_path):
        steps = check_data(options)
        judging.check(options)
        runfolder.check(options)
        check_extras(options)
    say_device(options.device_target, "" if options.distributed else options.device_id, "# ")
    print(saved.describe(options), end="", flush=True)
    if too_large := planner.warning(options):
        say("train", too_large)
    if options.dry_run:
        lines, too_long = estimate(options, steps)
        print(textwrap.indent(lines, "# "))
        if too_long:
            say("train", too_long)
        return 0
    if not options.distributed:
        if job.way == "join":
            options = dataclasses.replace(options, distributed=True)
        elif job.way == "launch":
            port = runtime.number("MASTER_PORT", workers.PORT)
            return launch(job.cluster(port, logs()), argv)

    end_when_interrupted("train", "no step was made: run it again")
    resume = "--resume goes on from the last checkpoint"
    with working(
        f"when that is mended, {resume}",
        interrupted=f"{resume}, if there is one",
        memory=planner.remedy(options),
        where=options.output_path,
    ):
        judging.train(options)  # MindSpore loads here, after every check that does not need it
    return 0


def test(options: config.Options) -> int:
    """`--phase test`: judges a run, and brings the results to a folder of --train_url; the exit code."""
    check_place(options)
    out = Path(options.eval_outputdir or Path(options.output_path) / "test")
    url = options.train_url and f"{options.train_url.rstrip('/')}/{out.name}"
    with modelarts.publishing(out, url, METRICS_FILE):
        code = judge(
            "train",
            Path(options.load_path or options.output_path),
            options.data_folder,
            out,
            inception=Path(options.inception_ckpt_path) if options.compute_metrics else None,
            device=(options.device_target, options.device_id),
            compile_cache=options.compile_cache,
        )
    if url:
        print(f"brought to {url}")
    return code


def check_place(options: config.Options) -> None:
    """Raises BadInputError where a run that goes on, or is judged, has its data set elsewhere, by a relative path."""
    folder, run = options.data_folder, Path(options.load_path or options.output_path) / saved.OPTIONS_FILE
    is_there = (folder / DATASET_FILE).exists() or (folder / "testA").is_dir()
    if is_there or not run.is_file() or arguments.load(run).data_folder != folder:
        return
    if words := saved.moved_data(folder, run):
        raise BadInputError(f"{folder}: no such data set here{words}: give it as --data_path")


def check_extras(options: config.Options) -> None:
    """Raises OptionError where an option needs a package that is not installed."""
    if options.tensorboard and importlib.util.find_spec("tensorboardX") is None:
        raise config.OptionError("--tensorboard: tensorboardX is not installed: pip install 'ugatit[tensorboard]'")


def launch(cluster: workers.Cluster, argv: list[str]) -> int:
    """Trains with a worker a device and this command line, checked before; shows the end of the logs; the exit code.

    Raises:
        LaunchError: not all steps were done.
    """
    worker = [sys.executable, str(Path(__file__).resolve()), *argv, "--distributed", "true"]
    try:
        workers.run(cluster, worker)
    except workers.AddressError:
        raise
    except workers.LaunchError:
        for rank in range(cluster.local):
            print(f"== {cluster.log(rank)}\n{_end(cluster.log(rank), 12)}", file=sys.stderr)
        raise
    print(_end(cluster.log(0), 3))
    return 0


def logs() -> Path:
    """The folder of the workers' logs."""
    return path(os.environ.get("LOG_DIR") or "msrun_logs")


def _end(log: Path, lines: int) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:]) if log.exists() else ""


def estimate(options: config.Options, steps: int | None) -> tuple[str, str]:
    """Memory and time in two lines, and a warning of a run that is too long for a CPU, or nothing.

    The ceiling of this machine is measured for it, half a second.
    """
    if options.device_target != "CPU":
        return planner.describe(options, steps, None), ""
    gflop_per_s = ceilings.sgemm(0.5)
    step_s = planner.step_seconds(planner.estimate(options), gflop_per_s)
    return planner.describe(options, steps, gflop_per_s), planner.too_long(options, step_s * (steps or 0))


def check_data(options: config.Options) -> int | None:
    """The steps of the run; None with msrun, where passes are shorter: only the loop knows by how much.

    Raises:
        DataError: there is no data set to train on.
        OptionError: the schedule does not fit it.
    """
    folder = options.data_folder
    check_place(options)
    if (folder / "trainA").is_dir() and not (folder / DATASET_FILE).exists():
        raise BadInputError(
            f"{folder}: pictures, not yet a data set: run {command('convert')} {folder} OUT, "
            "and give OUT as --data_path"
        )
    dataset = read_dataset(folder)
    for domain in ("a", "b"):
        if not dataset.num_images("train", domain):
            raise BadInputError(f"{folder}: holds no train{domain.upper()}: convert a source that has it")
    if options.distributed:
        return None
    images = max(dataset.num_images("train", "a"), dataset.num_images("train", "b"))
    return options.schedule(-(-images // options.batch_size)).iteration
