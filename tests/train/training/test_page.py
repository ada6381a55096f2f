"""The run's page: what stands in it, that it loads nothing, when it is written, and that no run ends for it."""

import base64
import errno
import hashlib
import json
import logging
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest

from ugatit_train.options import config, saved
from ugatit_train.options.schedule import Schedule
from ugatit_train.training import log
from ugatit_train.training.page import charts, content, keeping, strips
from ugatit_train.training.page.curves import POINTS, Curves

HEALTHY = Path(__file__).with_name("healthy_metrics.jsonl")
OPTIONS = config.Options(iteration=300, light=True, ch=16, img_size=64, n_dis=4, lr=4e-4)
SCHEDULE = Schedule(iteration=300, decay_start=150, print_every=50, save_every=100)
NAMES = {
    "a2b": ["real_a", "fake_a2b", "heatmap_a2b", "fake_a2b2a", "heatmap_a2b2a", "fake_a2a", "heatmap_a2a"],
    "b2a": ["real_b", "fake_b2a", "heatmap_b2a", "fake_b2a2b", "heatmap_b2a2b", "fake_b2b", "heatmap_b2b"],
}


def write_samples(run, step, size=64):
    """Two grids, as the sampler writes them, of four smooth pictures in seven rows, others at each step."""
    (run / "samples").mkdir(exist_ok=True)
    for number, direction in enumerate(NAMES):
        coarse = np.random.default_rng([step, number]).integers(0, 256, (14, 8, 3), np.uint8)
        coarse[:2] = np.random.default_rng(number).integers(0, 256, (2, 8, 3), np.uint8)  # the inputs stay
        grid = cv2.resize(coarse, (4 * size, 7 * size), interpolation=cv2.INTER_NEAREST)
        cv2.imwrite(str(run / "samples" / f"{step:08d}_{direction}.png"), grid)


@pytest.fixture
def run(tmp_path):
    """make("name", steps=..., samples=[...]) -> a run's folder."""

    def make(name="run", steps=300, samples=(50, 100, 150, 200, 250, 300), options=OPTIONS):
        folder = tmp_path / name
        folder.mkdir()
        lines = HEALTHY.read_text().splitlines(keepends=True)[:steps]
        (folder / log.METRICS_FILE).write_text("".join(lines))
        saved.save(options, folder / saved.OPTIONS_FILE)
        for step in samples:
            write_samples(folder, step)
        return folder

    return make


class Read(HTMLParser):
    """What a browser would make of a page: tags with attributes, text, scripts and styles."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.text, self.inside, self.stack = [], "", {"script": [], "style": []}, []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self.stack.append(tag)

    def handle_endtag(self, tag):
        while self.stack and self.stack.pop() != tag:
            pass

    def handle_data(self, data):
        if self.stack and self.stack[-1] in self.inside:
            self.inside[self.stack[-1]].append(data)
        else:
            self.text += data

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def written(folder, state="finished", words=""):
    page = keeping.Page(folder, OPTIONS, SCHEDULE)
    page.close(state, words)
    assert not page._ailing
    return (folder / "index.html").read_text()


def test_it_shows_what_a_run_is(run):
    folder = run(steps=240, samples=(50, 100, 150, 200))
    line = {"step": 200, "metric": "kid", "features": "f", "evaluate_s": 1.0}
    figures = {"images": 9, "mean": 0.0512, "std": 0.01, "identity": 0.134}
    (folder / "evaluations.jsonl").write_text(
        json.dumps(line | {"a2b": figures, "b2a": figures | {"mean": 0.2}}) + "\n"
    )
    html = written(folder, "interrupted", "interrupted: saved step 240: go on with --output_path run --resume")
    read = Read(html)
    text = " ".join(read.text.split())
    for words in ("run", "interrupted: saved step 240", "of 300, 80%", "Time left", "for the other 60 steps",
                  "began at 4e-4", "KID, A to B", "0.0512", "untouched pictures 0.134", "No alarm.", "step 200 of 240",
                  "Lowest: 0.2 at step 200"):  # fmt: skip
        assert words in text, words
    assert read.all("body")[0]["class"] == "interrupted"
    for name in ("d_loss", "g_adv", "g_cycle", "g_identity", "g_cam"):
        assert f"{name}. " in text
    for words in (
        "g_loss, their sum",
        "g_adv × 1",
        "g_cycle × 10",
        "g_cam × 1k",
        "step on the device",
        "wait for data",
    ):
        assert f">{words}</li>" in html
    assert len(read.all("svg")) == 1 + 6 + 2 + 2  # progress, losses, rate and time, evaluations
    # Options that were given stand before the fold, with what they mean.
    given, defaults = html[html.index("<h2>Options") :].split("<details>")
    assert re.findall(r'<th scope="row">(\w+)', given) == ["iteration", "lr", "light", "ch", "n_dis", "img_size"]
    assert "<td>4e-4" not in given and "<td>0.0004</td>" in given and "channels of the first layer" in given
    assert set(re.findall(r'<th scope="row">(\w+)', defaults)) == set(saved.VALUES_OF_0_1) - set(
        re.findall(r'<th scope="row">(\w+)', given)
    )


def test_rows_are_named_and_the_last_sample_stands_there_without_a_script(run):
    folder = run()
    read = Read(written(folder))
    labels = re.findall(r"(?:real|fake|heatmap)_[ab2]+", read.text)
    assert labels == [*NAMES["a2b"], *NAMES["b2a"]]
    grid = cv2.imread(str(folder / "samples" / "00000300_b2a.png"))
    rows = {"real_b": 0, "heatmap_b2b": 1, "fake_b2b": 2, "heatmap_b2a": 3, "fake_b2a": 4, "heatmap_b2a2b": 5,
            "fake_b2a2b": 6}  # fmt: skip
    for name, image in zip(NAMES["b2a"], read.all("img")[7:], strict=True):
        found = cv2.imdecode(np.frombuffer(base64.b64decode(image["src"].partition(",")[2]), np.uint8), 1)
        expected = grid[64 * rows[name] : 64 * (rows[name] + 1)]
        assert np.abs(found.astype(int) - expected).mean() < 4, name


def test_it_loads_nothing_and_its_policy_holds_for_its_own_parts(run):
    html = written(run())
    read = Read(html)
    assert "http" not in html.replace("http-equiv", "") and "@import" not in html and "url(" not in html
    for _, attributes in read.tags:
        assert attributes.get("src", "data:").startswith("data:") and "href" not in attributes
        assert not any(name.startswith("on") or name == "style" for name in attributes)
    [policy] = [meta["content"] for meta in read.all("meta") if meta.get("http-equiv") == "Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; img-src data:; ") and "unsafe" not in policy
    [style], [data, script] = read.inside["style"], read.inside["script"]
    for part in (style, script):
        assert f"'sha256-{base64.b64encode(hashlib.sha256(part.encode()).digest()).decode()}'" in policy
    kept = json.loads(data)
    assert kept["steps"] == [50, 100, 150, 200, 250, 300] and kept["samples"][-1] == {}
    assert set(kept["samples"][0]) == {f"{d}.{n}" for d in NAMES for n in NAMES["a2b"] if n != "real_a"}


def test_every_text_is_escaped(run, tmp_path):
    name = "<script>alert(1)<!--&\"'"
    folder = run(name.replace("/", ""))
    hostile = config.Options(data_path='"><img src=x onerror=alert(2)>', dataset="</script><b>", img_size=64, n_dis=4)
    (folder / log.METRICS_FILE).write_text(
        '{"step": 1, "d_loss": 1, "g_<i>": 2}\n{"step": 2, "d_loss": 1, "g_<i>": 3}\n'
    )
    figures = {"images": 9, "mean": 1, "std": 1, "identity": 2}
    line = {"step": 1, "metric": "<u>", "features": "", "a2b": figures, "b2a": figures}
    (folder / "evaluations.jsonl").write_text(json.dumps(line) + "\n")
    page = keeping.Page(folder, hostile, SCHEDULE)
    page.close("failed", "step 2: not finite: </p><script>alert(3)</script>; samples A ['<x>.png']")
    read = Read((folder / "index.html").read_text())
    assert not page._ailing and len(read.all("script")) == 2 and len(read.all("img")) == 0
    assert {tag for tag, _ in read.tags} & {"b", "i", "u", "x"} <= {"b"}
    for words in (
        name,
        "onerror=alert(2)>",
        "</script><b>",
        "<script>alert(3)</script>; samples A ['<x>.png']",
        "g_<i>",
        "<u>",
    ):
        assert words in read.text


@pytest.mark.parametrize("count", [1, 2, 59, 60, 61, 100, 119, 120, 121, 1000, 100_000])
def test_samples_are_thinned_evenly_and_what_is_kept_stays_kept(count):
    steps = list(range(7, 7 + 5 * count, 5))
    kept = strips.thinned(steps, 60)
    assert min(count, 30) <= len(kept) <= 60 and kept == sorted(set(kept))
    assert (kept[0], kept[-1]) == (steps[0], steps[-1])
    gaps = np.diff(kept)
    assert len(set(gaps[:-1])) <= 1 and (len(gaps) < 2 or gaps[-1] <= gaps[0])
    later = strips.thinned([*steps, steps[-1] + 5], 60)
    assert set(later[:-1]) <= set(kept)


def test_a_page_of_many_samples_stays_under_10_mb():
    noise = np.random.default_rng(0).integers(0, 256, (256, 1024, 3), np.uint8)  # the worst that can be
    largest = max(len(strips.encode(picture)) for picture in (noise, noise[:64, :256], noise[:, :256], noise[:32]))
    assert largest <= -(-strips.STRIP_BYTES // 3) * 4
    assert strips.MOST_SAMPLES * 2 * 7 * largest + 800_000 < 10e6  # the rest of a page: see below


def test_the_rest_of_a_page_stays_small_however_long_the_run_is(run):
    folder = run(samples=())
    lines = [json.loads(line) for line in HEALTHY.read_text().splitlines()]
    with (folder / log.METRICS_FILE).open("w") as file:
        for step in range(1, 20_001):
            file.write(json.dumps(lines[step % 300] | {"step": step}) + "\n")
    assert len(written(folder)) < 400_000


def test_pictures_are_encoded_once(run, monkeypatch):
    encoded = []
    encode = strips.encode
    monkeypatch.setattr(strips, "encode", lambda strip: encoded.append(strip.shape) or encode(strip))
    folder = run(samples=(50, 100))
    page = keeping.Page(folder, OPTIONS, SCHEDULE)
    page.close("running")
    assert len(encoded) == 2 * 2 * 7
    write_samples(folder, 150)
    page.close("running")
    assert len(encoded) == 3 * 2 * 7


def test_a_resumed_run_shows_no_step_that_it_has_not_done_again(run):
    folder = run()  # killed at step 300, its last checkpoint was at step 120
    with log.Metrics(folder / log.METRICS_FILE, 120):
        pass
    page = keeping.Page(folder, OPTIONS, SCHEDULE)
    page.close("running")
    html = (folder / "index.html").read_text()
    assert '"steps": [50, 100]' in html and 'step <b id="shown">100</b> of 120' in html
    lines = HEALTHY.read_text().splitlines(keepends=True)
    with (folder / log.METRICS_FILE).open("a") as file:
        file.writelines(lines[120:])
    page.close("finished")
    assert re.sub(r"Written .*|written_s.*|\d+ s<small>at", "", (folder / "index.html").read_text()) == re.sub(
        r"Written .*|written_s.*", "", written(folder)
    )


def test_what_is_no_grid_of_the_run_is_left_out(run):
    folder = run(samples=(50, 100))
    for name, data in {"00000060": b"", "00000070": b"no picture", "00000080": None}.items():
        for direction in NAMES:
            file = folder / "samples" / f"{name}_{direction}.png"
            file.write_bytes(data) if data is not None else cv2.imwrite(str(file), np.zeros((50, 50, 3), np.uint8))
    (folder / "samples" / "notes_a2b.png").write_text("a user's own")
    (folder / "samples" / "00000100_b2a.png").unlink()
    html = written(folder)
    assert '"steps": [50, 100]' in html and html.count('<img alt="Translated"') == 1


def test_a_run_without_a_sample_or_a_step_has_a_page_too(run):
    assert "None yet: --print_freq says" in Read(written(run(samples=()))).text
    assert "of 300, 0%" in Read(written(run("empty", steps=0, samples=()))).text


def test_a_run_that_ended_before_its_first_step_tells_no_time(run):
    text = Read(written(run(steps=0, samples=()), "interrupted")).text
    assert "Time left" not in text and "A step" not in text


def test_evaluations_by_another_measure_are_no_part_of_the_curve(run):
    folder = run()
    figures = {"images": 9, "mean": 0.001, "std": 0.01, "identity": 0.134}
    lines = [
        {
            "step": step,
            "metric": metric,
            "features": "f",
            "evaluate_s": 1.0,
            "a2b": figures | {"mean": mean},
            "b2a": figures,
        }
        for step, metric, mean in ((100, "smoke_mmd", 0.001), (200, "kid", 0.3), (300, "kid", 0.2))
    ]
    (folder / "evaluations.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert "Lowest: 0.2 at step 300" in " ".join(Read(written(folder)).text.split())


def test_a_folder_whose_name_is_no_utf8_has_a_page(run, caplog):
    caplog.set_level(logging.CRITICAL, keeping._log.name)  # pytest-xdist cannot send such a name, in a log neither
    assert "bad\\udcff" in written(run("bad\udcff", samples=()))


class Clock:
    """Seconds that pass when told, and `cost_s` each time that a page is put together."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def test_it_takes_a_hundredth_of_the_time_at_most(run, monkeypatch):
    folder, clock, cost_s, times = run(), Clock(), 0.5, []

    def page(*_):
        times.append(clock.now)
        clock.now += cost_s
        return "page"

    monkeypatch.setattr(keeping.content, "page", page)
    kept = keeping.Page(folder, OPTIONS, SCHEDULE, clock)
    for _ in range(1000):  # a sample every 2 seconds
        clock.now += 2
        kept.update()
    assert len(times) >= 25 and len(times) * cost_s <= 0.01 * clock.now
    assert times[0] == 2  # the first sample is shown at once
    before = len(times)
    kept.close("finished")
    assert len(times) == before + 1  # the end always


def test_a_page_that_cannot_be_written_is_one_warning_and_ends_no_run(run, monkeypatch, caplog):
    folder, reached = run(), []
    monkeypatch.setattr(keeping, "SHARE", 1e9)

    def full(path, text):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    with caplog.at_level(logging.WARNING), keeping.keeping(folder, OPTIONS, SCHEDULE, ()) as update:
        with monkeypatch.context() as patch:
            patch.setattr(keeping, "write_whole", full)
            update()
            update()
        reached.append(len(caplog.records))
        update()
        with (folder / log.METRICS_FILE).open("a") as file:
            file.write("noise\n")
    assert reached == [1] and "index.html is not up to date: OSError: [Errno 28] No space left" in caplog.text
    assert (folder / "index.html").exists() and len(caplog.records) == 2  # of the noise, at the end


def test_the_end_of_a_run_is_told_and_passed_on(run, caplog):
    caplog.set_level(logging.INFO)

    class Stopped(Exception):
        pass

    for error, kinds, state in ((Stopped("saved step 9"), (Stopped,), "interrupted"), (Stopped("bad"), (), "failed")):
        folder = run(state)
        with pytest.raises(Stopped), keeping.keeping(folder, OPTIONS, SCHEDULE, kinds) as update:
            update()
            assert '<body class="running">' in (folder / "index.html").read_text()
            raise error
        html = (folder / "index.html").read_text()
        assert f'<body class="{state}">' in html and f'<p class="said">{error}</p>' in html
        assert caplog.messages.count(f"the run's page, for a browser: {folder / 'index.html'}") == 1
    with keeping.keeping(None, OPTIONS, SCHEDULE, ()) as update:  # a process that writes nothing
        update()


def test_curves_are_the_means_of_the_metrics_however_they_are_read(tmp_path):
    path, draw = tmp_path / "m.jsonl", np.random.default_rng(0)
    values = draw.normal(size=5000).cumsum()
    lines = [
        json.dumps({"step": i + 1, "x": float(v)} | ({"y": 1.0} if i > 4000 else {})) + "\n"
        for i, v in enumerate(values)
    ]
    path.write_text("".join(lines[:150]))
    curves = Curves(path).read()
    curve = curves.curve("x")
    np.testing.assert_array_equal(curve.steps, np.arange(1, 151))
    np.testing.assert_array_equal(curve.mean, values[:150])
    for begin, end in ((150, 151), (151, 3000), (3000, 3000), (3000, 5000)):
        with path.open("a") as file:
            file.write("".join(lines[begin:end]) + lines[end % 5000][:9])  # the last one is torn
        curves.read()
        with path.open("r+") as file:
            file.truncate(path.stat().st_size - len(lines[end % 5000][:9]))
    curve = curves.curve("x")
    assert POINTS <= len(curve.steps) <= 2 * POINTS and (curves.step, curve.steps[-1]) == (5000, 5000)
    ends = curve.steps.astype(int)
    for begin, end, mean, low, high in zip([0, *ends[:-1]], ends, curve.mean, curve.low, curve.high, strict=True):
        part = values[begin:end]
        assert (mean, low, high) == (pytest.approx(part.mean()), part.min(), part.max())
    assert curves.last("x") == values[-1] and curves.total("x") == pytest.approx(values.sum())
    assert len(curves.curve("y").steps) < 100 and len(curves.curve("none").steps) == 0
    whole = Curves(path).read().curve("x")
    np.testing.assert_allclose(whole.mean, curve.mean)
    path.write_text('{"step": 1}\nnoise\n')
    with pytest.raises(log.MetricsError, match=r"m\.jsonl: a line ends at byte 18 that is no step"):
        Curves(path).read()


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.0123456, "0.0123"), (4.5649, "4.56"), (999.4, "999"), (999.7, "1k"), (12_345, "12.3k"), (4e6, "4M"),
     (3.4e-4, "3.4e-4"), (-0.5, "-0.5"), (2e10, "20G")],
)  # fmt: skip
def test_numbers_are_short(value, text):
    assert charts.number(value) == text


@pytest.mark.parametrize("values", [[1, 1, 1], [0, 0, 0], [-3, 5, 2], [1e-7, 1e5, 3], [2, 3, 2.5], [1e-4] * 3, [7]])
def test_a_chart_holds_its_curve_and_has_ticks(values):
    curve = content.judged_curve([{"step": 10 * i, "a2b": {"mean": v}} for i, v in enumerate(values, 1)], "a2b")
    html = charts.chart("T", [charts.Line(label="L", curve=curve, smooth=False)], unit="s")
    points = re.search(r'class="line c0" d="M([^"]*)"', html)[1].split("L")
    for x, y in (map(float, point.split()) for point in points):
        assert charts.LEFT <= x <= charts.WIDTH and 0 <= y <= charts.HEIGHT - charts.BOTTOM
    assert html.count("<text") >= 3 and "nan" not in html
    assert charts.chart("T", []) == ""


def chromium(page, profile, fragment="") -> tuple[str, str]:
    """The page as it stands after its script has run, and what the browser complained of."""
    command = [
        "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync", "--enable-logging=stderr",
        f"--user-data-dir={profile}", "--virtual-time-budget=2000", "--dump-dom", f"{page.as_uri()}{fragment}",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return done.stdout, "\n".join(line for line in done.stderr.splitlines() if "CONSOLE" in line)


@pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium is not installed: apt-get install chromium")
def test_a_browser_shows_it(run, tmp_path):
    """Under its own policy the script runs and nothing is refused; nothing is wider than a phone or a desktop."""
    html = written(folder := run())
    page = folder / "index.html"
    first = json.loads(Read(html).inside["script"][0])["samples"][0]["b2a.fake_a2b"]
    shown, complaints = chromium(page, tmp_path / "real", "#step=50")
    read = Read(shown)
    assert complaints == "" and 'id="shown">50</b>' in shown and "just now" in read.text
    [image] = [image for image in read.all("img") if image.get("data-key") == "b2a.fake_a2b"]
    assert image["src"] == f"data:image/jpeg;base64,{first}"

    # A copy without the policy moves the slider as a user does, and measures the page in two frames.
    bare = re.sub(r"<meta http-equiv[^>]*>", "", html)
    measure = """<script>
      const slider = document.getElementById("step");
      slider.value = 1; slider.dispatchEvent(new Event("input"));
      const found = [document.getElementById("shown").textContent, location.hash];
      for (const width of [390, 1280]) {
        const frame = document.body.appendChild(document.createElement("iframe"));
        frame.style = `width: ${width}px; height: 900px; border: 0`;
        frame.onload = () => {
          const inside = frame.contentDocument;
          const letters = [...inside.querySelectorAll("svg text, .label, td, p")].filter((e) => e.checkVisibility());
          const least = Math.min(...letters.map((e) => e.getBoundingClientRect().height));
          found.push([frame.contentWindow.innerWidth, inside.documentElement.scrollWidth, least]);
          document.title = JSON.stringify(found);
        };
        frame.srcdoc = PAGE;
      }
    </script></body>""".replace("PAGE", json.dumps(bare).replace("<", "\\u003c"))
    copy = folder / "copy.html"
    copy.write_text(bare.replace("</body>", measure))
    shown, complaints = chromium(copy, tmp_path / "measured")
    step, fragment, *frames = json.loads(re.search(r"<title>(.*?)</title>", shown)[1])
    assert complaints == "" and (step, fragment) == ("100", "#step=100")
    assert sorted(inner for inner, _, _ in frames) == [390, 1280]
    assert all(scrolls <= inner and least >= 9 for inner, scrolls, least in frames)
