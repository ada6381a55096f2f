"""The binary path of Ascend 310 on a card, which is a stand-in here; what it refuses.

On the CPU, and with translate's pictures beside it, it is run in test_readme_evaluate.py.
"""

import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from .conftest import TOOLS

STAND_IN = '''
"""What is used of mindspore_lite 2.10, with the types that its documentation asks for; each call is recorded."""
import enum, json, os

import numpy as np

LOG = open(os.environ["STAND_IN_LOG"], "a")


def record(*call):
    LOG.write(json.dumps(call) + "\\n")
    LOG.flush()


class ModelType(enum.Enum):
    MINDIR = 0


class _Ascend:
    device_id, precision_mode = 0, "enforce_fp16"


class Context:
    def __init__(self):
        self.target, self.ascend = ["cpu"], _Ascend()


class Tensor:
    def __init__(self, array):
        self.array = array

    @property
    def shape(self):
        return list(self.array.shape)

    def set_data_from_numpy(self, array):
        assert array.dtype == np.float32 and array.flags.c_contiguous and list(array.shape) == self.shape
        self.array = array

    def get_data_to_numpy(self):
        return self.array


class Model:
    def build_from_file(self, model_path, model_type, context=None):
        assert isinstance(model_path, str) and model_type is ModelType.MINDIR and isinstance(context, Context)
        assert isinstance(context.target, list) and type(context.ascend.device_id) is int
        if open(model_path, "rb").read() == b"damaged":
            raise RuntimeError("build_from_file failed! Error is Common error code.")
        card = context.ascend
        record("build_from_file", os.path.basename(model_path), context.target, card.device_id, card.precision_mode)
        self.input = Tensor(np.zeros((1, 3, 256, 256), np.float32))

    def get_inputs(self):
        return [self.input]

    def resize(self, inputs, dims):
        assert inputs == [self.input]
        record("resize", dims)
        self.input = Tensor(np.zeros(dims[0], np.float32))

    def predict(self, inputs):
        record("predict", inputs[0].shape)
        x = inputs[0].array
        return [Tensor(-x), Tensor(np.float32([[0.5, 0.25]])), Tensor(x[:, :1, ::4, ::4])]
'''


def test_on_a_card_mindspore_lite_is_called_as_documented(run_tool, no_mindspore, tmp_path):
    """By a recorded stand-in; MindSpore, which such a host may lack, is not imported."""
    (tmp_path / "lite").mkdir()
    (tmp_path / "lite" / "mindspore_lite.py").write_text(STAND_IN)
    environment = {"PYTHONPATH": f"{tmp_path / 'lite'}:{no_mindspore['PYTHONPATH']}", "PATH": "", "STAND_IN_LOG": "log"}

    def step(*arguments):
        return run_tool("infer_310", *arguments, "--img_size", "8x12", cwd=tmp_path, env=environment)

    (tmp_path / "in").mkdir()
    random = np.random.default_rng(0)
    for i in range(3):
        cv2.imwrite(str(tmp_path / "in" / f"a.{i}.png"), random.integers(0, 256, (8, 12, 3), np.uint8))
    (tmp_path / "model.mindir").write_bytes(b"a model")
    assert step("preprocess", "--data_path", "in").returncode == 0
    (tmp_path / "bifile_in" / "short.bin").write_bytes(b"1234")
    done = step("run", "--mindir_path", "model.mindir", "--device_id", 3)
    assert done.returncode == 1
    assert "short.bin: 4 bytes, but float32 (1, 3, 8, 12) has 1152: give the --img_size it was made with" in done.stderr
    assert "mindspore_lite on Ascend 3: NN inference cost average time:" in done.stdout
    calls = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert calls[0] == ["build_from_file", "model.mindir", ["ascend"], 3, "preferred_fp32"]
    assert calls[1] == ["resize", [[1, 3, 8, 12]]]
    assert calls[2:] == [["predict", [1, 3, 8, 12]]] * 4  # three pictures, the first one twice
    (tmp_path / "log").unlink()
    asked = ("--bifile_outputdir", "half", "--precision_mode", "enforce_fp16")
    assert step("run", "--mindir_path", "model.mindir", *asked).returncode == 1
    first = json.loads((tmp_path / "log").read_text().splitlines()[0])
    assert first == ["build_from_file", "model.mindir", ["ascend"], 0, "enforce_fp16"]
    assert step("postprocess").returncode == 0
    assert sorted(os.listdir(tmp_path / "infer_output_img")) == ["a_0_0.jpg", "a_1_0.jpg", "a_2_0.jpg"]
    assert step("postprocess", "--eval_outputdir", "png", "--image_format", "png").returncode == 0
    for i in range(3):
        before = cv2.imread(str(tmp_path / "in" / f"a.{i}.png"))
        assert np.array_equal(cv2.imread(str(tmp_path / "png" / f"a_{i}_0.png")), 255 - before)

    (tmp_path / "model.mindir").write_bytes(b"damaged")
    done = step("run", "--mindir_path", "model.mindir", "--bifile_outputdir", "new")
    assert done.returncode == 2 and "MindSpore Lite cannot build it" in done.stderr and "--static" in done.stderr


def test_a_step_that_failed_can_be_given_again(tool, tmp_path, monkeypatch):
    from ugatit_train.inference import ascend310

    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((8, 8, 3), np.uint8))
    line = ("infer_310", "preprocess", "--data_path", tmp_path / "a.png", "--img_size", 8)
    line += ("--bifile_inputdir", tmp_path / "in")
    sound = ascend310.preprocess

    def full(source, out, *rest):
        (out / "of another size.bin").write_bytes(b"1234")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ascend310, "preprocess", full)
    code, _, complaint = tool(*line)
    assert code == 1 and complaint.endswith("No space left on device: run it again when that is mended\n")
    monkeypatch.setattr(ascend310, "preprocess", sound)
    code, _, complaint = tool(*line)
    assert code == 0 and sorted(os.listdir(tmp_path / "in")) == ["a.bin"], complaint
    assert tool(*line)[0] == 2  # what is finished is not overwritten


@pytest.mark.parametrize(
    ("code", "file", "left"),
    [(0, "x", True), (1, "x", True), (2, "x", False), (137, "x", False), (1, ".unfinished", False)],
)
def test_the_launcher_leaves_no_folder_of_a_step_that_failed(tmp_path, code, file, left):
    """By a Python of its own in which the second step ends with the exit code; 1 is also that of some bad pictures."""
    python = tmp_path / "python"
    second = f"mkdir result_Files; touch result_Files/{file}; exit {code}"
    python.write_text(launchers_python(second))
    python.chmod(0o755)
    (tmp_path / "--a.mindir").write_bytes(b"a model")
    command = ["bash", TOOLS / "run_infer_310.sh", "--a.mindir", "photos", "0"]
    done = subprocess.run(command, cwd=tmp_path, env=os.environ | {"PYTHON": str(python)}, check=False)
    assert done.returncode == code
    made = ["bifile_in", "result_Files"] if left else []
    assert sorted(os.listdir(tmp_path)) == sorted(["--a.mindir", "python", *made])


def launchers_python(second):
    """A Python that does nothing but to make bifile_in; `second` is what it does in the second step."""
    locks = f'if [ "$1" = -c ]; then exec "{sys.executable}" "$@"; fi'
    return f'#!/bin/sh\n{locks}\nif [ "$2" = run ]; then {second}; fi\nmkdir -p bifile_in\n'


def test_a_launcher_that_was_killed_is_no_obstacle_and_one_at_work_is_left_alone(tmp_path):
    python, model, pipe = tmp_path / "python", tmp_path / "a.mindir", tmp_path / "pipe"
    python.write_text(launchers_python(f"mkdir result_Files; cat {pipe}"))
    python.chmod(0o755)
    model.write_bytes(b"a model")
    os.mkfifo(pipe)
    work = tmp_path / "work"
    work.mkdir()
    settings = {"cwd": work, "env": os.environ | {"PYTHON": str(python)}, "stderr": subprocess.PIPE, "text": True}
    command = ["bash", TOOLS / "run_infer_310.sh", model, "photos", "0"]
    first = subprocess.Popen(command, **settings)
    writer = pipe.open("w")  # as soon as the second step reads
    assert "another run is at work in this folder" in subprocess.run(command, check=False, **settings).stderr
    first.kill()
    first.wait()
    first.stderr.close()
    # Its step is still at work
    assert "another run is at work in this folder" in subprocess.run(command, check=False, **settings).stderr
    assert {path.name for path in work.iterdir()} == {"bifile_in", "result_Files", "run_infer_310.unfinished"}
    (work / "bifile_in" / "of the killed one").touch()
    writer.close()
    python.write_text(launchers_python("mkdir result_Files"))
    while "another run" in (done := subprocess.run(command, check=False, **settings)).stderr:
        time.sleep(0.01)
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(path.relative_to(work).as_posix() for path in work.rglob("*")) == ["bifile_in", "result_Files"]
    done = subprocess.run(command, check=False, **settings)
    assert done.returncode == 2 and "bifile_in exists, of an earlier run" in done.stderr
    assert sorted(path.name for path in work.rglob("*")) == ["bifile_in", "result_Files"]


def test_names_are_their_own():
    from ugatit_train.inference import ascend310

    paths = [Path(name) for name in ("a.b.png", "a_b.png", "sub/c.jpg", "sub/c.png", "sub_c_jpg.png")]
    names = ascend310.binary_names(paths, Path())
    assert names == ["a_b", "a_b-2", "sub_c_jpg", "sub_c_png", "sub_c_jpg-2"]
    paths = [Path(name) for name in ("a.b.png", "a_b-3.png", "a_b.png", "a_b/x.png", "a_b_x.png")]
    assert ascend310.binary_names(paths, Path()) == ["a_b", "a_b-3", "a_b-2", "a_b_x", "a_b_x-2"]
    paths = [Path(name) for name in ("a-2.png", "a.png")]
    assert ascend310.binary_names(paths, Path()) == ["a-2", "a"]
    paths = [Path("x" * 200, "y" * 200 + f"{i}.png") for i in range(2)]
    names = ascend310.binary_names(paths, Path())
    assert len(set(names)) == 2 and all(len(f"{name}_0.jpeg") <= 255 for name in names)


def test_a_full_disk_leaves_no_part_of_a_binary_file(tmp_path):
    from ugatit_train.inference import ascend310

    (tmp_path / "in").mkdir()
    cv2.imwrite(str(tmp_path / "in" / "a.png"), np.zeros((8, 8, 3), np.uint8))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large.*a.bin"):
            list(ascend310.preprocess(tmp_path / "in", tmp_path / "out", (32, 32), 3))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert os.listdir(tmp_path / "out") == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), ("step",)),
        (("prepare",), ("'preprocess', 'run', 'postprocess'",)),
        (("preprocess",), ("preprocess needs --data_path",)),
        (("preprocess", "--data_path", "none"), ("none: no such picture or folder",)),
        (
            ("preprocess", "--data_path", "full", "--bifile_inputdir", "full"),
            ("full exists", "another --bifile_inputdir"),
        ),
        (("run",), ("run needs --mindir_path",)),
        (("run", "--mindir_path", "full/mine"), ("bifile_in: holds no *.bin: run the step before",)),
        (("postprocess",), ("bifile_out: holds no *_0.bin",)),
        (("postprocess", "--img_size", "30"), ("30",)),
    ],
)
def test_bad_input(run_tool, refused, no_mindspore, tmp_path, arguments, words):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("x")
    refused(run_tool("infer_310", *arguments, cwd=tmp_path, env=no_mindspore), *words)
    assert os.listdir(tmp_path) == ["full"]


def test_a_file_that_is_no_mindir(run_tool, refused, tmp_path):
    (tmp_path / "bifile_in").mkdir()
    (tmp_path / "bifile_in" / "a.bin").write_bytes(bytes(4 * 3 * 8 * 8))
    (tmp_path / "bad.mindir").write_bytes(b"nothing")
    done = run_tool("infer_310", "run", "--mindir_path", "bad.mindir", "--img_size", 8, cwd=tmp_path)
    refused(done, "bad.mindir: no MINDIR, or damaged")
