"""Mapped files: no descriptor, no leak, and no death of the process where the file is cut short meanwhile."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ugatit_data.dataset import mapped
from ugatit_data.dataset.mapped import map_file

PAGES = 5
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="SIGBUS is caught on Linux only")


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(bytes(range(1, 251)) * (PAGES * 4096 // 250))
    return path


def is_mapped(path):
    return str(path) in Path("/proc/self/maps").read_text()


def test_a_file_is_there_as_long_as_a_view_of_it_is_and_keeps_no_descriptor(path):
    before = os.listdir("/proc/self/fd")
    whole = map_file(path)
    assert os.listdir("/proc/self/fd") == before
    assert whole.tobytes() == path.read_bytes()
    assert (whole.dtype, whole.flags.writeable) == (np.uint8, False)
    part = whole[300:310][2:]
    del whole
    gc.collect()
    assert is_mapped(path) and part.tobytes() == path.read_bytes()[302:310]
    del part
    gc.collect()
    assert not is_mapped(path)


def test_a_file_that_cannot_be_mapped_is_named(tmp_path):
    (tmp_path / "empty").touch()
    with pytest.raises(OSError, match="Invalid argument: .*empty"):
        map_file(tmp_path / "empty")
    with pytest.raises(FileNotFoundError):
        map_file(tmp_path / "none")


@LINUX
def test_what_is_cut_off_becomes_zeros_and_is_known_to_be_lost(path):
    """In this process: without the handler it would end here."""
    whole, other = map_file(path), map_file(path)
    address = whole.ctypes.data
    os.truncate(path, 4096)
    assert mapped.lost == set()
    assert not whole[8192:].any() and mapped.lost == {address}
    assert whole[:250].tobytes() == bytes(range(1, 251))
    assert not other[-1:].any() and mapped.lost == {address, other.ctypes.data}
    del whole, other
    gc.collect()
    assert mapped.lost == set()


@LINUX
@pytest.mark.parametrize("first", ["", "import faulthandler; faulthandler.enable()"])
def test_a_bus_error_of_others_ends_the_process_as_it_did(path, first):
    """Theirs before ours, after one of ours, and after that of a handler that came later."""
    code = f"""
import faulthandler, mmap, os, sys
from pathlib import Path
{first}
from ugatit_data.dataset.mapped import lost, map_file
path = Path(sys.argv[1])
file = path.open("rb")
ours, theirs = map_file(path), mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
faulthandler.enable()
again = map_file(path)
os.truncate(path, 0)
assert ours[5000] == again[5000] == 0 and len(lost) == 2
print("alive", flush=True)
theirs[5000]
"""
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (-signal.SIGBUS, "alive\n")
    assert "Fatal Python error: Bus error" in done.stderr
