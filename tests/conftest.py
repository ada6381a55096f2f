"""Settles MindSpore's environment and device before any test module imports it; fixtures of several packages' tests.

The device can be set only as long as no kernel has run: the data engine's tests run some, whatever comes after them.
"""

import functools
import logging
import os
import shutil
import signal
import tempfile
from pathlib import Path

import pytest

from ugatit_train import runtime

# Under nohup, as a job of a server may be, SIGHUP is ignored; the tests send it, and so do their processes.
signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_configure(config):
    """One folder of compiled graphs for this run of the suite, never the user's: empty, shared by all its processes.

    Processes that pytest-xdist and the tests start inherit the variable. A test that is about compiling gives a folder
    of its own. The processes of pytest-xdist have memory in large pages, as tools/train.py takes it: they compile a
    fifth faster. What the tests start begins without, as a user's programs do.
    """
    if hasattr(config, "workerinput"):  # in a process of pytest-xdist
        if os.environ.get("GLIBC_TUNABLES") == runtime.MALLOC_TUNABLES:
            del os.environ["GLIBC_TUNABLES"]  # glibc has read it
        runtime.setup("CPU")
        return
    if config.getoption("numprocesses", None):  # in the process that starts them, where no test runs
        os.environ.setdefault("GLIBC_TUNABLES", runtime.MALLOC_TUNABLES)
    else:
        runtime.setup("CPU")
    folder = tempfile.mkdtemp(prefix="ugatit-tests-graphs-")
    os.environ["UGATIT_COMPILE_CACHE"] = folder
    config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))


# The files that take longest, above half a minute each. A process of pytest-xdist runs a whole file: with these first,
# both processes end together. Of files that share a compiled graph, one is far ahead of the others.
LONGEST = (
    "tests/train/training/test_step.py",
    "tests/tools/test_check_device.py",
    "tests/tools/test_run_distributed_train.py",
    "tests/old_files/test_old_files.py",
    "tests/train/training/test_kernels.py",
    "tests/tools/test_export.py",
    "tests/benchmarks/test_step_time.py",
    "tests/train/training/test_loop.py",
    "tests/train/training/test_how_to_add.py",
    "tests/train/networks/test_convolution_trap.py",
    "tests/data/conversion/test_faults.py",
    "tests/train/training/test_half_form.py",
)


def pytest_collection_modifyitems(items):
    """Tests of the LONGEST files come first; pytest-xdist keeps the order if it gets --no-loadscope-reorder."""
    place = {Path(__file__).parents[1] / file: i for i, file in enumerate(LONGEST)}
    assert all(file.is_file() for file in place), "LONGEST names files that are there"
    items.sort(key=lambda item: place.get(item.path, len(LONGEST)))


@pytest.fixture
def s3_server(monkeypatch):
    """The address of an S3 server on this machine that holds one empty bucket, `bucket`; credentials are set."""
    moto_server = pytest.importorskip("moto.server", reason="moto is not installed: pip install 'ugatit[dev]'")
    from pyarrow import fs

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    for name, value in {"ACCESS_KEY_ID": "test", "SECRET_ACCESS_KEY": "test", "DEFAULT_REGION": "us-east-1"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "S3_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    server = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    address = "http://{}:{}".format(*server.get_host_and_port())
    fs.S3FileSystem(endpoint_override=address, allow_bucket_creation=True).create_dir("bucket")
    yield address
    fs.S3FileSystem(endpoint_override=address, allow_bucket_deletion=True).delete_dir("bucket")
    server.stop()


@pytest.fixture(scope="module")
def small_ceilings():
    """What a profile is compared with is measured on little work: at its full size it takes a core for five seconds."""
    from ugatit_train.performance import ceilings

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ceilings, "probes", functools.partial(ceilings.probes, 0.05))
        yield


@pytest.fixture(scope="session")
def write_run():
    """write_run(folder, ch=4, ...) makes a run's folder whose generators have the weights that training begins with.

    With `ema` their averages are such weights of another seed.
    """
    from ugatit_train.forms import CPU
    from ugatit_train.networks import ugatit
    from ugatit_train.options import config, saved
    from ugatit_train.training import checkpoint

    def write(folder, **options):
        o = config.Options(data_path="none", **options)
        parameters = {}
        for seed, name in enumerate(checkpoint.GENERATORS.values()):
            generator = ugatit.Generator(CPU, o.ch, o.n_res, o.image_size[0], o.img_ch, o.light, o.padding)
            ugatit.initialise(generator, seed)
            parameters |= {f"{name}.{own}": parameter for own, parameter in generator.parameters_and_names()}
            if o.ema:
                average = ugatit.Generator(CPU, o.ch, o.n_res, o.image_size[0], o.img_ch, o.light, o.padding)
                ugatit.initialise(average, seed + 10)
                parameters |= {f"ema.{name}.{own}": parameter for own, parameter in average.parameters_and_names()}
        meta = {"step": 3, "data": {}, "options": saved.lasting(o)}
        checkpoint.save(folder / "checkpoints", parameters, meta, keep=1)
        saved.save(o, folder / saved.OPTIONS_FILE)
        return folder

    return write


@pytest.fixture(scope="session")
def untrained_run(write_run, tmp_path_factory):
    """The folder of a run with two light generators of 32 pixels."""
    return write_run(tmp_path_factory.mktemp("untrained") / "run", light=True, ch=4, n_res=1, n_dis=4, img_size=32)


@pytest.fixture(scope="session")
def picture_folder(tmp_path_factory):
    """A folder with trainA, trainB, testA (5 readable pictures of 7, the others bad) and testB (4), of any sizes."""
    import cv2
    import numpy as np

    root = tmp_path_factory.mktemp("test pictures") / "source"
    draw = np.random.default_rng(1)
    for folder, count in (("trainA", 2), ("trainB", 2), ("testA", 5), ("testB", 4)):
        (root / folder / "sub").mkdir(parents=True)
        for i in range(count):
            shape = (24 + 4 * i, 40 - 4 * i, 3)
            smooth = cv2.GaussianBlur(draw.integers(0, 256, shape, np.uint8), (0, 0), 2)
            cv2.imwrite(str(root / folder / ("sub" if i == 1 else "") / f"{i}.{'jpg' if i % 2 else 'png'}"), smooth)
    (root / "testA" / "cut.png").write_bytes((root / "testA" / "0.png").read_bytes()[:200])
    (root / "testA" / "text.jpg").write_text("not a picture")
    return root
