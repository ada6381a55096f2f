#!/usr/bin/env python3
"""Turn PyTorch's weights of FID's InceptionV3 into the checkpoint that KID needs."""

if __name__ == "__main__":
    from script import start_tool

    start_tool(__file__)


from ugatit_data import BadInputError
from ugatit_data.commands import command
from ugatit_data.files import parents_made
from ugatit_train import runtime
from ugatit_train.exchange import statedict, torchfile

from .commandline import Failure, Parser, end_when_interrupted, path


def main(argv: list[str]) -> int:
    parser = Parser(
        "import_inception",
        description="Turn the PyTorch weights of FID's InceptionV3 (pt_inception-2015-12-05, as pytorch-fid and "
        "torch-fidelity use them) into a MindSpore checkpoint. Nothing in the file is executed.",
        epilog="Example:\n"
        "  %(prog)s pt_inception-2015-12-05-6726825d.pth inception.ckpt\n"
        f"  {command('evaluate')} --checkpoint runs/first --out evaluated --features inception.ckpt\n\n"
        "Exit code: 0 done, 1 a failure while writing, 2 bad input.",
    )
    parser.add_argument("source", metavar="FILE.pth", type=path, help="the PyTorch weights")
    parser.add_argument("out", metavar="OUT.ckpt", type=path, help="the MindSpore checkpoint to write")
    options = parser.parse_args(argv)

    if options.out.suffix != ".ckpt":
        raise BadInputError(f"{options.out}: the name must end in .ckpt")
    if options.out.exists():
        raise BadInputError(f"{options.out} exists: remove it, or give another name")
    state = torchfile.read(options.source)
    state = statedict.state_dict(state) or state

    end_when_interrupted("import_inception", "nothing was kept, run it again")
    from ugatit_train.evaluation import inception_weights  # MindSpore loads here

    runtime.setup()
    try:
        weights, unused = inception_weights.fold(state)
    except inception_weights.WeightsError as error:
        raise BadInputError(f"{options.source}: {error}") from None
    try:
        with parents_made(options.out):
            inception_weights.save(weights, options.out)
    except (OSError, RuntimeError) as error:  # MindSpore's own, which names no file
        raise Failure(f"{options.out}: {error}: run it again when that is mended") from error
    count = sum(value.size for value in weights.values())
    print(f"{options.out}: {len(weights)} arrays, {count:,} numbers; not needed: {', '.join(unused) or 'nothing'}")
    return 0
