"""Checkpoints: the round trip, every flipped bit found and named, a kill at any moment, what is kept."""

import json
import os
import resource
import shutil
from pathlib import Path

import numpy as np
import pytest
from mindspore import Parameter, Tensor
from safetensors.numpy import load_file

from ugatit_train.evaluation import evaluate
from ugatit_train.exchange import pytorch
from ugatit_train.forms import CPU
from ugatit_train.inference import generator, models
from ugatit_train.options import saved
from ugatit_train.options.config import OptionError, Options
from ugatit_train.training import best, checkpoint

OPTIONS = Options(img_size=32, n_dis=4, ch=2, n_res=1, light=True)


def make_parameters(seed: int) -> dict[str, Parameter]:
    random = np.random.default_rng(seed)
    shapes = {"genA2B.down0.weight": (2, 3, 7, 7), "genB2A.rho": (5,), "disGA.conv.u": (1,), "adam_m.x": (3, 4)}
    made = {
        name: Parameter(Tensor(random.standard_normal(shape).astype(np.float32)), name=name)
        for name, shape in shapes.items()
    }
    return made | {"step": Parameter(Tensor(np.int32(seed)), name="step")}


def arrays(parameters) -> dict[str, np.ndarray]:
    return {name: parameter.asnumpy().copy() for name, parameter in parameters.items()}


def save(folder, step: int, keep: int = 3):
    meta = {"step": step, "data": {"seed": 1}, "options": saved.lasting(OPTIONS)}
    return checkpoint.save(folder, make_parameters(step), meta, keep)


def assert_holds(folder, step: int):
    """The newest good checkpoint is that of `step`, and gives its values."""
    found, meta = checkpoint.latest_good(folder)
    assert meta["step"] == step
    parameters = make_parameters(999)
    checkpoint.load(found, meta, parameters)
    expected = arrays(make_parameters(step))
    for name, array in arrays(parameters).items():
        np.testing.assert_array_equal(array, expected[name])


def test_round_trip_and_the_safetensors_library_reads_it(tmp_path):
    path = save(tmp_path, 7)
    assert path.name == "step-00000007"
    assert_holds(tmp_path, 7)
    read = load_file(path / "genA2B.safetensors")
    np.testing.assert_array_equal(read["genA2B.down0.weight"], make_parameters(7)["genA2B.down0.weight"].asnumpy())
    assert {file.name for file in path.iterdir()} == {
        "genA2B.safetensors",
        "genB2A.safetensors",
        "training.safetensors",
        "checkpoint.json",
    }


def test_every_flipped_bit_is_named_and_the_last_good_one_is_used(tmp_path, caplog):
    save(tmp_path, 1)
    newest = save(tmp_path, 2)
    random = np.random.default_rng(0)
    files = sorted(newest.iterdir())
    for i in range(200):
        file = files[i % len(files)]
        good = file.read_bytes()
        bit = int(random.integers(len(good) * 8))
        bad = bytearray(good)
        bad[bit // 8] ^= 1 << bit % 8
        file.write_bytes(bad)
        caplog.clear()
        assert_holds(tmp_path, 1)
        assert str(file) in caplog.text
        file.write_bytes(good)
    assert_holds(tmp_path, 2)


@pytest.mark.parametrize("size", [0, 1, 100])
def test_a_truncated_or_missing_file_is_named(tmp_path, caplog, size):
    save(tmp_path, 1)
    newest = save(tmp_path, 2)
    file = newest / "training.safetensors"
    file.write_bytes(file.read_bytes()[:size])
    assert_holds(tmp_path, 1)
    file.unlink()
    assert_holds(tmp_path, 1)
    assert caplog.text.count(str(file)) == 2


def test_nothing_good_is_an_error_that_says_so(tmp_path):
    with pytest.raises(checkpoint.CheckpointError, match="no checkpoint yet"):
        checkpoint.latest_good(tmp_path)
    shutil.copytree(save(tmp_path / "a", 1), tmp_path / "b" / "step-00000001")
    (tmp_path / "b" / "step-00000001" / "checkpoint.json").write_text("{}")
    with pytest.raises(checkpoint.CheckpointError, match="every checkpoint is damaged"):
        checkpoint.latest_good(tmp_path / "b")


def test_the_newest_are_kept(tmp_path):
    for step in (5, 10, 100, 15):
        save(tmp_path, step, keep=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000015", "step-00000100"]


def test_a_new_checkpoint_stays_where_damaged_later_ones_lie(tmp_path):
    for step in (100, 200):
        (save(tmp_path, step, keep=2) / "checkpoint.json").write_text("{}")
    for step in (15, 16):
        save(tmp_path, step, keep=2)
        assert_holds(tmp_path, step)


def dies_at(call: int, monkeypatch, work) -> None:
    """Does `work`, which dies at its n-th operation that reaches the disk, as with kill -9; nothing after it is run."""
    seen = 0

    def dying(function):
        def run(*arguments, **options):
            nonlocal seen
            seen += 1
            if seen == call:
                raise SystemExit("killed")
            return function(*arguments, **options)

        return run

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", dying(os.fsync))
        patch.setattr(Path, "rename", dying(Path.rename))
        patch.setattr(Path, "mkdir", dying(Path.mkdir))
        patch.setattr(shutil, "rmtree", dying(shutil.rmtree))
        try:
            work()
            assert seen < call, "the save went on after it was killed"
        except SystemExit:
            assert seen == call


@pytest.mark.parametrize("call", range(1, 14))
def test_a_kill_at_any_file_operation_leaves_the_old_or_the_new_state(tmp_path, monkeypatch, call):
    save(tmp_path, 1, keep=1)
    dies_at(call, monkeypatch, lambda: save(tmp_path, 2, keep=1))
    _, meta = checkpoint.latest_good(tmp_path)
    assert meta["step"] in (1, 2)
    assert_holds(tmp_path, meta["step"])
    save(tmp_path, 3, keep=1)  # the next save sweeps up
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000003"]


@pytest.mark.parametrize("call", range(1, 14))
def test_a_kill_at_any_file_operation_leaves_a_best_checkpoint(tmp_path, monkeypatch, call):
    save_best(tmp_path, 1, mean=0.5)
    dies_at(call, monkeypatch, lambda: save_best(tmp_path, 2, mean=0.4))
    found, meta = best.newest(tmp_path)
    assert (meta["step"], meta["evaluation"]["a2b"]["mean"]) in ((1, 0.5), (2, 0.4))
    assert_holds(tmp_path, meta["step"])
    save(tmp_path, 3, keep=1)  # sweeps up, and leaves the best
    assert best.newest(tmp_path)[0] == found
    save_best(tmp_path, 4)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best-00000004", "step-00000003"]


def test_a_save_that_fails_leaves_the_old_state_and_takes_no_room(tmp_path):
    save(tmp_path, 1)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (600, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            save(tmp_path, 2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000001"]
    assert_holds(tmp_path, 1)


def test_other_networks_are_refused(tmp_path):
    save(tmp_path, 1)
    found, meta = checkpoint.latest_good(tmp_path)
    fewer = make_parameters(1)
    del fewer["adam_m.x"]
    with pytest.raises(checkpoint.CheckpointError, match=r"training.safetensors: of other networks: adam_m.x"):
        checkpoint.load(found, meta, fewer)
    other = make_parameters(1)
    other["genB2A.rho"] = Parameter(Tensor(np.zeros(6, np.float32)), name="genB2A.rho")
    with pytest.raises(checkpoint.CheckpointError, match=r"genB2A.rho has shape \(5,\), not \(6,\)"):
        checkpoint.load(found, meta, other)


def write_meta(folder, **changes):
    """Changes the contents of `checkpoint.json`, and its digest with them."""
    path = folder / "checkpoint.json"
    body = json.loads(path.read_text()) | changes
    del body["digest"]
    body["digest"] = checkpoint.sha256_hex(checkpoint.canonical(body))
    path.write_text(json.dumps(body))
    return folder


def test_a_lower_format_version_is_read_and_a_newer_one_refused(tmp_path):
    save(tmp_path, 1)
    newest = write_meta(save(tmp_path, 2), format_version=0)
    assert_holds(tmp_path, 2)
    write_meta(newest, format_version=2)
    words = f"{newest}/checkpoint.json: format version 2, this program reads 1: use the version of ugatit that wrote it"
    for read in (checkpoint.read_meta, checkpoint.find):
        with pytest.raises(checkpoint.CheckpointError, match=f"^{words}$"):
            read(newest)
    with pytest.raises(checkpoint.CheckpointError, match=f"^{words}$"):
        checkpoint.latest_good(tmp_path)  # the good one before is none to go on from: its step 2 would be lost


def test_a_checkpoint_of_unknown_options_is_refused_by_all_that_read_it(tmp_path):
    folder = write_meta(save(tmp_path, 1), options={"ch": 2, "light": True, "sharpness": 1.5})
    words = f"^{folder}/checkpoint.json: unknown option sharpness: use the version of ugatit that wrote it$"
    for read in (
        lambda: generator.load_generator(folder, "a2b", CPU),
        lambda: models.from_checkpoint(folder, "b2a"),  # translate, export
        lambda: evaluate.own_data(folder),
        lambda: pytorch.to_pytorch(folder),
    ):
        with pytest.raises(OptionError, match=words):
            read()


def test_an_option_that_a_checkpoint_does_not_have_is_that_of_0_1(tmp_path, monkeypatch):
    """As if the default of today were another one."""
    monkeypatch.setitem(saved.VALUES_OF_0_1, "padding", "zero")
    monkeypatch.setitem(saved.VALUES_OF_0_1, "data_path", "that of 0.1")
    folder = write_meta(save(tmp_path, 1), options={"ch": 2})
    options = checkpoint.run_options(folder, checkpoint.read_meta(folder))
    assert options == Options(ch=2, padding="zero", data_path="that of 0.1")
    assert evaluate.own_data(folder).name == "that of 0.1"
    with pytest.raises(pytorch.InteropError, match="trained with --padding zero"):
        pytorch.to_pytorch(folder)


def evaluation(mean: float, features: str = "built in") -> dict:
    return {"metric": "smoke_mmd", "features": features, "a2b": {"mean": mean}}


def save_best(folder, step: int, mean: float = 0.5):
    meta = {"step": step, "data": {"seed": 1}, "options": saved.lasting(OPTIONS), "evaluation": evaluation(mean)}
    return best.save(folder, make_parameters(step), meta)


def test_the_best_is_kept_beside_the_newest_and_is_one_to_go_on_from(tmp_path):
    assert best.newest(tmp_path) is None
    assert save_best(tmp_path, 2).name == "best-00000002"
    for step in (3, 4, 5):
        save(tmp_path, step, keep=1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best-00000002", "step-00000005"]
    assert best.newest(tmp_path)[1]["evaluation"] == evaluation(0.5)
    assert_holds(tmp_path, 5)
    save_best(tmp_path, 6)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best-00000006", "step-00000005"]
    assert_holds(tmp_path, 6)  # the newest, though no save was due


def test_which_checkpoint_is_chosen(tmp_path):
    assert best.choose(tmp_path, "last") == tmp_path
    with pytest.raises(checkpoint.CheckpointError, match="has no best checkpoint, .* give --which last, or train with"):
        best.choose(tmp_path, "best")
    path = save_best(tmp_path / "checkpoints", 2)
    save(tmp_path / "checkpoints", 3)
    assert best.choose(tmp_path, "best") == path
    with pytest.raises(checkpoint.CheckpointError, match="best-00000002: is one checkpoint: give the run's folder"):
        best.choose(path, "best")
    (path / "genA2B.safetensors").write_bytes(b"other")
    with pytest.raises(checkpoint.CheckpointError, match="genA2B.* damaged: 5 bytes.*, or --which last"):
        best.choose(tmp_path, "best")


def test_better_is_lower_by_the_same_measure(caplog):
    assert best.is_better(evaluation(0.5), None)
    assert best.is_better(evaluation(0.4), evaluation(0.5))
    assert not best.is_better(evaluation(0.5), evaluation(0.5))
    assert not best.is_better(evaluation(0.6), evaluation(0.5)) and not caplog.text
    assert best.is_better(evaluation(0.6, "inception.ckpt"), evaluation(0.5))
    assert "the best checkpoint was judged by smoke_mmd (built in)" in caplog.text
