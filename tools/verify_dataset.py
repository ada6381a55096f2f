#!/usr/bin/env python3
"""Check a data set, repair it, look into it, take its images out."""

from __future__ import annotations

if __name__ == "__main__":
    from script import start_tool

    start_tool(__file__)

import os
import sys
import warnings
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from ugatit_data import ParquetSource, open_loader, repair, verify
from ugatit_data.commands import command
from ugatit_data.conversion import leaks
from ugatit_data.conversion.looking import extract, peek
from ugatit_data.conversion.sources import FolderSource
from ugatit_data.dataset.manifest import read_dataset, read_manifest
from ugatit_data.errors import BadInputError
from ugatit_train.pictures.drawing import contact_sheet

from .commandline import Parser, path, pixels, say, whole, working

ROWS, COLUMNS = 4, 5  # of the sheet, for each domain
CELL, CAPTION = 192, 16  # pixels of the sheet: a picture's place with its caption, and the caption's height


def parser() -> Parser:
    made = Parser(
        "verify",
        description="Check a data set, repair it, look into it, take its images out. Without options, every file is "
        "compared with its recorded SHA-256, and damaged records are named; so are test pictures that are train "
        "pictures too, which is no damage.",
        epilog="Examples:\n"
        "  %(prog)s data/selfie2anime --deep\n"
        "  %(prog)s data/selfie2anime --repair photos/selfie2anime\n"
        "  %(prog)s data/selfie2anime --peek 3\n"
        "  %(prog)s data/selfie2anime --sheet sheet.png\n"
        "  %(prog)s data/selfie2anime --extract photos/again\n\n"
        "What --extract writes, converted again with the same --encoding and as many --shards, is the same data set\n"
        "with the same id, if the encoding keeps the bytes. Not so where images were rejected and a domain has\n"
        "several shards: these are cut by the number of files, before any is read.\n\n"
        "Exit code: 0 nothing is damaged, 1 something is or could not be repaired, 2 bad input.",
    )
    made.add_argument("dataset", type=path, metavar="DATASET", help=f"what {command('convert')} wrote")
    made.add_argument(
        "--deep", action="store_true", help="also check and decode every record, by the rules of today too"
    )
    instead = made.add_mutually_exclusive_group()
    instead.add_argument("--repair", type=path, metavar="SRC", help="rewrite damaged shards from the source")
    instead.add_argument("--peek", type=whole(1), metavar="N", help="list the first N images of every domain, no check")
    instead.add_argument("--extract", type=path, metavar="FOLDER", help="write all images into a new folder")
    instead.add_argument(
        "--sheet",
        type=path,
        metavar="FILE",
        help="draw what a training is given first, augmented, with the names, into FILE.png; no check of the rest",
    )
    made.add_argument("--img_size", type=pixels, default="256", help="of the training that --sheet shows, in pixels")
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
        if options.sheet is not None:
            if not options.sheet.absolute().parent.is_dir():
                raise BadInputError(f"{options.sheet}: there is no folder {options.sheet.parent}: make it first")
            draw(options.dataset, options.img_size, options.sheet)
            print(f"contact sheet: {options.sheet}")
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
    found = leaks.leaks(read_manifest(folder, dataset, leaks.COLUMNS))
    for test, train in found:
        print(f"{test}: the same bytes as {train}")
    if warning := leaks.warning(found, sum(dataset.num_images("test", domain) for domain in ("a", "b"))):
        say("verify", warning)
    return 0


def draw(folder: Path, img_size: tuple[int, int], file: Path) -> None:
    """The first pictures of each domain that a training with seed 1 is given, as the loader delivers them, into `file`.

    Raises:
        BadInputError: there is no data set, or `file` has no ending of a picture.
        CorruptDatasetError: a record is damaged.
    """
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        loader = open_loader(folder, batch_size=ROWS * COLUMNS, img_size=img_size, threads=1, prefetch=1)
    for each in warned:
        say("verify", str(each.message))
    columns, titles = [], []
    with loader:
        for domain, pictures, ids in zip(loader.domains, next(loader), loader.sample_ids(0), strict=True):
            keys = loader.keys(domain)
            cells = [captioned(picture, os.fsdecode(keys[i])) for picture, i in zip(pictures, ids, strict=True)]
            columns += [cells[column::COLUMNS] for column in range(COLUMNS)]
            titles += [f"train{domain.upper()}"] * COLUMNS
    contact_sheet(columns, titles, file, CELL)


def captioned(picture: np.ndarray, name: str) -> np.ndarray:
    """The picture, uint8 (H, W, 3) RGB, as large as fits above its name, uint8 (CELL, CELL, 3) on white.

    OpenCV draws ASCII only: other letters are written as their numbers. A name that is too long loses its beginning.
    """
    cell = np.full((CELL, CELL, 3), 255, np.uint8)
    scale = min(CELL / picture.shape[1], (CELL - CAPTION) / picture.shape[0])
    high, wide = (max(1, int(side * scale)) for side in picture.shape[:2])
    left = (CELL - wide) // 2
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST  # enlarged, its own pixels show
    cell[:high, left : left + wide] = cv2.resize(picture, (wide, high), interpolation=way)
    font = cv2.FONT_HERSHEY_SIMPLEX, 0.36
    shown = name.encode("ascii", "backslashreplace").decode()
    while cv2.getTextSize(shown, *font, 1)[0][0] > CELL:
        shown = shown[1:]
    cv2.putText(cell, shown, (0, CELL - 5), *font, (0, 0, 0), 1, cv2.LINE_AA)
    return cell
