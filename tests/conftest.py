"""Settles MindSpore's environment and device before any test module imports it; fixtures of several packages' tests.

The device can be set only as long as no kernel has run: the data engine's tests run some, whatever comes after them.
"""

import functools
import logging
import os
import shutil
import signal
import tempfile

import pytest

from ugatit_train import runtime

# Under nohup, as a job of a server may be, SIGHUP is ignored; the tests send it, and so do their processes.
signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_configure(config):
    """One folder of compiled graphs for this run of the suite, never the user's: empty, shared by all its processes.

    Processes that pytest-xdist and the tests start inherit the variable. A test that is about compiling gives a folder
    of its own.
    """
    if hasattr(config, "workerinput"):  # in a process of pytest-xdist
        runtime.setup("CPU")
        return
    if not config.getoption("numprocesses", None):  # else this process starts others, and no test runs in it
        runtime.setup("CPU")
    folder = tempfile.mkdtemp(prefix="ugatit-tests-graphs-")
    os.environ["UGATIT_COMPILE_CACHE"] = folder
    config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))


@pytest.fixture
def s3_server(monkeypatch):
    """The address of an S3 server on this machine that holds one empty bucket, `bucket`; credentials are set."""
    moto_server = pytest.importorskip("moto.server", reason="moto is not installed: pip install '.[dev]'")
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
