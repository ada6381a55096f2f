#!/usr/bin/env python
"""Translate a picture, or a folder of them, with a trained generator."""

import signal
import sys
from pathlib import Path

from commandline import Parser, whole
from tqdm import tqdm

from ugatit_data import DataError
from ugatit_train import translate


def main(argv: list[str]) -> int:
    parser = Parser(
        prog="tools/translate.py",
        description="Translate a picture, or every picture of a folder, with a trained generator.",
        epilog="Examples:\n"
        "  tools/translate.py photo.jpg --checkpoint runs/first --out translated\n"
        "  tools/translate.py photos --checkpoint runs/first --out translated --heatmap --side_by_side\n\n"
        "Exit code: 0 done, 1 a picture could not be read (the others are translated), 2 bad input.",
    )
    parser.add_argument("source", metavar="PICTURE_OR_FOLDER", type=Path, help="what to translate, of any size")
    parser.add_argument("--checkpoint", type=Path, required=True, help="folder of a run, or of one of its checkpoints")
    parser.add_argument(
        "--out", type=Path, required=True, help="folder for the PNG files; it must not exist, or be empty"
    )
    parser.add_argument("--direction", choices=("a2b", "b2a"), default="a2b", help="from which domain to which")
    parser.add_argument("--heatmap", action="store_true", help="also write where the generator looks (red is most)")
    parser.add_argument("--side_by_side", action="store_true", help="also write input and output in one picture")
    parser.add_argument("--device_target", choices=("CPU", "GPU", "Ascend"), default="CPU", help="device to run on")
    parser.add_argument("--device_id", type=whole(0), default=0, help="number of the device")
    options = parser.parse_args(argv)

    if options.out.is_file() or (options.out.is_dir() and any(options.out.iterdir())):
        parser.refuse(f"{options.out} exists and is not an empty folder: give another --out")
    if not options.checkpoint.is_dir():
        parser.refuse(f"{options.checkpoint}: no such folder: give a run's --output_path as --checkpoint")
    try:
        count = len(translate.find_pictures(options.source))
        # MindSpore loads here, after every check that does not need it
        from ugatit_train import checkpoint, runtime

        runtime.setup(options.device_target, options.device_id)
        generator, trained = checkpoint.load_generator(options.checkpoint, options.direction)
    except (DataError, ValueError, OSError) as error:
        parser.refuse(str(error))

    problems = 0
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # once loaded, MindSpore turns Ctrl-C into SIGTERM
    try:
        outcomes = translate.translate(
            translate.from_cell(generator),
            options.source,
            options.out,
            img_size=trained.image_size,
            img_ch=trained.img_ch,
            heatmap=options.heatmap,
            side_by_side=options.side_by_side,
        )
        for outcome in tqdm(outcomes, total=count, unit="picture", disable=not sys.stderr.isatty()):
            if outcome.problem:
                problems += 1
                tqdm.write(f"{parser.prog}: {outcome.source}: {outcome.problem}: left out", file=sys.stderr)
    except (OSError, KeyboardInterrupt) as error:
        reason = str(error) or "interrupted"
        print(f"{parser.prog}: {reason}: what is in {options.out} so far is whole", file=sys.stderr)
        return 1
    print(f"{count - problems} of {count} pictures translated into {options.out}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
