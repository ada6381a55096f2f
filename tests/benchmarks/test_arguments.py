"""Each benchmark's help has its options' meaning and default; impossible numbers are refused."""

from __future__ import annotations

import argparse
import re
import shlex
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
NAMES = (
    "data_loading",
    "conversion",
    "demo",
    "step_time",
    "inference",
    "learning",
    "scale",
    "roofline",
    "memory",
    "run",
    "report",
)


@pytest.mark.parametrize("name", NAMES)
def test_every_option_is_explained(name, load, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit) as ended:
        load(name).main(["--help"])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    options = re.findall(r"^  (--\w+).*?(?=^  -|\Z)", said, re.MULTILINE | re.DOTALL)
    lines = re.findall(r"^  --\w+(?: [^\s].*?)?(?:\s{2,}|\n\s+)\S", said, re.MULTILINE)
    assert len(options) == len(lines) > 2
    assert f"python benchmarks/{name}.py" in said


@pytest.mark.parametrize(("name", "option"), [("step_time", "--rounds"), ("scale", "--batches"), ("memory", "--ch")])
def test_a_count_is_one_or_more(name, option, load, capsys):
    for value in ("0", "-1", "two"):
        with pytest.raises(SystemExit) as ended:
            load(name).main([option, value])
        assert ended.value.code == 2
        assert value in capsys.readouterr().err


def test_a_path_may_begin_with_the_home_folder(load):
    parse = load("arguments").parser("").parse_args
    assert parse(["--out", "~/record.json"]).out == Path("~/record.json").expanduser()
    for file in BENCHMARKS.glob("*.py"):
        assert "type=Path" not in file.read_text(), file


class Parsed(Exception):
    pass


def documented():
    """(benchmark, its arguments) of each command in the READMEs, in CONTRIBUTING.md and in the benchmarks' manuals."""
    found = []
    for name in ("README.md", "CONTRIBUTING.md", "benchmarks/README.md", "tools/README.md", "ugatit_train/README.md"):
        text = (BENCHMARKS.parent / name).read_text().replace("\\\n", " ")
        found += re.findall(r"^python benchmarks/(\w+)\.py(.*)$", text, re.MULTILINE)
        found += re.findall(r"`python benchmarks/(\w+)\.py([^`]*)`", text)
    for path in BENCHMARKS.glob("*.py"):
        found += re.findall(r"^    python benchmarks/(\w+)\.py(.*)$", path.read_text(), re.MULTILINE)
    return list(dict.fromkeys((name, tuple(shlex.split(rest, comments=True))) for name, rest in found))


@pytest.mark.parametrize(("name", "given"), documented(), ids=str)
def test_documented_commands_are_understood(name, given, load, monkeypatch):
    parse = argparse.ArgumentParser.parse_args

    def parse_and_stop(self, args=None, namespace=None):
        parse(self, args, namespace)
        raise Parsed

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse_and_stop)
    with pytest.raises(Parsed):
        load(name).main(list(given))


def test_the_documents_name_every_benchmark():
    assert {name for name, _ in documented()} == set(NAMES)
