"""tools/profile_step.py, on a tiny step: its files, its table, and how it refuses."""

from __future__ import annotations

import json


def test_a_tiny_step(run_tool, tmp_path):
    out = tmp_path / "profile"
    size = ("--img_size", 24, "--n_dis", 4, "--n_res", 1, "--ch", 2, "--light", "--steps", 2)
    done = run_tool("profile_step", "--out", out, *size)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in out.iterdir()} == {
        "mindspore", "operations.json", "operations.md", "operations.parquet", "operations.png", "trace.json"
    }  # fmt: skip
    assert done.stdout.endswith((out / "operations.md").read_text())
    for words in (
        "| MatMul |",
        "| (between operations) |",
        "a step: light, ch 2, 24 px, batch 1",
        "sgemm",
        "account for",
    ):
        assert words in done.stdout, words
    kinds = [event["name"] for event in json.loads((out / "trace.json").read_text())["traceEvents"]]
    assert kinds.count("Stack") == 2  # of the losses, once in each recorded step


def test_refusals(run_tool, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    for words, *arguments in (
        ("exists and is not an empty folder: give another --out", "--out", tmp_path / "full"),
        ("--img_size 26 is not a multiple of 4", "--out", tmp_path / "new", "--img_size", 26),
        ("did you mean --img_size?", "--out", tmp_path / "new", "--img-size", 64),
        ("Not a directory: give another --out", "--out", tmp_path / "full" / "file" / "x"),
        ("device_target Ascend cannot be used", "--out", tmp_path / "card", "--device_target", "Ascend"),
    ):
        done = run_tool("profile_step", *arguments)
        assert done.returncode == 2, words
        assert words in done.stderr and len(done.stderr.splitlines()) == 1, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["full"]  # nothing is left behind
