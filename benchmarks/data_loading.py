#!/usr/bin/env python
"""Images per second of the loader in every mode, of its peers, and of the limits, at the same work in one run.

Work: pairs (A, B) of 256 px JPEGs -> flip, resize to 286, random crop 256. Each candidate has its own process and waits
while others are measured. Each round measures all candidates in turn, so that other load slows all alike.

    python benchmarks/data_loading.py --out records/data_loading.json
    python benchmarks/data_loading.py --only "ours raw" imdecode --repeats 9

Install the peers with `pip install 'ugatit[bench]'`; one that is not installed is recorded as skipped.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import arguments
import cv2
import numpy as np
import peers
import pictures
import record
from peer_work import Work

from ugatit_data import convert, open_loader

BASE = "imdecode alone, 1 thread"
ENCODINGS = ("original", "jpeg", "raw")
Sample = Callable[[float], float]  # seconds to measure -> images per second


def from_batches(batches: Iterator, batch_size: int) -> Sample:
    """Images per second of an endless iterator. Batches prefetched while it waited are used up first."""

    def sample(seconds: float) -> float:
        end = time.perf_counter() + seconds / 3
        while time.perf_counter() < end:
            next(batches)
        begin, count = time.perf_counter(), 0
        while (now := time.perf_counter()) - begin < seconds:
            next(batches)
            count += 2 * batch_size
        return count / (now - begin)

    return sample


def ours(source: Path, own: Path, work: Work, encoding: str, layout: str, check: str) -> Sample:
    loader = open_loader(
        own.parent / encoding, batch_size=work.batch_size, img_size=work.img_size, layout=layout, check=check,
        threads=work.threads,
    )  # fmt: skip
    return from_batches(loader, work.batch_size)


def peer(source: Path, own: Path, work: Work, name: str) -> Sample:
    return from_batches(iter(peers.PEERS[name](source, own, work)), work.batch_size)


def imdecode(source: Path, own: Path, work: Work, threads: int) -> Sample:
    """cv2.imdecode of the same files from memory, and nothing else."""
    cv2.setNumThreads(1)
    files = [np.fromfile(path, np.uint8) for path in sorted(source.rglob("*.jpg"))[:1000]]
    return _counted(threads, files, lambda data: cv2.imdecode(data, cv2.IMREAD_COLOR_RGB))


def memcpy(source: Path, own: Path, work: Work, threads: int) -> Sample:
    """Copies crops from as many stored images as the data set has into the memory of a few batches."""
    count, side = len(list(source.rglob("*.jpg"))), work.img_size
    stored = np.ones((count, work.resized, work.resized, 3), np.uint8)  # zeros would take no memory until written
    batches = np.ones((8 * work.batch_size, side, side, 3), np.uint8)
    order = np.random.default_rng(1).permutation(count)
    pairs = [(batches[i % len(batches)], stored[index, :side, :side]) for i, index in enumerate(order)]
    return _counted(threads, pairs, lambda pair: np.copyto(*pair))


def _counted(threads: int, items: list, action: Callable) -> Sample:
    pool = ThreadPoolExecutor(threads)

    def work(end: float, begin: int) -> int:
        for count, item in enumerate(itertools.islice(itertools.cycle(items), begin, None), start=1):
            action(item)
            if time.perf_counter() >= end:
                return count
        raise AssertionError("the items never end")

    def sample(seconds: float) -> float:
        begin = time.perf_counter()
        starts = [thread * len(items) // threads for thread in range(threads)]
        counts = list(pool.map(functools.partial(work, begin + seconds), starts))
        return sum(counts) / (time.perf_counter() - begin)

    return sample


def candidates(threads: int) -> dict[str, Callable]:
    found: dict[str, Callable] = {
        BASE: functools.partial(imdecode, threads=1),
        f"imdecode alone, {threads} threads": functools.partial(imdecode, threads=threads),
        "memcpy alone, 1 thread": functools.partial(memcpy, threads=1),
        f"memcpy alone, {threads} threads": functools.partial(memcpy, threads=threads),
    }
    for encoding in ENCODINGS:
        for check in ("off", "once", "every"):  # neighbours in time, because their difference is small
            make = functools.partial(ours, encoding=encoding, layout="uint8", check=check)
            found[f"ours {encoding}, uint8" + ("" if check == "once" else f", check {check}")] = make
        make = functools.partial(ours, encoding=encoding, layout="float32", check="once")
        found[f"ours {encoding}, float32"] = make
    return found | {name: functools.partial(peer, name=name) for name in peers.PEERS}


def serve(pipe, make: Callable, source: Path, own: Path, work: Work) -> None:
    """A candidate's process: prepare, then measure once for each number of seconds received."""
    os.environ.setdefault("GLOG_v", "3")
    try:
        own.mkdir()
        sample = make(source, own, work)
        pipe.send(("ready", None))
        while (seconds := pipe.recv()) is not None:
            pipe.send(("sample", sample(seconds)))
    except ImportError as error:
        pipe.send(("skipped", f"{error.name or error} is not installed"))
    except Exception as error:  # a peer's own failure is its result
        pipe.send(("skipped", f"{type(error).__name__}: {error}".splitlines()[0]))
    finally:
        pipe.close()
        os._exit(0)  # peers leave threads and processes that would keep this one alive


def measure(options: argparse.Namespace, source: Path, root: Path) -> list[dict]:
    work = Work(options.batch_size, options.img_size, options.threads)
    context = multiprocessing.get_context("spawn")
    pipes: dict = {}
    samples: dict[str, list[float]] = {}
    skipped: dict[str, str] = {}
    chosen = [
        (name, make) for name, make in candidates(options.threads).items()
        if name == BASE or not options.only or any(part in name for part in options.only)
    ]  # fmt: skip
    for number, (name, make) in enumerate(chosen):
        pipes[name], theirs = context.Pipe()
        process = context.Process(target=serve, args=(theirs, make, source, root / f"own{number}", work))
        process.start()
        theirs.close()
        samples[name] = []
        _ask(pipes, name, skipped)  # one at a time, so that nobody prepares while another is measured
    for _ in range(options.repeats):
        for name in [name for name in pipes if name not in skipped]:
            pipes[name].send(options.seconds)
            answer = _ask(pipes, name, skipped)
            if answer is not None:
                samples[name].append(answer)
    for name, pipe in pipes.items():
        if name not in skipped:
            pipe.send(None)
    return [
        record.skipped(name, skipped[name]) if name in skipped else record.result(name, "images_per_s", samples[name])
        for name, _ in chosen
    ]


def _ask(pipes: dict, name: str, skipped: dict[str, str], patience_s: float = 600) -> float | None:
    try:
        if not pipes[name].poll(patience_s):
            skipped[name] = f"no answer within {patience_s:.0f} s"
            return None
        kind, answer = pipes[name].recv()
    except (EOFError, ConnectionError):
        kind, answer = "skipped", "its process died"
    if kind == "skipped":
        skipped[name] = answer
    return answer if kind == "sample" else None


def main(argv: list[str] | None = None) -> int:
    parser = arguments.parser(__doc__)
    parser.add_argument("--images", type=arguments.count, default=1000, help="a domain")
    parser.add_argument("--img_size", type=arguments.count, default=256, help="pixels")
    parser.add_argument("--batch_size", type=arguments.count, default=8, help="images of each domain")
    parser.add_argument("--threads", type=arguments.count, default=arguments.CORES, help="of each candidate")
    parser.add_argument("--repeats", type=arguments.count, default=5, help="samples of each candidate")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each sample")
    parser.add_argument("--only", nargs="+", metavar="PART", help="candidates whose name holds one of the parts")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        size = pictures.make_source(root / "source", options.images, options.img_size)
        for encoding in ENCODINGS:
            report = convert(
                root / "source", root / encoding, encoding=encoding, stored_size=options.img_size + 30,
                workers=options.threads,
            )  # fmt: skip
        results = measure(options, root / "source", root)
    data = {"images_per_domain": options.images, "mean_jpeg_bytes": size // (2 * options.images)}
    data["digest_of_raw"] = report.dataset.dataset_id
    record.finish("data_loading", options, data, results, peers.PACKAGES, base=BASE)
    return 0


if __name__ == "__main__":
    sys.exit(main())
