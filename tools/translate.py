#!/usr/bin/env python
"""Translate pictures and videos with a trained generator."""

import dataclasses
import sys
import time
from pathlib import Path

from commandline import Parser, end_when_interrupted, os_reason, pixels, run_tool, whole
from tqdm import tqdm

from ugatit_data import DataError
from ugatit_train import runtime
from ugatit_train.inference import models, translate
from ugatit_train.pictures.files import count_images, find_jobs


def main(argv: list[str]) -> int:
    parser = Parser(
        prog="tools/translate.py",
        description="Translate pictures, folders of them, or videos (without their sound) with a trained generator. "
        "By default every picture is resized to the training's size, as the training data were.",
        epilog="Examples:\n"
        "  tools/translate.py photo.jpg --checkpoint runs/first --out translated\n"
        "  tools/translate.py photos --checkpoint runs/first --out translated --heatmap --side_by_side\n"
        "  tools/translate.py 'photos/**/*.png' --onnx exported/genA2B.onnx --out translated --keep_size\n"
        "  tools/translate.py clip.mp4 --mindir exported/genA2B.mindir --out translated --batch 4\n\n"
        "Exit code: 0 done, 1 a picture could not be read (the others are translated), 2 bad input.",
    )
    parser.add_argument(
        "sources", metavar="SOURCE", type=Path, nargs="+", help="pictures, folders, patterns such as 'a/*.png', videos"
    )
    model = parser.add_mutually_exclusive_group(required=True)
    model.add_argument("--checkpoint", type=Path, help="folder of a run, or of one of its checkpoints")
    model.add_argument("--mindir", type=Path, help="a MINDIR file that tools/export.py wrote")
    model.add_argument("--onnx", type=Path, help="an ONNX file that tools/export.py wrote; runs without MindSpore")
    parser.add_argument(
        "--out", type=Path, required=True, help="folder for the PNG and MP4 files; it must not exist, or be empty"
    )
    parser.add_argument("--direction", choices=("a2b", "b2a"), help="from which domain to which; a file's own, or a2b")
    size = parser.add_mutually_exclusive_group()
    size.add_argument(
        "--size",
        type=pixels,
        help="pixels of the outputs, 256 or 128x256: a light model works at it, a full one's are resized",
    )
    size.add_argument(
        "--keep_size",
        action="store_true",
        help="keep every picture's size: a light model takes it whole, a full one's output is resized to it",
    )
    size.add_argument(
        "--tiles",
        action="store_true",
        help="keep every picture's size and detail: overlapping parts of the training's size, blended",
    )
    parser.add_argument("--heatmap", action="store_true", help="also write where the generator looks (red is most)")
    parser.add_argument("--side_by_side", action="store_true", help="also write input and output in one picture")
    parser.add_argument("--batch", type=whole(1), default=1, help="pictures of one size that go through together")
    parser.add_argument("--device_target", choices=runtime.DEVICE_TARGETS, default="CPU", help="device to run on")
    parser.add_argument("--device_id", type=whole(0), default=0, help="number of the device")
    options = parser.parse_args(argv)

    if options.out.is_file() or (options.out.is_dir() and any(options.out.iterdir())):
        parser.refuse(f"{options.out} exists and is not an empty folder: give another --out")
    if options.checkpoint and not options.checkpoint.is_dir():
        parser.refuse(f"{options.checkpoint}: no such folder: give a run's --output_path as --checkpoint")
    end_when_interrupted(
        f"{parser.prog}: interrupted: what is in {options.out} so far is whole",
        lambda: [path.unlink() for path in options.out.rglob("*.partial*")],
    )
    try:
        jobs = find_jobs(options.sources)
        opened = open_model(options)
    except (DataError, ValueError, OSError) as error:
        parser.refuse(str(error))

    total = count_images(jobs)
    pace = Pace()
    try:
        with tqdm(total=total, unit="img", disable=not sys.stderr.isatty()) as bar:
            outcomes = translate.translate(
                dataclasses.replace(opened, run=pace.watch(opened.run)),
                options.sources,
                options.out,
                size=options.size,
                keep_size=options.keep_size,
                tiles=options.tiles,
                batch=options.batch,
                heatmap=options.heatmap,
                side_by_side=options.side_by_side,
                progress=bar.update,
                report=lambda outcome: report(parser.prog, outcome),
            )
    except models.ModelError as error:
        parser.refuse(str(error))
    except OSError as error:
        print(f"{parser.prog}: {os_reason(error)}: what is in {options.out} so far is whole", file=sys.stderr)
        return 1
    except (RuntimeError, MemoryError) as error:
        lack = runtime.lack_of_memory(error)
        if lack is None:
            raise
        print(f"{parser.prog}: {lack}: give a smaller --size or --batch, or --tiles", file=sys.stderr)
        return 1
    problems = sum(bool(outcome.problem) for outcome in outcomes)
    left_out = f", {problems} left out" if problems else ""
    print(f"{len(jobs) - problems} of {len(jobs)} pictures translated into {options.out}{left_out}{pace.said()}")
    return 1 if problems else 0


def report(prog: str, outcome: translate.Outcome) -> None:
    if outcome.problem:
        tqdm.write(f"{prog}: {outcome.source}: {outcome.problem}: left out", file=sys.stderr)


def open_model(options) -> models.Model:
    """The generator that the options name. Raises ValueError where it cannot be had."""
    if options.onnx:
        opened = models.from_onnx(options.onnx)
    else:
        if options.mindir:
            runtime.let_plain_convolutions_be_fast()
        runtime.setup(options.device_target, options.device_id)  # MindSpore loads here, after the other checks
        if options.mindir:
            opened = models.from_mindir(options.mindir)
        else:
            opened = models.from_checkpoint(options.checkpoint, options.direction or "a2b", any_size=options.keep_size)
    if options.direction not in (None, opened.signature.direction):
        raise models.ModelError(
            f"--direction {options.direction}: this file holds {opened.signature.direction}: export the other one"
        )
    return opened


class Pace:
    """Pictures a second of a model, its first call, which compiles, apart."""

    def __init__(self):
        self.first_s, self.rest_s, self.rest = None, 0.0, 0

    def watch(self, run: models.Translator) -> models.Translator:
        def timed(x):
            began = time.perf_counter()
            made = run(x)
            took = time.perf_counter() - began
            if self.first_s is None:
                self.first_s = took
            else:
                self.rest_s, self.rest = self.rest_s + took, self.rest + len(x)
            return made

        return timed

    def said(self) -> str:
        if self.first_s is None:
            return ""
        first = f"; first call {self.first_s:.1f} s"
        return f"{first}, then {self.rest / self.rest_s:.1f} images/s in the network" if self.rest else first


if __name__ == "__main__":
    run_tool(main)
