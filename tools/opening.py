"""The options that name a trained generator and what runs it, and the opening of it, for `translate` and `serve`."""

import argparse
import math
from collections.abc import Sequence

from ugatit_data import BadInputError
from ugatit_data.commands import command
from ugatit_train import runtime
from ugatit_train.exchange import engines
from ugatit_train.inference import models
from ugatit_train.inference.generator import WEIGHTS, WEIGHTS_HELP
from ugatit_train.training import best, runfolder
from ugatit_train.training.checkpoint import find, run_options

from .commandline import Parser, path, say_device
from .sharedoptions import add_which


def add_generator(parser: Parser, *, auto: str) -> None:
    """Adds `--checkpoint`, `--mindir` or `--onnx`, `--weights`, `--which` and `--engine`, whose `auto` is told so."""
    model = parser.add_mutually_exclusive_group(required=True)
    model.add_argument("--checkpoint", type=path, help="folder of a run, or of one of its checkpoints")
    model.add_argument("--mindir", type=path, help=f"a MINDIR file that {command('export')} wrote")
    model.add_argument("--onnx", type=path, help=f"an ONNX file that {command('export')} wrote; runs without MindSpore")
    parser.add_argument("--weights", choices=WEIGHTS, help=WEIGHTS_HELP)
    add_which(parser)
    parser.add_argument(
        "--engine", choices=engines.ENGINES, default="auto", help=f"what runs a checkpoint's network; auto: {auto}"
    )


def check_generator(options: argparse.Namespace) -> None:
    """Raises a UgatitError or DataError where the run is not there, or options contradict each other."""
    if options.checkpoint:
        runfolder.check_is_there(options.checkpoint)
    elif options.which == "best":
        raise BadInputError("--which best is for --checkpoint; an exported file holds one generator: leave --which out")
    elif options.engine != "auto":
        raise BadInputError(
            "--engine is for --checkpoint; an ONNX file runs by onnxruntime, a MINDIR file by MindSpore: "
            "leave --engine out"
        )


def choose_engine(options: argparse.Namespace, pictures: float, batch: int = 1) -> tuple[str, str]:
    """The engine that runs the generator on so many pictures, inf where a video does not tell its length, and why.

    Raises ModelError: see `engines.choose`.
    """
    if not options.checkpoint:
        return ("onnxruntime", "an ONNX file") if options.onnx else ("mindspore", "a MINDIR file")

    def pixels() -> int | None:
        run = run_options(*find(best.choose(options.checkpoint, options.which)))
        if options.keep_size and run.light:
            return None
        high, wide = (options.size if run.light else None) or run.image_size
        return high * wide

    pieces = math.inf if options.tiles else pictures  # how many a picture has is not known here
    many = "many pictures" if pictures < math.inf else "a video of unknown length"
    many = "--tiles" if options.tiles else many
    return engines.choose(options.engine, options.device_target, pieces, pixels, batch, many)


def open_generators(
    options: argparse.Namespace, directions: Sequence[str | None], engine: str, why: str
) -> tuple[list[models.Model], str, str]:
    """The generator of each direction, None being a file's own or a2b; the engine that runs them, and why.

    Weights that are too large for an engine that `auto` took go to MindSpore.

    Raises:
        ValueError, UgatitError: a generator cannot be had.
    """
    try:
        opened = _opened(options, directions, engine)
    except engines.TooLargeError:
        if options.engine != "auto":
            raise
        engine, why = "mindspore", f"auto: the weights are too large for {engine}"
        opened = _opened(options, directions, engine)
    return [models.checked(*pair, options.weights) for pair in zip(opened, directions, strict=True)], engine, why


def _opened(options: argparse.Namespace, directions: Sequence[str | None], engine: str) -> list[models.Model]:
    if options.onnx:
        return [models.from_onnx(options.onnx) for _ in directions]
    if options.mindir:
        runtime.let_plain_convolutions_be_fast()
        runtime.setup(options.device_target, options.device_id)  # MindSpore loads here, after the other checks
        return [models.from_mindir(options.mindir) for _ in directions]
    folder = best.choose(options.checkpoint, options.which)
    wanted = [(folder, direction or "a2b", options.keep_size, options.weights) for direction in directions]
    if engine != "mindspore":
        return [engines.from_checkpoint(engine, *one) for one in wanted]
    runtime.setup(options.device_target, options.device_id)
    return [models.from_checkpoint(*one, options.compile_cache) for one in wanted]


def say_engine(options: argparse.Namespace, engine: str, why: str, before: str = "") -> None:
    """Prints the device, behind `before`, then the engine and why it was taken, and an option that does nothing."""
    if options.onnx:
        say_device("CPU", before=before)  # onnxruntime's, whatever --device_target says
    else:
        say_device(options.device_target, options.device_id, before=before)
    print(f"engine: {engine} {engines.version(engine)} ({why})", flush=True)
    if options.compile_cache != "auto" and (engine, options.mindir) != ("mindspore", None):
        print("--compile_cache: only --engine mindspore on a checkpoint has compiled networks to keep: not used")
