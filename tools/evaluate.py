#!/usr/bin/env python
"""Judge a trained pair of generators on testA and testB: pictures, times, and KID against the domain aimed at."""

import sys
from pathlib import Path

from commandline import Parser, end_when_interrupted, os_reason, run_tool, whole

from ugatit_data import DataError
from ugatit_train import runtime
from ugatit_train.evaluation import evaluate, features


def main(argv: list[str]) -> int:
    parser = Parser(
        prog="tools/evaluate.py",
        description="Translate testA and testB with a run's generators and say how near the results are to the domain "
        "aimed at: KID with the features of InceptionV3 (--features), otherwise smoke_mmd, a rough substitute. Beside "
        "it stands the figure of the untouched pictures, which a translation must beat.",
        epilog="Examples:\n"
        "  tools/evaluate.py --checkpoint runs/first --out evaluated\n"
        "  tools/evaluate.py --checkpoint runs/first --out evaluated --features inception.ckpt\n"
        "  tools/evaluate.py --checkpoint runs/first --out evaluated --data_path pictures --direction a2b\n\n"
        "OUT gets a2b/ and b2a/ with the pictures, contact_sheet.png with heat maps, and metrics.json.\n"
        "inception.ckpt is made by tools/import_inception.py. An ONNX file takes float32 (N, 3, 299, 299) in [-1, 1]\n"
        "and gives (N, 2048). The legacy figure in metrics.json is the one that the model zoo and the paper print:\n"
        "0.98 of the distance to the source and 0.02 of that to the target, halved, times 100.\n\n"
        "Exit code: 0 done, 1 a picture could not be read (the rest is judged) or a failure, 2 bad input.",
    )
    parser.add_argument("--checkpoint", type=Path, required=True, help="folder of a run, or of one of its checkpoints")
    parser.add_argument(
        "--out", type=Path, required=True, help="folder for the results; it must not exist, or be empty"
    )
    parser.add_argument(
        "--data_path", type=Path, help="converted data set, or folder with testA and testB; by default the run's own"
    )
    parser.add_argument("--features", type=Path, help="InceptionV3 for KID: .ckpt or .onnx; a substitute without it")
    parser.add_argument("--direction", choices=("a2b", "b2a", "both"), default="both", help="what to judge")
    parser.add_argument("--device_target", choices=runtime.DEVICE_TARGETS, default="CPU", help="device to run on")
    parser.add_argument("--device_id", type=whole(0), default=0, help="number of the device")
    options = parser.parse_args(argv)
    directions = evaluate.DIRECTIONS if options.direction == "both" else (options.direction,)

    if options.out.is_file() or (options.out.is_dir() and any(options.out.iterdir())):
        parser.refuse(f"{options.out} exists and is not an empty folder: give another --out")
    if not options.checkpoint.is_dir():
        parser.refuse(f"{options.checkpoint}: no such folder: give a run's --output_path as --checkpoint")
    whole_so_far = f"the pictures in {options.out} are whole: give another --out"
    end_when_interrupted(
        f"{parser.prog}: interrupted: {whole_so_far}",
        lambda: [path.unlink() for path in options.out.rglob("*.partial")],
    )
    try:
        data = options.data_path or evaluate.own_data(options.checkpoint)
        evaluate.check(data, directions)
        runtime.setup(options.device_target, options.device_id)  # MindSpore loads here
        extractor = features.open_features(options.features)
    except (DataError, ValueError, OSError) as error:
        parser.refuse(str(error))

    try:
        result = evaluate.evaluate(
            options.checkpoint, data, options.out, extractor, directions,
            device_target=options.device_target, device_id=options.device_id,
        )  # fmt: skip
    except ValueError as error:  # no good checkpoint: nothing was written
        parser.refuse(str(error))
    except DataError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        print(f"{parser.prog}: {os_reason(error)}: {whole_so_far}", file=sys.stderr)
        return 1
    except (RuntimeError, MemoryError) as error:
        lack = runtime.lack_of_memory(error)
        if lack is None:
            raise
        print(
            f"{parser.prog}: {lack}: free some; {whole_so_far}",
            file=sys.stderr,
        )
        return 1
    for name, reason in result["problems"].items():
        print(f"{parser.prog}: {data}: {name}: {reason}: left out", file=sys.stderr)
    print("\n".join(evaluate.describe(result)))
    print(f"pictures, {evaluate.SHEET_FILE} and {evaluate.METRICS_FILE}: {options.out}")
    return 1 if result["problems"] else 0


if __name__ == "__main__":
    run_tool(main)
