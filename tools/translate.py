#!/usr/bin/env python3
"""Translate pictures and videos with a trained generator."""

if __name__ == "__main__":
    from script import start_tool

    start_tool(__file__)

import argparse
import dataclasses
import sys
import time

from tqdm import tqdm

from ugatit_data.commands import command
from ugatit_train.exchange import engines
from ugatit_train.inference import models, translate
from ugatit_train.inference.generator import said_of
from ugatit_train.pictures.files import count_images, find_jobs
from ugatit_train.training.checkpoint import GENERATORS

from .commandline import (
    Parser,
    abandon,
    checking,
    end_when_interrupted,
    filling,
    path,
    refuse_full_folder,
    remove,
    whole,
    working,
)
from .opening import add_generator, check_generator, choose_engine, open_generators, say_engine
from .sharedoptions import add_device, add_sizes


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
    made.add_argument(
        "--out", type=path, required=True, help="folder for the PNG and MP4 files; it must not exist, or be empty"
    )
    made.add_argument("--direction", choices=tuple(GENERATORS), help="from which domain to which; a file's own, or a2b")
    add_sizes(made)
    made.add_argument("--heatmap", action="store_true", help="also write where the generator looks (red is most)")
    made.add_argument("--side_by_side", action="store_true", help="also write input and output in one picture")
    made.add_argument("--batch", type=whole(1), default=1, help="pictures of one size that go through together")
    add_generator(
        made,
        auto=f"on the CPU OpenVINO where it is installed and there are {engines.FEW} pictures or fewer, or small or "
        "large ones (see the README of the tools), else MindSpore",
    )
    add_device(made)
    return made


def main(argv: list[str]) -> int:
    options = parser().parse_args(argv)
    refuse_full_folder(options.out, "--out")
    check_generator(options)
    whole_so_far = f"what is in {options.out} so far is whole; given again, it begins anew"

    def clean_up() -> None:
        remove(options.out, "*.partial")
        abandon(options.out)

    end_when_interrupted("translate", whole_so_far, clean_up)
    with checking():
        jobs = find_jobs(options.sources, translate.endings(options.heatmap, options.side_by_side))
        total = count_images(jobs)
        chosen = choose_engine(options, total, options.batch)
        [opened], engine, why = open_generators(options, [options.direction], *chosen)

    say_engine(options, engine, why)
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


def translate_all(options: argparse.Namespace, model: models.Model, total: float) -> list[translate.Outcome]:
    """What became of each picture; a progress bar shows the way to `total`, if it is no inf; bad ones are named."""

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
