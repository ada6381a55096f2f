"""tools/import_inception.py: PyTorch's file in, MindSpore's out; what it refuses."""

import os

import pytest

from ugatit_train.evaluation import features


def test_weights_are_imported_and_named(run_tool, refused, tmp_path):
    torch = pytest.importorskip("torch", reason="torch is not installed: tools/import_inception.py not run")
    # Zeros will do: what the weights mean is tested in tests/train/evaluation/test_inception.py.
    source, out = tmp_path / "weights.pth", tmp_path / "new" / "inception.ckpt"
    wrapped = {"epoch": 1, "state_dict": {f"module.{name}": value for name, value in _state(torch).items()}}
    torch.save(wrapped, source)
    done = run_tool("import_inception", source, out)
    assert done.returncode == 0, done.stderr
    assert "188 arrays, 21,768,352 numbers; not needed: fc.bias, fc.weight" in done.stdout
    assert features.open_features(out).metric == "kid"

    refused(run_tool("import_inception", source, out), "inception.ckpt exists: remove it")
    torch.save({"fc.weight": torch.zeros(1000, 2048)}, source)
    refused(run_tool("import_inception", source, tmp_path / "b.ckpt"), "weights.pth: fc.weight has 1000 classes")
    assert sorted(os.listdir(tmp_path)) == ["new", "weights.pth"]
    assert os.listdir(tmp_path / "new") == ["inception.ckpt"]


def _state(torch):
    from ugatit_train.evaluation.inception import Inception
    from ugatit_train.forms import Forms

    state = {"fc.weight": torch.zeros(1008, 2048), "fc.bias": torch.zeros(1008)}
    for name, parameter in Inception(Forms()).parameters_and_names():
        if name.endswith(".weight"):
            block, c_out = name.removesuffix(".weight"), parameter.shape[0]
            state[f"{block}.conv.weight"] = torch.zeros(parameter.shape)
            state |= {
                f"{block}.bn.{part}": torch.ones(c_out) for part in ("weight", "bias", "running_mean", "running_var")
            }
    return state


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("none.pth", "out.ckpt"), ("none.pth:",)),
        (("text.pth", "out.ckpt"), ("text.pth:",)),
        (("text.pth", "out.onnx"), ("must end in .ckpt",)),
        (("text.pth", "none/out.ckpt"), ("text.pth:",)),  # and no folder is left
        (("text.pth", "out.ckpt", "--force"), ("--force: unknown option",)),
    ],
)
def test_bad_input(run_tool, refused, no_mindspore, tmp_path, arguments, words):
    (tmp_path / "text.pth").write_text("hello")
    refused(run_tool("import_inception", *arguments, cwd=tmp_path, env=no_mindspore), *words)
    assert os.listdir(tmp_path) == ["text.pth"]
