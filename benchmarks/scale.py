#!/usr/bin/env python
"""How cost grows: the loader with threads, batch, image size, images and shards; the step with size, ch and batch.

    python benchmarks/scale.py --out records/scale.json
    python benchmarks/scale.py --series images shards
    python benchmarks/scale.py --series step_size step_ch step_batch

Each series has a growth: the exponent p of y = a x^p, fitted by least squares of the logarithms (1 is linear, 0 flat).
`images` and `shards` measure the order and the look-up of each record without its pixels, on sparse data sets, over
whole passes. The step's series vary one value of light, ch 16, n_res 4, n_dis 4, 64 px, batch 1.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import arguments
import numpy as np
import pictures
import record
import sparse
from step_time import Worker

from ugatit_data import open_loader
from ugatit_data.dataset.manifest import read_manifest
from ugatit_data.dataset.records import Records
from ugatit_data.loading.augment import PAPER
from ugatit_data.loading.order import samples

STEP = {"size": 64, "batch": 1, "light": True, "ch": 16, "n_res": 4, "n_dis": 4}
Point = tuple[float, list[float]]


def throughput(folder: Path, options: argparse.Namespace, **given) -> list[float]:
    """Images per second of the loader, uint8. Before each sample, batches that are ready already are used up."""
    asked = {"batch_size": 8, "img_size": 256, "threads": options.threads, "check": "off"} | given
    found = []
    with open_loader(folder, layout="uint8", **asked) as loader:
        for _ in range(options.rounds):
            _drawn(loader, options.seconds / 3)
            found.append(2 * asked["batch_size"] * _drawn(loader, options.seconds))
    return found


def _drawn(loader: Iterator, seconds: float) -> float:
    """Batches per second."""
    began, count = time.perf_counter(), 0
    while (now := time.perf_counter()) - began < seconds or not count:
        next(loader)
        count += 1
    return count / (now - began)


def look_ups(folder: Path, options: argparse.Namespace, dataset) -> list[float]:
    """Nanoseconds for each sample: its position in the order, its random draw and its record, over whole passes."""
    records = Records(folder, dataset, read_manifest(folder, dataset), "train", "a", "off")
    count, batch, found = len(records), 8, []
    passes = max(1, options.least_samples // count)
    for number in range(options.rounds):
        began = time.perf_counter_ns()
        for start in range(number * passes * count, (number + 1) * passes * count, batch):
            for sample in samples(1, "a", count, start, start + batch, PAPER)[0].tolist():
                records.record(sample)
        found.append((time.perf_counter_ns() - began) / (passes * count))
    return found


def by_threads(root: Path, options: argparse.Namespace, encoding: str) -> list[Point]:
    folder = pictures.dataset(root, options.images, 256, encoding)
    return [(n, throughput(folder, options, threads=n)) for n in options.thread_counts]


def by_batch(root: Path, options: argparse.Namespace, encoding: str) -> list[Point]:
    folder = pictures.dataset(root, options.images, 256, encoding)
    return [(n, throughput(folder, options, batch_size=n)) for n in options.batches]


def by_size(root: Path, options: argparse.Namespace, encoding: str) -> list[Point]:
    """Fewer images of the larger sizes, so that the memory read from stays of one order."""
    return [
        (side, throughput(pictures.dataset(root, count, side, encoding), options, img_size=side))
        for side, count in ((side, max(4, options.images * 64 // side)) for side in options.sizes)
    ]


def by_shards(root: Path, options: argparse.Namespace) -> list[Point]:
    return _sparse_points(root, options, [(1000, shards) for shards in options.shards], lambda point: point[1])


def by_images(root: Path, options: argparse.Namespace) -> list[Point]:
    return _sparse_points(root, options, [(images, 4) for images in options.image_counts], lambda point: point[0])


def _sparse_points(root: Path, options: argparse.Namespace, wanted: list, x: Callable) -> list[Point]:
    folders = {point: root / f"sparse{point[0]}_{point[1]}" for point in wanted}
    datasets = {p: sparse.make(f, p[0], 94, p[1]) for p, f in folders.items()}  # 64 px and the margin of the crop
    return [(x(point), look_ups(folders[point], options, datasets[point])) for point in wanted]


def step_by(root: Path, options: argparse.Namespace, what: str) -> list[Point]:
    """Seconds of our steps. Each point is a process and a compilation; one that two series share is measured once."""
    values = getattr(options, f"step_{what}s")
    return [(value, _step_seconds(options.threads, options.rounds, **STEP | {what: value})) for value in values]


@functools.cache
def _step_seconds(threads: int, rounds: int, **shape) -> list[float]:
    with contextlib.closing(Worker("ours", {}, shape | {"threads": threads})) as worker:
        if not worker.skipped:
            worker.ask(1)
        answer = {} if worker.skipped else worker.ask(rounds)
        if worker.skipped:
            raise RuntimeError(f"step of {shape}: {worker.skipped}")
        return answer["seconds"]


SERIES: dict[str, tuple[str, str, Callable[..., list[Point]]]] = {
    **{
        f"{name}_{encoding}": ("images_per_s", what, functools.partial(measure, encoding=encoding))
        for name, what, measure in (("threads", "threads", by_threads), ("batch", "batch", by_batch),
                                    ("size", "image size", by_size))
        for encoding in ("raw", "jpeg")
    },
    "images": ("ns_per_sample", "images", by_images),
    "shards": ("ns_per_sample", "shards", by_shards),
    "step_size": ("seconds", "image size", functools.partial(step_by, what="size")),
    "step_ch": ("seconds", "ch", functools.partial(step_by, what="ch")),
    "step_batch": ("seconds", "batch", functools.partial(step_by, what="batch")),
}  # fmt: skip


def growth(points: list[Point]) -> tuple[float, float]:
    """The exponent of a power law fitted to the medians, and the share of the variance that it explains."""
    x, y = (np.log([float(p[0]) for p in points]), np.log([statistics.median(p[1]) for p in points]))
    slope, intercept = np.polyfit(x, y, 1)
    rest, all_of_it = ((y - slope * x - intercept) ** 2).sum(), ((y - y.mean()) ** 2).sum()
    return float(slope), float(1 - rest / all_of_it) if all_of_it > 0 else 1.0


def measure(name: str, root: Path, options: argparse.Namespace) -> list[dict]:
    unit, what, points_of = SERIES[name]
    points = points_of(root, options)
    results = [
        record.result(f"{name}: {what} {x}", unit, samples) | {"tags": {"series": name, "x": x}}
        for x, samples in points
    ]
    if len(points) > 1:
        exponent, explained = growth(points)
        tags = {"series": name, "explained": explained}
        results.append(record.result(f"{name}: growth", "exponent", [exponent]) | {"tags": tags})
        ends = statistics.median(points[-1][1]) / statistics.median(points[0][1])
        results.append(record.result(f"{name}: last / first", "ratio", [ends]) | {"tags": {"series": name}})
    return results


def main(argv: list[str] | None = None) -> int:
    parser = arguments.parser(__doc__)
    parser.add_argument("--add", action="store_true", help="keep the file's results of other series")
    parser.add_argument("--series", nargs="+", choices=SERIES, default=list(SERIES), metavar="NAME", help="of these")
    parser.add_argument("--rounds", type=arguments.count, default=5, help="samples of each point")
    parser.add_argument("--seconds", type=float, default=1.0, help="of each sample of the loader")
    parser.add_argument(
        "--threads", type=arguments.count, default=arguments.CORES, help="of the loader, and of the step"
    )
    parser.add_argument(
        "--images", type=arguments.count, default=100, help="a domain, for the loader's series at 256 px"
    )
    parser.add_argument(
        "--least_samples", type=arguments.count, default=20000, help="look-ups of a sample of `images` and `shards`"
    )
    for name, points, of in (
        ("thread_counts", [1, 2, 4], "threads_*"), ("batches", [1, 4, 16, 64], "batch_*"),
        ("sizes", [64, 128, 256, 512, 1024], "size_*, pixels"), ("image_counts", [1000, 10_000, 100_000], "images"),
        ("shards", [1, 8, 64], "shards"), ("step_sizes", [32, 64, 128], "step_size, pixels"),
        ("step_chs", [8, 16, 32], "step_ch"), ("step_batchs", [1, 2, 4], "step_batch"),
    ):  # fmt: skip
        parser.add_argument(
            f"--{name}", type=arguments.count, nargs="+", default=points, metavar="N", help=f"points of {of}"
        )
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as scratch:
        results = [entry for name in options.series for entry in measure(name, Path(scratch), options)]
    record.finish("scale", options, {"step": STEP}, results, ["mindspore", "numpy"])
    return 0


if __name__ == "__main__":
    sys.exit(main())
