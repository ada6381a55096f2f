#!/usr/bin/env python3
"""Write a trained generator as a MINDIR, ONNX or AIR file, and compare it."""

if __name__ == "__main__":
    from script import start_tool

    start_tool(__file__)

import argparse
import contextlib
import importlib.util
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ugatit_data import BadInputError
from ugatit_data.errors import RejectedImageError
from ugatit_train import runtime
from ugatit_train.exchange import export, modelzoo
from ugatit_train.inference import models
from ugatit_train.inference.generator import WEIGHTS, WEIGHTS_HELP, said_of
from ugatit_train.pictures import drawing
from ugatit_train.pictures.files import find_pictures, read_picture
from ugatit_train.training import best, runfolder
from ugatit_train.training.checkpoint import GENERATORS, CheckpointError

from .commandline import (
    Failure,
    Parser,
    checking,
    end_when_interrupted,
    path,
    pixels,
    say,
    say_device,
    working,
)
from .sharedoptions import add_device, add_which

COUNT = 5  # pictures to compare with


def parser() -> Parser:
    made = Parser(
        "export",
        description="Write a trained generator as a MINDIR, ONNX or AIR file, read it back and compare it with the "
        f"checkpoint's network. A difference above {export.BOUND} is an error, and leaves no file.",
        epilog="Examples:\n"
        "  %(prog)s --checkpoint runs/first --out exported --export_file_format ONNX\n"
        "  %(prog)s --checkpoint runs/first --out exported --direction b2a --static --pictures photos\n"
        "  %(prog)s --genA2B_ckpt results/selfie2anime_genA2B_params_latest.ckpt --out exported\n\n"
        "MINDIR and ONNX files take any number of pictures, those of a light model any size (a multiple of 4).\n"
        "Weights of more than 1 GB lie beside the file: keep them together. AIR is written on Ascend only.\n\n"
        "Exit code: 0 done, 1 the file differs or could not be written, 2 bad input.",
    )
    source = made.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--checkpoint",
        "--genA2B_ckpt",
        type=path,
        help="folder of a run, or of one of its checkpoints; or a generator's file of the model zoo's U-GAT-IT",
    )
    source.add_argument("--genB2A_ckpt", type=path, help="the same with --direction b2a")
    made.add_argument(
        "--out", "--MINDIR_outdir", type=path, default=Path("exported"), help="folder for genA2B.* or genB2A.*"
    )
    made.add_argument(
        "--export_file_format", "--format", choices=tuple(export.SUFFIXES), default="MINDIR", help="kind of the file"
    )
    made.add_argument("--direction", choices=tuple(GENERATORS), default="a2b", help="which of the two generators")
    made.add_argument("--weights", choices=WEIGHTS, help=WEIGHTS_HELP)
    made.add_argument(
        "--size", type=pixels, help="fix height and width, in pixels: 256 or 128x256; else a light model's stay open"
    )
    made.add_argument("--static", action="store_true", help="fix the input: one picture of --size or the training's")
    made.add_argument(
        "--pictures", type=path, help=f"compare on the first {COUNT} of these that can be read, not on random ones"
    )
    add_which(made)
    add_device(made)
    return made


def main(argv: list[str]) -> int:
    options = parser().parse_args(argv)
    if options.genB2A_ckpt:
        options.checkpoint, options.direction = options.genB2A_ckpt, "b2a"
    check(options)
    partial = options.out / f"{GENERATORS[options.direction]}.partial"
    imported = partial.with_name(f"{partial.name}.run")  # of the model zoo's file

    def clean_up() -> None:
        shutil.rmtree(partial, ignore_errors=True)
        shutil.rmtree(imported, ignore_errors=True)

    end_when_interrupted("export", "nothing was kept, run it again", clean_up)
    try:
        return export_from(options, partial, imported)
    finally:
        clean_up()


def export_from(options: argparse.Namespace, partial: Path, imported: Path) -> int:
    """Exports by way of the folder `partial`, and of a run `imported` if the file is the model zoo's; the exit code."""
    again = "nothing was kept, run it again"
    with checking():
        found = find_pictures(options.pictures) if options.pictures else []
        runtime.let_plain_convolutions_be_fast()
        runtime.setup(options.device_target, options.device_id)  # MindSpore loads here
        with contextlib.suppress(runtime.DeviceError):  # of a first 910, which has float16 only
            runtime.set_precision("float32")  # HF32, a 910B's own, would differ from the file by more than is allowed
        if options.checkpoint.is_file():
            modelzoo.import_run({options.direction: options.checkpoint}, imported, (options.size or (256,))[0])
            options.checkpoint = imported
        options.checkpoint = best.choose(options.checkpoint, options.which)
        fixed = options.static  # one size in every trial
        trained = models.from_checkpoint(
            options.checkpoint, options.direction, not fixed, options.weights, options.compile_cache
        )
        signature = export.signature_for(trained, options.export_file_format, options.size, options.static)
        images = read(found, signature, options.pictures)
    say_device(options.device_target, options.device_id)
    with working(again, where=options.out), making(partial, options.export_file_format):
        write(options, partial, trained, signature, images)
    for line in said_of(signature.weights, options.weights):
        print(line)
    return 0


def check(options: argparse.Namespace) -> None:
    """Raises BadInputError where the options name nothing to export, or a place that is taken."""
    file_format = options.export_file_format
    if options.checkpoint.suffix != ".ckpt" or not options.checkpoint.is_file():  # not one of the model zoo's
        runfolder.check_is_there(options.checkpoint)
    if file_format == "ONNX" and importlib.util.find_spec("onnx") is None:
        raise BadInputError("ONNX: onnx is not installed: pip install 'ugatit[onnx]'")
    if file_format == "AIR" and options.device_target != "Ascend":
        raise BadInputError(
            "AIR is written on Ascend only: give --device_target Ascend on such a machine, or write MINDIR, "
            "which Ascend reads too"
        )
    taken = sorted(options.out.glob(f"{GENERATORS[options.direction]}*{export.SUFFIXES[file_format]}*"))
    if taken or options.out.is_file():
        raise BadInputError(f"{(*taken, options.out)[0]} exists: give another --out, or remove it")


def read(found: list[Path], signature: models.Signature, pictures: Path | None) -> list[np.ndarray]:
    """The first COUNT good pictures to compare on, float32 (1, C, H, W) in [-1, 1]; bad ones are named, and left out.

    Raises:
        BadInputError: there are pictures, and not one is good.
    """
    size = signature.size or signature.img_size
    images: list[np.ndarray] = []
    for file in found:
        if len(images) == COUNT:
            break
        try:
            images.append(drawing.to_network(read_picture(file, size), signature.img_ch))
        except RejectedImageError as error:
            say("export", f"{file}: {error.reason}: left out")
    if found and not images:
        raise BadInputError(f"{pictures}: not one of its {len(found)} files is a picture: give others, or leave it out")
    return images


@contextlib.contextmanager
def making(partial: Path, file_format: str) -> Iterator[None]:
    """The folder `partial` while the file is made in it. What goes wrong is a Failure that names the format."""
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield
    except (models.ModelError, CheckpointError, ValueError, RuntimeError) as error:
        raise Failure(f"{file_format}: {error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def write(
    options: argparse.Namespace,
    partial: Path,
    trained: models.Model,
    signature: models.Signature,
    images: list[np.ndarray],
) -> None:
    """Makes the file in `partial`, compares it with the checkpoint's network and moves it into the output folder."""
    path = export.write(options.checkpoint, signature, options.export_file_format, partial)
    if options.export_file_format == "AIR":
        path = export.move(path, options.out)
        print(f"{path}: written; MindSpore does not read AIR back: it was not compared")
        return
    difference = export.compare(trained, models.from_file(path), images or export.trial_images(signature, COUNT))
    if not difference.is_small:
        raise models.ModelError(f"it {_said(difference)}, more than {export.BOUND}: no file is left")
    weight = sum(file.stat().st_size for file in partial.rglob("*") if file.is_file())
    path = export.move(path, options.out)
    trial = f"{len(images)} pictures" if images else f"{COUNT} random pictures"
    print(f"{path}: {weight / 1e6:.1f} MB; on {trial} it {_said(difference)}")


def _said(difference: export.Difference) -> str:
    return (
        f"differs from the checkpoint by {difference.picture:.1e} in the picture (of -1 to 1), "
        f"by {difference.heatmap:.1e} in the heat map (of its largest)"
    )
