"""Kill conversions, flip bits, fill the disk: count what was lost, missed or died.

    python tests/data/conversion/faults.py --rounds 200 --flips 1000

Every count but the first in a line must be 0; the exit code says so too. Conversions run in forked children (with
MindSpore loaded already, so that kills hit the work and not the imports); every tenth is the command itself, with two
workers. Flips are tried in a child too, so that a signal is counted and not suffered.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import os
import random
import resource
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from ugatit_data import ConversionError, CorruptDatasetError, DataError, convert, open_loader, verify
from ugatit_data.dataset.manifest import read_dataset, read_manifest

TOOL = Path(__file__).parents[3] / "tools" / "convert_dataset.py"
SHARDS = 3
HANG_S = 60.0


def make_source(root: Path, count: int) -> Path:
    """JPEGs of noise, with one damaged file and one that is no image, so that some are rejected."""
    generator = np.random.default_rng(0)
    for name in ("trainA", "trainB", "testA"):
        (root / name).mkdir(parents=True)
        for index in range(count):
            pixels = generator.integers(0, 256, (32 + index % 5, 40, 3), np.uint8)
            cv2.imwrite(str(root / name / f"{index:04d}.jpg"), pixels)
    broken = root / "trainA" / "0001.jpg"
    broken.write_bytes(broken.read_bytes()[:-9])
    (root / "trainB" / "notes.txt").write_text("no image")
    return root


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def run_convert(source: Path, out: Path) -> None:
    convert(source, out, shards=SHARDS)


def in_child(work: Callable[[], None]) -> int:
    """Fork, work, exit; returns the child's id."""
    child = os.fork()
    if child:
        return child
    try:
        work()
    except DataError:
        os._exit(1)
    except BaseException:
        os._exit(70)
    os._exit(0)


def start_command(source: Path, out: Path) -> subprocess.Popen:
    command = [sys.executable, str(TOOL), str(source), str(out), "--shards", str(SHARDS), "--workers", "2"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def kills(source: Path, work: Path, rounds: int, command_every: int = 10, seed: int = 0) -> Counter:
    """Kill a conversion at random moments until one gets through; its folder must equal an uninterrupted one's."""
    chance, counts, out = random.Random(seed), Counter(), work / "out"
    run_convert(source, work / "reference")
    begin = time.monotonic()
    run_convert(source, work / "again")
    whole_s = time.monotonic() - begin
    reference = contents(work / "reference")
    counts["differences"] += contents(work / "again") != reference
    while counts["kills"] < rounds:
        command = command_every and counts["kills"] % command_every == command_every - 1
        if command:
            process = start_command(source, out)
            time.sleep(chance.uniform(1.0, 5.0))
            killed = process.poll() is None
            process.kill()
            process.wait()
        else:
            child = in_child(lambda: run_convert(source, out))
            time.sleep(chance.uniform(0, 1.2 * whole_s))
            os.kill(child, signal.SIGKILL)
            killed = os.WIFSIGNALED(os.waitpid(child, 0)[1])
        counts["kills"] += killed
        if out.exists():  # it got through before the kill, or was published just then
            counts["finished"] += 1
            counts["differences"] += contents(out) != reference
            shutil.rmtree(out)
    if not out.exists():
        run_convert(source, out)
        counts["differences"] += contents(out) != reference
    counts["left behind"] += len({path.name for path in work.iterdir()} - {"reference", "again", "out"})
    return counts


STAGES = ((os, "replace"), (os, "fsync"), (os, "posix_fallocate"), (Path, "rename"), (Path, "unlink"), (Path, "mkdir"),
          (Path, "write_bytes"), (Path, "chmod"), (tempfile, "mkdtemp"), (shutil, "rmtree"))  # fmt: skip


def stage_kills(source: Path, work: Path) -> Counter:
    """Kill a conversion before the first, the second, ... of its calls that change the folder, each in turn."""
    counts, out, reference = Counter(), work / "stage", contents(work / "reference")
    for owner, name in STAGES:
        for number in range(1, 1000):
            status = os.waitpid(in_child(lambda: _dying_at(owner, name, number, source, out)), 0)[1]  # noqa: B023
            if not os.WIFSIGNALED(status):  # there are fewer such calls: it got through
                counts["differences"] += contents(out) != reference
                shutil.rmtree(out)
                break
            counts["kills at a stage"] += 1
            counts["published unfinished"] += out.exists() and contents(out) != reference
            if not out.exists():
                run_convert(source, out)
            counts["differences"] += contents(out) != reference
            shutil.rmtree(out)
    counts["left behind"] += len({path.name for path in work.iterdir()} - {"reference", "again", "out"})
    return counts


def _dying_at(owner: object, name: str, number: int, source: Path, out: Path) -> None:
    calls, real = itertools.count(1), getattr(owner, name)

    def call(*arguments, **options):
        if next(calls) == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*arguments, **options)

    setattr(owner, name, call)
    run_convert(source, out)


def regions(folder: Path) -> dict[str, list[tuple[str, int, int]]]:
    """kind -> the stretches (file, from, to) of it: where flips are tried."""
    dataset = read_dataset(folder)
    rows = [row for row in read_manifest(folder, dataset).to_pylist() if row["shard"]]
    found: dict[str, list[tuple[str, int, int]]] = {
        "images": [(row["shard"], row["offset"], row["offset"] + row["length"]) for row in rows],
        "dataset.json": [("dataset.json", 0, (folder / "dataset.json").stat().st_size)],
        "manifest.parquet": [("manifest.parquet", 0, (folder / "manifest.parquet").stat().st_size)],
        "header": [],
        "row pages": [],
        ".db": [],
    }
    for file in sorted({row["shard"] for row in rows}):
        with (folder / file).open("rb") as opened:
            (length,) = struct.unpack("<Q", opened.read(8))
        size = (folder / file).stat().st_size
        page = 1 << 20
        found["header"].append((file, 0, length + 8))
        found["row pages"].append((file, (1 << 16) + page, min((1 << 16) + 2 * page, size)))  # page 1 holds the rows
        found[".db"].append((file + ".db", 0, (folder / (file + ".db")).stat().st_size))
    return found


def images_of(folder: Path) -> dict[str, list[np.ndarray]]:
    read = {}
    for domain in "ab":
        with open_loader(folder, img_size=32, batch_size=4, domain=domain, augment=False, threads=1) as loader:
            read[domain] = list(loader)
    return read


def same(left: dict[str, list[np.ndarray]], right: dict[str, list[np.ndarray]]) -> bool:
    return all(
        len(left[domain]) == len(right[domain])
        and all(np.array_equal(one, other) for one, other in zip(left[domain], right[domain], strict=True))
        for domain in left
    )


def flip_once(folder: Path, sound: dict[str, list[np.ndarray]], file: str, at: int, bit: int) -> str:
    """Flip a bit, look, flip it back: "named", or what went wrong."""
    path = folder / file
    original = path.read_bytes()
    damaged = bytearray(original)
    damaged[at] ^= 1 << bit
    path.write_bytes(damaged)
    try:
        try:
            named = any(problem.file == file for problem in verify(folder))
        except (CorruptDatasetError, DataError) as error:
            named = file.removesuffix(".db") in str(error)
        try:
            reached = not same(images_of(folder), sound)
        except (CorruptDatasetError, DataError):
            reached = False
    finally:
        path.write_bytes(original)
    return "reached a batch" if reached else "named" if named else "undetected"


def _flip_many(folder: Path, places: list[tuple[str, str, int, int]], pipe) -> None:
    sound = images_of(folder)
    for kind, file, at, bit in places:
        pipe.send((kind, flip_once(folder, sound, file, at, bit)))
    pipe.close()


def flips(folder: Path, count: int, seed: int = 0) -> Counter:
    """Flip `count` bits, one at a time, all kinds of regions alike: each must be named, none may reach a batch."""
    chance, counts = random.Random(seed), Counter()
    kinds, places = regions(folder), []
    for number in range(count):
        kind = sorted(kinds)[number % len(kinds)]
        file, begin, end = chance.choice(kinds[kind])
        places.append((kind, file, chance.randrange(begin, end), chance.randrange(8)))
    context = multiprocessing.get_context("fork")
    receive, send = context.Pipe(duplex=False)
    child = context.Process(target=_flip_many, args=(folder, places, send))
    child.start()
    send.close()
    for _ in places:
        if not receive.poll(HANG_S):
            counts["hangs"] += 1
            child.kill()
            break
        try:
            kind, result = receive.recv()
        except EOFError:
            break
        counts["flips"] += 1
        counts[f"{result} ({kind})" if result != "named" else "named"] += 1
    child.join()
    counts["signals"] += child.exitcode != 0
    counts["not tried"] += count - counts["flips"]
    return counts


def truncations(folder: Path) -> Counter:
    """Cut every file at its edges: named at open or by verify."""
    counts = Counter()
    for path in sorted(folder.iterdir()):
        data = path.read_bytes()
        for size in sorted({0, 1, 8, len(data) // 2, len(data) - 1}):
            path.write_bytes(data[:size])
            counts["truncations"] += 1
            try:
                counts["undetected"] += not any(problem.file == path.name for problem in verify(folder))
            except DataError as error:
                counts["undetected"] += path.name not in str(error)
        path.write_bytes(data)
    return counts


def full_disks(source: Path, work: Path, limits: list[int]) -> Counter:
    """Convert under file-size limits: a typed error, nothing published; with space again, it resumes."""
    counts, out = Counter(), work / "full"
    run_convert(source, work / "roomy")
    reference = contents(work / "roomy")

    def limited(limit: int) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        try:
            run_convert(source, out)
        except ConversionError:
            os._exit(3)

    for limit in limits:
        _, status = os.waitpid(in_child(lambda limit=limit: limited(limit)), 0)
        counts["full disks"] += 1
        counts["signals"] += os.WIFSIGNALED(status)
        code = os.WEXITSTATUS(status)
        counts["untyped errors"] += code not in (0, 3)
        counts["published in spite of it"] += out.exists() and code != 0
        if out.exists():
            counts["differences"] += contents(out) != reference
            shutil.rmtree(out)
    run_convert(source, out)
    counts["differences"] += contents(out) != reference
    return counts


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20, help="kills")
    parser.add_argument("--flips", type=int, default=120, help="bit flips")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    import mindspore.mindrecord  # noqa: F401  before the forks

    bad = 0
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        source = make_source(root / "source", 40)
        for name in ("kills", "full"):
            (root / name).mkdir()
        run_convert(source, root / "data")
        results = {
            "kills": kills(source, root / "kills", options.rounds, seed=options.seed),
            "kills at a stage": stage_kills(source, root / "kills"),
            "flips": flips(root / "data", options.flips, seed=options.seed),
            "truncations": truncations(root / "data"),
            "full disks": full_disks(source, root / "full", [0, 1 << 10, 10_000, 1 << 16, 1 << 20, 3 << 20, 1 << 22]),
        }
    for counts in results.values():
        print(", ".join(f"{count} {what}" for what, count in counts.items()))
        bad += sum(count for what, count in counts.items() if what not in (*results, "named", "finished"))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
