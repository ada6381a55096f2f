#!/usr/bin/env python3
"""Judge a trained pair of generators on testA and testB: pictures, times, KID."""

if __name__ == "__main__":
    from script import start_tool

    start_tool(__file__)

from pathlib import Path

from ugatit_data.commands import command
from ugatit_train.evaluation import evaluate
from ugatit_train.inference.generator import WEIGHTS, WEIGHTS_HELP
from ugatit_train.training import best, runfolder
from ugatit_train.training.log import DIRECTIONS

from .commandline import (
    Parser,
    abandon,
    checking,
    end_when_interrupted,
    filling,
    path,
    refuse_full_folder,
    remove,
    say,
    say_device,
    working,
)
from .sharedoptions import add_device, add_which


def parser() -> Parser:
    made = Parser(
        "evaluate",
        description="Translate testA and testB with a run's generators and say how near the results are to the domain "
        "aimed at: KID with the features of InceptionV3 (--features), otherwise smoke_mmd, a rough substitute. Beside "
        "it stands the figure of the untouched pictures, which a translation must beat.",
        epilog="Examples:\n"
        "  %(prog)s --checkpoint runs/first --out evaluated\n"
        "  %(prog)s --checkpoint runs/first --out evaluated --features inception.ckpt\n"
        "  %(prog)s --checkpoint runs/first --out evaluated --data_path pictures --direction a2b\n\n"
        "OUT gets a2b/ and b2a/ with the pictures, contact_sheet.png with heat maps, and metrics.json.\n"
        f"inception.ckpt is made by {command('import_inception')}. An ONNX file takes float32 (N, 3, 299, 299) in\n"
        "[-1, 1] and gives (N, 2048). The legacy figure in metrics.json is the one that the model zoo and the paper\n"
        "print: 0.98 of the distance to the source and 0.02 of that to the target, halved, times 100.\n\n"
        "Exit code: 0 done, 1 a picture could not be read (the rest is judged) or a failure, 2 bad input.",
    )
    made.add_argument("--checkpoint", type=path, required=True, help="folder of a run, or of one of its checkpoints")
    made.add_argument("--out", type=path, required=True, help="folder for the results; it must not exist, or be empty")
    made.add_argument(
        "--data_path", type=path, help="converted data set, or folder with testA and testB; by default the run's own"
    )
    made.add_argument("--features", type=path, help="InceptionV3 for KID: .ckpt or .onnx; a substitute without it")
    made.add_argument("--direction", choices=("a2b", "b2a", "both"), default="both", help="what to judge")
    add_which(made)
    made.add_argument("--weights", choices=WEIGHTS, help=WEIGHTS_HELP)
    add_device(made)
    return made


def main(argv: list[str]) -> int:
    options = parser().parse_args(argv)
    return judge(
        "evaluate",
        options.checkpoint,
        options.data_path,
        options.out,
        which=options.which,
        inception=options.features,
        directions=DIRECTIONS if options.direction == "both" else (options.direction,),
        weights=options.weights,
        device=(options.device_target, options.device_id),
        compile_cache=options.compile_cache,
    )


def judge(
    tool: str,
    checkpoint: Path,
    data: Path | None,
    out: Path,
    *,
    which: str = "last",
    inception: Path | None,
    directions: tuple[str, ...] = DIRECTIONS,
    weights: str | None = None,
    device: tuple[str, int],
    compile_cache: str,
) -> int:
    """Evaluates a run for `tool`, evaluate or train, into the folder `out`, prints the figures; the exit code.

    `which` is that of `best.choose`, `data` of None is the run's own, `inception` of None the substitute, `weights` of
    None the average if there is one; `device` is its target and number, `compile_cache` auto, off or a folder.
    """
    refuse_full_folder(out, "--eval_outputdir" if tool == "train" else "--out")
    runfolder.check_is_there(checkpoint)
    again = f"the pictures in {out} are whole; given again, it begins anew"

    def clean_up() -> None:
        remove(out, "*.partial")
        abandon(out)

    end_when_interrupted(tool, again, clean_up)
    with checking():
        checkpoint = best.choose(checkpoint, which)
        data = data or evaluate.own_data(checkpoint)
        evaluate.check(data, directions)
    with working(again, memory=f"free some; {again}", where=out), filling(out):
        result = evaluate.evaluate(
            checkpoint, data, out, inception, directions,
            weights=weights, device_target=device[0], device_id=device[1], compile_cache=compile_cache,
            at_work=lambda: say_device(*device),
        )  # fmt: skip
    for name, reason in result["problems"].items():
        say(tool, f"{data}: {name}: {reason}: left out")
    print("\n".join(evaluate.describe(result)))
    print(f"pictures, {evaluate.SHEET_FILE} and {evaluate.METRICS_FILE}: {out}")
    return 1 if result["problems"] else 0
