#!/usr/bin/env python
"""Train U-GAT-IT. `tools/train.py --help` lists the options; the work is in ugatit_train/training/loop.py."""

import importlib.util
import os
import sys
import textwrap
from pathlib import Path
from typing import NoReturn

import evaluate as evaluate_tool
from commandline import end_when_interrupted, os_reason, run_tool

from ugatit_data import BadInputError, DataError
from ugatit_data.dataset.manifest import DATASET_FILE, read_dataset
from ugatit_data.storage import StorageError
from ugatit_train import runtime
from ugatit_train.evaluation.evaluate import METRICS_FILE
from ugatit_train.options import arguments, config
from ugatit_train.performance import ceilings, planner
from ugatit_train.training import modelarts


def main(argv: list[str]) -> int:
    try:
        options = arguments.resolve(modelarts.copy_in(arguments.given(argv)))
        if options.phase == "test":
            return judge(options)
        steps = check_data(options)
        check_output(options)
        check_extras(options)
        hosts = runtime.modelarts_hosts() if options.enable_modelarts else runtime.Hosts()
    except StorageError as error:
        return _failed(error, error.exit_code)
    except (DataError, config.OptionError, runtime.DeviceError) as error:
        return _failed(error, 2)
    except OSError as error:
        return _failed(f"{os_reason(error)}: check the path, and that this user may write there", 2)
    print(config.describe(options), end="", flush=True)
    if too_large := planner.warning(options):
        print(f"tools/train.py: {too_large}", file=sys.stderr)
    if options.dry_run:
        print(textwrap.indent(estimate(options, steps), "# "))
        return 0
    if hosts.count * hosts.devices > 1 and not options.distributed:
        start_workers(hosts, argv)

    end_when_interrupted("tools/train.py: interrupted before the first step: run it again")
    # MindSpore loads here, after every check that does not need it
    from ugatit_train.training import checkpoint, loop

    try:
        loop.train(options)
    except (config.OptionError, runtime.DeviceError, checkpoint.CheckpointError) as error:
        return _failed(error, 2)
    except DataError as error:
        return _failed(error, error.exit_code)
    except loop.TrainingError as error:
        return _failed(error, 1)
    except OSError as error:
        # A full disk names no file, and no remedy; the check of the room before the first step names both.
        if error.errno is None:
            return _failed(error, 1)
        where = options.output_path if error.filename is None else error.filename
        return _failed(f"{where}: {error.strerror}: when that is mended, --resume goes on from the last checkpoint", 1)
    except (RuntimeError, MemoryError) as error:
        lack = runtime.lack_of_memory(error)
        if lack is None:
            raise
        return _failed(f"{lack}: {planner.remedy(options)}", 1)
    except KeyboardInterrupt:
        return _failed("interrupted at once: --resume goes on from the last checkpoint, if there is one", 1)
    return 0


def _failed(error: Exception | str, exit_code: int) -> int:
    print(f"tools/train.py: {' '.join(str(error).split())}", file=sys.stderr)
    return exit_code


def judge(options: config.Options) -> int:
    """`--phase test`: tools/evaluate.py, whose results are brought to a folder of --train_url; its exit code."""
    out = Path(options.eval_outputdir or Path(options.output_path) / "test")
    url = options.train_url and f"{options.train_url.rstrip('/')}/{out.name}"
    with modelarts.publishing(out, url, METRICS_FILE):
        code = evaluate_tool.main(evaluate_arguments(options, out))
    if url:
        print(f"brought to {url}")
    return code


def evaluate_arguments(options: config.Options, out: Path) -> list[str]:
    """`--phase test` as a command line of tools/evaluate.py."""
    line = ["--checkpoint", options.load_path or options.output_path, "--data_path", str(options.data_folder)]
    line += ["--out", str(out)]
    line += ["--device_target", options.device_target, "--device_id", str(options.device_id)]
    return [*line, "--features", options.inception_ckpt_path] if options.compute_metrics else line


def check_extras(options: config.Options) -> None:
    """Raises OptionError where an option needs a package that is not installed."""
    if options.tensorboard and importlib.util.find_spec("tensorboardX") is None:
        raise config.OptionError("--tensorboard: tensorboardX is not installed: pip install 'ugatit[tensorboard]'")


def start_workers(hosts: runtime.Hosts, argv: list[str]) -> NoReturn:
    """Become the launcher of this host's part of the workers of a ModelArts job."""
    launcher = Path(__file__).with_name("run_distributed_train.sh")
    cluster = {"WORKER_NUM": hosts.count * hosts.devices, "NODE_RANK": hosts.this, "MASTER_ADDR": hosts.master}
    environment = {name: str(value) for name, value in cluster.items()} | {"PYTHON": sys.executable}
    os.execvpe("bash", ["bash", str(launcher), str(hosts.devices), "0", *argv], os.environ | environment)


def estimate(options: config.Options, steps: int | None) -> str:
    """Memory and time in two lines; the ceiling of this machine is measured for it, a fifth of a second."""
    return planner.describe(options, steps, ceilings.sgemm(0.5) if options.device_target == "CPU" else None)


def check_data(options: config.Options) -> int | None:
    """The steps of the run; None with msrun, where passes are shorter: only the loop knows by how much.

    Raises:
        DataError: there is no data set to train on.
        OptionError: the schedule does not fit it.
    """
    folder = options.data_folder
    if (folder / "trainA").is_dir() and not (folder / DATASET_FILE).exists():
        raise BadInputError(
            f"{folder}: pictures, not yet a data set: run tools/convert_dataset.py {folder} OUT, "
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


def check_output(options: config.Options) -> None:
    """Raises OptionError where no run can be written, or a new one would fall into a folder that is in use."""
    folder, before = Path(options.output_path), Path(options.load_path or options.output_path)
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not there.is_dir():
        raise config.OptionError(f"{there}: is a file: give a folder as --output_path")
    if not os.access(there, os.W_OK | os.X_OK):
        raise config.OptionError(f"{there}: is not writable for this user: give another --output_path")
    if not (options.resume and before == folder) and folder.is_dir() and any(folder.iterdir()):
        remedy = "give"
        if (folder / config.OPTIONS_FILE).exists():
            remedy = (
                "give --resume without --load_path to go on with its run, or"
                if options.resume
                else "give --resume to go on with its run, or"
            )
        raise config.OptionError(f"{folder}: exists and is not empty: {remedy} another --output_path")


if __name__ == "__main__":
    runtime.restart_with_huge_pages()
    run_tool(main)
