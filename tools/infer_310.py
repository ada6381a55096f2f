#!/usr/bin/env python
"""Inference on an Ascend 310 in three steps over binary files: preprocess, run, postprocess."""

import importlib.util
import sys
from collections.abc import Iterable
from pathlib import Path

from commandline import Parser, end_when_interrupted, os_reason, pixels, run_tool, whole
from tqdm import tqdm

from ugatit_data import DataError
from ugatit_train import runtime
from ugatit_train.inference import ascend310, models
from ugatit_train.inference.translate import Outcome

PROG = "tools/infer_310.py"


def main(argv: list[str]) -> int:
    parser = Parser(
        prog=PROG,
        description="Inference on an Ascend 310 in three steps over binary files, in the layout of the model zoo: "
        "pictures to float32 files, those through a MINDIR file, its outputs to pictures.",
        epilog="Examples:\n"
        "  tools/infer_310.py preprocess --data_path photos --bifile_inputdir bifile_in\n"
        "  tools/infer_310.py run --mindir_path exported/genA2B.mindir --bifile_inputdir bifile_in \\\n"
        "      --bifile_outputdir bifile_out\n"
        "  tools/infer_310.py postprocess --bifile_outputdir bifile_out --eval_outputdir infer_output_img\n"
        "  tools/run_infer_310.sh exported/genA2B.mindir photos 0      all three\n\n"
        "Give all three the same --img_size and --img_ch. `run` uses mindspore_lite on the card where that is\n"
        "installed, and MindSpore on the CPU elsewhere. For a card, export with tools/export.py --static.\n\n"
        "Exit code: 0 done, 1 a file could not be read (the others are done) or written, 2 bad input.",
    )
    parser.add_argument("step", choices=tuple(STEPS), help="which step")
    parser.add_argument("--data_path", type=Path, help="preprocess: picture or folder of pictures")
    parser.add_argument("--mindir_path", type=Path, help="run: the MINDIR file")
    parser.add_argument(
        "--bifile_inputdir", type=Path, default=Path("bifile_in"), help="folder of the pictures as <name>.bin"
    )
    parser.add_argument(
        "--bifile_outputdir", type=Path, default=Path("bifile_out"), help="folder of the model's outputs, <name>_0.bin"
    )
    parser.add_argument(
        "--eval_outputdir", type=Path, default=Path("infer_output_img"), help="postprocess: folder for the pictures"
    )
    parser.add_argument(
        "--time_resultdir",
        type=Path,
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
    options = parser.parse_args(argv)
    end_when_interrupted(f"{PROG}: interrupted: remove what it wrote, and run it again")
    try:
        return STEPS[options.step](parser, options)
    except (DataError, models.ModelError, runtime.DeviceError) as error:
        parser.refuse(str(error))
    except OSError as error:
        print(f"{PROG}: {os_reason(error)}: run it again when that is mended", file=sys.stderr)
        return 1


def preprocess(parser: Parser, options) -> int:
    if options.data_path is None:
        parser.refuse("preprocess needs --data_path, a picture or a folder of pictures")
    need_room(parser, "bifile_inputdir", options.bifile_inputdir)
    outcomes = ascend310.preprocess(options.data_path, options.bifile_inputdir, options.img_size, options.img_ch)
    return report(outcomes, options.bifile_inputdir)


def run(parser: Parser, options) -> int:
    if options.mindir_path is None or not options.mindir_path.is_file():
        parser.refuse(f"run needs --mindir_path, the file that tools/export.py wrote, not {options.mindir_path}")
    need_room(parser, "bifile_outputdir", options.bifile_outputdir)
    ascend310.binary_files(options.bifile_inputdir)
    installed = importlib.util.find_spec("mindspore_lite") is not None
    target = options.device_target or ("Ascend" if installed else "CPU")
    shape = (1, options.img_ch, *options.img_size)
    if target == "Ascend":
        if not installed:
            parser.refuse("--device_target Ascend needs mindspore_lite, which is not installed here: give CPU")
        where = f"mindspore_lite on Ascend {options.device_id}"
        runner = ascend310.lite_runner(options.mindir_path, options.device_id, shape)
    else:
        where = "MindSpore on the CPU" + ("" if installed else " (mindspore_lite is not installed)")
        runtime.let_plain_convolutions_be_fast()
        runtime.setup("CPU")
        runner = ascend310.cpu_runner(options.mindir_path, shape)

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
        (options.time_resultdir / ascend310.TIME_FILE).write_text(f"{line}\n")
        print(f"{where}: {line}")
    return code


def postprocess(parser: Parser, options) -> int:
    need_room(parser, "eval_outputdir", options.eval_outputdir)
    ascend310.binary_files(options.bifile_outputdir, "_0.bin")
    outcomes = ascend310.postprocess(
        options.bifile_outputdir,
        options.eval_outputdir,
        options.img_size,
        options.img_ch,
        f".{options.image_format}",
    )
    return report(outcomes, options.eval_outputdir)


STEPS = {"preprocess": preprocess, "run": run, "postprocess": postprocess}


def need_room(parser: Parser, name: str, folder: Path) -> None:
    """Refuse an output folder that holds something."""
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        parser.refuse(f"{folder} exists and is not an empty folder: remove it, or give another --{name}")


def report(outcomes: Iterable[Outcome], out: Path) -> int:
    """Go through a step's outcomes, name the problems; the exit code."""
    done = problems = 0
    for outcome in tqdm(outcomes, unit="file", disable=not sys.stderr.isatty()):
        if outcome.problem:
            problems += 1
            tqdm.write(f"{PROG}: {outcome.source}: {outcome.problem}: left out", file=sys.stderr)
        else:
            done += 1
    print(f"{done} of {done + problems} files: {out}")
    return 1 if problems else 0


if __name__ == "__main__":
    run_tool(main)
