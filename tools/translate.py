#!/usr/bin/env python3
"""Translate pictures and videos with a trained generator."""

if __name__ == "__main__":
    from script import start_tool

    start_tool(__file__)

import argparse
import dataclasses
import math
import sys
import time

from tqdm import tqdm

from ugatit_data import BadInputError
from ugatit_data.commands import command
from ugatit_train import runtime
from ugatit_train.exchange import engines
from ugatit_train.inference import models, translate
from ugatit_train.inference.generator import WEIGHTS, WEIGHTS_HELP, said_of
from ugatit_train.pictures.files import count_images, find_jobs
from ugatit_train.training import best, runfolder
from ugatit_train.training.checkpoint import find, run_options

from .commandline import (
    Parser,
    abandon,
    checking,
    end_when_interrupted,
    filling,
    path,
    refuse_full_folder,
    remove,
    say_device,
    whole,
    working,
)
from .sharedoptions import add_device, add_sizes, add_which


def parser() -> Parser:
    made = Parser(
        "translate",
        description="Translate pictures, folders of them, or videos (which keep their sound) with a trained generator. "
        "By default every picture is resized to the training's size, as the training data were.",
        epilog="Examples:\n"
        "  %(prog)s photo.jpg --checkpoint runs/first --out translated\n"
        "  %(prog)s photos --checkpoint runs/first --out translated --heatmap --side_by_side\n"
        "  %(prog)s 'photos/**/*.png' --onnx exported/genA2B.onnx --out translated --keep_size\n"
        "  %(prog)s clip.mp4 --mindir exported/genA2B.mindir --out translated --batch 4\n\n"
        "Exit code: 0 done, 1 a picture or video could not be read (the others are translated), 2 bad input.",
    )
    made.add_argument(
        "sources", metavar="SOURCE", type=path, nargs="+", help="pictures, folders, patterns such as 'a/*.png', videos"
    )
    model = made.add_mutually_exclusive_group(required=True)
    model.add_argument("--checkpoint", type=path, help="folder of a run, or of one of its checkpoints")
    model.add_argument("--mindir", type=path, help=f"a MINDIR file that {command('export')} wrote")
    model.add_argument("--onnx", type=path, help=f"an ONNX file that {command('export')} wrote; runs without MindSpore")
    made.add_argument(
        "--out", type=path, required=True, help="folder for the PNG and MP4 files; it must not exist, or be empty"
    )
    made.add_argument("--direction", choices=("a2b", "b2a"), help="from which domain to which; a file's own, or a2b")
    made.add_argument("--weights", choices=WEIGHTS, help=WEIGHTS_HELP)
    add_sizes(made)
    made.add_argument("--heatmap", action="store_true", help="also write where the generator looks (red is most)")
    made.add_argument("--side_by_side", action="store_true", help="also write input and output in one picture")
    made.add_argument("--batch", type=whole(1), default=1, help="pictures of one size that go through together")
    add_which(made)
    made.add_argument(
        "--engine",
        choices=engines.ENGINES,
        default="auto",
        help="what runs a checkpoint's network; auto: on the CPU OpenVINO where it is installed and there are "
        f"{engines.FEW} pictures or fewer, or small or large ones (see the README of the tools), else MindSpore",
    )
    add_device(made)
    return made


def main(argv: list[str]) -> int:
    options = parser().parse_args(argv)
    refuse_full_folder(options.out, "--out")
    if options.checkpoint:
        runfolder.check_is_there(options.checkpoint)
    if options.which == "best" and not options.checkpoint:
        raise BadInputError("--which best goes with --checkpoint: give both, or neither")
    whole_so_far = f"what is in {options.out} so far is whole; given again, it begins anew"

    def clean_up() -> None:
        remove(options.out, "*.partial")
        abandon(options.out)

    end_when_interrupted("translate", whole_so_far, clean_up)
    with checking():
        if options.checkpoint:
            options.checkpoint = best.choose(options.checkpoint, options.which)
        jobs = find_jobs(options.sources, translate.endings(options.heatmap, options.side_by_side))
        total = count_images(jobs)
        engine, why = choose_engine(options, total)
        try:
            opened = open_model(options, engine)
        except engines.TooLargeError:
            if options.engine != "auto":
                raise
            engine, why = "mindspore", f"auto: the weights are too large for {engine}"
            opened = open_model(options, engine)

    if options.onnx:
        say_device("CPU")  # onnxruntime's, whatever --device_target says
    else:
        say_device(options.device_target, options.device_id)
    print(f"engine: {engine} {engines.version(engine)} ({why})", flush=True)
    if options.compile_cache != "auto" and (engine, options.mindir) != ("mindspore", None):
        print("--compile_cache: only --engine mindspore on a checkpoint has compiled networks to keep: not used")
    pace = Pace()
    opened = dataclasses.replace(opened, run=pace.watch(opened.run))
    smaller = "give a smaller --size or --batch, or --tiles"
    with working(whole_so_far, memory=smaller, where=options.out), filling(options.out):
        outcomes = translate_all(options, opened, total)
    problems = sum(bool(outcome.problem) for outcome in outcomes)
    left_out = f", {problems} left out" if problems else ""
    print(f"{len(jobs) - problems} of {len(jobs)} pictures translated into {options.out}{left_out}{pace.said()}")
    if frames := sum(outcome.frames for outcome in outcomes):
        seconds = sum(outcome.seconds for outcome in outcomes)
        print(f"videos: {frames} frames, {frames / seconds:.1f} frames/s, compiling, decoding and encoding included")
    for line in said_of(opened.signature.weights, options.weights):
        print(line)
    return 1 if problems else 0


def translate_all(options: argparse.Namespace, model: models.Model, total: int) -> list[translate.Outcome]:
    """What became of each picture; a progress bar shows the way to `total`, and bad ones are named at once."""

    def report(outcome: translate.Outcome) -> None:
        if outcome.problem:
            tqdm.write(f"{command('translate')}: {outcome.source}: {outcome.problem}: left out", file=sys.stderr)

    with tqdm(total=total, unit="img", disable=not sys.stderr.isatty()) as bar:
        return translate.translate(
            model,
            options.sources,
            options.out,
            size=options.size,
            keep_size=options.keep_size,
            tiles=options.tiles,
            batch=options.batch,
            heatmap=options.heatmap,
            side_by_side=options.side_by_side,
            progress=bar.update,
            report=report,
        )


def choose_engine(options: argparse.Namespace, pictures: int) -> tuple[str, str]:
    """The engine that runs the generator on so many pictures, and why. Raises ModelError: see `engines.choose`."""
    if not options.checkpoint:
        if options.engine != "auto":
            raise BadInputError("--engine goes with --checkpoint: give both, or leave it out")
        return ("onnxruntime", "an ONNX file") if options.onnx else ("mindspore", "a MINDIR file")

    def pixels() -> int | None:
        run = run_options(*find(options.checkpoint))
        if options.keep_size and run.light:
            return None
        high, wide = (options.size if run.light else None) or run.image_size
        return high * wide

    pieces = math.inf if options.tiles else pictures  # how many a picture has is not known here
    return engines.choose(options.engine, options.device_target, pieces, pixels, options.batch)


def open_model(options: argparse.Namespace, engine: str) -> models.Model:
    """The generator that the options name, run by `engine`. Raises ValueError where it cannot be had."""
    if options.onnx:
        opened = models.from_onnx(options.onnx)
    elif engine != "mindspore":
        opened = engines.from_checkpoint(
            engine, options.checkpoint, options.direction or "a2b", options.keep_size, options.weights
        )
    else:
        if options.mindir:
            runtime.let_plain_convolutions_be_fast()
        runtime.setup(options.device_target, options.device_id)  # MindSpore loads here, after the other checks
        if options.mindir:
            opened = models.from_mindir(options.mindir)
        else:
            opened = models.from_checkpoint(
                options.checkpoint,
                options.direction or "a2b",
                options.keep_size,
                options.weights,
                options.compile_cache,
            )
    return models.checked(opened, options.direction, options.weights)


class Pace:
    """Pictures a second of a model, its first call, which compiles, apart."""

    def __init__(self):
        self.first_s: float | None = None
        self.rest_s, self.rest = 0.0, 0

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
