"""The name of a step's graph: every option that decides it is in it, the others are on a list. Compiles nothing."""

import dataclasses
import os

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor
from mindspore._c_expression import ms_ctx_param

from ugatit_train import runtime
from ugatit_train.networks import graphkey
from ugatit_train.options.config import Options
from ugatit_train.runtime import Worker
from ugatit_train.training import build

STEPS_PER_EPOCH = 10
SMALL = {"data_path": "one", "light": True, "ch": 2, "n_res": 1, "n_dis": 4, "img_size": 32, "iteration": 40}
ON_ASCEND = {"device_target": "Ascend"}

# Each beside what it is compared with, another key demanded.
INSIDE = {
    "iteration": ({"iteration": 42, "decay_flag": False}, {"decay_flag": False}),
    "epoch": ({"iteration": None, "epoch": 5}, {}),
    "decay_flag": ({"decay_flag": False}, {}),
    "decay_epoch": ({"decay_epoch": 1}, {}),
    "batch_size": ({"batch_size": 2}, {}),
    "lr": ({"lr": 2e-4}, {}),
    "weight_decay": ({"weight_decay": 2e-4}, {}),
    "adv_weight": ({"adv_weight": 2.0}, {}),
    "cycle_weight": ({"cycle_weight": 11.0}, {}),
    "identity_weight": ({"identity_weight": 11.0}, {}),
    "cam_weight": ({"cam_weight": 1001.0}, {}),
    "use_global_norm": ({"use_global_norm": True}, {}),
    "precision": ({**ON_ASCEND, "precision": "float16"}, ON_ASCEND),
    "amp": ({**ON_ASCEND, "amp": True}, ON_ASCEND),
    "loss_scale": ({"loss_scale": 1024.0}, {}),
    "ema": ({"ema": 0.999}, {"ema": 0.99}),
    "update_order": ({"update_order": "g_first"}, {}),
    "light": ({"light": False}, {}),
    "ch": ({"ch": 4}, {}),
    "n_res": ({"n_res": 2}, {}),
    "n_dis": ({"n_dis": 5, "img_size": 48}, {"img_size": 48}),
    "img_size": ({"img_size": 36}, {}),
    "img_ch": ({"img_ch": 1}, {}),
    "padding": ({"padding": "zero"}, {}),
    "spectral_norm": ({"spectral_norm": False}, {}),
    "sn_iterations": ({"sn_iterations": "per_pass"}, {}),
    "device_target": (ON_ASCEND, {}),
    "recompute": ({"recompute": True}, {}),
}
# These are in no graph: paths, how often, how much at once, where. Changed all together, they must change nothing.
OUTSIDE = {
    "dataset": "other", "data_path": "two", "output_path": "elsewhere", "resume": True, "load_path": "before",
    "change_batch": True, "phase": "train", "compute_metrics": False, "inception_ckpt_path": "file",
    "eval_outputdir": "there", "dry_run": True, "enable_modelarts": True, "data_url": "s3://a/b",
    "train_url": "s3://a/c", "checkpoint_url": "s3://a/d", "print_freq": "2e", "save_freq": 7, "eval_freq": 5,
    "tensorboard": True, "keep": 1, "seed": 2, "distributed": True, "device_id": 1, "threads": 3,
    "compile_cache": "folder", "enable_profiling": True, "save_graphs": True, "graph_path": "graphs",
}  # fmt: skip
IN_SETTINGS = {"jit_level"}  # `train` gives it to MindSpore, not to the step
# A run with these is no training; the first has only one other value.
TESTS_OWN = {"phase": "test", "compute_metrics": True}


def parts(worker=Worker(), **changed):  # noqa: B008 - frozen
    options = Options(**{**SMALL, **changed})
    step = build.build_step(options, options.schedule(STEPS_PER_EPOCH), worker.world)
    image = Tensor(np.zeros((options.batch_size, options.img_ch, *options.image_size), np.float32))
    return graphkey.parts(step, (image, image), worker)


@pytest.fixture(scope="module")
def plain():
    return parts()


def test_every_option_is_on_one_of_the_lists():
    fields = {field.name for field in dataclasses.fields(Options)}
    assert set(INSIDE) | set(OUTSIDE) | IN_SETTINGS == fields
    assert len(INSIDE) + len(OUTSIDE) + len(IN_SETTINGS) == len(fields)
    for name in OUTSIDE:
        assert OUTSIDE[name] != getattr(Options(**SMALL), name) or name in TESTS_OWN, name


@pytest.mark.parametrize("name", INSIDE)
def test_an_option_of_the_step_is_another_key(name, plain, monkeypatch):
    monkeypatch.setattr(build, "initialise", lambda step, seed: None)  # it takes time, and the key looks at no weight
    changed, beside = INSIDE[name]
    assert graphkey.key(parts(**changed)) != graphkey.key(parts(**beside) if beside else plain)


def test_the_level_of_compilation_is_another_key(plain):
    context = ms.context._context()
    before = context.get_param(ms_ctx_param.jit_level)
    try:
        runtime.set_jit_level("O1")
        assert graphkey.key(parts()) != graphkey.key(plain)
    finally:
        context.set_param(ms_ctx_param.jit_level, before)
        context.jit_config = {}
    assert graphkey.key(parts()) == graphkey.key(plain)


def test_the_options_on_the_list_change_nothing(plain):
    assert parts(**OUTSIDE) == plain
    assert parts() == plain


def test_two_lengths_of_one_schedule_are_one_key():
    """The key is made of what the data set makes of the options."""
    assert parts(iteration=None, epoch=4) == parts(iteration=40)


def test_each_part_alone_is_another_key(plain):
    keys = {graphkey.key(plain)}
    for name in plain:
        keys.add(graphkey.key(plain | {name: "another"}))
    assert len(keys) == len(plain) + 1
    assert set(plain) == {
        "cell", "inputs", "sources", "settings", "environment", "versions", "machine", "worker"
    }  # fmt: skip


def test_inputs_and_workers(plain):
    step = build.build_step(Options(**SMALL), Options(**SMALL).schedule(STEPS_PER_EPOCH))
    shapes = [((1, 3, 32, 32), np.float32), ((2, 3, 32, 32), np.float32), ((1, 3, 32, 36), np.float32),
              ((1, 3, 32, 32), np.float16)]  # fmt: skip
    found = [graphkey.parts(step, (Tensor(np.zeros(*each)),) * 2, Worker()) for each in shapes]
    found += [parts(Worker(0, 2)), parts(Worker(1, 2))]
    assert found[0] == plain
    assert len({graphkey.key(each) for each in found}) == len(found)


def test_a_changed_source_file_of_ours(tmp_path, monkeypatch):
    for package in (graphkey.ugatit_data, graphkey.ugatit_train):
        folder = tmp_path / package.__name__
        (folder / "room").mkdir(parents=True)
        (folder / "room" / "a.py").write_text("x = 1\n")
        monkeypatch.setattr(package, "__path__", [str(folder)])
    before = graphkey.sources()
    (tmp_path / "ugatit_train" / "room" / "README.md").write_text("words")
    assert graphkey.sources() == before
    found = {before}
    for change in (
        lambda: (tmp_path / "ugatit_train" / "room" / "a.py").write_text("x = 2\n"),
        lambda: (tmp_path / "ugatit_data" / "room" / "a.py").write_text("x = 2\n"),
        lambda: (tmp_path / "ugatit_data" / "room" / "a.py").rename(tmp_path / "ugatit_data" / "room" / "b.py"),
        lambda: (tmp_path / "ugatit_train" / "c.py").write_text(""),
    ):
        change()
        found.add(graphkey.sources())
    assert len(found) == 5


def test_the_environment_of_a_compiler(monkeypatch):
    before = graphkey.environment()
    for name in graphkey.OUTSIDE_VARIABLES:
        monkeypatch.setenv(name, "7")
    monkeypatch.setenv("HOME", "/elsewhere")
    assert graphkey.environment() == before
    for name in ("MS_DEV_SIDE_EFFECT_LOAD_ELIM", "MS_ENABLE_GE", "ONEDNN_MAX_CPU_ISA", "ASCEND_OPP_PATH"):
        now = graphkey.environment()
        monkeypatch.setenv(name, "7")
        assert graphkey.environment() == now | {name: "7"} != now


@pytest.mark.parametrize(
    ("name", "value", "back"),
    [("max_call_depth", 900, 1000), ("jit_syntax_level", ms.STRICT, ms.LAX), ("deterministic", "ON", "OFF")],
)
def test_a_setting_of_mindspore(name, value, back):
    before = graphkey.settings()
    ms.set_context(**{name: value})
    try:
        assert graphkey.settings() != before
    finally:
        ms.set_context(**{name: back})
    assert graphkey.settings() == before


def test_the_precision_that_ascend_was_given(monkeypatch):
    """`runtime.set_precision` sets it; the step itself is equal for float32 and hf32."""

    class Conf:
        values = {"precision_mode": "a", "op_precision_mode": "b", "conv_allow_hf32": False, "matmul_allow_hf32": False}

        @classmethod
        def get_instance(cls):
            return cls

        precision_mode, op_precision_mode, conv_allow_hf32, matmul_allow_hf32 = (
            staticmethod(lambda name=name: Conf.values[name]) for name in values
        )

    monkeypatch.setattr(ms._c_expression, "AscendOpPrecisionConf", Conf, raising=False)
    before = graphkey.settings()
    for name, other in {"precision_mode": "c", "op_precision_mode": "c", "conv_allow_hf32": True}.items():
        with monkeypatch.context() as patch:
            patch.setitem(Conf.values, name, other)
            assert graphkey.settings() != before
    assert graphkey.settings() == before


def test_where_a_process_runs_is_no_setting(tmp_path):
    before = graphkey.settings()
    ms.set_context(save_graphs_path=str(tmp_path))
    assert graphkey.settings() == before
    ms.set_context(save_graphs_path=".")


def test_versions_and_machine(monkeypatch):
    before = [graphkey.versions(), graphkey.machine()]
    for patched in (
        (ms, "__version__", "2.11.0"), (np, "__version__", "1.0"), (graphkey.sys, "version", "3.14"),
        (graphkey, "_processor", lambda: "flags: none"), (graphkey.platform, "machine", lambda: "aarch64"),
    ):  # fmt: skip
        with monkeypatch.context() as patch:
            patch.setattr(*patched)
            assert [graphkey.versions(), graphkey.machine()] != before
    assert "fpu" in graphkey._processor() or os.uname().machine != "x86_64"


def test_the_software_below_a_card(tmp_path, monkeypatch):
    monkeypatch.setattr(graphkey, "device", lambda: "Ascend")
    monkeypatch.setattr(ms.hal, "get_device_name", lambda number: "Ascend910B2")
    monkeypatch.setenv("ASCEND_HOME_PATH", str(tmp_path))
    (tmp_path / "version.cfg").write_text("runtime 8.0")
    before = graphkey.machine()
    assert {"Ascend", "Ascend910B2", "runtime 8.0"} <= set(before)
    (tmp_path / "version.cfg").write_text("runtime 8.1")
    assert graphkey.machine() != before
