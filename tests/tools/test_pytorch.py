"""Checkpoints of the PyTorch implementation, from it and back; a twin of it, written for the tests, stands for it."""

import os
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: no checkpoint of PyTorch to read")

TESTS = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def twin():
    sys.path.insert(0, str(TESTS))
    try:
        from train import torch_twin
    finally:
        sys.path.remove(str(TESTS))
    return torch_twin


@pytest.fixture(scope="module")
def files(twin, tmp_path_factory):
    """name -> (networks, their file), full in the old format of 2019, light in today's."""
    root = tmp_path_factory.mktemp("pytorch")
    made = {}
    for name in ("full", "light"):
        networks = twin.random_networks(twin.Generator, twin.TwinDiscriminator, light=name == "light")
        made[name] = networks, root / f"{name}_params_0001000.pt"
        twin.save(networks, made[name][1], _use_new_zipfile_serialization=name == "light")
    return made


def test_imported_networks_give_the_same_outputs(twin, tmp_path, capsys):
    """By the script for a clone of the public code, with the twin's classes in the place of the public ones."""
    from train import public_pytorch

    (tmp_path / "networks.py").write_text(
        "from train.torch_twin import Generator as ResnetGenerator, TwinDiscriminator as Discriminator"
    )
    assert public_pytorch.main(tmp_path) == 0
    lines = [line.split(": ") for line in capsys.readouterr().out.splitlines()]
    differences = {name: float(number) for name, number in lines if name.startswith(("full ", "light "))}
    assert len(differences) == 16  # of two kinds: two pictures, two heat maps, four discriminators
    assert max(differences.values()) <= 1e-4, differences


def test_the_script_fails_where_the_networks_differ_or_there_are_none(twin, tmp_path, capsys, monkeypatch):
    from train import public_pytorch

    assert public_pytorch.main(tmp_path / "none") == 2
    assert "give the folder of a clone" in capsys.readouterr().err
    (tmp_path / "networks.py").write_text("class ResnetGenerator: pass\nclass Discriminator: pass")
    monkeypatch.setattr(twin, "random_networks", lambda *classes, light: {})
    monkeypatch.setattr(twin, "save", lambda networks, path: None)
    monkeypatch.setattr(sys.modules["tools.import_pytorch"], "main", lambda arguments: 0)
    monkeypatch.setattr(twin, "compare", lambda networks, run, size: {"genA2B": 1.1e-4})
    assert public_pytorch.main(tmp_path) == 1
    assert "light genA2B: 1.1e-04" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["full", "light"])
def test_every_array_is_listed(files, tool, tmp_path, name):
    networks, path = files[name]
    code, said, complaint = tool("import_pytorch", path, tmp_path / "run", "--img_size", 32)
    assert code == 0, complaint
    assert f"{tmp_path / 'run'}: {name}, 32 px, ch 8, n_res 2; import.txt lists every array" in said
    listed = (tmp_path / "run" / "import.txt").read_text().splitlines()
    assert len(listed) == sum(len(network.state_dict()) for network in networks.values())
    assert "genA2B: UpBlock1_2.norm1.rho (1, 32, 1, 1) -> adares.1.norm1.rho (32,)" in listed
    unused = [line for line in listed if line.startswith("not used")]
    assert len(unused) == sum(name.endswith("weight_v") for n in networks.values() for name in n.state_dict())
    assert all(line.endswith("which follows from u") for line in unused)


def test_a_disk_that_is_full_is_named(files, tool, tmp_path, monkeypatch):
    from ugatit_train.exchange import pytorch

    def full(*_):
        raise OSError(28, "No space left on device")  # safetensors names no file

    monkeypatch.setattr(pytorch, "save_run", full)
    code, _, complaint = tool("import_pytorch", files["light"][1], tmp_path / "run")
    assert code == 1 and f"{tmp_path / 'run'}: No space left on device: run it again" in complaint


@pytest.mark.parametrize("name", ["full", "light"])
def test_there_and_back_is_the_same_file(twin, files, tool, tmp_path, name):
    networks, path = files[name]
    assert tool("import_pytorch", path, tmp_path / "run", "--img_size", 32)[0] == 0
    code, said, complaint = tool("export_pytorch", tmp_path / "run", tmp_path / "new" / "back.pt")
    assert code == 0, complaint
    before, after = (torch.load(file, weights_only=True) for file in (path, tmp_path / "new" / "back.pt"))
    assert list(after) == ["genA2B", "genB2A", "disGA", "disGB", "disLA", "disLB"]
    for network, state in before.items():
        networks[network].load_state_dict(after[network])  # strict: all names, all shapes
        for key, value in state.items():
            made = after[network][key]
            if key.endswith("weight_v"):  # the direction that the kept weight and u make
                weight = state[key.replace("_v", "_orig")]
                value = weight.reshape(len(weight), -1).T @ state[key.replace("_v", "_u")]
                torch.testing.assert_close(made, value / value.norm(), msg=key)
            else:
                assert torch.equal(made, value), (network, key)
        networks[network].load_state_dict(state)


def test_training_can_go_on_from_an_import(files, tool, dataset, tmp_path):
    from ugatit_train.options import arguments, saved
    from ugatit_train.training import build, checkpoint

    code, _, complaint = tool("import_pytorch", files["light"][1], tmp_path, "--img_size", 32)
    assert code == 2 and f"{tmp_path} exists" in complaint
    run = tmp_path / "run"
    path = files["light"][1]
    assert tool("import_pytorch", path, run, "--img_size", 32, "--data_path", dataset)[0] == 0
    options = arguments.load(run / saved.OPTIONS_FILE)
    step = build.build_step(options, options.schedule(4))
    found, meta = checkpoint.latest_good(run / "checkpoints")
    parameters = {p.name: p for p in step.get_parameters()}
    checkpoint.load(found, meta, parameters)  # all of the step's parameters, and no others
    state = files["light"][0]["disLB"].state_dict()
    assert np.array_equal(parameters["disLB.conv.weight"].asnumpy(), state["conv.weight_orig"].numpy())
    moments = [p.asnumpy() for name, p in parameters.items() if name.startswith("adam_")]
    assert len(moments) > 50 and not any(moment.any() for moment in moments)
    assert meta["step"] == 0 and options.sn_iterations == "per_pass"


def test_training_goes_on_in_another_folder_without_a_metrics_file(files, tool, dataset, tmp_path):
    """`train --load_path RUN --resume`: an imported run has done no step, so it has no metrics."""
    from ugatit_train.options import arguments
    from ugatit_train.training import build, log, loop, runfolder

    arrays = tmp_path / "imported"
    assert tool("import_pytorch", files["light"][1], arrays, "--img_size", 32, "--data_path", dataset)[0] == 0
    argv = ["--output_path", str(tmp_path / "run"), "--load_path", str(arrays), "--resume", "--iteration", "3"]
    options = arguments.parse(argv)
    assert options.data_folder == dataset  # the import has noted it
    state = build.build_step(options, options.schedule(4)).state()
    start = runfolder.resume(options, 1, loop.read_dataset(dataset).dataset_id, state)
    assert (start.step, start.loader_step) == (0, 0)
    with runfolder.own(options, 1000), log.Metrics(tmp_path / "run" / log.METRICS_FILE, start.step) as metrics:
        metrics.write(1, {"d_loss": 2})
    assert log.read_metrics(tmp_path / "run" / log.METRICS_FILE) == [{"step": 1, "d_loss": 2.0}]


def prefixed(states, prefix="module."):
    return {name: {prefix + key: value for key, value in state.items()} for name, state in states.items()}


def flat(states, prefix=""):
    return {f"{prefix}{name}.{key}": value for name, state in states.items() for key, value in state.items()}


@pytest.mark.parametrize(
    "wrap",
    [
        prefixed,
        lambda s: prefixed(prefixed(s), "_orig_mod."),
        lambda s: {"epoch": 3, "state_dict": s, "optimizer": {"state": {0: {"step": torch.zeros(3)}}}},
        lambda s: {"model": {name: {"state_dict": state} for name, state in prefixed(s).items()}},
        flat,
        lambda s: {"state_dict": flat(s, "module.")},
        lambda s: s | {"genB2A": s["genB2A"] | {"FC.2.weight": s["genB2A"]["FC.2.weight"].to_sparse()}},
    ],
)
def test_what_training_programs_put_around_the_networks_is_taken_off(files, tmp_path, wrap):
    from ugatit_train.exchange import pytorch, torchfile

    plain = torch.load(files["light"][1], weights_only=True)
    torch.save(wrap(plain), tmp_path / "wrapped.pt")
    found, expected = (
        pytorch.from_pytorch(pytorch.readable(torchfile.read(path)), 32)
        for path in (tmp_path / "wrapped.pt", files["light"][1])
    )
    assert found.options == expected.options and found.taken == expected.taken
    assert found.parameters.keys() == expected.parameters.keys()
    for name, array in expected.parameters.items():
        np.testing.assert_array_equal(found.parameters[name], array)


@pytest.mark.parametrize("wrap", [lambda s: s, lambda s: prefixed({"state_dict": s})])
def test_a_generator_without_a_name_is_imported_as_what_the_user_says(files, tool, tmp_path, wrap):
    plain = torch.load(files["light"][1], weights_only=True)
    torch.save(wrap(plain["genB2A"]), tmp_path / "bare.pt")
    line = ("import_pytorch", tmp_path / "bare.pt", tmp_path / "run", "--img_size", 32)
    code, _, complaint = tool(*line)
    assert code == 2 and "bare.pt: holds one generator, without a name: give --direction a2b or b2a" in complaint
    code, said, complaint = tool(*line, "--direction", "b2a")
    assert code == 0 and "genB2A: " in said and "genA2B" not in said, complaint
    code, _, complaint = tool(
        "translate", tmp_path / "x.png", "--checkpoint", tmp_path / "run", "--out", tmp_path / "o"
    )
    assert code == 2 and "x.png" in complaint
    cv2.imwrite(str(tmp_path / "x.png"), np.zeros((32, 32, 3), np.uint8))
    code, _, complaint = tool(
        "translate", tmp_path / "x.png", "--checkpoint", tmp_path / "run", "--out", tmp_path / "o"
    )
    assert code == 2 and "step-00000000: holds no genA2B: give the other --direction" in complaint
    code, _, complaint = tool("import_pytorch", files["light"][1], tmp_path / "other", "--direction", "a2b")
    assert code == 2 and "--direction is for one generator without a name: leave it out" in complaint


def changed(path, out, change):
    states = torch.load(path, weights_only=True)
    change(states)
    torch.save(states, out)
    return out


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: s["genA2B"].pop("FC.2.weight"), "genA2B has no FC.2.weight"),
        (lambda s: s["disGA"].pop("conv.weight_u"), "disGA has no conv.weight_u"),
        (
            lambda s: s["genB2A"].update({"gamma.weight": torch.zeros(32, 31)}),
            "gamma.weight has shape (32, 31), not (32",
        ),
        (lambda s: s["genA2B"].update({"DownBlock.1.weight": torch.zeros(3)}), "has shape (3,), not 4 axes"),
        (lambda s: s["genA2B"].update({"FC.0.weight": torch.zeros(8)}), "FC.0.weight has shape (8,), not 2 axes"),
        (lambda s: s["genB2A"]["gamma.weight"].fill_(float("nan")), "genB2A.gamma.weight holds a value that is not"),
        (lambda s: [s.pop(name) for name in ("genA2B", "genB2A")], "holds disGA, disGB, disLA, disLB, not genA2B"),
        (lambda s: s["disLA"].pop("model.1.weight_orig"), "discriminators of n_dis [4, 4, 3, 4]"),
        (lambda s: s["genA2B"].pop("DownBlock.1.weight"), "its generator has no DownBlock.1.weight"),
        (lambda s: s["genA2B"].update({"FC.2.weight": s["genA2B"]["FC.2.weight"].long()}), "FC.2.weight holds int64"),
        (
            lambda s: (s.update(first=dict(s), ema=dict(s)), [s.pop(name) for name in [*s][:6]]),
            "in first and in ema: save",
        ),
        (lambda s: s.clear(), "holds nothing, no networks of the PyTorch implementation"),
        (lambda s: (s.clear(), s.update({1: torch.zeros(3)})), "holds 1, no networks of the PyTorch implementation"),
    ],
)
def test_other_files_are_refused_in_one_line(files, tool, tmp_path, change, words):
    path = changed(files["light"][1], tmp_path / "other.pt", change)
    code, said, complaint = tool("import_pytorch", path, tmp_path / "run", "--img_size", 32)
    assert code == 2 and complaint.count("\n") == 1 and words in complaint and str(path) in complaint, complaint
    assert ": give " in complaint or "save the dictionary of one" in complaint  # what to do
    assert os.listdir(tmp_path) == ["other.pt"]


def test_what_the_file_has_more_or_less(files, tool, tmp_path, dataset):
    def change(states):
        states["genA2B"]["extra.weight"] = torch.zeros(3)
        states["optimizer"] = {"state": {}}
        for name in ("disGA", "disGB", "disLA", "disLB"):
            del states[name]

    path = changed(files["light"][1], tmp_path / "other.pt", change)
    arguments = (path, tmp_path / "run", "--img_size", 32)
    code, _, complaint = tool("import_pytorch", *arguments, "--data_path", dataset)
    assert code == 2 and "holds no disGA: without --data_path it is imported for translation" in complaint
    code, said, complaint = tool("import_pytorch", *arguments)
    assert code == 0, complaint
    assert "not used: genA2B: extra.weight (3,)\n" in said and "not used: optimizer: no network of ours\n" in said
    code, said, _ = tool("export_pytorch", tmp_path / "run", tmp_path / "back.pt")
    assert code == 0 and "left out: disGA: the checkpoint has none\n" in said
    assert list(torch.load(tmp_path / "back.pt", weights_only=True)) == ["genA2B", "genB2A"]


class Evil:
    def __reduce__(self):
        return os.system, ("touch pwned",)


def test_nothing_in_a_file_is_executed(tool, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"genA2B": Evil()}, "evil.pt")
    code, _, complaint = tool("import_pytorch", "evil.pt", "run")
    assert code == 2 and "evil.pt" in complaint and complaint.count("\n") == 1
    assert os.listdir(tmp_path) == ["evil.pt"]


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("import_pytorch", (), "required: FILE.pt, OUT"),
        ("import_pytorch", ("none.pt", "new"), "none.pt: No such file"),
        ("import_pytorch", ("none.pt", "new", "--data_path", "run"), "run"),
        ("import_pytorch", ("none.pt", "run"), "run exists"),
        ("export_pytorch", ("none", "new.pt"), "none: no such folder"),
        ("export_pytorch", ("run", "new.pt"), "run/checkpoints: no checkpoint yet"),
        ("export_pytorch", ("run", "file.pt"), "file.pt exists"),
    ],
)
def test_bad_input(run_tool, refused, tmp_path, no_mindspore, name, arguments, words):
    (tmp_path / "run").mkdir()
    (tmp_path / "file.pt").write_text("x")
    refused(run_tool(name, *arguments, cwd=tmp_path, env=no_mindspore), words)
    assert sorted(os.listdir(tmp_path)) == ["file.pt", "run"]


def test_a_run_that_the_pytorch_implementation_cannot_hold(files, tool, tmp_path):
    import dataclasses

    from ugatit_train.exchange import pytorch, torchfile

    imported = pytorch.from_pytorch(torchfile.read(files["light"][1]), 32)
    for name, changes in {"zero": {"padding": "zero"}, "plain": {"spectral_norm": False}}.items():
        options = dataclasses.replace(imported.options, **changes)
        pytorch.save_run(dataclasses.replace(imported, options=options), tmp_path / name)
    code, _, complaint = tool("export_pytorch", tmp_path / "zero", tmp_path / "zero.pt")
    assert code == 2 and "--padding zero: the PyTorch implementation reflects" in complaint
    code, said, _ = tool("export_pytorch", tmp_path / "plain", tmp_path / "plain.pt")
    assert code == 0 and "left out: disGA: trained with --spectral_norm false" in said
