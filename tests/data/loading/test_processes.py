"""A loader and its process: forks, pickles, few descriptors, and shards that are cut short while they are read."""

from __future__ import annotations

import copy
import gc
import multiprocessing
import os
import pickle
import shutil
import signal
import sys
import time
import warnings

import numpy as np
import pytest

from ugatit_data import CorruptDatasetError, open_loader

SIZE = 48  # with its margin the stored size of the raw data set


def in_forked_child(work):
    """What `work()` gives or raises in a forked child, as text; "hangs" after ten seconds."""
    receive, send = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # from 3.12 on: this process has threads
        child = os.fork()
    if not child:
        try:
            said = str(work())
        except BaseException as error:
            said = f"{type(error).__name__}: {error}"
        os.write(send, said.encode())
        os._exit(0)
    os.close(send)
    end = time.monotonic() + 10
    while os.waitpid(child, os.WNOHANG) == (0, 0):
        if time.monotonic() > end:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return "hangs"
        time.sleep(0.01)
    with os.fdopen(receive) as file:
        return file.read()


@pytest.mark.parametrize("encoding", ["original", "raw"])
@pytest.mark.parametrize("taken", [0, 3])
def test_a_forked_loader_says_where_it_belongs(datasets, encoding, taken):
    with open_loader(datasets[encoding], img_size=SIZE, threads=2) as loader:
        for _ in range(taken):
            next(loader)
        said = in_forked_child(lambda: next(loader))
        assert f"DataError: the loader belongs to process {os.getpid()}, and its threads stayed there" in said
        assert "Open one in each process that reads, with rank and world" in said
        expected = [next(loader) for _ in range(3)]  # the parent's goes on
    with open_loader(datasets[encoding], img_size=SIZE, start_step=taken) as loader:
        for one, other in zip([next(loader) for _ in range(3)], expected, strict=True):
            np.testing.assert_array_equal(one[0], other[0])


def test_a_forked_child_may_close_ask_restore_and_open_its_own(dataset):
    def work():
        state = loader.state()
        loader.restore(state)
        keys = len(loader.keys("a"))
        loader.close()
        with open_loader(dataset, img_size=SIZE, threads=1, start_step=state["step"]) as own:
            return keys, state["step"], bool((next(own)[0] == next(loader_again)[0]).all())

    with open_loader(dataset, img_size=SIZE, threads=2) as loader:
        next(loader)
        loader_again = iter([next(loader)])
        loader.restore(loader.state() | {"step": 1})
        assert in_forked_child(work) == "(13, 1, True)"
        next(loader)


def test_a_child_of_multiprocessing_ends_that_never_reads(dataset):
    with open_loader(dataset, img_size=SIZE, threads=2) as loader:
        next(loader)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            child = multiprocessing.get_context("fork").Process(target=lambda: gc.collect() and None)
            child.start()
        child.join(20)
        assert child.exitcode == 0


@pytest.mark.parametrize("way", [pickle.dumps, copy.copy, copy.deepcopy], ids=lambda way: way.__name__)
def test_a_loader_is_not_pickled(dataset, way):
    with open_loader(dataset, img_size=SIZE) as loader:
        with pytest.raises(TypeError, match="a loader cannot be pickled or copied: .* Call open_loader in the process"):
            way(loader)
        assert pickle.loads(pickle.dumps(loader.state())) == loader.state()


def test_a_data_set_of_more_shards_than_descriptors_is_read(source, tmp_path, convert_folder, few_descriptors):
    out = convert_folder(source, tmp_path / "out", shards=4)
    few_descriptors(4)
    with open_loader(out, batch_size=13, img_size=SIZE) as loader:
        next(loader)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere it ends the process")
@pytest.mark.parametrize("check", ["once", "off"])
@pytest.mark.parametrize("encoding", ["original", "raw"])
def test_a_shard_that_is_cut_short_while_it_is_read_is_named(datasets, tmp_path, encoding, check):
    folder = shutil.copytree(datasets[encoding], tmp_path / "copy")
    with open_loader(folder, batch_size=13, img_size=SIZE, threads=2, check=check) as loader:
        for _ in range(8):  # every record has been checked, and is not checked again
            next(loader)
        shard = sorted(folder.glob("trainA*.mindrecord"))[0]
        os.truncate(shard, 4096)
        with pytest.raises(CorruptDatasetError, match=f"{shard}: was cut short, or its disk failed, while it was read"):
            for _ in range(20):
                next(loader)
        with pytest.raises(CorruptDatasetError, match="was cut short"):
            next(loader)
        with open_loader(datasets[encoding], batch_size=13, img_size=SIZE) as other:
            next(other)  # another data set in this process is none the worse
