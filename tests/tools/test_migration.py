"""The migration pages: their commands are understood, their defaults are the code's, and both say the same."""

import dataclasses
import re

import yaml

from ugatit_train.options import arguments
from ugatit_train.options.config import Options

from ..train.options.test_modelzoo import DEFAULTS
from .conftest import TOOLS

PAGES = {name: (TOOLS / name).read_text() for name in ("MIGRATION.md", "MIGRATION_CN.md")}
ENGLISH = PAGES["MIGRATION.md"]


def commands(text):
    blocks = re.findall(r"```\n(tools/.*?)```", text, re.DOTALL)
    return [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]


def tables(text):
    """The rows of each table below its head, as lists of cells."""
    found = re.findall(r"^\|---.*\n((?:\|.*\n)+)", text, re.MULTILINE)
    return [[[cell.strip() for cell in row[1:-1].split("|")] for row in table.splitlines()] for table in found]


def codes(text):
    return re.findall(r"`([^`]+)`", text)


def test_the_commands_are_understood(understood):
    found = [understood(command) for command in commands(ENGLISH)]
    assert set(found) == {"convert", "train", "launch", "import_modelzoo", "translate", "export", "infer_310"}


def test_the_defaults_are_those_of_the_code_and_of_its_file():
    rows = next(rows for rows in tables(ENGLISH) if rows[0][0] == "`distributed`")
    ours = {field.name: field.default for field in dataclasses.fields(Options)}
    names = [codes(row[0])[0] for row in rows]
    assert set(DEFAULTS) <= set(names)
    for (_, there, here, _), name in zip(rows, names, strict=True):
        if name in DEFAULTS:
            assert [str(yaml.safe_load(DEFAULTS[name]))] == [code.strip('"') for code in codes(there)], name
        if name in ours:
            assert [ours[name]] == [yaml.safe_load(code) for code in codes(here)], name


def test_what_gives_the_old_behaviour_is_an_option_here():
    rows = next(rows for rows in tables(ENGLISH) if rows[0][0] == "Padding")
    preset = dataclasses.asdict(arguments.parse(["--preset", "model_zoo"]))
    for *_, cell in rows:
        for code in codes(cell):
            if code.startswith("--"):
                words = code.split()
                options = dataclasses.asdict(arguments.parse([*words, "--device_target", "Ascend"]))
                assert "in the preset" not in cell or options[words[0][2:]] == preset[words[0][2:]], code


def test_both_pages_say_the_same():
    chinese = PAGES["MIGRATION_CN.md"]
    assert commands(chinese) == commands(ENGLISH)
    for one, other in zip(tables(ENGLISH), tables(chinese), strict=True):
        here, there = ([[sorted(codes(cell)) for cell in row] for row in table] for table in (one, other))
        assert here == there
    plain = [re.sub(r"```.*?```", "", page, flags=re.DOTALL) for page in (ENGLISH, chinese)]
    assert sorted(codes(plain[0])) == sorted(codes(plain[1]))
