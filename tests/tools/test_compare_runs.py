"""tools/compare_runs.py: one page of several runs, and what is no run."""

import json
import re

import cv2
import numpy as np
import pytest

from ugatit_train.options import config, saved


@pytest.fixture
def make(tmp_path):
    """make("first", lr=...) -> a run's folder with 60 steps and a sample, as training leaves it."""

    def run(name, seed=0, evaluations="", **options):
        folder = tmp_path / name
        (folder / "samples").mkdir(parents=True)
        o = config.Options(output_path=str(folder), img_size=32, n_dis=4, **options)
        saved.save(o, folder / saved.OPTIONS_FILE)
        values = {"d_loss": 4.0, "g_loss": 99.0, "g_cycle": 1.0, "lr": 1e-4, "step_s": 0.5, "data_wait_s": 0.0}
        noise = np.random.default_rng(seed)
        lines = [{"step": i} | {k: v * noise.uniform(0.5, 1) for k, v in values.items()} for i in range(1, 61)]
        (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        (folder / "evaluations.jsonl").write_text(evaluations)
        for direction in ("a2b", "b2a"):
            grid = noise.integers(0, 256, (7, 4, 3), np.uint8)
            grid[0] = [[200], [100], [50], [0]]  # the inputs of all runs are the same
            large = cv2.resize(grid, (4 * 32, 7 * 32), interpolation=cv2.INTER_NEAREST)
            cv2.imwrite(str(folder / "samples" / f"00000050_{direction}.png"), large)
        return folder

    return run


def test_runs_stand_side_by_side(make, tool, tmp_path):
    figures = {"images": 9, "mean": 0.031, "std": 0.01, "identity": 0.2}
    judged = json.dumps({"step": 40, "metric": "kid", "features": "", "a2b": figures, "b2a": figures})
    runs = [make("first"), make("other/first", 1, judged + "\n", lr=2e-4, light=True), make("<b>", 2)]
    page = tmp_path / "pages" / "compared.html"
    code, out, err = tool("compare", *runs, "--out", page)
    assert (code, out, err) == (0, f"3 runs: {page}\n", "")
    html = page.read_text()
    text = re.sub(r"<[^>]*>", "|", html)
    assert "&lt;b&gt;" in html and "<b>|" not in text and html.count("<script") == 2
    # Names as long as they must be; options that differ and no others.
    assert re.findall(r'<th scope="row">(.*?)</th>', html) == [
        f"{tmp_path.name}/first", "other/first", "&lt;b&gt;", "lr", "light",
    ]  # fmt: skip
    assert "KID 0.031" in text and "not judged" in text
    assert html.count('alt="Input"') == 2  # once a direction, for it is the same in all
    assert html.count('alt="other/first"') == 2 and text.count("A to B, step 50") == 3
    charts = re.findall(r'<figure class="chart">.*?</figure>', html)
    assert len(charts) == 7 and all(chart.count('class="line') == 3 for chart in charts[:5])
    assert "KID, A to B" in charts[5] and charts[5].count('class="line') == 1
    assert "http" not in html.replace("http-equiv", "")


def test_alarms_name_their_run(make, tool, tmp_path):
    calm, wild = make("calm"), make("wild")
    lines = [json.loads(line) for line in (wild / "metrics.jsonl").read_text().splitlines()]
    for line in lines[40:]:
        line["g_cycle"] *= 1000
    (wild / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert tool("compare", calm, wild, "--out", tmp_path / "page.html")[0] == 0
    html = (tmp_path / "page.html").read_text()
    assert re.findall(r"<h3>(.*?)</h3>", html)[0] == "wild: g_cycle explodes"


def test_what_is_no_run_is_refused_and_no_page_is_left(make, tool, tmp_path):
    run, page = make("run"), tmp_path / "page.html"
    (empty := tmp_path / "empty").mkdir()
    code, out, err = tool("compare", run, empty, "--out", page)
    assert (code, out) == (2, "") and "empty: no run that was trained: it lacks options.yaml: give the --output" in err
    assert "run: is given twice: give each run once" in tool("compare", run, run / ".." / "run", "--out", page)[2]
    (run / "metrics.jsonl").write_text("noise\n")
    code, out, err = tool("compare", run, "--out", page)
    assert code == 2 and "metrics.jsonl: a line ends at byte 6 that is no step" in err
    assert "RUN" in tool("compare")[2] and not page.exists()
