"""The command: exit codes and what it prints."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from ugatit_data import convert


@pytest.fixture
def source(tmp_path):
    for name in ("trainA", "trainB"):
        (tmp_path / "source" / name).mkdir(parents=True)
        for index in range(3):
            pixels = np.random.default_rng(index).integers(0, 256, (40, 40, 3), np.uint8)
            cv2.imwrite(str(tmp_path / "source" / name / f"{index}.jpg"), pixels)
    return tmp_path / "source"


@pytest.fixture
def dataset(source, tmp_path):
    convert(source, tmp_path / "data")
    return tmp_path / "data"


def test_sound_damaged_repaired(tool, dataset, source):
    code, said, _ = tool("verify", dataset, "--deep")
    assert code == 0 and "6 images, all as recorded, id " in said
    shard = dataset / "trainA-00000-of-00001.mindrecord"
    shard.write_bytes(shard.read_bytes()[:-1])
    code, said, complaint = tool("verify", dataset)
    assert code == 1
    assert f"{shard}: " in said
    assert "Run --repair SRC, or restore the file." in said
    assert "1 problems" in complaint
    code, said, _ = tool("verify", dataset, "--repair", source)
    assert code == 0 and "rewritten: trainA-00000-of-00001.mindrecord" in said


def test_peek_and_extract(tool, dataset, tmp_path):
    code, said, _ = tool("verify", dataset, "--peek", 2)
    assert code == 0 and len(said.splitlines()) == 4
    code, said, _ = tool("verify", dataset, "--extract", tmp_path / "out")
    assert code == 0 and "extracted 6 images" in said
    code, _, complaint = tool("verify", dataset, "--extract", tmp_path / "out")
    assert code == 2 and "exists already" in complaint


def test_bad_input_is_one_line(tool, dataset, tmp_path):
    code, _, complaint = tool("verify", tmp_path / "nothing")
    assert code == 2 and complaint.count("\n") == 1
    (dataset / "dataset.json").write_text("{}")
    code, _, complaint = tool("verify", dataset)
    assert code == 1 and "dataset.json: damaged" in complaint
    code, _, complaint = tool("verify", dataset, "--dep")
    assert code == 2 and complaint == "ugatit verify: --dep: unknown option: did you mean --deep?\n"


def test_options_that_exclude_each_other_and_a_source_that_is_not_there(tool, dataset, tmp_path):
    code, _, complaint = tool("verify", dataset, "--peek", 1, "--extract", tmp_path / "out")
    assert code == 2 and "--extract: not allowed with argument --peek" in complaint
    code, _, complaint = tool("verify", dataset, "--repair", tmp_path / "none")
    assert code == 2 and "none: no such source" in complaint


def test_what_the_system_refuses_is_one_line(tool, dataset, tmp_path):
    (tmp_path / "file").write_text("x")
    code, _, complaint = tool("verify", dataset, "--extract", tmp_path / "file" / "out")
    assert code == 1
    assert f"{tmp_path / 'file' / 'out'}: Not a directory" in complaint
    assert complaint.count("\n") == 1


def test_help_shows_no_default_that_says_nothing(tool):
    code, manual, _ = tool("verify", "--help")
    assert code == 0 and manual.startswith("usage: ugatit verify")
    assert "(default: image)" in manual
    assert "None" not in manual and "False" not in manual
    assert max(map(len, manual.splitlines())) <= 120


def test_a_process_ends_with_its_own_exit_code(run_tool, dataset):
    """Ten times: pyarrow's threads used to abort one process in three at its end."""
    for _ in range(10):
        done = run_tool("verify_dataset", dataset)
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
