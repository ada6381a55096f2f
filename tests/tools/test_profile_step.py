"""tools/profile_step.py, on a tiny step: its files, its table, and how it refuses."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest


@pytest.fixture
def compiled_before(monkeypatch):
    """The tool profiles the step of tests/train/training/test_loop.py: the suite's folder has its graph, or gets it."""
    from mindspore import Tensor

    from ugatit_train.networks import compiling
    from ugatit_train.training import build

    true = build.build_step

    def step(options, _schedule):
        made = true(options, dataclasses.replace(options, iteration=30).schedule(7))
        image = Tensor(np.zeros((1, 3, *options.image_size), np.float32))
        compiling.graphs().compile(made, image, image)
        return made

    monkeypatch.setattr(build, "build_step", step)


def test_a_tiny_step(tool, compiled_before, small_ceilings, tmp_path):
    out = tmp_path / "profile"
    size = ("--img_size", 32, "--n_dis", 4, "--n_res", 1, "--ch", 4, "--light", "--steps", 2)
    code, said, complaint = tool("profile", "--out", out, *size)
    assert (code, complaint) == (0, "")
    assert {path.name for path in out.iterdir()} == {
        "mindspore", "operations.json", "operations.md", "operations.parquet", "operations.png", "trace.json"
    }  # fmt: skip
    assert said.endswith((out / "operations.md").read_text())
    for words in (
        "| MatMul |",
        "| (between operations) |",
        "a step: light, ch 4, 32 px, batch 1",
        "sgemm",
        "account for",
    ):
        assert words in said, words
    kinds = [event["name"] for event in json.loads((out / "trace.json").read_text())["traceEvents"]]
    assert kinds.count("Stack") == 2  # of the losses, once in each recorded step


def test_refusals(tool, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    for words, *arguments in (
        ("exists and is not an empty folder: give another --out", "--out", tmp_path / "full"),
        ("--img_size 26 is not a multiple of 4", "--out", tmp_path / "new", "--img_size", 26),
        ("did you mean --img_size?", "--out", tmp_path / "new", "--img-size", 64),
        ("Not a directory: give another --out", "--out", tmp_path / "full" / "file" / "x"),
    ):
        code, said, complaint = tool("profile", *arguments)
        assert (code, said) == (2, ""), words
        assert words in complaint and complaint.count("\n") == 1, complaint
    assert [path.name for path in tmp_path.iterdir()] == ["full"]  # nothing is left behind


def test_a_device_that_is_not_there_is_refused(run_tool, refused, tmp_path):
    done = run_tool("profile_step", "--out", tmp_path / "card", "--device_target", "Ascend")
    refused(done, "device_target Ascend cannot be used")
    assert list(tmp_path.iterdir()) == []
