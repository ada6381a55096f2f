#!/usr/bin/env python3
"""Write a run's networks as a checkpoint of the PyTorch U-GAT-IT."""

if __name__ == "__main__":
    from script import start_tool

    start_tool(__file__)


from ugatit_data import BadInputError
from ugatit_data.files import parents_made
from ugatit_train.exchange import pytorch, torchfile
from ugatit_train.inference.generator import WEIGHTS, WEIGHTS_HELP

from .commandline import Parser, path, working


def main(argv: list[str]) -> int:
    parser = Parser(
        "export_pytorch",
        description="Write a run's networks as a checkpoint that the PyTorch implementation of U-GAT-IT "
        "(znxlwm/UGATIT-pytorch) loads. PyTorch must be installed: pip install 'ugatit[torch]'.",
        epilog="Example:\n"
        "  %(prog)s runs/first first_params_0002000.pt\n\n"
        "Exit code: 0 done, 1 a failure while writing, 2 bad input.",
    )
    parser.add_argument("checkpoint", metavar="RUN", type=path, help="folder of a run, or of one of its checkpoints")
    parser.add_argument("out", metavar="OUT.pt", type=path, help="the PyTorch checkpoint to write")
    parser.add_argument("--weights", choices=WEIGHTS, help=f"of the generators. {WEIGHTS_HELP}")
    options = parser.parse_args(argv)

    if not options.checkpoint.is_dir():
        raise BadInputError(f"{options.checkpoint}: no such folder: give a run's --output_path")
    if options.out.exists():
        raise BadInputError(f"{options.out} exists: remove it, or give another name")
    with working("run it again when that is mended", where=options.out):
        states, notes = pytorch.to_pytorch(options.checkpoint, options.weights)
        with parents_made(options.out):
            torchfile.write(options.out, states)
    for network, state in states.items():
        print(f"{network}: {len(state)} arrays, {sum(array.size for array in state.values()):,} numbers")
    for note in notes:
        print(f"left out: {note}")
    print(options.out)
    return 0
