#!/usr/bin/env python3
"""Translate pictures on an Ascend 310, in three steps over binary files."""

if __name__ == "__main__":
    from script import start_tool

    start_tool(__file__)

import argparse
import importlib.util
import sys
from collections.abc import Iterable
from pathlib import Path

from tqdm import tqdm

from ugatit_data import BadInputError
from ugatit_data.commands import command
from ugatit_data.files import write_whole
from ugatit_train import runtime
from ugatit_train.inference import ascend310
from ugatit_train.inference.translate import Outcome

from .commandline import (
    Parser,
    abandon,
    checking,
    end_when_interrupted,
    filling,
    path,
    pixels,
    refuse_full_folder,
    say_device,
    whole,
    working,
)

TOOL = "infer_310"


def main(argv: list[str]) -> int:
    parser = Parser(
        TOOL,
        description="Inference on an Ascend 310 in three steps over binary files, in the layout of the model zoo: "
        "pictures to float32 files, those through a MINDIR file, its outputs to pictures.",
        epilog="Examples:\n"
        "  %(prog)s preprocess --data_path photos --bifile_inputdir bifile_in\n"
        "  %(prog)s run --mindir_path exported/genA2B.mindir --bifile_inputdir bifile_in \\\n"
        "      --bifile_outputdir bifile_out\n"
        "  %(prog)s postprocess --bifile_outputdir bifile_out --eval_outputdir infer_output_img\n"
        "  tools/run_infer_310.sh exported/genA2B.mindir photos 0      all three, in a clone\n\n"
        "Give all three the same --img_size and --img_ch. `run` uses mindspore_lite on the card where that is\n"
        f"installed, and MindSpore on the CPU elsewhere. For a card, export with {command('export')} --static.\n\n"
        "Exit code: 0 done, 1 a file could not be read (the others are done) or written, 2 bad input.",
    )
    parser.add_argument("step", choices=tuple(STEPS), help="which step")
    parser.add_argument("--data_path", type=path, help="preprocess: picture or folder of pictures")
    parser.add_argument("--mindir_path", type=path, help="run: the MINDIR file")
    parser.add_argument(
        "--bifile_inputdir", type=path, default=Path("bifile_in"), help="folder of the pictures as <name>.bin"
    )
    parser.add_argument(
        "--bifile_outputdir", type=path, default=Path("bifile_out"), help="folder of the model's outputs, <name>_0.bin"
    )
    parser.add_argument(
        "--eval_outputdir", type=path, default=Path("infer_output_img"), help="postprocess: folder for the pictures"
    )
    parser.add_argument(
        "--time_resultdir",
        type=path,
        default=Path("time_Result"),
        help="run: folder for the file with the average time",
    )
    parser.add_argument("--img_size", type=pixels, default=(256, 256), help="pixels, 256 or 128x256 (default: 256)")
    parser.add_argument("--img_ch", type=int, choices=(3, 1), default=3, help="channels: 3 RGB, 1 gray")
    parser.add_argument(
        "--image_format", choices=("jpg", "png"), default="jpg", help="postprocess: kind of the pictures"
    )
    parser.add_argument("--device_target", choices=("Ascend", "CPU"), help="run: by default what is installed here")
    parser.add_argument("--device_id", type=whole(0), default=0, help="run: number of the card")
    parser.add_argument(
        "--precision_mode",
        choices=ascend310.PRECISION_MODES,
        default=ascend310.PRECISION_MODES[0],
        help="run: MindSpore Lite's, on a card; its own default is enforce_fp16",
    )
    options = parser.parse_args(argv)
    step, into = STEPS[options.step]
    folder = getattr(options, into)
    end_when_interrupted(TOOL, "run it again", lambda: abandon(folder))
    with checking(), working("run it again when that is mended", where=folder):
        refuse_full_folder(folder, f"--{into}")
        with filling(folder):
            return step(options)


def preprocess(options: argparse.Namespace) -> int:
    if options.data_path is None:
        raise BadInputError("preprocess needs --data_path, a picture or a folder of pictures")
    outcomes = ascend310.preprocess(options.data_path, options.bifile_inputdir, options.img_size, options.img_ch)
    return report(outcomes, options.bifile_inputdir)


def run(options: argparse.Namespace) -> int:
    if options.mindir_path is None or not options.mindir_path.is_file():
        raise BadInputError(
            f"run needs --mindir_path, the file that {command('export')} wrote, not {options.mindir_path}"
        )
    ascend310.binary_files(options.bifile_inputdir)
    installed = importlib.util.find_spec("mindspore_lite") is not None
    target = options.device_target or ("Ascend" if installed else "CPU")
    shape = (1, options.img_ch, *options.img_size)
    if target == "Ascend":
        if not installed:
            raise BadInputError("--device_target Ascend needs mindspore_lite, which is not installed here: give CPU")
        where = f"mindspore_lite on Ascend {options.device_id}"
        runner = ascend310.lite_runner(options.mindir_path, options.device_id, shape, options.precision_mode)
    else:
        where = "MindSpore on the CPU" + ("" if installed else " (mindspore_lite is not installed)")
        runtime.let_plain_convolutions_be_fast()
        runtime.setup("CPU")
        runner = ascend310.cpu_runner(options.mindir_path, shape)

    say_device(target, options.device_id)
    seconds = []

    def timed() -> Iterable[Outcome]:
        for outcome, took in ascend310.infer(runner, options.bifile_inputdir, options.bifile_outputdir, shape):
            if not outcome.problem:
                seconds.append(took)
            yield outcome

    code = report(timed(), options.bifile_outputdir)
    if seconds:
        line = ascend310.time_line(seconds)
        options.time_resultdir.mkdir(parents=True, exist_ok=True)
        write_whole(options.time_resultdir / ascend310.TIME_FILE, f"{line}\n")
        print(f"{where}: {line}")
    return code


def postprocess(options: argparse.Namespace) -> int:
    ascend310.binary_files(options.bifile_outputdir, "_0.bin")
    outcomes = ascend310.postprocess(
        options.bifile_outputdir,
        options.eval_outputdir,
        options.img_size,
        options.img_ch,
        f".{options.image_format}",
    )
    return report(outcomes, options.eval_outputdir)


STEPS = {  # each with the option that names the folder that it fills
    "preprocess": (preprocess, "bifile_inputdir"),
    "run": (run, "bifile_outputdir"),
    "postprocess": (postprocess, "eval_outputdir"),
}


def report(outcomes: Iterable[Outcome], out: Path) -> int:
    """Go through a step's outcomes, name the problems; the exit code."""
    done = problems = 0
    for outcome in tqdm(outcomes, unit="file", disable=not sys.stderr.isatty()):
        if outcome.problem:
            problems += 1
            tqdm.write(f"{command(TOOL)}: {outcome.source}: {outcome.problem}: left out", file=sys.stderr)
        else:
            done += 1
    print(f"{done} of {done + problems} files: {out}")
    return 1 if problems else 0
