"""The report: tables, the verdicts of a comparison, the page, the tables of the READMEs."""

from __future__ import annotations

import copy
import json
import re
import shutil
import statistics
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BENCHMARKS = ROOT / "benchmarks"
RESULTS = sorted((BENCHMARKS / "results").glob("*.json"))


def a_record(load, **samples):
    result = load("record").result
    host = {"cpu": "C", "cores": 2, "memory_gib": 8.0, "python": "3.11.1", "load_average": 0.5}
    results = [result(name, *given) for name, given in samples.items()]
    return {
        "benchmark": "x", "host": host, "versions": {"numpy": "1"}, "commit": "abc", "options": {"n": 1},
        "results": results,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("unit", "before", "after", "verdict"),
    [
        ("seconds", [1.0, 1.1, 1.2], [1.3, 1.4, 1.5], "regression"),
        ("seconds", [1.0, 1.1, 1.2], [1.15, 1.4, 1.5], "same"),  # they overlap
        ("seconds", [1.000, 1.001, 1.002], [1.010, 1.011, 1.012], "same"),  # apart, but by 1%
        ("seconds", [1.3, 1.4, 1.5], [1.0, 1.1, 1.2], "better"),
        ("images_per_s", [100, 101, 102], [80, 81, 82], "regression"),
        ("images_per_s", [80, 81, 82], [100, 101, 102], "better"),
        ("mib", [100], [120], "same"),  # one sample: noise unknown
        ("mib", [100], [130], "regression"),
    ],
)
def test_a_verdict_is_beyond_the_noise(load, unit, before, after, verdict):
    (change,), apart = load("compare").changes(
        [a_record(load, a=(unit, before))], [a_record(load, a=(unit, after), b=(unit, after))]
    )
    assert change.verdict == verdict
    assert apart == []


def test_what_cannot_be_compared_is_said(load):
    changes = load("compare").changes
    old = a_record(load, a=("seconds", [1.0]), count=("gflop", [3.0]))
    assert changes([old], [old])[0][0].name == "a"
    assert len(changes([old], [old])[0]) == 1  # a count is neither better nor worse
    for key, value, words in (("host", {**old["host"], "cpu": "D"}, "another machine"), ("options", {}, "options")):
        found, apart = changes([old], [old | {key: value}])
        assert found == [] and words in apart[0]
    assert changes([], [old]) == ([], ["x: the earlier run has none"])
    assert len(changes([old | {"options": {}}, old], [old])[0]) == 1  # the one with its options is found


def test_a_record_that_is_added_to_keeps_what_it_has_under_other_names(load, tmp_path):
    record, path = load("record"), tmp_path / "r.json"
    old, new = (record.result(name, "seconds", [value]) for name, value in (("a", 1.0), ("b", 2.0)))
    assert record.add_to(path, {"sizes": [1]}, [old]) == ({"sizes": [1]}, [old], {})
    record.write(path, "memory", {"sizes": [1, 2], "n": 1}, {}, [old, record.result("b", "seconds", [9.0])], [])
    options, results, files = record.add_to(path, {"sizes": [2, 3], "n": 4}, [new])
    assert options == {"sizes": [1, 2, 3], "n": 4}
    assert results == [{"options": {"n": 1}} | old, new]  # the record's options are not those that it was measured with
    assert list(files) == [record.commit()]
    written = json.loads(path.read_text()) | {"commit": "earlier"}
    path.write_text(json.dumps(written))
    _, results, _ = record.add_to(path, {"n": 1}, [new])
    assert results == [old | {"commit": "earlier"}, new]
    assert "(some figures: earlier)" in load("tables").head(written | {"results": results})


def test_what_was_measured_with_other_options_says_so_after_two_additions(load, tmp_path):
    record, path = load("record"), tmp_path / "r.json"
    entries = [record.result(name, "seconds", [1.0]) for name in "abc"]
    for rounds, entry in zip((7, 3, 7), entries, strict=True):
        options, results, _ = record.add_to(path, {"rounds": rounds}, [entry])
        record.write(path, "memory", options, {}, results, [])
    written = json.loads(path.read_text())
    assert written["options"] == {"rounds": 7}
    assert [entry.get("options") for entry in written["results"]] == [None, {"rounds": 3}, None]


class Page(HTMLParser):
    """Open tags, and what a page refers to outside of itself."""

    def __init__(self, text):
        super().__init__()
        self.open, self.outside, self.images = [], [], 0
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.images += tag == "img"
        self.outside += [v for k, v in attrs if k in ("src", "href") and not v.startswith("data:")]
        if tag not in ("img", "meta", "link", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_of_the_committed_results_holds_everything_in_itself(load):
    records = [record for path in RESULTS for record in load("report").records_of(path)]
    assert {"data_loading", "conversion", "step_time", "scale", "profile"} <= {r["benchmark"] for r in records}
    worse = copy.deepcopy(records)
    for record in worse:
        for entry in record["results"]:
            for key in ("median", "low", "high"):
                if entry.get("unit") == "seconds":
                    entry[key] *= 10
    page = load("report").page(worse, records, "Title <of> it")
    found = Page(page)
    assert found.open == [] and found.outside == []
    assert found.images >= 4
    assert 'class="regression"' in page and "Title &lt;of&gt; it" in page
    assert "<script" not in page and "width=device-width" in page


def test_the_page_opens_with_five_figures_and_what_they_mean(load):
    named = {record["benchmark"]: record for path in RESULTS for record in load("report").records_of(path)}
    quick = load("report").records_of(BENCHMARKS / "results" / "quick.json")
    page = load("report").page(quick, [], "t")
    opening = page[page.index("</h1>") : page.index("<h2>")]
    assert opening.count("<li>") == 5 == len(re.findall("<p>[^<]{30,}</p>", opening))
    step, loader, start, conversion, floor = load("figures").of(quick)
    assert re.fullmatch(
        r"PyTorch, in the faster of its forms, takes \d\.\d times as long\. .*", step.means
    ) and step.value.endswith(" s")
    assert loader.value.endswith(" images/s") and "of decoding alone (imdecode alone, 2 threads)" in loader.means
    assert start.what.startswith("The first step") and conversion.what.startswith("Conversion")
    assert floor.what == "That step over its floor, 64 px"
    translation = load("figures").of([named["inference"], *quick])[3]
    assert translation.what == "Translating a picture of 256 px" and "By mindspore" in translation.means
    assert load("figures").of([named["profile"]]) == []


def test_a_plain_form_stands_beside_ours_in_the_same_turns(load):
    (record,) = load("report").records_of(BENCHMARKS / "results" / "step_time_savings.json")
    header, _, *rows = load("tables").of(record).splitlines()
    columns = header.split(" | ")
    seconds, beside, ratio = (columns.index(name) for name in ("seconds a step", "ours in the same turns, s", "/ ours"))
    forms = [row.split(" | ") for row in rows if "without" in row]
    assert len(forms) == 4
    by_name = {entry["name"]: entry for entry in record["results"] if "samples" in entry}
    for form in forms:
        plain, times = (by_name[f"64 px: {form[1]}{of}"]["samples"] for of in ("", " / ours"))
        ours = [mine / ratio for mine, ratio in zip(plain, times, strict=True)]
        expected = [statistics.median(samples) for samples in (plain, ours, times)]
        told = [float(form[column].split()[0]) for column in (seconds, beside, ratio)]
        assert told == pytest.approx(expected, rel=0.005)


def test_the_readmes_have_the_tables_and_charts_of_the_committed_records(load):
    readmes, remedy = load("readmes"), "run: python benchmarks/report.py --readme"
    for readme in load("report").READMES:
        text = readme.read_text()
        assert readmes.with_tables(text, readme) == text, remedy
        for path, image in readmes.images(text, readme.parent).items():
            (shown,) = re.findall("results [0-9a-f]{64}", image)
            assert path.exists() and shown in path.read_text(), remedy
    assert text.count("<!-- table: ") == text.count("<!-- end table -->") >= 8
    changed = text.replace("| **ours** |", "| **others** |")
    assert changed != text == readmes.with_tables(changed, readme)


def test_what_a_long_run_costs_is_what_the_records_say():
    """A million steps, of milliseconds each, are as many thousands of seconds."""
    text = (ROOT / "tools" / "TRAINING.md").read_text()
    written = re.search(r"^\| a million steps .*\n\|-.*\n((?:\|.*\n)+)", text, re.MULTILINE)[1].splitlines()
    results = {
        name: json.loads((BENCHMARKS / "results" / f"{name}.json").read_text())["results"]
        for name in ("step_time", "roofline", "memory")
    }
    steps, full = ({e["name"]: e["median"] for e in results[name]} for name in ("step_time", "memory"))
    projected: dict[tuple, list[float]] = {}
    for entry in results["roofline"]:
        tags = entry.get("tags", {})
        if tags.get("projection"):
            of = f"{tags['model']}, {tags['size']} px", tags["machine"]
            projected.setdefault(of, []).append(entry["median"])
    assert len(written) == 4
    for row in written:
        model, on_cpu, *on_cards = row[2:-2].split(" | ")
        kind, size = model.split(", ")
        if kind == "light":
            assert on_cpu == f"{steps[f'{size}: ours'] * 1e6 / 86400:.0f} days"
        else:
            seconds, mib = (full[f"full, {size}, ch 64, batch 1, recompute True: {of}"] for of in ("step", "peak"))
            assert on_cpu == f"{seconds * 1e6 / 86400:.0f} days, {mib / 1024:.1f} GiB with `--recompute`"
        for told, card in zip(on_cards, ("Ascend 910", "Ascend 910B"), strict=True):
            ms = projected[model, card]
            assert told == f"{min(ms) / 3.6:.0f}-{max(ms) / 3.6:.0f} hours"


def test_a_tiny_run_and_its_report(tmp_path):
    def call(script, *arguments):
        command = [sys.executable, BENCHMARKS / script, *arguments]
        return subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=300)

    done = call("run.py", "--suite", "tiny", "--out", tmp_path / "run.json")
    assert done.returncode == 0, done.stderr
    run = json.loads((tmp_path / "run.json").read_text())
    assert [record["benchmark"] for record in run["records"]] == ["roofline", "scale"]
    done = call("report.py", tmp_path / "run.json", "--against", tmp_path / "run.json", "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert f"report: {tmp_path / 'out' / 'report.html'}" in done.stdout and "regression" not in done.stdout
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"report.html", "roofline.png", "scale.png"}
    for arguments, words in (
        (("report.py", tmp_path / "none.json", "--out", tmp_path / "o"), "none.json"),
        (("report.py",), "give RUN files"),
        (("run.py", "--only", "nothing", "--out", tmp_path / "o"), "the suite has"),
    ):
        done = call(*arguments)
        assert done.returncode == 2 and words in done.stderr


@pytest.mark.skipif(not shutil.which("chromium"), reason="chromium is not installed")
def test_a_browser_shows_the_page_on_a_phone_without_errors(load, tmp_path):
    records = [record for path in RESULTS for record in load("report").records_of(path)]
    probe = "<script>onload = () => parent.postMessage(document.documentElement.scrollWidth + ' ' + "
    probe += "[...document.images].every(i => i.complete && i.naturalWidth), '*')</script></body>"
    (tmp_path / "page.html").write_text(load("report").page(records, records, "t").replace("</body>", probe))
    frame = tmp_path / "frame.html"  # a headless window is 500 pixels wide at least, a frame may be narrower
    frame.write_text(
        "<script>onmessage = event => document.title = event.data</script>"
        '<iframe src="page.html" style="width: 390px; height: 800px; border: 0"></iframe>'
    )
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom", "--virtual-time-budget=5000"]
    command += ["--enable-logging=stderr", f"--user-data-dir={tmp_path / 'profile'}", frame.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    width, loaded = re.search(r"<title>(\d+) (\w+)</title>", done.stdout).groups()
    assert loaded == "true"
    assert int(width) <= 390, "the page scrolls sideways"
    assert "CONSOLE" not in done.stderr
