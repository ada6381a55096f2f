"""The compiled copy: the pixels of NumPy's indexing at every width, wherever its cache can be kept."""

from __future__ import annotations

import ctypes.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pytest
import xxhash

from ugatit_data.loading import kernel

PROGRAM = """
import numpy as np
from ugatit_data.loading import kernel

image, batch = np.arange(12, dtype=np.uint8).reshape(1, 2, 2, 3), np.zeros((1, 2, 2, 3), np.uint8)
memory, sums, due = np.empty(kernel.STATE, np.uint8), np.zeros(1, np.uint64), np.zeros(1, np.uint8)
known = memory, np.array([image.ctypes.data]), sums, due, False, 0, 0, 0, 2
assert kernel.compiled()(batch, np.array([[0, True, 0, 0]]), *known) == -1
assert (batch == image[:, :, ::-1]).all()
print(sum(kernel.compiled().stats.cache_hits.values()), len(kernel.compiled().signatures))
"""


def memory() -> np.ndarray:
    return np.empty(kernel.STATE, np.uint8)


def run(folder: Path, program: str = PROGRAM, **environment: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(folder)} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("wide", [1, 2, 15, 16, 17, 31, 32, 33, 48, 50])
@pytest.mark.parametrize("high", [1, 20])
def test_any_crop_is_that_of_indexing(high, wide):
    random = np.random.default_rng(wide)
    side, count = max(high, wide) + 7, 40
    images = random.integers(0, 256, (5, side, side, 3), np.uint8)
    sums = np.array([xxhash.xxh3_64_intdigest(image) for image in images], np.uint64)
    due = np.array([0, 1, 1, 1, 1], np.uint8)
    sums[0] += np.uint64(1)  # never compared
    ids, flips = random.integers(0, 5, count), random.random(count) < 0.5
    ys, xs = random.integers(0, side - high + 1, count), random.integers(0, side - wide + 1, count)
    ys[:4], xs[:4], flips[:4] = (0, 0, side - high, side - high), (0, side - wide) * 2, (False, True, True, False)
    whole = np.full((count + 2, high, wide, 3), 7, np.uint8)  # an image before and one behind that stay as they are
    addresses = np.array([image.ctypes.data for image in images])
    known = memory(), addresses, sums, due, False, *kernel.digest_addresses(), side
    lefts = np.where(flips, side - wide - xs, xs)  # as it lies in the record, not mirrored yet
    picks = np.stack((ids, flips, ys, 3 * lefts), 1)
    assert kernel.compiled()(whole[1:-1], picks, *known) == -1
    assert not due.any()
    assert (whole[[0, -1]] == 7).all()
    for out, sample, flip, x, y in zip(whole[1:-1], ids, flips, xs, ys, strict=True):
        image = images[sample][:, ::-1] if flip else images[sample]
        np.testing.assert_array_equal(out, image[y : y + high, x : x + wide])
    due[ids[-1]], sums[ids[-1]] = 1, sums[ids[-1]] + np.uint64(1)
    assert kernel.compiled()(whole[1:-1], picks, *known) == ids.tolist().index(ids[-1])


@pytest.mark.parametrize("side", [1, 2, 9, 10, 64, 286])
def test_checksums_are_those_of_the_package(side):
    """Up to 240 bytes and beyond, and rows that do not come out in whole groups."""
    image, batch = np.random.default_rng(side).integers(0, 256, (2, 1, side, side, 3), np.uint8)
    for wrong in (0, 1):
        sums = np.array([xxhash.xxh3_64_intdigest(image) ^ wrong], np.uint64)
        addresses, due = np.array([image.ctypes.data]), np.ones(1, np.uint8)
        known = memory(), addresses, sums, due, True, *kernel.digest_addresses(), side
        assert kernel.compiled()(batch, np.zeros((1, 4), np.int64), *known) == wrong - 1


def test_other_threads_that_take_memory_do_not_write_into_the_state():
    """Of a process all of whose threads take memory from one place, as a process with very many does."""
    program = """
import threading
import numba, numpy as np, xxhash
from ugatit_data.loading import kernel

@numba.njit(nogil=True)
def take_and_write(times):
    for value in range(times):
        taken = np.empty(kernel.STATE, np.uint8)
        taken[:] = value & 255

def work():
    while not done:
        take_and_write(200)

images, done = np.random.default_rng(0).integers(0, 256, (2, 8, 64, 64, 3), np.uint8), False
picks, due = np.zeros((8, 4), np.int64), np.ones(8, np.uint8)
picks[:, 0] = range(8)
addresses = np.array([image.ctypes.data for image in images[0]])
sums = np.array([xxhash.xxh3_64_intdigest(image) for image in images[0]], np.uint64)
fill = kernel.compiled()
take_and_write(1)
threads = [threading.Thread(target=work, daemon=True) for _ in range(3)]
for thread in threads:
    thread.start()
wrong = 0
for _ in range(500):
    memory = np.empty(kernel.STATE, np.uint8)
    wrong += fill(images[1], picks, memory, addresses, sums, due, True, *kernel.digest_addresses(), 64) != -1
done = True
print(wrong)
"""
    tunables = {"GLIBC_TUNABLES": "glibc.malloc.arena_max=1"}
    assert said(run(PACKAGE.parent, program, **tunables)) == "0\n"


def test_a_build_of_xxhash_that_exports_nothing_is_told_by_zeros(monkeypatch):
    assert all(kernel.digest_addresses())
    monkeypatch.setattr(xxhash._xxhash, "__file__", ctypes.util.find_library("c"))
    assert kernel.digest_addresses() == (0, 0, 0)


PACKAGE = Path(kernel.__file__).parents[1]


def said(process: subprocess.Popen) -> str:
    try:
        out, errors = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 0, errors
    return out


def test_two_processes_may_compile_at_once_and_later_ones_load(tmp_path):
    package = PACKAGE.parent
    for process in [run(package, NUMBA_CACHE_DIR=str(tmp_path)) for _ in range(2)]:
        assert said(process).endswith(" 1\n")
    assert said(run(package, NUMBA_CACHE_DIR=str(tmp_path))) == "1 1\n"


def test_without_any_folder_to_write_to_it_compiles_in_memory(tmp_path):
    """Folders that are files stand for those that nobody may write to: root may write anywhere."""
    shutil.copytree(PACKAGE, tmp_path / "ugatit_data", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "ugatit_data" / "loading" / "__pycache__").touch()
    (tmp_path / "file").touch()
    places = {name: str(tmp_path / "file") for name in ("HOME", "XDG_CACHE_HOME")}
    assert said(run(tmp_path, PYTHONDONTWRITEBYTECODE="1", **places)) == "0 1\n"


def test_a_damaged_cache_is_left_aside(tmp_path):
    package = PACKAGE.parent
    said(run(package, NUMBA_CACHE_DIR=str(tmp_path)))
    for file in tmp_path.rglob("*.nb?"):
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    assert said(run(package, NUMBA_CACHE_DIR=str(tmp_path))) == "0 1\n"


def test_addresses_are_never_floats():
    """Which hold them to 53 bits only; numba makes them where signed and unsigned numbers meet."""
    typed = numba.njit(kernel._SIGNATURE)(kernel._fill).overloads[kernel._SIGNATURE.args].type_annotation.typemap
    assert len(typed) > 20
    assert [name for name, kind in typed.items() if isinstance(kind, numba.types.Float)] == []


def test_numba_that_may_not_compile_is_refused():
    process = run(PACKAGE.parent, NUMBA_DISABLE_JIT="1")
    assert "BadInputError: NUMBA_DISABLE_JIT is set" in process.communicate()[1]
    assert process.returncode == 1


def test_opening_anything_but_raw_crops_leaves_numba_alone(datasets):
    program = """
import sys, ugatit_data
for folder in sys.argv[1:]:
    ugatit_data.open_loader(folder, img_size=48).close()
    print("numba" in sys.modules)
"""
    command = [sys.executable, "-c", program, datasets["jpeg"], datasets["raw"]]
    assert subprocess.check_output(command, text=True).split() == ["False", "True"]
