#!/usr/bin/env python
"""Conversion against decoding the same files once on all cores: time without start-up, and peak memory.

    python benchmarks/conversion.py --images 10000 --out records/conversion.json

Start-up (processes and the import of MindSpore) is the time to convert four images; it is measured in every round and
subtracted. Memory is the sum over the command and its workers, measured in separate runs, for --images and for a tenth
of it. Writing alone is measured for the formats of the installed peers.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import arguments
import cv2
import numpy as np
import peers
import pictures
import record

TOOL = Path(__file__).parents[1] / "tools" / "convert_dataset.py"
BASE = "decode once, all cores"


def decode_once(source: Path, threads: int) -> float:
    """Seconds to read and decode every file, nothing else."""
    cv2.setNumThreads(1)
    files = sorted(source.rglob("*.jpg"))
    begin = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(_decode, [files[index::threads] for index in range(threads)]))
    return time.perf_counter() - begin


def _decode(files: list[Path]) -> None:
    for path in files:
        if cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR) is None:
            raise ValueError(f"{path}: not decoded")


def convert(source: Path, out: Path, encoding: str, workers: int, watch: bool = False) -> tuple[float, float]:
    """Seconds of the command and, with `watch`, the peak resident memory of all its processes in MiB.

    Watching takes a third of a core from the command: do not use that time.
    """
    command = [sys.executable, str(TOOL), str(source), str(out), "--encoding", encoding, "--workers", str(workers)]
    begin = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True)
    assert process.stderr is not None  # it is a pipe
    peak = 0.0
    while watch and process.poll() is None:
        peak = max(peak, _session_mib(process.pid))
        time.sleep(0.05)
    process.wait()
    elapsed = time.perf_counter() - begin
    if process.returncode:
        raise RuntimeError(process.stderr.read().decode())
    process.stderr.close()
    shutil.rmtree(out)
    return elapsed, peak


def _session_mib(session: int) -> float:
    """Proportional memory of a session's processes: shared pages count once."""
    total = 0
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if int((entry / "stat").read_text().rpartition(")")[2].split()[3]) == session:
                rollup = (entry / "smaps_rollup").read_text()
                total += int(rollup.partition("Pss:")[2].split()[0])
        except (OSError, IndexError):  # it ended meanwhile
            continue
    return total / 1024


def mindrecord(files: list[Path], own: Path) -> None:
    from ugatit_data.dataset.shards import write_shard

    data = [path.read_bytes() for path in files]
    write_shard(own / "all.mindrecord", [len(one) for one in data], data)


def tfrecord(files: list[Path], own: Path) -> None:
    import tensorflow as tf

    with tf.io.TFRecordWriter(str(own / "all.tfrecord")) as writer:
        for path in files:
            writer.write(path.read_bytes())


def array_record(files: list[Path], own: Path) -> None:
    from array_record.python.array_record_module import ArrayRecordWriter

    writer = ArrayRecordWriter(str(own / "all.array_record"), "group_size:1")
    for path in files:
        writer.write(path.read_bytes())
    writer.close()


def webdataset(files: list[Path], own: Path) -> None:
    import webdataset as wds

    with wds.TarWriter(str(own / "all.tar")) as writer:
        for index, path in enumerate(files):
            writer.write({"__key__": f"{index:06d}", "jpg": path.read_bytes()})


def mds(files: list[Path], own: Path) -> None:
    from streaming import MDSWriter

    with MDSWriter(out=str(own / "mds"), columns={"image": "bytes"}) as writer:
        for path in files:
            writer.write({"image": path.read_bytes()})


WRITERS: dict[str, Callable[[list[Path], Path], None]] = {
    "MindRecord": mindrecord,
    "TFRecord": tfrecord,
    "ArrayRecord": array_record,
    "webdataset": webdataset,
    "MDS": mds,
}


def writing(source: Path, root: Path, repeats: int) -> list[dict]:
    """Images per second of each format's writer; files come from the cache, nothing is checked."""
    files, results = sorted(source.rglob("*.jpg"))[:2000], []
    for name, write in WRITERS.items():
        samples = []
        try:
            for round_ in range(repeats + 1):
                own = root / f"{name}-{round_}"
                own.mkdir()
                begin = time.perf_counter()
                write(files, own)
                samples.append(len(files) / (time.perf_counter() - begin))
                shutil.rmtree(own)
            results.append(record.result(f"write {name}", "images_per_s", samples[1:]))  # the first one imports
        except ImportError as error:
            results.append(record.skipped(f"write {name}", f"{error.name or error} is not installed"))
        except Exception as error:  # a peer's own failure is its result
            results.append(record.skipped(f"write {name}", f"{type(error).__name__}: {error}"[:200]))
    return results


def main(argv: list[str] | None = None) -> int:
    parser = arguments.parser(__doc__)
    parser.add_argument("--images", type=arguments.count, default=10_000, help="a domain")
    parser.add_argument("--workers", type=arguments.count, default=arguments.CORES, help="processes")
    parser.add_argument("--repeats", type=arguments.count, default=5, help="samples of each figure")
    parser.add_argument("--encodings", nargs="+", default=["original", "jpeg", "raw"], help="to convert to")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        size = pictures.make_source(root / "source", options.images)
        pictures.make_source(root / "tenth", max(1, options.images // 10))
        pictures.make_source(root / "tiny", 2)
        results = measure(options, root) + writing(root / "source", root, options.repeats)
    data = {"images_per_domain": options.images, "mean_jpeg_bytes": size // (2 * options.images)}
    record.finish("conversion", options, data, results, peers.PACKAGES, base=BASE)
    return 0


def measure(options: argparse.Namespace, root: Path) -> list[dict]:
    times: dict[str, list[float]] = {BASE: []}
    memory: dict[str, list[float]] = {"peak memory": [], "peak memory, a tenth of the images": []}
    for _ in range(options.repeats):
        times[BASE].append(decode_once(root / "source", options.workers))
        start_s, _ = convert(root / "tiny", root / "out", "original", options.workers)
        times.setdefault("start-up", []).append(start_s)
        for encoding in options.encodings:
            whole_s, _ = convert(root / "source", root / "out", encoding, options.workers)
            times.setdefault(f"convert {encoding}, start-up apart", []).append(whole_s - start_s)
        for name, folder in zip(memory, ("source", "tenth"), strict=True):
            memory[name].append(convert(root / folder, root / "out", "original", options.workers, watch=True)[1])
    seconds = [record.result(name, "seconds", samples) for name, samples in times.items()]
    return seconds + [record.result(name, "mib", samples) for name, samples in memory.items()]


if __name__ == "__main__":
    sys.exit(main())
