"""The command: exit codes and what it prints."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from ugatit_data import convert


@pytest.fixture
def tool(load_tool):
    return load_tool("verify_dataset").main


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


def test_sound_damaged_repaired(tool, dataset, source, capsys):
    assert tool([str(dataset), "--deep"]) == 0
    assert "6 images, all as recorded, id " in capsys.readouterr().out
    shard = dataset / "trainA-00000-of-00001.mindrecord"
    shard.write_bytes(shard.read_bytes()[:-1])
    assert tool([str(dataset)]) == 1
    said = capsys.readouterr()
    assert f"{shard}: " in said.out
    assert "Run --repair SRC, or restore the file." in said.out
    assert "1 problems" in said.err
    assert tool([str(dataset), "--repair", str(source)]) == 0
    assert "rewritten: trainA-00000-of-00001.mindrecord" in capsys.readouterr().out


def test_peek_and_extract(tool, dataset, tmp_path, capsys):
    assert tool([str(dataset), "--peek", "2"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 4
    assert tool([str(dataset), "--extract", str(tmp_path / "out")]) == 0
    assert "extracted 6 images" in capsys.readouterr().out
    assert tool([str(dataset), "--extract", str(tmp_path / "out")]) == 2
    assert "exists already" in capsys.readouterr().err


def test_bad_input_is_one_line(tool, dataset, tmp_path, capsys):
    assert tool([str(tmp_path / "nothing")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    (dataset / "dataset.json").write_text("{}")
    assert tool([str(dataset)]) == 1
    assert "dataset.json: damaged" in capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:
        tool([str(dataset), "--dep"])
    assert ended.value.code == 2
    assert "--dep: unknown option: did you mean --deep?" in capsys.readouterr().err


def test_options_that_exclude_each_other_and_a_source_that_is_not_there(tool, dataset, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        tool([str(dataset), "--peek", "1", "--extract", str(tmp_path / "out")])
    assert ended.value.code == 2
    assert "--extract: not allowed with argument --peek" in capsys.readouterr().err
    assert tool([str(dataset), "--repair", str(tmp_path / "none")]) == 2
    assert "none: no such source" in capsys.readouterr().err


def test_what_the_system_refuses_is_one_line(tool, dataset, tmp_path, capsys):
    (tmp_path / "file").write_text("x")
    assert tool([str(dataset), "--extract", str(tmp_path / "file" / "out")]) == 1
    said = capsys.readouterr().err
    assert f"{tmp_path / 'file' / 'out'}: Not a directory" in said
    assert said.count("\n") == 1


def test_help_shows_no_default_that_says_nothing(tool, capsys):
    with pytest.raises(SystemExit):
        tool(["--help"])
    manual = capsys.readouterr().out
    assert "(default: image)" in manual
    assert "None" not in manual and "False" not in manual
    assert max(map(len, manual.splitlines())) <= 120


def test_a_process_ends_with_its_own_exit_code(run_tool, dataset):
    """Ten times: pyarrow's threads used to abort one process in three at its end."""
    for _ in range(10):
        done = run_tool("verify_dataset", dataset)
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
