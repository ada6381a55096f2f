#!/usr/bin/env python3
"""Put several training runs on one page: curves, last samples, options."""

if __name__ == "__main__":
    from script import start_tool

    start_tool(__file__)

from pathlib import Path

from ugatit_data.files import parents_made, write_whole
from ugatit_train.training.page import compare

from .commandline import Parser, checking, path, working


def parser() -> Parser:
    made = Parser(
        "compare",
        description="Make one HTML page of several training runs: their losses in one chart each, their last samples "
        "side by side, the options that differ, and what in them gives reason to look. The page is one file, for any "
        "browser, and loads nothing.",
        epilog="Examples:\n"
        "  %(prog)s runs/first runs/second\n"
        "  %(prog)s runs/* --out compared.html\n\n"
        "A run may still be training. The page of a single run is index.html in its folder.\n"
        "Exit code: 0 done, 1 a failure while running, 2 bad input.",
    )
    made.add_argument("runs", type=path, nargs="+", metavar="RUN", help="folder of a run, its --output_path")
    made.add_argument("--out", type=path, default=Path("compared.html"), help="the page; an older one is replaced")
    return made


def main(argv: list[str]) -> int:
    options = parser().parse_args(argv)
    with checking():
        runs = compare.open_runs(options.runs)
    with working("run it again", where=options.out), parents_made(options.out):
        write_whole(options.out, compare.page(runs))
    print(f"{len(runs)} runs: {options.out}")
    return 0
