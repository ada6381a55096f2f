"""Presets: what they change, what beats them, and that a run which goes on may not be given another one."""

import dataclasses

import pytest

from ugatit_train.options import saved
from ugatit_train.options.arguments import parse
from ugatit_train.options.config import OptionError, Options

MODEL_ZOO = {
    "padding": "zero", "spectral_norm": False, "update_order": "g_first", "loss_scale": 1024.0, "use_global_norm": True,
}  # fmt: skip


def changed(options):
    default = dataclasses.asdict(Options())
    return {name: value for name, value in dataclasses.asdict(options).items() if value != default[name]}


def test_a_preset_gives_defaults_and_the_file_and_the_line_beat_them(tmp_path):
    assert changed(parse(["--preset", "model_zoo"])) == MODEL_ZOO
    assert changed(parse(["--preset=paper"])) == {"sn_iterations": "per_pass"}
    file = tmp_path / "run.yaml"
    file.write_text("preset: model_zoo\nloss_scale: 1\nuse_global_norm: false\n")
    found = changed(parse(["--config", str(file), "--use_global_norm", "--update_order", "d_first"]))
    assert found == {"padding": "zero", "spectral_norm": False, "use_global_norm": True, "loss_scale": 1.0}
    assert changed(parse(["--config", str(file), "--preset", "paper"]))["sn_iterations"] == "per_pass"


def test_a_preset_that_is_none_is_refused():
    with pytest.raises(OptionError, match="^--preset zoo: give model_zoo or paper$"):
        parse(["--preset", "zoo"])


def test_a_run_keeps_what_its_preset_gave_and_refuses_another(tmp_path):
    begun = parse(["--preset", "model_zoo", "--use_global_norm", "false", "--output_path", str(tmp_path)])
    saved.save(begun, tmp_path / saved.OPTIONS_FILE)
    again = ["--output_path", str(tmp_path), "--resume"]
    resumed = dataclasses.replace(begun, resume=True)
    assert parse(again) == resumed
    assert parse([*again, "--preset", "model_zoo"]) == resumed  # the run's own use_global_norm beats a default
    with pytest.raises(OptionError, match=r"--preset paper: the run in .* has padding zero, not reflect: leave -"):
        parse([*again, "--preset", "paper"])
    with pytest.raises(OptionError, match="has padding zero, not reflect: leave --padding out"):
        parse([*again, "--preset", "model_zoo", "--padding", "reflect"])
    other = parse(["--preset", "model_zoo", "--padding", "reflect", "--output_path", str(tmp_path)])
    saved.save(other, tmp_path / saved.OPTIONS_FILE)  # with an option beside the preset, which is given again
    assert parse([*again, "--preset", "model_zoo", "--padding", "reflect"]).padding == "reflect"


def test_judging_a_run_asks_for_the_presets_networks_only(tmp_path):
    begun = parse(["--preset", "model_zoo", "--loss_scale", "1", "--output_path", str(tmp_path)])
    saved.save(begun, tmp_path / saved.OPTIONS_FILE)
    judge = ["--output_path", str(tmp_path), "--phase", "test", "--preset"]
    assert parse([*judge, "model_zoo"]).loss_scale == 1.0
    with pytest.raises(OptionError, match="has padding zero, not reflect"):
        parse([*judge, "paper"])
