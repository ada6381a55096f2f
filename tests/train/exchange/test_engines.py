"""A checkpoint by onnxruntime and OpenVINO: the pictures of MindSpore, and which engine is chosen."""

import importlib.util
import json
import math
import os
import shutil
import subprocess
import sys
import types

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from ugatit_data.files import canonical, sha256_file, sha256_hex
from ugatit_train.exchange import engines
from ugatit_train.inference import models
from ugatit_train.inference.models import ModelError
from ugatit_train.pictures import drawing
from ugatit_train.training.checkpoint import CheckpointError

OTHERS = ("onnxruntime", "openvino")


@pytest.fixture(scope="module")
def runs(untrained_run, write_run, tmp_path_factory):
    """A light run, and a full one that differs from it in all that a graph knows, with averages."""
    full = tmp_path_factory.mktemp("full") / "run"
    other = {"light": False, "img_size": 32, "img_ch": 1, "padding": "zero", "ema": 0.9}
    return {"light": untrained_run, "full": write_run(full, ch=4, n_res=2, n_dis=4, **other)}


@pytest.mark.parametrize("kind", ["light", "full"])
def test_pictures_and_heat_maps_are_those_of_mindspore(runs, kind):
    ours = models.from_checkpoint(runs[kind], "b2a")
    high, wide = ours.signature.img_size
    noise = np.random.default_rng(0).uniform(-1, 1, (2, ours.signature.img_ch, high, wide)).astype(np.float32)
    made, heat = ours.run(noise)
    assert made.std() > 0.05, "a picture, so that a level is something"
    for engine in OTHERS:
        pytest.importorskip(engine)
        for any_size in (False, True):
            model = engines.from_checkpoint(engine, runs[kind], "b2a", any_size)
            assert model.signature == ours.signature
            made_too, heat_too = model.run(noise)
            levels = drawing.to_uint8(made_too).astype(int) - drawing.to_uint8(made)
            assert np.abs(levels).max() <= 1
            assert heat_too.shape == heat.shape and np.abs(heat_too - heat).max() <= 1e-4 * np.abs(heat).max()
            assert np.array_equal(model.run(noise[:1])[0].shape, (1, *made.shape[1:]))


def test_openvino_takes_other_sizes(runs):
    pytest.importorskip("openvino")
    fixed, open_ = (engines.from_checkpoint("openvino", runs["light"], "a2b", any_size) for any_size in (False, True))
    for shape in ((1, 3, 24, 40), (3, 3, 16, 16), (1, 3, 24, 40)):
        noise = np.random.default_rng(1).uniform(-1, 1, shape).astype(np.float32)
        (made, heat), (made_too, heat_too) = fixed.run(noise), open_.run(noise)
        kept = made.copy()
        assert made.shape == shape and np.abs(made - made_too).max() < 1e-4
        assert np.abs(heat - heat_too).max() < 1e-4 * heat.max()
        fixed.run(-noise)
        assert np.array_equal(made, kept), "the engine's memory is not the caller's"


def test_averages_or_weights(runs):
    pytest.importorskip("onnxruntime")
    noise = np.random.default_rng(0).uniform(-1, 1, (1, 1, 32, 32)).astype(np.float32)
    made = {}
    for weights in ("ema", "raw", None):
        model = engines.from_checkpoint("onnxruntime", runs["full"], "a2b", weights=weights)
        assert model.signature.weights == (weights or "ema")
        made[weights] = model.run(noise)[0]
    assert np.array_equal(made[None], made["ema"]) and np.abs(made["raw"] - made["ema"]).max() > 0.01


@pytest.mark.parametrize(
    ("kind", "file", "lost", "said"),
    [
        ("light", "genA2B", "genA2B.fc1.weight", "one: of other networks: it holds no 'fc1.weight': give another"),
        ("full", "genA2B.ema", "ema.genA2B.fc1.weight", "weights beside it .fc1.weight.: give another checkpoint"),
    ],
)
def test_a_checkpoint_of_other_networks_is_refused(runs, tmp_path, kind, file, lost, said):
    pytest.importorskip("onnxruntime")
    shutil.copytree(runs[kind] / "checkpoints" / "step-00000003", tmp_path / "one")
    file, meta = tmp_path / "one" / f"{file}.safetensors", tmp_path / "one" / "checkpoint.json"
    arrays = load_file(file)
    arrays.pop(lost)
    save_file(arrays, file)
    body = json.loads(meta.read_text())
    body["files"][file.name] = {"bytes": file.stat().st_size, "sha256": sha256_file(file)}
    del body["digest"]
    meta.write_text(json.dumps(body | {"digest": sha256_hex(canonical(body))}))
    with pytest.raises(CheckpointError, match=said):
        engines.from_checkpoint("onnxruntime", tmp_path / "one", "a2b")


@pytest.mark.parametrize(
    ("asked", "device", "pictures", "pixels", "batch", "chosen"),
    [
        ("auto", "CPU", 100, 256 * 256, 1, "openvino"),
        ("auto", "CPU", 12, 256 * 256, 8, "openvino"),
        ("auto", "CPU", 13, 256 * 256, 8, "mindspore"),
        ("auto", "CPU", math.inf, 256 * 256, 1, "mindspore"),
        ("auto", "CPU", 101, 256 * 256, 1, "mindspore"),
        ("auto", "CPU", 101, 256 * 256 + 1, 8, "openvino"),
        ("auto", "CPU", 101, 128 * 128, 1, "openvino"),
        ("auto", "CPU", 101, 128 * 128, 2, "mindspore"),
        ("auto", "CPU", 101, None, 8, "openvino"),
        ("auto", "Ascend", 1, 64 * 64, 1, "mindspore"),
        ("auto", "GPU", 1, 64 * 64, 1, "mindspore"),
        ("mindspore", "CPU", 1, 64 * 64, 1, "mindspore"),
        ("onnxruntime", "CPU", 1000, 64 * 64, 1, "onnxruntime"),
    ],
)
def test_the_rule(monkeypatch, asked, device, pictures, pixels, batch, chosen):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    assert engines.choose(asked, device, pictures, lambda: pixels, batch)[0] == chosen


def test_why_it_is_chosen(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    for shape, why in ((64 * 64, "small pictures"), (256 * 256, "--tiles"), (512 * 512, "large pictures")):
        assert engines.choose("auto", "CPU", math.inf, lambda: shape, many="--tiles")[1] == f"auto: {why}"  # noqa: B023


def test_openvino_sends_nothing_and_leaves_the_home_empty(tmp_path):
    """openvino_telemetry, which comes with it, reports each import, unless CI or the like is set."""
    pytest.importorskip("openvino")
    program = """
import sys
from ugatit_train.exchange import engines
engines._silent_openvino()
year = engines.version("openvino").split(".")[0]
print(year.isdigit(), [name for name in sys.modules if "telemetry" in name and "ovc" not in name])
"""
    environment = {key: value for key, value in os.environ.items() if key not in ("CI", "TF_BUILD", "JENKINS_URL")}
    environment["HOME"] = str(tmp_path)
    assert subprocess.check_output([sys.executable, "-c", program], text=True, env=environment) == "True []\n"
    assert list(tmp_path.iterdir()) == []


def test_a_signal_is_handled_after_two_models_of_openvino_have_gone(runs):
    """Two Cores of it, closed in the order of their start, leave no stack for signals on a processor with AMX."""
    pytest.importorskip("openvino")
    program = """
import signal, sys
from pathlib import Path
import numpy as np
from ugatit_train.exchange import engines
models = [engines.from_checkpoint("openvino", Path(sys.argv[1]), direction) for direction in ("a2b", "b2a")]
for model in models: model.run(np.zeros((1, 3, 16, 16), np.float32))
del model
while models: models.pop(0)
signal.signal(signal.SIGUSR1, lambda *_: print("handled"))
signal.raise_signal(signal.SIGUSR1)
"""
    command = [sys.executable, "-c", program, str(runs["light"])]
    assert subprocess.check_output(command, text=True) == "handled\n"


@pytest.mark.parametrize(
    "error", [ImportError("libtbb.so.12: cannot open"), RuntimeError("Check failed\n at line 1\n"), RuntimeError()]
)
def test_an_engine_that_fails_is_named_with_the_remedy(runs, monkeypatch, error):
    def broken(*_):
        raise error

    monkeypatch.setitem(engines._OPENERS, "openvino", broken)
    words = " ".join(str(error).split()) or "RuntimeError"
    with pytest.raises(ModelError, match=rf"openvino cannot run it \({words}\): give --engine mindspore"):
        engines.from_checkpoint("openvino", runs["light"], "a2b")


@pytest.mark.parametrize(
    ("engine", "reason"),
    [("onnxruntime", "No graph was found in the protobuf"), ("openvino", "Unable to read the model")],
)
def test_a_graph_that_an_engine_refuses_is_told_with_its_reason(runs, monkeypatch, engine, reason):
    pytest.importorskip(engine)
    monkeypatch.setattr(engines, "onnx_model", lambda *_: types.SimpleNamespace(SerializeToString=lambda: b"xx"))
    with pytest.raises(
        ModelError, match=rf"{engine} cannot run it \(.*{reason}.*\): give --engine mindspore"
    ) as refused:
        engines.from_checkpoint(engine, runs["light"], "a2b")
    assert "\n" not in str(refused.value) and ".cpp" not in str(refused.value)


def test_a_lack_of_memory_stays_one(runs, monkeypatch):
    def full(*_):
        raise MemoryError

    monkeypatch.setitem(engines._OPENERS, "openvino", full)
    with pytest.raises(MemoryError):
        engines.from_checkpoint("openvino", runs["light"], "a2b")


@pytest.mark.parametrize("missing", ["openvino", "onnx"])
def test_what_is_not_installed(monkeypatch, missing):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == missing else name)
    assert engines.choose("auto", "CPU", 1, lambda: 64) == ("mindspore", f"auto: {missing} is not installed")
    with pytest.raises(ModelError, match=rf"openvino: {missing} is not installed: pip install 'ugatit\[openvino\]'"):
        engines.choose("openvino", "CPU", 1, lambda: 64)
    with pytest.raises(ModelError, match="runs on the CPU: give --device_target CPU, or --engine mindspore"):
        engines.choose("openvino", "Ascend", 1, lambda: 64)


def test_weights_that_do_not_fit_into_one_file(runs, monkeypatch):
    monkeypatch.setattr(engines, "ONE_FILE", 1000)
    with pytest.raises(ModelError, match="--engine openvino: weights of 0.0 GB, 2 are the most: give --engine mindspo"):
        engines.from_checkpoint("openvino", runs["light"], "a2b")
