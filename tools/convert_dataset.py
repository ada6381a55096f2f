#!/usr/bin/env python3
"""Convert folders of images, or Parquet files, into a data set of MindRecord shards."""

from __future__ import annotations

if __name__ == "__main__":
    from script import start_tool

    start_tool(__file__)

from pathlib import Path

from tqdm import tqdm

from ugatit_data.conversion import leaks
from ugatit_data.conversion.convert import carry_out
from ugatit_data.conversion.parquet import ParquetSource
from ugatit_data.conversion.plan import make_plan
from ugatit_data.conversion.report import Report
from ugatit_data.conversion.sources import FolderSource
from ugatit_data.conversion.workers import open_scheduler
from ugatit_data.dataset.encodings import ENCODINGS
from ugatit_data.files import available_cores

from .commandline import Parser, path, say, whole, working


def parser() -> Parser:
    made = Parser(
        "convert",
        description="Convert a source of images into a data set of MindRecord shards. SRC holds trainA and trainB and, "
        "if there are any, testA and testB, with images at any depth. Every image is decoded in full before it is "
        "accepted; OUT/manifest.parquet lists the rejected ones with the reason.",
        epilog="Examples:\n"
        "  %(prog)s photos/selfie2anime data/selfie2anime\n"
        "  %(prog)s photos/selfie2anime data/fast --encoding raw --stored_size 286\n"
        "  %(prog)s hub/selfie2anime data/hub --source parquet --column image\n"
        "  %(prog)s /shared/photos /shared/data --scheduler tcp://head:8786\n\n"
        "Interrupted, for whatever reason? The same command resumes, and ends with the same bytes.\n"
        "Exit code: 0 done, 1 failed while running (what is finished is kept), 2 bad input.",
    )
    made.add_argument("source", type=path, metavar="SRC", help="folder with trainA, trainB[, testA, testB]")
    made.add_argument("out", type=path, metavar="OUT", help="folder to make")
    made.add_argument(
        "--encoding",
        choices=sorted(ENCODINGS),
        default="original",
        help="original keeps the source's bytes; jpeg stores resized squares; raw stores their pixels, the fastest",
    )
    made.add_argument("--stored_size", type=whole(1), default=286, help="side of stored squares (jpeg, raw), in pixels")
    made.add_argument("--shards", type=whole(1), help="shards per domain; by default one for each 64 MiB")
    made.add_argument(
        "--lenient",
        action="store_true",
        help="accept JPEGs that are damaged or end early, as far as they go, with a note",
    )
    made.add_argument("--source", choices=("folder", "parquet"), default="folder", dest="kind", help="what SRC holds")
    made.add_argument("--column", default="image", help="image column of the Parquet files")
    made.add_argument("--scheduler", metavar="ADDRESS", help="run on a cluster: tcp://host:port of Dask, or mpi")
    made.add_argument("--workers", type=whole(1), default=available_cores(), help="processes")
    made.add_argument("--strict", action="store_true", help="exit 1, without a data set, if an image is rejected")
    return made


def main(argv: list[str]) -> int:
    options = parser().parse_args(argv)
    parquet = options.kind == "parquet"
    again = "run the same command again"
    with working(f"what is finished is kept: {again}", interrupted=f"{again} to resume"):
        source = ParquetSource(options.source, options.column) if parquet else FolderSource(options.source)
        executor = open_scheduler(options.scheduler) if options.scheduler else None
        plan = make_plan(
            source,
            options.out,
            encoding=options.encoding,
            stored_size=options.stored_size,
            shards=options.shards,
            lenient=options.lenient,
        )
        print(
            f"{plan.images} files, {_size(plan.source_bytes)}; as {options.encoding} about "
            f"{_size(plan.estimated_bytes)} in {len(plan.jobs)} shards"
        )
        with tqdm(total=plan.images, unit="img", disable=None) as bar:
            report = carry_out(
                plan,
                options.out,
                workers=options.workers,
                executor=executor,
                strict=options.strict,
                progress=bar.update,
            )
    _print(report, options.out)
    return 0


def _print(report: Report, out: Path) -> None:
    for name, reason in report.rejected_keys:
        print(f"rejected {name!r}: {reason}")
    for note, count in sorted(report.notes.items()):
        print(f"{count} images: {note}")
    reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(report.rejected.items()))
    rejected = sum(report.rejected.values())
    rate = (report.converted + rejected) / max(report.elapsed_s, 1e-9)
    resumed = f", {report.resumed_shards} shards kept from an earlier run" if report.resumed_shards else ""
    print(f"converted {report.converted} images, rejected {rejected}{f' ({reasons})' if reasons else ''}{resumed}")
    print(f"{out}: {_size(report.stored_bytes)}, {report.elapsed_s:.1f} s, {rate:.0f} images/s")
    print(f"data set id {report.dataset.dataset_id}")
    tests = sum(report.dataset.num_images("test", domain) for domain in ("a", "b"))
    if warning := leaks.warning(report.leaks, tests):
        say("convert", warning)


def _size(count: int) -> str:
    return f"{count / (1 << 20):.1f} MiB"
