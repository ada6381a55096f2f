"""Paths as a user writes them: `~` where the shell has left it, and names that begin with dashes."""

import re
import shutil

import pytest

from .conftest import TOOLS


def test_home_is_known_in_every_path_of_every_tool(tool, dataset, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    shutil.copytree(dataset, tmp_path / "data")
    assert tool("verify", "~/data")[0] == 0
    assert tool("verify", "~/data", "--extract=~/again")[0] == 0 and (tmp_path / "again" / "trainA" / "0.png").exists()
    assert tool("convert", "~/again", "~/converted", "--workers", 1)[0] == 0 and (tmp_path / "converted").is_dir()
    (tmp_path / "run.yaml").write_text("data_path: ~/data\noutput_path: ~/run\nlight: true\n")
    code, said, complaint = tool("train", "--config", "~/run.yaml", "--dry_run")
    assert code == 0, complaint
    assert f"data_path: {tmp_path}/data\noutput_path: {tmp_path}/run\n" in said
    assert tool("launch", "~/none", 2, 0)[2].startswith(f"ugatit launch: {tmp_path}/none: no such rank table")
    assert not (tmp_path / "~").exists()


@pytest.mark.parametrize("script", sorted(path.name for path in TOOLS.glob("*.py")))
def test_no_tool_takes_a_path_without_its_home(script):
    assert not re.search(r"type=(?:pathlib\.)?Path\b", (TOOLS / script).read_text()), "take commandline.path"


def test_what_follows_two_dashes_are_names(load_tool, tool, tmp_path, monkeypatch):
    parser = load_tool("translate").parser()
    given = ["--out", "o", "--onnx", "m.onnx", "--", "--name.png", "--onnxx", "-x"]
    assert [str(source) for source in parser.parse_args(given).sources] == ["--name.png", "--onnxx", "-x"]
    with pytest.raises(load_tool("commandline").BadInputError, match="--onnxx: unknown option: did you mean --onnx"):
        parser.parse_args(["--onnxx", "m", "--", "--name.png"])
    monkeypatch.chdir(tmp_path)
    assert "--data: no such data set" in tool("verify", "--", "--data")[2]
    assert "--table: no such rank table" in tool("launch", "--", "--table", 2, 0)[2]
