#!/usr/bin/env python
"""Write a run's networks as a checkpoint of the PyTorch implementation of U-GAT-IT."""

import sys
from pathlib import Path

from commandline import Parser, os_reason, run_tool

from ugatit_train.exchange import pytorch, torchfile
from ugatit_train.training import checkpoint


def main(argv: list[str]) -> int:
    parser = Parser(
        prog="tools/export_pytorch.py",
        description="Write a run's networks as a checkpoint that the PyTorch implementation of U-GAT-IT "
        "(znxlwm/UGATIT-pytorch) loads. PyTorch must be installed: pip install '.[torch]'.",
        epilog="Example:\n"
        "  tools/export_pytorch.py runs/first first_params_0002000.pt\n\n"
        "Exit code: 0 done, 1 a failure while writing, 2 bad input.",
    )
    parser.add_argument("checkpoint", metavar="RUN", type=Path, help="folder of a run, or of one of its checkpoints")
    parser.add_argument("out", metavar="OUT.pt", type=Path, help="the PyTorch checkpoint to write")
    options = parser.parse_args(argv)

    if not options.checkpoint.is_dir():
        parser.refuse(f"{options.checkpoint}: no such folder: give a run's --output_path")
    if options.out.exists():
        parser.refuse(f"{options.out} exists: remove it, or give another name")
    try:
        states, notes = pytorch.to_pytorch(options.checkpoint)
        torchfile.write(options.out, states)
    except (checkpoint.CheckpointError, pytorch.InteropError, torchfile.TorchFileError) as error:
        parser.refuse(str(error))
    except OSError as error:
        print(f"{parser.prog}: {os_reason(error)}: run it again when that is mended", file=sys.stderr)
        return 1
    for network, state in states.items():
        print(f"{network}: {len(state)} arrays, {sum(array.size for array in state.values()):,} numbers")
    for note in notes:
        print(f"left out: {note}")
    print(options.out)
    return 0


if __name__ == "__main__":
    run_tool(main)
