"""The commands and the code of the top README's walk, in their order, in one folder: tiny, but all of it."""

import dataclasses
import json
import re
import shlex
from pathlib import Path

import numpy as np

from ugatit_train.options import arguments, saved

from .conftest import ROOT

# Added to each command: the last value of an option counts.
TINY = {"sample": "--size 48 --train 4 --test 3", "convert": "--workers 1", "train": "--ch 4 --n_res 1"}


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", (ROOT / "README.md").read_text(), re.DOTALL | re.MULTILINE)


def walk() -> list[list[str]]:
    """The words of each command of the block that begins with the installation."""
    [block] = [block for block in blocks("") if block.startswith("make install\n")]
    return [shlex.split(line, comments=True) for line in block.replace("\\\n", " ").splitlines()]


def test_it_begins_with_the_installation_and_goes_through_the_tools():
    first, second, *rest = walk()
    assert [first, second] == [["make", "install"], ["source", ".venv/bin/activate"]]
    assert [words[:2] for words in rest] == [
        ["ugatit", name] for name in ("sample", "convert", "verify", "train", "translate", "evaluate")
    ]


def test_its_training_is_that_of_the_demo(load_tool):
    demo = load_tool("demo")
    [words] = [words[2:] for words in walk() if words[1] == "train"]
    ours = arguments.given(words)
    theirs = demo.training(demo.settings_of(demo.parser().parse_args([])))
    own = ("data_path", "output_path", "save_freq", "print_freq", "seed")
    assert {k: v for k, v in ours.items() if k not in own} == {k: v for k, v in theirs.items() if k not in own}


def test_the_commands_between_the_lines_are_understood(understood):
    """Those in the text, and in the tables of the tools' README; test_readmes.py tries those of the blocks."""
    plain = re.sub(r"^```.*?^```", "", (ROOT / "README.md").read_text(), flags=re.DOTALL | re.MULTILINE)
    tables = re.findall(r"^\|.*", (ROOT / "tools" / "README.md").read_text(), re.MULTILINE)
    commands = re.findall(r"`(ugatit \w+ [^`]+)`", "\n".join([plain, *tables]))
    assert len(commands) >= 10
    for command in commands:
        assert understood(command) == command.split()[1]


def test_the_walk_from_photographs_to_figures(tool, write_run, tmp_path, monkeypatch):
    """Training itself leaves the weights that it begins with: test_train_resume.py trains by the tool."""
    from ugatit_train.training import loop

    def begin(options, _open_judge):
        own = {field.name: getattr(options, field.name) for field in dataclasses.fields(options)}
        del own["data_path"]
        run = write_run(Path(options.output_path), **own)
        saved.save(options, run / saved.OPTIONS_FILE)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")  # the tools set it, in this process: pytest is to put it back
    monkeypatch.setattr(loop, "train", begin)
    for _, name, *words in walk()[2:]:
        code, _, complaint = tool(name, *words, *TINY.get(name, "").split())
        assert code == 0, (name, complaint)
    [code] = blocks("python")
    exec(code, found := {})
    assert found["state"]["step"] == 101 and found["a"].shape == (8, 64, 64, 3) and found["a"].dtype == np.uint8
    assert {path.name for path in tmp_path.iterdir()} == {
        "pictures", "dataset", "sheet.png", "runs", "translated", "evaluated"
    }  # fmt: skip
    assert len(list((tmp_path / "translated").iterdir())) == 3 * 3
    metrics = json.loads((tmp_path / "evaluated" / "metrics.json").read_text())
    assert metrics["a2b"]["images"] == 3 and metrics["weights"] == "ema"
