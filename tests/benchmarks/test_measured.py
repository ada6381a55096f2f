"""A record knows which files it measured, and the documents say which of them have changed since."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from .conftest import BENCHMARKS

ROOT = BENCHMARKS.parent


@pytest.fixture
def measured(load):
    return load("measured")


def test_comments_docstrings_and_layout_do_not_count(measured):
    source = 'def f(a, b=(1, None), *, c=...):\n    return f"{a!r:>{b}}" + "x"\n'
    same = '"""A."""\n# why\ndef f(a, b = (1, None), *, c = ...):\n    """B."""\n\n    return (f"{a!r:>{b}}" + \'x\')'
    assert measured.digest(same) == measured.digest(source)
    for old, new in (
        ("None", "0"),
        ("*, ", ""),
        ('"x"', '"y"'),
        ("!r", ""),
        ("return", "return not"),
        ("def", "async def"),
    ):
        assert measured.digest(source.replace(old, new)) != measured.digest(source), (old, new)
    assert measured.digest(source) == "1cb1038a7be8"  # under every Python


def test_imports_are_followed_to_the_home_of_a_name(measured):
    tree = {
        "ugatit_data/__init__.py": "from ugatit_data.a.loader import Loader\nfrom ugatit_data.b import other",
        "ugatit_data/a/loader.py": "def f():\n    from ugatit_data import errors\n    from ugatit_data.a import inner",
        "ugatit_data/a/inner.py": "import numpy",
        "ugatit_data/b.py": "other = 1",
        "ugatit_data/errors.py": "from ugatit_data import b",
        "benchmarks/peer.py": "from ugatit_data import Loader",
        "ugatit_train/step.py": "from ugatit_data import Loader",
    }
    assert list(measured.followed(("ugatit_train/step.py", "gone.py"), tree.get)) == [
        "ugatit_data/a/inner.py", "ugatit_data/a/loader.py", "ugatit_train/step.py",
    ]  # fmt: skip
    assert list(measured.followed(("benchmarks/peer.py",), tree.get)) == ["benchmarks/peer.py"]


def test_relative_imports_are_of_the_files_own_folder(measured):
    tree = {
        "tools/run.py": "from . import words\nfrom .opening import open_it\nfrom .inner.deep import low",
        "tools/words.py": "",
        "tools/opening.py": "",
        "tools/inner/deep.py": "from ..shared import name\nfrom .near import other",
        "tools/inner/near.py": "",
        "tools/shared.py": "",
        "opening.py": "",
    }
    assert set(measured.followed(("tools/run.py",), tree.get)) == {*tree} - {"opening.py"}


def test_a_run_knows_the_files_it_measures(measured):
    for benchmark, begin in measured.WORK.items():
        files = measured.followed(begin, measured.AT_START.get)
        assert set(begin) <= set(files), benchmark
    step = measured.followed(measured.WORK["step_time"], measured.AT_START.get)
    assert {"ugatit_train/networks/convolution.py", "ugatit_train/training/step.py", "benchmarks/torch_step.py"} <= set(
        step
    )
    assert not any("conversion" in path or "evaluation" in path for path in step)
    translate = measured.followed(measured.WORK["inference"], measured.AT_START.get)
    assert {"tools/opening.py", "tools/commandline.py", "tools/sharedoptions.py"} <= set(translate)


def test_a_benchmark_without_its_files_is_refused(measured):
    with pytest.raises(KeyError, match=r"mine: name the files .* a line in WORK of benchmarks/measured\.py"):
        measured.by("mine")


def test_a_file_that_changes_while_it_is_measured_counts_as_changed(measured, monkeypatch, capsys):
    path = "ugatit_train/performance/ceilings.py"
    monkeypatch.setitem(measured.AT_START, path, measured.AT_START[path] + "\nx = 1")
    files = measured.by("roofline")["files"]
    assert [name for name, was in files.items() if was.startswith("changed")] == [path]
    assert f"{path}: changed while it was measured: measure again" in capsys.readouterr().err


def test_every_committed_record_knows_its_files(measured):
    for path in (BENCHMARKS / "results").glob("*.json"):
        body = json.loads(path.read_text())
        for record in body.get("records", [body]):
            for commit, of_it in measured.since(record).items():
                assert of_it and len(of_it[0]["files"]) >= 3 and of_it[0]["date"], f"{path}: {commit}"


@pytest.mark.parametrize(("benchmark", "changed"), [("roofline", ["ceilings.py"]), ("inference", [])])
def test_what_measures_the_machine_counts_only_where_it_is_the_benchmark(measured, benchmark, changed):
    path = "ugatit_train/performance/ceilings.py"
    record = {"benchmark": benchmark, "commit": "abc", "results": []}
    record["measured"] = {"abc": {"date": "2026-11-27", "files": {path: "another"}}}
    assert [Path(name).name for name in measured.since(record)["abc"][1]] == changed
    assert (path in measured.followed(measured.WORK[benchmark], measured.AT_START.get)) == bool(changed)


@pytest.fixture
def readme(load, tmp_path, monkeypatch):
    """A README in a clone of two measured files: readme() gives what stands between its markers, by kind."""
    readmes, measured = load("readmes"), load("measured")
    monkeypatch.setattr(measured, "ROOT", tmp_path)
    files = {"ugatit_data/a.py": "a = 1", "ugatit_data/b.py": "b = 1", "tools/c.py": "c = 1"}
    for name, source in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(source)
    known = {"abc": {"date": "2026-11-24", "files": {name: measured.digest(source) for name, source in files.items()}}}
    host = {"cpu": "C", "cores": 2, "memory_gib": 8.0, "python": "3.11.1", "load_average": 0.5}
    record = {"benchmark": "x", "commit": "abc", "measured": known, "host": host, "versions": {}, "results": []}
    (tmp_path / "r.json").write_text(json.dumps(record))

    def call(name="README.md"):
        markers = "".join(f"<!-- {kind}: r.json -->\n<!-- end {kind} -->\n" for kind in ("table", "since"))
        made = readmes.with_tables(markers, tmp_path / name)
        return dict(re.findall(r"<!-- (\w+): r.json -->\n(.*?)<!-- end", made, re.DOTALL))

    return call


def test_nothing_is_said_of_files_that_say_what_they_did(readme, tmp_path):
    assert readme()["since"] == "" and "Measured" not in readme()["table"]
    (tmp_path / "tools" / "c.py").write_text('"""New words."""\nc = 1  # and more of them')
    (tmp_path / "ugatit_data" / "inner").mkdir()
    (tmp_path / "ugatit_data" / "a.py").rename(tmp_path / "ugatit_data" / "inner" / "a.py")
    assert readme()["since"] == "" and "Measured" not in readme()["table"]


def test_a_file_that_has_changed_or_is_gone_is_named(readme, tmp_path):
    (tmp_path / "ugatit_data" / "a.py").write_text("a = 2")
    (tmp_path / "tools" / "c.py").unlink()
    said = "Measured at commit abc of 2026-11-24; since then 2 of the 3 measured files changed: a.py, c.py.\n"
    assert readme()["table"].endswith(f"\n\n{said}")
    link = "[has changed since](benchmarks/README.md)"
    short = f"`r.json` was measured on 2026-11-24; the code that it measured {link}.\n"
    assert readme()["since"] == short
    chinese = "`r.json` 测量于 2026-11-24，此后[被测的代码有改动](benchmarks/README.md)。\n"
    assert readme("README_CN.md")["since"] == chinese
    record = json.loads((tmp_path / "r.json").read_text())
    (tmp_path / "r.json").write_text(json.dumps(record | {"results": [{"name": "n", "skipped": "", "commit": "def"}]}))
    assert readme()["since"] == short, "of the other commit no date is known"
    assert readme()["table"].endswith(
        "c.py. Measured at commit def; it is not known which of the measured files have changed since.\n"
    )


def test_the_front_page_says_where_nothing_is_known(readme, tmp_path):
    record = json.loads((tmp_path / "r.json").read_text())
    (tmp_path / "r.json").write_text(json.dumps(record | {"results": [{"name": "n", "skipped": "", "commit": "def"}]}))
    unsure = "it is [not known](benchmarks/README.md) if its code has changed since.\n"
    assert readme()["since"] == f"`r.json` was measured on 2026-11-24; {unsure}"
    assert (
        readme("README_CN.md")["since"]
        == "`r.json` 测量于 2026-11-24，此后被测的代码[有无改动未知](benchmarks/README.md)。\n"
    )
    (tmp_path / "r.json").write_text(json.dumps(record | {"measured": {}}))
    assert readme()["since"] == f"`r.json` was measured on a day that is not known; {unsure}"


def test_a_record_that_is_missing_is_told(readme, tmp_path):
    (tmp_path / "r.json").unlink()
    assert readme() == {"table": "No record yet.\n", "since": "No record yet.\n"}
    assert readme("README_CN.md")["since"] == "尚无记录。\n"


def test_one_marker_tells_of_several_records(readme, load, tmp_path):
    """Each in a paragraph of its own; the marker stays, and is filled anew."""
    (tmp_path / "tools" / "c.py").write_text("c = 2")
    (tmp_path / "s.json").write_text((tmp_path / "r.json").read_text())
    marker = "<!-- since: r.json,s.json -->\n<!-- end since -->\n"
    made = load("readmes").with_tables(marker, tmp_path / "README.md")
    first, second = made.split("\n\n")
    assert "`r.json` was measured on" in first and second.startswith("`s.json` was measured on")
    assert load("readmes").with_tables(made, tmp_path / "README.md") == made
    (tmp_path / "tools" / "c.py").write_text("c = 1")
    assert load("readmes").with_tables(made, tmp_path / "README.md") == marker


def test_many_changed_files_are_not_all_named(readme, tmp_path):
    for path in ("ugatit_data/a.py", "ugatit_data/b.py", "tools/c.py"):
        (tmp_path / path).write_text("d = 2")
    assert "; since then all 3 measured files changed.\n" in readme()["table"]


def test_the_front_page_says_it_of_all_records_that_its_figures_rest_on():
    for name in ("README.md", "README_CN.md"):
        markers = re.findall(r"<!-- (?:since|chart): (\S+) -->", (ROOT / name).read_text())
        said = {Path(path).stem for marker in markers for path in marker.split(",")}
        used = re.findall(r"result\(['\"](\w+)", Path(ROOT / "tests" / "test_readme.py").read_text())
        assert said == {*used, "roofline", "learning"}
