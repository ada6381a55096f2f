"""tools/export.py and tools/translate.py on checkpoints of tiny networks: the files agree, and translate alike."""

import importlib.util
import json
import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

SIZE = 32
KINDS = {"light": {"light": True}, "full": {"light": False}, "gray": {"light": True, "img_ch": 1, "padding": "zero"}}


@pytest.fixture(autouse=True)
def as_tools_set_it(monkeypatch):
    """The tools, which run in this process here, set it: pytest is to put it back."""
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")


@pytest.fixture(scope="module")
def runs(write_run, tmp_path_factory):
    """A folder with a run for each of KINDS, of random weights."""
    root = tmp_path_factory.mktemp("runs")
    for name, kind in KINDS.items():
        write_run(root / name, ch=8, n_res=1, img_size=SIZE, n_dis=4, **kind)
    return root


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Six smooth pictures of three sizes."""
    folder = tmp_path_factory.mktemp("photos")
    random = np.random.default_rng(5)
    for i in range(6):
        coarse = random.integers(0, 256, (4, 5, 3), np.uint8)
        cv2.imwrite(str(folder / f"{i}.png"), cv2.resize(coarse, [(32, 32), (50, 35), (41, 64)][i % 3]))
    return folder


@pytest.fixture(scope="module")
def exported(runs, tmp_path_factory):
    """Where the tests keep what they have exported: (kind, format) -> file."""
    return {}, tmp_path_factory.mktemp("exported")


@pytest.mark.parametrize(
    ("kind", "file_format"),
    [("light", "ONNX"), ("light", "MINDIR"), ("full", "ONNX"), ("full", "MINDIR"), ("gray", "ONNX")],
)
def test_the_file_agrees_with_the_checkpoint_on_five_pictures(tool, runs, photos, exported, kind, file_format):
    files, root = exported
    out = root / f"{kind} 有 空"  # MindSpore writes to no path with a space, or of Chinese letters
    arguments = ("--export_file_format", file_format, "--pictures", photos, "--direction", "b2a")
    code, said, complaint = tool("export", "--checkpoint", runs / kind, "--out", out, *arguments)
    assert code == 0, complaint
    path = files[kind, file_format] = out / {"ONNX": "genB2A.onnx", "MINDIR": "genB2A.mindir"}[file_format]
    assert said.startswith(f"device: CPU\n{path}: ") and "on 5 pictures it differs from the checkpoint by" in said
    assert path.is_file() and not (out / "genB2A.partial").exists()
    assert path.stat().st_mode & 0o777 == 0o644
    code, _, complaint = tool("export", "--checkpoint", runs / kind, "--out", out, *arguments)
    assert code == 2 and f"{path} exists: give another --out" in complaint


@pytest.mark.parametrize("kind", ["light", "full"])
def test_a_mindir_holds_no_operator_of_the_cpus_forms(exported, kind):
    """A card runs it: there Im2Col, Col2Im and a BatchNorm without running moments are slow, or missing."""
    from mindspore.train.mind_ir_pb2 import ModelProto

    proto = ModelProto()
    proto.ParseFromString(exported[0][kind, "MINDIR"].read_bytes())
    graphs = [proto.graph, *proto.functions]
    operators = {node.op_type.split("::")[-1].split(":")[0] for graph in graphs for node in graph.node}
    assert {"Conv2D", "MatMul", "Tanh"} <= operators
    assert operators & {"Im2Col", "Col2Im", "MirrorPad", "BatchNorm", "BatchMatMul"} == set()


@pytest.mark.parametrize("kind", ["light", "full"])
def test_checkpoint_mindir_and_onnx_translate_alike(tool, runs, photos, exported, tmp_path, kind):
    files, _ = exported
    models = {
        "checkpoint": ("--checkpoint", runs / kind, "--direction", "b2a"),
        "mindir": ("--mindir", files[kind, "MINDIR"]),
        "onnx": ("--onnx", files[kind, "ONNX"]),
    }
    for name, model in models.items():
        arguments = (photos, *model, "--out", tmp_path / name, "--keep_size", "--batch", 2, "--heatmap")
        code, said, complaint = tool("translate", *arguments)
        assert code == 0 and "6 of 6 pictures translated" in said and "images/s" in said, complaint
    names = sorted(os.listdir(tmp_path / "onnx"))
    assert len(names) == 12
    for name in names:
        one, *others = (cv2.imread(str(tmp_path / model / name)).astype(int) for model in models)
        bound = (
            4 if "heatmap" in name else 1
        )  # of 255: a step of a rounded map, which the colours make four times larger
        assert all(np.abs(one - other).max() <= bound for other in others), name
        assert one.shape == cv2.imread(str(photos / f"{name[0]}.png")).shape
    assert one.std() > 1


def test_a_light_checkpoint_is_compiled_once_for_all_sizes(runs):
    from ugatit_train.forms import CPU, form_for
    from ugatit_train.inference import models
    from ugatit_train.inference.generator import load_generator

    signature = models.from_checkpoint(runs / "light", "a2b").signature
    assert (signature.size, signature.batch, signature.img_size) == (None, None, (SIZE, SIZE))
    any_size, _, _ = load_generator(runs / "light", "a2b", form_for("CPU", any_size=True))
    one_size, _, _ = load_generator(runs / "light", "a2b", CPU)
    runs_any, runs_one = models.from_cell(any_size, any_size=True), models.from_cell(one_size)
    random = np.random.default_rng(0)
    for shape in [(3, 3, 32, 32), (1, 3, 32, 32), (2, 3, 12, 40)]:
        x = random.uniform(-1, 1, shape).astype(np.float32)
        (one, heat_one), (other, heat_other) = runs_any(x), runs_one(x)
        np.testing.assert_allclose(one, other, atol=1e-5)
        np.testing.assert_allclose(heat_one, heat_other, atol=1e-4)
    assert len(any_size.compile_cache) == 1 and len(one_size.compile_cache) == 2  # 32 x 32, 12 x 40


def test_static_files_take_one_picture_of_one_size(tool, runs, photos, tmp_path):
    from ugatit_train.inference import models

    arguments = ("--checkpoint", runs / "light", "--out", tmp_path, "--static", "--size", "16x24")
    for file_format in ("ONNX", "MINDIR"):
        code, _, complaint = tool("export", *arguments, "--export_file_format", file_format)
        assert code == 0, complaint
    for name in ("genA2B.onnx", "genA2B.mindir"):
        model = models.from_file(tmp_path / name)
        assert (model.signature.batch, model.signature.size) == (1, (16, 24))
        assert model.run(np.zeros((1, 3, 16, 24), np.float32))[1].shape == (1, 1, 4, 6)
    model = ("--onnx", tmp_path / "genA2B.onnx")
    code, _, complaint = tool("translate", photos, *model, "--out", tmp_path / "out", "--batch", 4)
    assert code == 2 and "--batch 4: this file takes 1" in complaint
    code, _, complaint = tool("translate", photos, *model, "--out", tmp_path / "out", "--tiles")
    assert code == 0, complaint
    for path in photos.iterdir():
        assert cv2.imread(str(tmp_path / "out" / path.name)).shape == cv2.imread(str(path)).shape


def test_a_file_that_differs_is_an_error_and_is_not_left(tool, runs, tmp_path, monkeypatch):
    from ugatit_train.inference import models

    true = models.from_onnx

    def changed(path):
        model = true(path)
        return models.Model(run=lambda x: (model.run(x)[0] + 2e-4, model.run(x)[1]), signature=model.signature)

    monkeypatch.setattr(models, "from_onnx", changed)
    arguments = ("--checkpoint", runs / "light", "--out", tmp_path, "--export_file_format", "ONNX")
    code, _, complaint = tool("export", *arguments)
    assert code == 1
    assert "ONNX: it differs from the checkpoint by 2.0e-04 in the picture" in complaint
    assert "more than 0.0001: no file is left" in complaint
    assert os.listdir(tmp_path) == []


def test_not_a_number_is_not_small():
    from ugatit_train.exchange.export import Difference

    assert Difference(picture=1e-4, heatmap=0).is_small
    assert not Difference(picture=float("nan"), heatmap=0).is_small
    assert not Difference(picture=0, heatmap=1.1e-4).is_small


def test_large_weights_lie_beside_the_onnx_file(tool, runs, tmp_path, monkeypatch):
    from ugatit_train.exchange import export

    monkeypatch.setattr(export, "ONE_FILE", 1000)
    arguments = ("--checkpoint", runs / "full", "--out", tmp_path, "--format", "ONNX")
    code, said, complaint = tool("export", *arguments)
    assert code == 0, complaint
    assert sorted(os.listdir(tmp_path)) == ["genA2B.onnx", "genA2B.onnx.data"]
    size = sum((tmp_path / name).stat().st_size for name in os.listdir(tmp_path))
    assert f"{size / 1e6:.1f} MB" in said


def test_large_weights_lie_beside_the_mindir_file(tool, runs, tmp_path, monkeypatch, photos):
    import mindspore.train.serialization as serialization

    monkeypatch.setattr(serialization, "TOTAL_SAVE", 1)  # kilobytes: as if a network had more than a gigabyte
    code, said, complaint = tool("export", "--checkpoint", runs / "full", "--out", tmp_path / "made")
    assert code == 0, complaint
    assert sorted(os.listdir(tmp_path / "made")) == ["genA2B_graph.mindir", "genA2B_variables"]
    path = tmp_path / "made" / "genA2B_graph.mindir"
    code, said, complaint = tool("translate", photos, "--mindir", path, "--out", tmp_path / "out")
    assert code == 0, complaint


class Ascend:
    """What export needs of MindSpore on Ascend, by its documentation: the call is recorded, the file is written."""

    def __init__(self):
        self.calls = []

    def export(self, net, *inputs, file_name, file_format, **kwargs):
        self.calls.append((type(net).__name__, [tuple(x.shape) for x in inputs], file_name, file_format, kwargs))
        Path(file_name).with_suffix(".air").write_bytes(b"air")


def test_air_is_written_on_ascend_and_not_compared(tool, runs, tmp_path, monkeypatch):
    import mindspore as ms

    from ugatit_train import runtime

    ascend = Ascend()
    monkeypatch.setattr(runtime, "setup", lambda target, number: ascend.calls.append((target, number)))
    monkeypatch.setattr(runtime, "set_precision", ascend.calls.append)
    monkeypatch.setattr(ms, "export", ascend.export)
    arguments = ("--checkpoint", runs / "full", "--out", tmp_path, "--export_file_format", "AIR")
    code, said, complaint = tool("export", *arguments, "--device_target", "Ascend", "--device_id", 3)
    assert code == 0, complaint
    file = str(tmp_path / "genA2B.partial" / "genA2B.air")
    assert ascend.calls == [("Ascend", 3), "float32", ("Generator", [(1, 3, SIZE, SIZE)], file, "AIR", {})]
    file = tmp_path / "genA2B.air"
    assert said == f"device: Ascend 3\n{file}: written; MindSpore does not read AIR back: it was not compared\n"
    assert (tmp_path / "genA2B.air").read_bytes() == b"air"


def test_air_where_mindspore_refuses_it(tool, runs, tmp_path, monkeypatch):
    """Without the stand-in: what this machine's MindSpore says to it ends in one line, and leaves nothing."""
    from ugatit_train import runtime

    monkeypatch.setattr(runtime, "setup", lambda target, number: None)
    arguments = ("--checkpoint", runs / "light", "--out", tmp_path, "--export_file_format", "AIR")
    code, _, complaint = tool("export", *arguments, "--device_target", "Ascend")
    assert code == 1 and complaint.count("\n") == 1
    assert "AIR: Only support export file in 'AIR' format with Ascend backend" in complaint
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), ("--checkpoint/--genA2B_ckpt --genB2A_ckpt is required",)),
        (("--checkpoint", "none"), ("none: no such folder",)),
        (("--checkpoint", "run", "--format", "TFLITE"), ("'MINDIR', 'ONNX', 'AIR'",)),
        (("--checkpoint", "run", "--format", "AIR"), ("AIR is written on Ascend only: give --device_target Ascend",)),
        (("--checkpoint", "run", "--size", "30"), ("30 is not a size such as 256 or 128x256",)),
        (("--checkpoint", "run", "--out", "file"), ("file exists",)),
        (("--checkpoint", "run", "--pictures", "none"), ("none: no such picture or folder",)),
    ],
)
def test_bad_input(run_tool, refused, tmp_path, no_mindspore, arguments, words):
    (tmp_path / "run").mkdir()
    (tmp_path / "file").write_text("x")
    refused(run_tool("export", *arguments, cwd=tmp_path, env=no_mindspore), *words)
    assert sorted(os.listdir(tmp_path)) == ["file", "run"]


def test_onnx_that_is_not_installed_is_said_before_any_work(tool, runs, tmp_path, monkeypatch):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *of: None if name == "onnx" else find_spec(name, *of))
    code, _, said = tool("export", "--checkpoint", runs / "light", "--out", tmp_path / "out", "--format", "ONNX")
    assert (code, said) == (2, "ugatit export: ONNX: onnx is not installed: pip install 'ugatit[onnx]'\n")
    assert not (tmp_path / "out").exists()


def test_another_size_of_a_full_model_and_a_bad_picture(tool, runs, tmp_path):
    code, _, complaint = tool("export", "--checkpoint", runs / "full", "--out", tmp_path / "new", "--size", 64)
    assert code == 2 and "--size: this full model takes 32 pixels only" in complaint
    (tmp_path / "bad.png").write_text("no picture")
    arguments = ("--out", tmp_path / "new", "--pictures", tmp_path / "bad.png")
    code, _, complaint = tool("export", "--checkpoint", runs / "full", *arguments)
    assert code == 2 and "bad.png: not one of its 1 files is a picture" in complaint and not (tmp_path / "new").exists()


def test_a_bad_picture_is_named_and_left_out(load_tool, photos, tmp_path, capsys):
    from ugatit_train.inference.models import Signature

    found = sorted(photos.iterdir())
    found.insert(1, tmp_path / "bad.png")
    found[1].write_text("no picture")
    signature = Signature(direction="a2b", light=True, img_size=(32, 32), img_ch=1, size=None, batch=None)
    images = load_tool("export").read(found, signature, photos)
    assert [image.shape for image in images] == [(1, 1, 32, 32)] * 5
    complaint = capsys.readouterr().err
    assert complaint.startswith(f"ugatit export: {found[1]}: ") and complaint.endswith(": left out\n")


@pytest.mark.parametrize("suffix", [".onnx", ".mindir"])
def test_files_that_are_damaged_or_not_ours_are_named(tool, photos, exported, tmp_path, suffix):
    import onnx

    files, _ = exported
    good = files["light", "ONNX" if suffix == ".onnx" else "MINDIR"]
    option = f"--{suffix[1:]}"
    path = tmp_path / f"cut{suffix}"
    path.write_bytes(good.read_bytes()[: good.stat().st_size // 2])
    code, _, complaint = tool("translate", photos, option, path, "--out", tmp_path / "out")
    assert code == 2 and f"{path}: " in complaint and "export it again" in complaint and complaint.count("\n") == 1
    code, _, complaint = tool("translate", photos, option, good, "--out", tmp_path / "out", "--direction", "a2b")
    assert code == 2 and "--direction a2b: this file holds b2a" in complaint
    if suffix == ".onnx":
        model = onnx.load(good)
        for notes, words in (
            ([("ugatit", json.dumps({"x": 1}))], "another version"),
            ([], "no generator that ugatit export"),
        ):
            del model.metadata_props[:]
            onnx.helper.set_model_props(model, dict(notes))
            onnx.save(model, path)
            code, _, complaint = tool("translate", photos, option, path, "--out", tmp_path / "out")
            assert code == 2 and words in complaint, complaint
    assert not (tmp_path / "out").exists()


# A hundred mixed pictures in one command


def mixed_pictures(folder):
    """A hundred files: JPEG, PNG, EXIF orientations, alpha, gray, 16 bits, many sizes; one of them is cut off."""
    random = np.random.default_rng(8)
    folder.mkdir()
    for i in range(100):
        high, wide = (int(side) for side in random.integers(9, 70, 2))
        pixels = cv2.resize(random.integers(0, 256, (4, 4, 4), np.uint8), (wide, high))
        path, kind = folder / f"{i:03d}", i % 10
        if kind < 5:
            exif = Image.Exif()
            exif[0x0112] = i % 8 + 1  # an orientation
            Image.fromarray(pixels[..., :3]).save(path.with_suffix(".jpg"), quality=95, exif=exif)
        elif kind < 7:
            Image.fromarray(pixels).save(path.with_suffix(".png"))  # with alpha
        elif kind == 7:
            Image.fromarray(pixels[..., 0]).save(path.with_suffix(".png"))
        elif kind == 8:
            cv2.imwrite(str(path.with_suffix(".png")), pixels[..., :3].astype(np.uint16) * 257)
        else:
            Image.fromarray(pixels[..., :3]).save(path.with_suffix(".webp"), lossless=True)
    damaged = folder / "050.jpg"
    damaged.write_bytes(damaged.read_bytes()[:200])
    return folder


@pytest.mark.parametrize("model", ["checkpoint", "onnx"])
def test_a_hundred_mixed_pictures_in_one_command_with_one_named_failure(tool, runs, exported, tmp_path, model):
    from ugatit_data.pixels.policy import decode

    files, _ = exported
    folder = mixed_pictures(tmp_path / "mixed")
    given = ("--checkpoint", runs / "light") if model == "checkpoint" else ("--onnx", files["light", "ONNX"])
    arguments = (folder, *given, "--direction", "b2a", "--out", tmp_path / "out", "--keep_size")
    if model == "checkpoint":
        arguments = (folder, *given, "--direction", "b2a", "--out", tmp_path / "out", "--keep_size", "--batch", 4)
    code, said, complaint = tool("translate", *arguments)
    assert code == 1
    assert complaint.count("\n") == 1 and f"{folder / '050.jpg'}: truncated jpeg" in complaint
    device, engine, done = said.splitlines()
    assert device == "device: CPU" and engine.startswith("engine: ")
    assert done.startswith(f"99 of 100 pictures translated into {tmp_path / 'out'}, 1 left out; ")
    assert len(os.listdir(tmp_path / "out")) == 99
    for path in folder.iterdir():
        if path.name != "050.jpg":
            made = cv2.imread(str(tmp_path / "out" / f"{path.stem}.png"))
            assert made.shape == decode(path.read_bytes()).pixels.shape, path
    shutil.rmtree(folder)
