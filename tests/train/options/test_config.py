"""The options: what parses, to what; what is refused, with which words; what a run's folder gives back."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from ugatit_train.options import arguments, config, saved
from ugatit_train.options.arguments import parse
from ugatit_train.options.config import OptionError, Options

NAMES = """
adv_weight amp batch_size cam_weight ch change_batch checkpoint_url compile_cache compute_metrics cycle_weight
data_path data_url dataset decay_epoch decay_flag device_id device_target distributed dry_run ema enable_modelarts
enable_profiling epoch eval_freq eval_outputdir graph_path identity_weight img_ch img_size inception_ckpt_path
iteration jit_level keep light load_path loss_scale lr n_dis n_res output_path padding phase precision print_freq
recompute resume save_freq save_graphs seed sn_iterations spectral_norm tensorboard threads train_url update_order
use_global_norm weight_decay
"""
TRAIN_YAML = Path(__file__).parents[3] / "tools" / "train.yaml"


def test_defaults_are_those_of_the_paper():
    options = parse([])
    assert options == Options()
    weights = (options.adv_weight, options.cycle_weight, options.identity_weight, options.cam_weight)
    assert weights == (1, 10, 10, 1000)
    assert (options.ch, options.n_res, options.n_dis, options.img_size, options.seed) == (64, 4, 6, 256, 1)
    assert (options.lr, options.weight_decay, options.batch_size) == (1e-4, 1e-4, 1)
    assert options.schedule(3400).iteration == 1_000_000


def test_the_default_file_says_what_the_code_says():
    assert arguments.load(TRAIN_YAML) == Options()
    for field in dataclasses.fields(Options):
        assert f"{field.name}:" in TRAIN_YAML.read_text(), field.name


def test_the_command_line_is_frozen():
    """A name that is added or lost is a decision: write it here and in the CHANGELOG."""
    assert sorted(field.name for field in dataclasses.fields(Options)) == NAMES.split()


@pytest.mark.parametrize(
    ("argv", "value"),
    [
        (["--light"], True),
        (["--light", "true"], True),
        (["--light=True"], True),
        (["--light", "--ch", "32"], True),
        (["--light", "false"], False),
        (["--light=False"], False),
    ],
)
def test_booleans(argv, value):
    assert parse(argv).light is value


def test_the_command_line_beats_the_file_and_the_file_the_defaults(tmp_path):
    file = tmp_path / "run.yaml"
    file.write_text("ch: 32\nlr: 1e-3\nlight: true\nprint_freq: 2e\n")
    options = parse(["--config", str(file), "--ch", "16"])
    assert (options.ch, options.lr, options.light, options.print_freq) == (16, 1e-3, True, "2e")


def test_only_two_lengths_given_in_one_place_conflict(tmp_path):
    file = tmp_path / "run.yaml"
    file.write_text("iteration: 500\n")
    assert parse(["--epoch", "3"]).schedule(10).iteration == 30  # beats the default
    assert parse(["--config", str(file), "--epoch", "3"]).schedule(10).iteration == 30  # beats the file
    with pytest.raises(OptionError, match="--iteration 5 and --epoch 3 both"):
        parse(["--iteration", "5", "--epoch", "3"])


def test_schedule_in_steps():
    options = Options(epoch=10, decay_epoch=4, print_freq="2e", save_freq=7)
    assert options.schedule(25) == config.Schedule(iteration=250, decay_start=100, print_every=50, save_every=7)
    assert Options(iteration=100).schedule(25).decay_start == 50
    assert Options(iteration=100, decay_flag=False).schedule(25).decay_start == 100
    with pytest.raises(OptionError, match="decay_epoch 5 is step 125, after the last step 100"):
        Options(iteration=100, decay_epoch=5).schedule(25)


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--chh", "3"], "--chh: unknown option: did you mean --ch"),
        (["--itertion=3"], "did you mean --iteration"),
        (["--img-size", "64"], "did you mean --img_size"),
        (["--li"], "did you mean --light"),  # no abbreviations
        (["--qqq"], "--help lists"),
        (["stray"], "stray"),
        (["--ch", "x"], "--ch x: give a whole number"),
        (["--ch", "3.0"], "--ch 3.0: give a whole number"),
        (["--ch"], "--ch: expected one argument"),
        (["--ch", "0"], "--ch 0 is out of range: give 1 or more"),
        (["--light", "2"], "--light 2: give true or false"),
        (["--lr", "0"], "--lr 0.0 is out of range: give more than 0"),
        (["--lr", "nan"], "--lr nan"),
        (["--lr", "inf"], "--lr inf"),
        (["--seed", "4294967296"], "too large"),
        (["--padding", "wrap"], "--padding wrap: give reflect or zero"),
        (["--img_ch", "2"], "give 3 or 1"),
        (["--img_size", "66"], "66 is not a multiple of 4: give 64 or 68"),
        (["--img_size", "128x130", "--light"], "--img_size 128x130: 130 is not a multiple of 4: give 128 or 132"),
        (["--img_size", "128x256"], "the full generator takes squares: give one number, or --light"),
        (["--img_size", "64x256", "--light"], "64x256 is too small for --n_dis 6: give --n_dis 5, or --img_size 96"),
        (["--img_size", "x128"], "--img_size x128: give pixels such as 256, or height and width as 128x256"),
        (["--img_size", "64"], "--img_size 64 is too small for --n_dis 6: give --n_dis 5, or --img_size 96"),
        (["--img_size", "16", "--n_dis", "4"], "give --img_size 24 or more"),
        (["--print_freq", "0"], "--print_freq 0: give a number of steps such as 500"),
        (["--save_freq", "2x"], "--save_freq 2x"),
        (["--epoch", "3", "--decay_epoch", "4"], "at most --epoch 3"),
        (["--device_num", "8"], "--device_num 8: the number of devices is the launcher's: use ugatit launch"),
        (["--phase=try"], "--phase try: give train or test"),
        (["--bifile_inputdir", "mine"], "--bifile_inputdir mine: it is an option of ugatit infer_310: leave it out"),
        (["--enable_modarts"], "unknown option"),
        (["--amp"], "--amp: the CPU computes in float32: leave it out, or give --device_target"),
        (
            ["--precision", "hf32"],
            "--precision hf32: the CPU computes in float32: leave it out, or give --device_target",
        ),
        (["--precision", "hf32", "--device_target", "GPU"], "--precision hf32 is Ascend's: give float32 or float16"),
        (
            ["--amp", "--precision", "hf32", "--device_target", "Ascend"],
            "--amp is --precision float16, and contradicts --precision hf32: give one of them",
        ),
        (["--jit_level", "O3"], "--jit_level O3: give O0 or O1 or O2"),
        (["--jit_level", "O2"], "--jit_level O2 is Ascend's: give O0 or O1, or leave it out"),
        (["--loss_scale", "0.5"], "--loss_scale 0.5 is out of range: give 1 to 16777216, or dynamic"),
        (["--loss_scale", "auto"], "--loss_scale auto: give"),
        (["--data_url", "s3://b/d"], "--data_url s3://b/d goes with --enable_modelarts: give both, or neither"),
        (["--load_path", "runs/first"], "--load_path runs/first goes with --resume: give both, or neither"),
        (["--config", "missing.yaml"], "missing.yaml: No such file or directory"),
    ],
)
def test_refusals_are_one_line_that_names_option_and_remedy(argv, words):
    with pytest.raises(OptionError) as caught:
        parse(argv)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_seed_names_that_ask_for_nothing_pass():
    argv = ["--distributed", "False", "--phase", "train", "--enable_modelarts=false", "--data_url", ""]
    assert parse(argv) == Options()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("chh: 3", "chh: unknown option: did you mean ch"),
        ("ch: many", "--ch many: give a whole number"),
        ("ch:", "ch has no value"),
        ("- ch", "holds a list, not options"),
        ("a: b: c", "line 1: not YAML"),
        ("ch: 8\nlr: 1e-3\n'ch': 8\n", "line 3: ch stands in line 1 too: remove one of the two"),
        ("{ch: 8, ch: 9}", "line 1: ch stands in line 1 too"),
    ],
)
def test_a_bad_file_is_named(tmp_path, text, words):
    file = tmp_path / "run.yaml"
    file.write_text(text)
    with pytest.raises(OptionError) as caught:
        parse(["--config", str(file)])
    assert str(file) in str(caught.value)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_name_that_stands_twice_in_a_saved_file_is_an_error_too(tmp_path):
    saved.save(Options(), tmp_path / saved.OPTIONS_FILE)
    with (tmp_path / saved.OPTIONS_FILE).open("a") as file:
        file.write("ch: 8\n")
    with pytest.raises(OptionError, match=r"options.yaml, line \d+: ch stands in line \d+ too"):
        parse(["--output_path", str(tmp_path), "--resume"])


def test_home_is_known_in_paths(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    assert all(getattr(Options(**{name: "~/x"}, phase="test"), name) == "/home/me/x" for name in config.PATHS)
    assert {name for name in NAMES.split() if name.endswith(("_path", "dir", "_cache"))} == set(config.PATHS)
    given = arguments.given(["--data_path=~/x", "--load_path", "~", "--graph_path", "a~/~"])
    assert given == {"data_path": "/home/me/x", "load_path": "/home/me", "graph_path": "a~/~"}


def test_saved_options_come_back(tmp_path):
    options = Options(light=True, epoch=3, print_freq="1e", lr=2e-5, output_path=str(tmp_path))
    saved.save(options, tmp_path / saved.OPTIONS_FILE)
    assert [path.name for path in tmp_path.iterdir()] == [saved.OPTIONS_FILE]
    assert parse(["--config", str(tmp_path / saved.OPTIONS_FILE)]) == options


def test_a_run_says_what_its_relative_paths_are_relative_to(tmp_path, monkeypatch):
    (tmp_path / "ä\n").mkdir()
    monkeypatch.chdir(tmp_path / "ä\n")
    saved.save(Options(data_path="data/x", output_path="run"), Path("options.yaml"))
    file = tmp_path / "ä\n" / "options.yaml"
    assert arguments.load(file) == Options(data_path="data/x", output_path="run")
    assert file.read_text().startswith("# Relative paths are relative to the folder in which the run was started: ")
    assert saved.started_in(file) == tmp_path / "ä\n"
    assert saved.moved_data(Path("data/x"), file) == ""  # it is still there
    monkeypatch.chdir(tmp_path)
    started = tmp_path / "ä\n"
    assert saved.moved_data(Path("data/x"), file) == (
        f" (the run was started in {started}, and its data set was {started / 'data/x'})"
    )
    assert saved.moved_data(tmp_path, file) == ""
    for text in ("ch: 8\n", "# Relative paths are relative to the folder in which the run was started: {\n", ""):
        file.write_text(text)  # as 0.1 wrote it, or changed
        assert saved.moved_data(Path("data/x"), file) == ""


def test_resume_takes_the_options_of_the_run(tmp_path):
    saved.save(Options(light=True, ch=8, iteration=100, output_path="elsewhere"), tmp_path / saved.OPTIONS_FILE)
    argv = ["--output_path", str(tmp_path), "--resume"]
    options = parse([*argv, "--iteration", "200"])
    assert options == Options(light=True, ch=8, iteration=200, output_path=str(tmp_path), resume=True)
    with pytest.raises(OptionError, match="has ch 8, not 16: leave --ch out"):
        parse([*argv, "--ch", "16"])
    with pytest.raises(OptionError, match="no run in"):
        parse(["--output_path", str(tmp_path / "other"), "--resume"])
    options = parse(["--load_path", str(tmp_path), "--resume", "--output_path", "second"])
    assert (options.ch, options.output_path, options.load_path) == (8, "second", str(tmp_path))
    saved.save(options, tmp_path / "second.yaml")
    assert arguments.load(tmp_path / "second.yaml").load_path == ""


def test_precision_is_one_thing_under_its_old_name_too_and_a_resumed_run_keeps_it(tmp_path):
    ascend = ["--device_target", "Ascend"]
    assert parse([*ascend, "--amp"]) == parse([*ascend, "--precision", "float16"])
    assert [parse(argv).precision for argv in ([], ["--device_target", "GPU"], ascend)] == ["float32", "float32", None]
    saved.save(dataclasses.replace(parse(ascend), precision="hf32"), tmp_path / saved.OPTIONS_FILE)
    again = ["--output_path", str(tmp_path), "--resume"]
    assert parse(again).precision == "hf32"
    with pytest.raises(OptionError, match="has precision hf32, not float32: leave --precision out"):
        parse([*again, "--precision", "float32"])
    judged = parse(["--output_path", str(tmp_path), "--phase", "test", "--device_target", "CPU"])
    assert judged.precision == "float32"  # a run may be judged on another device


@pytest.mark.parametrize(("amp", "precision"), [(True, "float16"), (False, "float32")])
def test_the_precision_of_an_old_run_is_that_of_its_amp(amp, precision, tmp_path):
    (tmp_path / saved.OPTIONS_FILE).write_text(f"amp: {str(amp).lower()}\ndevice_target: Ascend\n")
    assert arguments.load(tmp_path / saved.OPTIONS_FILE).precision == precision
    assert parse(["--output_path", str(tmp_path), "--resume"]).precision == precision


def test_the_level_of_compilation_is_recorded_and_may_change_on_resume(tmp_path):
    ascend = parse(["--device_target", "Ascend", "--jit_level", "O2"])
    saved.save(ascend, tmp_path / saved.OPTIONS_FILE)
    again = ["--output_path", str(tmp_path), "--resume"]
    assert [parse([*again, *more]).jit_level for more in ([], ["--jit_level", "O1"])] == ["O2", "O1"]
    assert parse(["--output_path", str(tmp_path), "--phase", "test", "--device_target", "CPU"]).device_target == "CPU"


def test_the_size_of_the_images():
    assert Options().image_size == (256, 256)
    assert parse(["--img_size", "128x256", "--light"]).image_size == (128, 256)


def test_data_folder():
    assert Options().data_folder == Path("dataset/selfie2anime")
    assert Options(data_path="x/y").data_folder == Path("x/y")


def test_the_learning_rate_is_constant_and_then_falls_to_zero():
    schedule = Options(iteration=10).schedule(7)
    rates = [schedule.learning_rate(step, 1.0) for step in range(1, 11)]
    assert rates == pytest.approx([1, 1, 1, 1, 1, 0.8, 0.6, 0.4, 0.2, 0])
    flat = Options(iteration=10, decay_flag=False).schedule(7)
    assert {flat.learning_rate(step, 0.5) for step in range(1, 11)} == {0.5}


@pytest.mark.parametrize(
    ("before", "now", "done", "words"),
    [
        ({}, {}, 50, ""),
        ({}, {"print_freq": 1}, 50, ""),
        (
            {}, {"iteration": 200}, 100,
            "200 steps in place of 100: the learning rate was 0 at step 100, is 0.00099 at step 101, and falls from "
            "step 100 on to 0 at the end",
        ),
        (
            {}, {"iteration": 400}, 100,
            "400 steps in place of 100: the learning rate was 0 at step 100, is 0.001 at step 101, and falls from "
            "step 200 on to 0 at the end",
        ),
        (
            {}, {"iteration": 110, "decay_epoch": 5}, 100,
            "110 steps in place of 100: the learning rate was 0 at step 100, is 0.00015 at step 101, and falls from "
            "step 100 on to 0 at the end",
        ),
        (
            {}, {"decay_flag": False, "iteration": 150}, 75,
            "150 steps in place of 100: the learning rate was 0.0005 at step 75, is 0.001 at step 76, and stays so",
        ),
        (
            {}, {"lr": 1e-4}, 10,
            "the learning rate was 0.001 at step 10, is 0.0001 at step 11, and falls from step 50 on to 0 at the end",
        ),
    ],
)  # fmt: skip
def test_what_becomes_of_the_learning_rate_of_a_run_that_goes_on_otherwise(before, now, done, words):
    from ugatit_train.training.runfolder import Start

    first = Options(iteration=100, lr=1e-3)
    begun, goes_on = dataclasses.replace(first, **before), dataclasses.replace(first, **now)
    assert Start(step=done, before=begun).change_of_rate(goes_on, steps_per_epoch=10) == words


@pytest.mark.parametrize(
    ("saved_options", "argv", "amp", "precision"),
    [
        ({}, ["--amp", "--device_target", "Ascend"], True, "float16"),
        ({"amp": True, "device_target": "Ascend"}, ["--amp", "false"], False, None),
        ({"amp": True, "device_target": "Ascend"}, ["--precision", "hf32"], False, "hf32"),
        ({"amp": True, "device_target": "Ascend"}, ["--amp", "false", "--device_target", "CPU"], False, "float32"),
    ],
)
def test_the_command_line_beats_a_files_precision_under_either_name(tmp_path, saved_options, argv, amp, precision):
    """A saved file holds both names; the command lines are 0.1's."""
    saved.save(Options(**saved_options), tmp_path / "options.yaml")
    options = parse(["--config", str(tmp_path / "options.yaml"), *argv])
    assert (options.amp, options.precision) == (amp, precision)


def test_numbers_of_numpy_are_as_good():
    given = {"batch_size": np.int64(2), "img_size": np.int32(128), "seed": np.uint8(3), "lr": np.float64(1e-3)}
    options = Options(**given, light=np.bool_(True))
    assert options == Options(batch_size=2, img_size=128, seed=3, lr=1e-3, light=True)
    assert {type(getattr(options, name)) for name in (*given, "light")} == {int, float, bool}
    with pytest.raises(OptionError, match="--batch_size 2.5: give a whole number"):
        Options(batch_size=np.float64(2.5))
