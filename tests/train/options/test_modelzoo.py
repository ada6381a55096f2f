"""The model zoo's file of options and its names: taken as it means them, or refused, all in one message."""

from pathlib import Path

import pytest

from ugatit_train.options import arguments
from ugatit_train.options.arguments import parse
from ugatit_train.options.config import OptionError, Options

# The names and defaults of its default_config.yaml, and of its README.
DEFAULTS = {
    "enable_modelarts": "False", "data_url": '""', "train_url": '""', "checkpoint_url": '""', "data_path": '"dataset"',
    "output_path": '"results"', "load_path": '"/cache/checkpoint_path"', "device_target": '"Ascend"',
    "enable_profiling": "False", "phase": "train", "light": "False", "distributed": "False", "dataset": "selfie2anime",
    "epoch": "100", "batch_size": "1", "print_freq": "1", "save_freq": "10", "decay_flag": "True", "decay_epoch": "50",
    "resume": "False", "save_graphs": "False", "graph_path": "graph_path", "compute_metrics": "False",
    "inception_ckpt_path": "'/path/to/inception_for_metrics.ckpt'", "loss_scale": "1024.0", "lr": "0.0001",
    "weight_decay": "0.0001", "adv_weight": "1", "cycle_weight": "10", "identity_weight": "10", "cam_weight": "1000",
    "ch": "64", "n_res": "4", "n_dis": "6", "img_size": "256", "img_ch": "3", "use_global_norm": "True",
    "device_id": '"4"', "genA2B_ckpt": "'./results/selfie2anime_genA2B_params_latest.ckpt'",
    "MINDIR_outdir": "'./mindir_result'", "export_file_format": '"MINDIR"', "bifile_inputdir": "'./bifile_in'",
    "bifile_outputdir": "'./bifile_out'", "eval_outputdir": "'./infer_output_img'",
}  # fmt: skip
ITS_RUN = {
    "device_target": "Ascend", "device_id": 4, "epoch": 300, "decay_epoch": 150, "print_freq": "3e", "save_freq": "30e",
    "loss_scale": 1024.0, "use_global_norm": True,
}  # fmt: skip


@pytest.fixture
def zoo(tmp_path, monkeypatch):
    """zoo(ch="32") -> its file, with this line changed; None removes one. Three documents, as published."""
    monkeypatch.chdir(tmp_path)

    def write(**changes):
        values = {name: value for name, value in (DEFAULTS | changes).items() if value is not None}
        described = "---\n# Help\ndata_path: 'Dataset path for local'\n---\ndevice_target: ['Ascend', 'GPU', 'CPU']\n"
        file = tmp_path / "default_config.yaml"
        file.write_text("".join(f"{name}: {value}\n" for name, value in values.items()) + described)
        return file

    return write


def test_its_file_is_taken_whole_in_its_units(zoo):
    told = []
    options = arguments.resolve(arguments.given(["--config", str(file := zoo())], told.append))
    assert options == Options(**ITS_RUN)
    assert told == [
        f"{file} is the model zoo's: its epoch is 3 passes: epoch 100 is 300 here, decay_epoch 50 is 150 here, "
        "print_freq 1 is 3e here, save_freq 10 is 30e here; its networks and order of updates are --preset model_zoo"
    ]
    schedule = options.schedule(3400)  # its README: 10200 steps an epoch of the 3400 pictures
    assert (schedule.iteration, schedule.decay_start, schedule.save_every) == (1_020_000, 510_000, 102_000)
    line = ["--config_path", str(file), "--preset", "model_zoo", "--epoch", "5", "--decay_epoch=2", "--dataset", "x"]
    changed = parse(line)
    assert (changed.epoch, changed.padding, str(changed.data_folder)) == (5, "zero", "dataset/x")


def test_steps_stay_steps_where_it_gives_the_length_in_steps(zoo):
    file = zoo(epoch=None, decay_epoch=None, iteration="1000000", print_freq="1000", save_freq="100000")
    options = parse(["--config", str(file)])
    assert (options.iteration, options.print_freq, options.save_freq) == (1_000_000, 1000, 100_000)


def test_its_data_set_is_a_folder_in_its_data_path(zoo, tmp_path):
    file = zoo(data_path=str(tmp_path / "sets"), dataset="cats")
    assert parse(["--config", str(file)]).data_folder == tmp_path / "sets" / "cats"
    (tmp_path / "sets").mkdir()
    (tmp_path / "sets" / "dataset.json").touch()  # it has been converted into the folder itself
    assert parse(["--config", str(file)]).data_folder == tmp_path / "sets"
    on_modelarts = zoo(enable_modelarts="True", data_path="/cache/data", data_url="s3://b/d")
    assert parse(["--config", str(on_modelarts)]).data_path == "/cache/data"  # where data_url is copied to


def test_all_that_is_no_option_here_is_in_one_message(zoo):
    file = zoo(
        genA2B_ckpt="mine.ckpt",
        bifile_outputdir="out",
        eval_outputdir="jpgs",
        device_num="8",
        leraning_rate="1",
        lrr="1",
    )
    with pytest.raises(OptionError) as caught:
        parse(["--config", str(file)])
    assert "\n" not in (said := str(caught.value))
    for words in (
        f"{file}: eval_outputdir jpgs: the pictures of the 310 are those of ugatit infer_310 --eval_outputdir",
        "genA2B_ckpt mine.ckpt: it is an option of ugatit export: leave it out",
        "bifile_outputdir out: it is an option of ugatit infer_310",
        "device_num 8: the number of devices is the launcher's: use ugatit launch",
        "leraning_rate: unknown option: ugatit train --help lists the options",
        "lrr: unknown option: did you mean lr?",
    ):
        assert words in said


def test_ckpt_path_is_the_folder_of_the_results(zoo):
    assert parse(["--config", str(zoo(ckpt_path="/cache/train"))]).output_path == "/cache/train"
    assert (
        parse(["--ckpt_path=/cache/train"])
        == parse(["--ckpt_path", "/cache/train"])
        == Options(output_path="/cache/train")
    )
    with pytest.raises(OptionError, match="ckpt_path a: output_path names the folder of the results too"):
        parse(["--config", str(zoo(ckpt_path="a", output_path="b"))])
    with pytest.raises(OptionError, match="^--ckpt_path is --output_path here: give one of them$"):
        parse(["--ckpt_path", "a", "--output_path", "b"])


def test_eval_outputdir_is_that_of_phase_test():
    with pytest.raises(
        OptionError, match="goes with --phase test; the folder of the 310's pictures is that of ugatit inf"
    ):
        parse(["--eval_outputdir", "infer_output_img"])


def test_a_file_of_a_run_is_one_document(tmp_path):
    (tmp_path / "options.yaml").write_text("ch: 8\n---\nch: 9\n")
    with pytest.raises(OptionError, match="options.yaml: holds 2 documents, with --- between them: keep one"):
        parse(["--output_path", str(tmp_path), "--resume"])


def test_what_a_stranger_may_write_into_such_a_file(tmp_path):
    file = tmp_path / "zoo.yaml"
    file.write_text("data_path: /data\ndataset: selfie2anime\ndevice_num: 1\n")
    assert parse(["--config", str(file), "--dataset", "mine"]).data_path == str(Path("/data/mine"))
    file.write_text("data_path: 5\ndevice_num: 1\n")
    with pytest.raises(OptionError, match="--data_path 5: give text"):
        parse(["--config", str(file)])
    file.write_text("epoch: '100'\nprint_freq: '10'\ndevice_num: 1\n")
    assert (parse(["--config", str(file)]).epoch, parse(["--config", str(file)]).print_freq) == (300, "30e")
    file.write_text("epoch: 10\n---\n")  # an own file
    assert parse(["--config", str(file)]).epoch == 10
