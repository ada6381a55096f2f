"""`--compile_cache` of translate, evaluate and export: one folder, where the first compiles and the others load."""

import os

import pytest


@pytest.fixture
def compiled(monkeypatch):
    """What became of each compilation since: (folder, whether the graph was loaded)."""
    from ugatit_train.networks import compiling

    found, compile_ = [], compiling.GraphCache.compile

    def compile_and_tell(cache, *arguments, **named):
        loaded = compile_(cache, *arguments, **named)
        found.append((cache.folder, loaded))
        return loaded

    monkeypatch.setattr(compiling.GraphCache, "compile", compile_and_tell)
    return found


def test_the_tools_share_a_folder_of_compiled_networks(
    tool, compiled, untrained_run, picture_folder, tmp_path, monkeypatch
):
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")  # as export sets it, which else has graphs of its own
    folder, run = tmp_path / "graphs", ("--checkpoint", untrained_run, "--compile_cache")
    ours = ("--engine", "mindspore")
    picture = picture_folder / "testA" / "0.png"
    assert tool("translate", picture, *ours, "--out", tmp_path / "one", *run, folder)[0] == 0
    assert compiled == [(folder, False)]
    kept = os.listdir(folder)
    assert len(kept) == 1
    data = ("--data_path", picture_folder, "--direction", "a2b")
    assert tool("evaluate", "--out", tmp_path / "two", *data, *run, folder)[0] == 1  # two of its pictures are damaged
    static = ("--export_file_format", "ONNX", "--static")
    assert tool("export", "--out", tmp_path / "three", *static, *run, folder)[0] == 0
    assert compiled == [(folder, False), (folder, True), (folder, True)]
    assert tool("translate", picture, *ours, "--out", tmp_path / "four", *run, "off")[0] == 0
    assert compiled[3:] == [(None, False)]
    assert os.listdir(folder) == kept
    assert (tmp_path / "four" / "0.png").read_bytes() == (tmp_path / "one" / "0.png").read_bytes()


def test_an_empty_folder_is_no_choice(run_tool, refused, no_mindspore):
    done = run_tool("translate", "x", "--out", "y", "--checkpoint", "z", "--compile_cache=", env=no_mindspore)
    refused(done, "--compile_cache: is empty: give auto, off or a folder")
