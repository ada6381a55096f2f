#!/usr/bin/env python3
"""Turn a checkpoint of the PyTorch U-GAT-IT into a run of ours."""

if __name__ == "__main__":
    from script import start_tool

    start_tool(__file__)

import dataclasses

from ugatit_data import BadInputError
from ugatit_data.commands import command
from ugatit_data.dataset.manifest import read_dataset
from ugatit_train.exchange import pytorch, torchfile
from ugatit_train.options.config import OptionError
from ugatit_train.training import checkpoint

from .commandline import Parser, checking, path, whole, working


def main(argv: list[str]) -> int:
    parser = Parser(
        "import_pytorch",
        description="Turn a full or light checkpoint of the PyTorch implementation of U-GAT-IT (znxlwm/UGATIT-pytorch) "
        "into a run that the other tools take. Nothing in the file is executed. PyTorch must be installed to read it: "
        "pip install 'ugatit[torch]'.",
        epilog="Examples:\n"
        "  %(prog)s selfie2anime_params_latest.pt runs/imported\n"
        f"  {command('translate')} photo.jpg --checkpoint runs/imported --out translated\n"
        "With a data set, training can go on from it:\n"
        "  %(prog)s selfie2anime_params_latest.pt runs/tuned --data_path dataset\n"
        f"  {command('train')} --output_path runs/tuned --resume --iteration 10000\n\n"
        "Exit code: 0 done, 1 a failure while writing, 2 bad input.",
    )
    parser.add_argument("source", metavar="FILE.pt", type=path, help="the PyTorch checkpoint")
    parser.add_argument("out", metavar="OUT", type=path, help="folder of the run to write; it must not exist")
    parser.add_argument(
        "--img_size", type=whole(8), default=256, help="pixels that a light model was trained with; a full one tells"
    )
    parser.add_argument(
        "--direction", choices=tuple(checkpoint.GENERATORS), help="of the generator in a file that holds one alone"
    )
    parser.add_argument("--data_path", type=path, help="a converted data set, to go on with the training on it")
    options = parser.parse_args(argv)

    if options.out.exists():
        raise BadInputError(f"{options.out} exists: remove it, or give another name")
    with checking():
        dataset = read_dataset(options.data_path) if options.data_path else None
        states = torchfile.read(options.source)
    with working("run it again when that is mended", where=options.out):
        try:
            imported = pytorch.from_pytorch(pytorch.readable(states, options.direction), options.img_size)
            if dataset:
                going_on = dataclasses.replace(imported.options, data_path=str(options.data_path))
                imported = dataclasses.replace(imported, options=going_on)
            pytorch.save_run(imported, options.out, dataset.dataset_id if dataset else None)
        except checkpoint.NotFiniteError as error:
            raise BadInputError(f"{options.source}: {error}: its training diverged: give an earlier file") from None
        except (pytorch.InteropError, OptionError) as error:
            raise BadInputError(f"{options.source}: {error}") from None

    o = imported.options
    networks = {name.split(".")[0]: 0 for name in imported.parameters}
    for name, array in imported.parameters.items():
        networks[name.split(".")[0]] += array.size
    for name, numbers in networks.items():
        print(f"{name}: {numbers:,} numbers")
    for line in imported.unused:
        if not line.endswith("follows from u"):
            print(f"not used: {line}")
    kind = "light" if o.light else "full"
    print(
        f"{options.out}: {kind}, {o.img_size} px, ch {o.ch}, n_res {o.n_res}; {pytorch.REPORT_FILE} lists every array"
    )
    return 0
