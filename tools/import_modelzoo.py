#!/usr/bin/env python3
"""Turn generators of the model zoo's U-GAT-IT into a run of ours."""

if __name__ == "__main__":
    from script import start_tool

    start_tool(__file__)

from ugatit_data import BadInputError
from ugatit_data.commands import command
from ugatit_train.exchange import modelzoo, pytorch
from ugatit_train.training import checkpoint

from .commandline import Parser, path, whole, working


def main(argv: list[str]) -> int:
    parser = Parser(
        "import_modelzoo",
        description="Turn generators, full or light, that the U-GAT-IT of MindSpore's model zoo has saved into a run "
        "that translates, exports and evaluates. It does not train on: its discriminators are not read.",
        epilog="Examples:\n"
        "  %(prog)s runs/imported --genA2B_ckpt results/selfie2anime_genA2B_params_latest.ckpt\n"
        f"  {command('translate')} photo.jpg --checkpoint runs/imported --out translated\n\n"
        "Its pictures come out a little different, by less than a level of 255 as a rule: its AdaLIN divides by the\n"
        "variance over n, the paper's and ours by that over n - 1.\n\n"
        "Exit code: 0 done, 1 a failure while writing, 2 bad input.",
    )
    parser.add_argument("out", metavar="OUT", type=path, help="folder of the run to write; it must not exist")
    parser.add_argument("--genA2B_ckpt", type=path, help="the generator's file from A to B")
    parser.add_argument("--genB2A_ckpt", type=path, help="the generator's file from B to A")
    parser.add_argument(
        "--img_size", type=whole(8), default=256, help="pixels that a light model was trained with; a full one tells"
    )
    options = parser.parse_args(argv)

    files = {way: file for way, name in checkpoint.GENERATORS.items() if (file := getattr(options, f"{name}_ckpt"))}
    if not files:
        raise BadInputError("give --genA2B_ckpt, --genB2A_ckpt, or both")
    if options.out.exists():
        raise BadInputError(f"{options.out} exists: remove it, or give another name")
    with working("run it again when that is mended", where=options.out):
        o = modelzoo.import_run(files, options.out, options.img_size)
    kind = "light" if o.light else "full"
    print(
        f"{options.out}: {', '.join(checkpoint.GENERATORS[way] for way in files)}, {kind}, {o.img_size} px, ch {o.ch}, "
        f"n_res {o.n_res}; {pytorch.REPORT_FILE} lists every array"
    )
    return 0
