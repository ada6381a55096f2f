#!/usr/bin/env python3
"""Check a data set, repair it, look into it, take its images out."""

from __future__ import annotations

if __name__ == "__main__":
    from script import start_tool

    start_tool(__file__)

import sys
from pathlib import Path

from tqdm import tqdm

from ugatit_data import ParquetSource, repair, verify
from ugatit_data.commands import command
from ugatit_data.conversion.looking import extract, peek
from ugatit_data.conversion.sources import FolderSource
from ugatit_data.dataset.manifest import read_dataset
from ugatit_data.errors import BadInputError

from .commandline import Parser, path, whole, working


def parser() -> Parser:
    made = Parser(
        "verify",
        description="Check a data set, repair it, look into it, take its images out. Without options, every file is "
        "compared with its recorded SHA-256, and damaged records are named.",
        epilog="Examples:\n"
        "  %(prog)s data/selfie2anime --deep\n"
        "  %(prog)s data/selfie2anime --repair photos/selfie2anime\n"
        "  %(prog)s data/selfie2anime --peek 3\n"
        "  %(prog)s data/selfie2anime --extract photos/again\n\n"
        "Exit code: 0 all is well, 1 something is damaged or could not be repaired, 2 bad input.",
    )
    made.add_argument("dataset", type=path, metavar="DATASET", help=f"what {command('convert')} wrote")
    made.add_argument(
        "--deep", action="store_true", help="also check and decode every record, by the rules of today too"
    )
    instead = made.add_mutually_exclusive_group()
    instead.add_argument("--repair", type=path, metavar="SRC", help="rewrite damaged shards from the source")
    instead.add_argument("--peek", type=whole(1), metavar="N", help="list the first N images of every domain, no check")
    instead.add_argument("--extract", type=path, metavar="FOLDER", help="write all images into a new folder")
    made.add_argument("--source", choices=("folder", "parquet"), default="folder", dest="kind", help="what SRC holds")
    made.add_argument("--column", default="image", help="image column of the Parquet files")
    return made


def main(argv: list[str]) -> int:
    options = parser().parse_args(argv)
    with working("run the same command again"):
        if options.peek is not None:
            for line in peek(options.dataset, options.peek):
                print(line)
            return 0
        if options.extract is not None:
            print(f"extracted {extract(options.dataset, options.extract)} images into {options.extract}")
            return 0
        if options.repair is not None:
            if not options.repair.exists():  # said even where nothing turns out to be damaged
                raise BadInputError(f"{options.repair}: no such source: give what the data set was converted from")
            parquet = options.kind == "parquet"
            source = ParquetSource(options.repair, options.column) if parquet else FolderSource(options.repair)
            for file in repair(options.dataset, source):
                print(f"rewritten: {file}")
        return _verify(options.dataset, options.deep)


def _verify(folder: Path, deep: bool) -> int:
    dataset = read_dataset(folder)
    images = sum(shard.rows for domains in dataset.shards.values() for shards in domains.values() for shard in shards)
    with tqdm(total=images, unit="img", disable=None) as bar:
        problems = verify(folder, deep=deep, progress=bar.update)
    for problem in problems:
        remedy = " Run --repair SRC, or restore the file." if problem.repairable else ""
        print(f"{folder / problem.file}: {problem.what}.{remedy}")
    if problems:
        print(f"{len(problems)} problems", file=sys.stderr)
        return 1
    print(f"{folder}: {images} images, all as recorded, id {dataset.dataset_id}")
    return 0
