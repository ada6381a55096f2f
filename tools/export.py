#!/usr/bin/env python
"""Write a trained generator as a MINDIR, ONNX or AIR file, and compare it with the checkpoint."""

import shutil
import sys
from pathlib import Path

from commandline import Parser, end_when_interrupted, os_reason, pixels, run_tool, whole

from ugatit_data import DataError
from ugatit_data.errors import RejectedImageError
from ugatit_train import runtime
from ugatit_train.exchange import export
from ugatit_train.inference import models
from ugatit_train.pictures import drawing
from ugatit_train.pictures.files import find_pictures, read_picture
from ugatit_train.training.checkpoint import GENERATORS

COUNT = 5  # pictures to compare with


def main(argv: list[str]) -> int:
    parser = Parser(
        prog="tools/export.py",
        description="Write a trained generator as a MINDIR, ONNX or AIR file, read it back and compare it with the "
        f"checkpoint's network. A difference above {export.BOUND} is an error, and leaves no file.",
        epilog="Examples:\n"
        "  tools/export.py --checkpoint runs/first --out exported --export_file_format ONNX\n"
        "  tools/export.py --checkpoint runs/first --out exported --direction b2a --static --pictures photos\n\n"
        "MINDIR and ONNX files take any number of pictures, those of a light model any size (a multiple of 4).\n"
        "Weights of more than 1 GB lie beside the file: keep them together. AIR is written on Ascend only.\n\n"
        "Exit code: 0 done, 1 the file differs or could not be written, 2 bad input.",
    )
    parser.add_argument(
        "--checkpoint", "--genA2B_ckpt", type=Path, required=True, help="folder of a run, or of one of its checkpoints"
    )
    parser.add_argument(
        "--out", "--MINDIR_outdir", type=Path, default=Path("exported"), help="folder for genA2B.* or genB2A.*"
    )
    parser.add_argument(
        "--export_file_format", "--format", choices=tuple(export.SUFFIXES), default="MINDIR", help="kind of the file"
    )
    parser.add_argument("--direction", choices=tuple(GENERATORS), default="a2b", help="which of the two generators")
    parser.add_argument(
        "--size", type=pixels, help="fix height and width, in pixels: 256 or 128x256; else a light model's stay open"
    )
    parser.add_argument("--static", action="store_true", help="fix the input: one picture of --size or the training's")
    parser.add_argument("--pictures", type=Path, help=f"compare on the first {COUNT} of these, not on random ones")
    parser.add_argument("--device_target", choices=runtime.DEVICE_TARGETS, default="CPU", help="device to run on")
    parser.add_argument("--device_id", type=whole(0), default=0, help="number of the device")
    options = parser.parse_args(argv)
    file_format = options.export_file_format

    if not options.checkpoint.is_dir():
        parser.refuse(f"{options.checkpoint}: no such folder: give a run's --output_path as --checkpoint")
    if file_format == "AIR" and options.device_target != "Ascend":
        parser.refuse(
            "AIR is written on Ascend only: give --device_target Ascend on such a machine, or write MINDIR, "
            "which Ascend reads too"
        )
    taken = sorted(options.out.glob(f"{GENERATORS[options.direction]}*{export.SUFFIXES[file_format]}*"))
    if taken or options.out.is_file():
        parser.refuse(f"{(*taken, options.out)[0]} exists: give another --out, or remove it")
    partial = options.out / f"{GENERATORS[options.direction]}.partial"
    end_when_interrupted(
        f"{parser.prog}: interrupted: nothing was kept, run it again",
        lambda: shutil.rmtree(partial, ignore_errors=True),
    )
    try:
        found = find_pictures(options.pictures)[:COUNT] if options.pictures else []
        runtime.let_plain_convolutions_be_fast()
        runtime.setup(options.device_target, options.device_id)  # MindSpore loads here
        trained = models.from_checkpoint(options.checkpoint, options.direction, any_size=True)
        signature = export.signature_for(trained, file_format, options.size, options.static)
        size = signature.size or signature.img_size
        images = [drawing.to_network(read_picture(path, size), signature.img_ch) for path in found]
    except RejectedImageError as error:
        parser.refuse(f"{options.pictures}: {error.reason}: give pictures that can be read")
    except (DataError, ValueError, OSError) as error:
        parser.refuse(str(error))

    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        path = export.write(options.checkpoint, signature, file_format, partial)
        if file_format == "AIR":
            path = export.move(path, options.out)
            print(f"{path}: written; MindSpore does not read AIR back: it was not compared")
            return 0
        difference = export.compare(trained, models.from_file(path), images or export.trial_images(signature, COUNT))
        if not difference.is_small:
            raise models.ModelError(f"it {_said(difference)}, more than {export.BOUND}: no file is left")
        weight = sum(file.stat().st_size for file in partial.rglob("*") if file.is_file())
        path = export.move(path, options.out)
    except (ValueError, RuntimeError) as error:
        shutil.rmtree(partial, ignore_errors=True)
        print(f"{parser.prog}: {file_format}: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        print(f"{parser.prog}: {os_reason(error)}: nothing was kept, run it again", file=sys.stderr)
        return 1
    trial = f"{len(images)} pictures" if images else f"{COUNT} random pictures"
    print(f"{path}: {weight / 1e6:.1f} MB; on {trial} it {_said(difference)}")
    return 0


def _said(difference: export.Difference) -> str:
    return (
        f"differs from the checkpoint by {difference.picture:.1e} in the picture (of -1 to 1), "
        f"by {difference.heatmap:.1e} in the heat map (of its largest)"
    )


if __name__ == "__main__":
    run_tool(main)
