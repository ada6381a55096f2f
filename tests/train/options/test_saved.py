"""Options that some version saved: what is missing is 0.1's, what is unknown is named."""

import dataclasses
from pathlib import Path

import pytest

from ugatit_train.options import arguments, saved
from ugatit_train.options.config import OptionError, Options

FILE = Path("run") / "checkpoint.json"


def test_every_option_has_a_value_that_0_1_acted_by():
    """A new option: give VALUES_OF_0_1 the value that means what 0.1 did without it."""
    assert set(saved.VALUES_OF_0_1) == {field.name for field in dataclasses.fields(Options)}
    assert dataclasses.asdict(saved.options_of({}, FILE)) == saved.VALUES_OF_0_1


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"ch": 8, "sharpness": 1}, "unknown option sharpness: use the version of ugatit that wrote it"),
        ({"padding": "wrap"}, "--padding wrap: give reflect or zero"),
        ({"ch": "8"}, "--ch 8: give a whole number"),
        ({"ch": True}, "--ch True: give a whole number"),
        ({"loss_scale": "auto"}, "--loss_scale auto: give a number or dynamic"),
        ({"img_size": [64, 64]}, "--img_size [64, 64]: give a whole number or text"),
        ({"light": None}, "--light None: give true or false"),
        ({"ch": 0}, "--ch 0 is out of range: give 1 or more"),
    ],
)
def test_what_is_not_known_is_one_line_that_names_the_file(values, words, tmp_path):
    with pytest.raises(OptionError) as caught:
        saved.options_of(values, FILE)
    assert str(caught.value) == f"{FILE}: {words}"


def test_a_file_of_a_run_is_read_by_the_same_rules(tmp_path, monkeypatch):
    file = tmp_path / saved.OPTIONS_FILE
    file.write_text("ch: 8\nlr: 1e-3\n")  # by hand: YAML reads this rate as text
    monkeypatch.setitem(saved.VALUES_OF_0_1, "padding", "zero")
    assert arguments.load(file) == Options(ch=8, lr=1e-3, padding="zero")
    again = ["--output_path", str(tmp_path), "--resume"]
    assert arguments.parse(again).padding == "zero"
    assert arguments.parse(["--config", str(file)]).padding == "reflect"  # a new run: today's defaults
    file.write_text("sharpness: 1\n")
    for argv in (again, ["--output_path", str(tmp_path), "--phase", "test"]):
        with pytest.raises(OptionError) as caught:
            arguments.parse(argv)
        assert str(caught.value) == f"{file}: unknown option sharpness: use the version of ugatit that wrote it"


def test_options_refuse_a_value_of_another_type():
    with pytest.raises(OptionError, match="^--ch 8: give a whole number$"):
        Options(ch="8")
    assert Options(lr=1, print_freq="2e", threads=None).lr == 1
