#!/usr/bin/env python
"""Turn the common PyTorch weights of FID's InceptionV3 into the MindSpore checkpoint that KID is computed with."""

import sys
from pathlib import Path

from commandline import Parser, end_when_interrupted, run_tool

from ugatit_train.exchange import torchfile


def main(argv: list[str]) -> int:
    parser = Parser(
        prog="tools/import_inception.py",
        description="Turn the PyTorch weights of FID's InceptionV3 (pt_inception-2015-12-05, as pytorch-fid and "
        "torch-fidelity use them) into a MindSpore checkpoint. Nothing in the file is executed.",
        epilog="Example:\n"
        "  tools/import_inception.py pt_inception-2015-12-05-6726825d.pth inception.ckpt\n"
        "  tools/evaluate.py --checkpoint runs/first --out evaluated --features inception.ckpt\n\n"
        "Exit code: 0 done, 1 a failure while writing, 2 bad input.",
    )
    parser.add_argument("source", metavar="FILE.pth", type=Path, help="the PyTorch weights")
    parser.add_argument("out", metavar="OUT.ckpt", type=Path, help="the MindSpore checkpoint to write")
    options = parser.parse_args(argv)

    if options.out.suffix != ".ckpt":
        parser.refuse(f"{options.out}: the name must end in .ckpt")
    if not options.out.parent.is_dir():
        parser.refuse(f"{options.out.parent}: no such folder: make it, or give another name")
    if options.out.exists():
        parser.refuse(f"{options.out} exists: remove it, or give another name")
    try:
        state = torchfile.read(options.source)
    except torchfile.TorchFileError as error:
        parser.refuse(str(error))

    end_when_interrupted(f"{parser.prog}: interrupted: nothing was kept, run it again")
    from ugatit_train import runtime  # MindSpore loads here
    from ugatit_train.evaluation import inception_weights  # MindSpore loads here

    runtime.setup()
    try:
        weights, unused = inception_weights.fold(state)
    except inception_weights.WeightsError as error:
        parser.refuse(f"{options.source}: {error}")
    try:
        inception_weights.save(weights, options.out)
    except (OSError, RuntimeError) as error:
        print(f"{parser.prog}: {options.out}: {error}: run it again when that is mended", file=sys.stderr)
        return 1
    count = sum(value.size for value in weights.values())
    print(f"{options.out}: {len(weights)} arrays, {count:,} numbers; not needed: {', '.join(unused) or 'nothing'}")
    return 0


if __name__ == "__main__":
    run_tool(main)
