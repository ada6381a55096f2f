"""--which of the tools that take a run: its best checkpoint, or the last one."""

import shutil

import pytest

from ugatit_train.training.checkpoint import CheckpointError


@pytest.fixture
def line(untrained_run, picture_folder, tmp_path):
    """line("export") -> its command line for a run whose best checkpoint is that of step 3."""
    run = tmp_path / "run"
    shutil.copytree(untrained_run, run)
    shutil.copytree(run / "checkpoints" / "step-00000003", run / "checkpoints" / "best-00000003")

    def made(name: str) -> list:
        beside = {"translate": [picture_folder / "testA"], "evaluate": ["--data_path", picture_folder], "export": []}
        return [name, *beside[name], "--checkpoint", run, "--out", tmp_path / f"{name}d"]

    return made


@pytest.mark.parametrize("name", ["translate", "evaluate", "export"])
def test_the_best_or_the_last_is_taken(tool, line, monkeypatch, name):
    from ugatit_train.evaluation import evaluate
    from ugatit_train.exchange import engines
    from ugatit_train.inference import models

    taken = []

    def stop(folder, *_, **__):
        taken.append(folder.name)
        raise CheckpointError("far enough")

    monkeypatch.setattr(models, "from_checkpoint", stop)
    monkeypatch.setattr(engines, "from_checkpoint", lambda _engine, folder, *_, **__: stop(folder))
    monkeypatch.setattr(evaluate, "evaluate", stop)
    for which in (["--which", "best"], ["--which", "last"], []):
        assert "far enough" in tool(*line(name), *which)[2]
    assert taken == ["best-00000003", "run", "run"]


@pytest.mark.parametrize("name", ["translate", "evaluate", "export"])
def test_a_run_without_a_best_checkpoint_says_so(tool, line, tmp_path, name):
    shutil.rmtree(tmp_path / "run" / "checkpoints" / "best-00000003")
    code, _, complaint = tool(*line(name), "--which", "best")
    assert code == 2 and complaint == (
        f"ugatit {name}: {tmp_path / 'run'}: has no best checkpoint, for it was not judged while it trained: "
        "give --which last, or train with --eval_freq\n"
    )


def test_an_exported_file_has_no_best(tool, picture_folder, tmp_path):
    code, _, complaint = tool("translate", picture_folder, "--onnx", "x", "--out", tmp_path / "out", "--which", "best")
    assert code == 2 and complaint.endswith(
        "--which best is for --checkpoint; an exported file holds one generator: leave --which out\n"
    )
