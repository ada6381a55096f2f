"""Curves of ours and of PyTorch: they begin alike, a killed one goes on as it was, the record has their figures."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import io
import json
import os
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from ugatit_data import convert

torch = pytest.importorskip("torch", reason="torch is not installed: there is no peer to learn beside")

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
STEPS = 30  # the graph of the step is that of test_loop.py, compiled once for both
SMALL = {"light": True, "ch": 4, "n_res": 1, "n_dis": 4, "img_size": 32, "iteration": STEPS}


@pytest.fixture(scope="module")
def patched():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        yield patch


@pytest.fixture(scope="module")
def learning(patched):
    module = importlib.import_module("learning")
    patched.setattr(module.demo, "training", lambda settings: SMALL | {"seed": settings["seed"]})
    return module


@pytest.fixture(scope="module")
def worker(patched):
    return importlib.import_module("learning_worker")


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A folder of --work whose pictures are made: the truth is the inverted test picture."""
    folder = tmp_path_factory.mktemp("learning") / "work"
    random = np.random.default_rng(1)
    for name, count in (("trainA", 4), ("trainB", 3), ("testA", 3)):
        for number in range(count):
            picture = cv2.resize(random.integers(0, 256, (5, 5, 3), np.uint8), (40, 40))
            for subfolder, pixels in ((name, picture), *([("testA_target", 255 - picture)] * (name == "testA"))):
                path = folder / "images-32" / subfolder / f"{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(path), pixels)
    convert(folder / "images-32", folder / "dataset-32")
    return folder


@pytest.fixture(scope="module")
def command(work):
    """The command's options: one seed, a measurement after steps 15 and 30."""
    numbers = {"img_size": 32, "every": 15, "threads": 1, "seeds": 1, "targets": 0.545}
    return ["--work", str(work), *(f"--{name}={value}" for name, value in numbers.items())]


@pytest.fixture(scope="module")
def asked(learning, command, work):
    """asked("ours") -> what its process is asked for, as if this process were that."""
    options = learning.parse(command)

    def ask(name):
        found = learning.asked_of(name, 1, options, work / "images-32", work / "dataset-32")
        return found | {"parent": os.getppid()}

    return ask


@pytest.fixture(scope="module")
def train(worker, asked, patched):
    """train(asked, steps) -> (curve, updates), trained in this process; after `steps` updates it is "killed"."""
    learners = {"ours": worker.Ours(asked("ours"))}  # built and compiled once
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(worker, "Ours", lambda _: learners["ours"])
        worker.write_weights(asked("ours") | {"implementation": "weights"})
    threads = torch.get_num_threads()
    learners["torch"] = worker.Peer(asked("torch"))
    first = {name: learner.state() for name, learner in learners.items()}

    class Killed(BaseException):
        pass

    class Learner:
        def __init__(self, learner, steps):
            self.learner, self.left, self.taken = learner, steps, -1  # the first step is not of the training

        def __getattr__(self, name):
            return getattr(self.learner, name)

        def step(self, a, b):
            if self.taken == self.left:
                raise Killed
            self.taken += 1
            return self.learner.step(a, b)

    def run(given, steps=None):
        name = given["implementation"]
        learner = Learner(learners[name], steps)
        learner.restore(first[name])
        patched.setitem(worker.MAKERS, name, lambda _: learner)
        with contextlib.suppress(Killed):
            worker.train(given)
        return json.loads(Path(given["curve"]).read_text()), learner.taken

    yield run
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def ran(learning, command, asked, train, work):
    """The command's record, after the curve of ours was finished and that of the peer was killed on its way."""
    train(asked("ours"))
    train(asked("torch"), steps=16)
    finished = Path(asked("ours")["curve"]).read_bytes()
    out = work.parent / "records" / "learning.json"
    with contextlib.redirect_stdout(io.StringIO()):
        assert learning.main([*command, "--out", str(out)]) == 0
    assert Path(asked("ours")["curve"]).read_bytes() == finished
    return out


@pytest.fixture
def curves(ran, asked):
    return {name: json.loads(Path(asked(name)["curve"]).read_text()) for name in ("ours", "torch")}


def values(curve):
    """The points without what the clock says."""
    return [{name: value for name, value in point.items() if not name.endswith("_s")} for point in curve["points"]]


def test_both_begin_with_the_same_weights_and_learn_alike(curves):
    """The peer went on in a process of its own. It iterates the spectral norm before each pass, ours once a step."""
    ours, peers = (values(curves[name]) for name in ("ours", "torch"))
    assert [point["step"] for point in ours] == [point["step"] for point in peers] == [0, 15, 30]
    assert ours[0] == pytest.approx(peers[0], rel=1e-4)
    for mine, others in zip(ours[1:], peers[1:], strict=True):
        assert mine["ratio"] == pytest.approx(others["ratio"], rel=2e-3)
        assert mine["g_loss"] == pytest.approx(others["g_loss"], rel=2e-3)
        assert mine["d_loss"] == pytest.approx(others["d_loss"], rel=1e-2)
    assert ours[2]["ratio"] < 0.95 * ours[0]["ratio"]
    assert curves["ours"]["finished"] and curves["torch"]["finished"]


def test_a_killed_curve_of_ours_goes_on_to_the_same_curve(train, asked, curves, tmp_path):
    given = asked("ours") | {"curve": str(tmp_path / "curve.json"), "state": str(tmp_path / "state.npz")}
    curve, taken = train(given, steps=20)
    assert taken == 20 and not curve["finished"]
    assert values(curve) == values(curves["ours"])[:2]
    # As if the kill came after the state was written and before the curve was.
    (tmp_path / "curve.json").write_text(json.dumps(curve | {"points": curve["points"][:1]}))
    curve, taken = train(given)
    assert taken == STEPS - 15
    assert values(curve) == values(curves["ours"])
    assert curve["finished"] and [path.name for path in tmp_path.iterdir()] == ["curve.json"]
    seconds = [point["wall_s"] for point in curve["points"]]
    assert seconds == sorted(seconds) and seconds[0] == 0


def test_a_killed_curve_of_the_peer_goes_on_to_the_same_curve(train, asked, tmp_path):
    given = asked("torch")
    given |= {"every": 2, "options": given["options"] | {"iteration": 4}}
    straight, _ = train(given | {"curve": str(tmp_path / "a.json"), "state": str(tmp_path / "a.npz")})
    given |= {"curve": str(tmp_path / "b.json"), "state": str(tmp_path / "b.npz")}
    curve, _ = train(given, steps=3)
    assert not curve["finished"]
    curve, taken = train(given)
    assert taken == 2
    assert values(curve) == values(straight)
    assert len({point["ratio"] for point in curve["points"]}) == 3


@pytest.mark.parametrize(("name", "generators"), [("Ours", "gen"), ("Peer", ("a2b", "b2a"))])
def test_pictures_are_made_with_the_average_of_the_weights_where_there_is_one(name, generators, worker, train, asked):
    given = asked("ours" if name == "Ours" else "torch")
    learner = getattr(worker, name)(given | {"options": given["options"] | {"ema": 0.9}})
    pictures = np.random.default_rng(2).uniform(-1, 1, (2, 3, 32, 32)).astype(np.float32)
    first, begun = learner.translate(pictures), learner.state()
    for changed, same in ((generators, True), ("ema.", False)):
        learner.restore({name: value * (0.9 if name.startswith(changed) else 1) for name, value in begun.items()})
        assert np.array_equal(learner.translate(pictures), first) is same


def test_a_process_whose_parent_is_gone_ends(train, asked, tmp_path):
    given = asked("torch") | {"curve": str(tmp_path / "a.json"), "state": str(tmp_path / "a.npz"), "parent": 0}
    with pytest.raises(SystemExit, match=r"a\.json: its parent process is gone"):
        train(given)


def test_the_record_has_the_samples_of_all_seeds(ran, curves):
    written = json.loads(ran.read_text())
    found = {entry["name"]: entry for entry in written["results"]}
    assert (
        list(written["measured"]) == [written["commit"]]
        and "benchmarks/torch_step.py" in curves["ours"]["measured"]["files"]
    )
    assert written["data"]["training"] == SMALL | {"seed": 1} and "work" not in written["options"]
    for name in ("ours", "torch"):
        ratios = [point["ratio"] for point in curves[name]["points"]]
        assert [found[f"{name}: ratio at step {step}"]["samples"] for step in (0, 15, 30)] == [[r] for r in ratios]
        assert 15 < found[f"{name}: steps to a ratio of 0.545"]["median"] < 30
        assert found[f"{name}: start"]["median"] < 60 * found[f"{name}: ratio at step 30"]["tags"]["minutes"][0]
    report, charts = importlib.import_module("report"), importlib.import_module("charts")
    page = report.page(report.records_of(ran), [], "t")
    assert "<strong>ours</strong>" in page and "<td>30</td>" in page and "of 2</td>" in page
    assert page.count("<table>") == 3 and "---" not in page
    assert "<strong>CPU minutes to a ratio of 0.545</strong>" in page
    assert charts.of(written).startswith(b"\x89PNG")


def test_curves_of_other_options_and_a_folder_at_work_are_refused(learning, command, ran, work):
    with pytest.raises(SystemExit) as ended:
        learning.main([*command, "--every", "10"])
    assert "ours-seed1.json: a curve with other every: remove it" in str(ended.value)
    with learning.alone(work), pytest.raises(SystemExit) as ended:
        learning.main(command)
    assert "another run is at work there" in str(ended.value)


def test_a_seed_that_no_training_takes_is_refused_at_once(learning, capsys):
    with pytest.raises(SystemExit) as ended:
        learning.parse(["--seeds", "1", "-1"])
    assert ended.value.code == 2 and "--seed" in capsys.readouterr().err


def curve(*ratios, start=60.0):
    """A curve that is measured every 10 steps, of 6 s each; in CPU time all is twice as long."""
    points = [
        {"step": 10 * i, "ratio": ratio, "wall_s": 60.0 * i, "cpu_s": 120.0 * i, "edge_correlation": 0.5}
        for i, ratio in enumerate(ratios)
    ]
    return {"start_s": start, "start_cpu_s": 2 * start, "points": points, "finished": True, "commit": None}


def test_when_a_ratio_is_reached_is_read_off_the_line_between_two_measurements(learning):
    falling = curve(1.0, 0.8, 0.4, 0.7)
    assert learning.when(falling, 0.6, "steps") == pytest.approx(15)
    assert learning.when(falling, 0.6, "minutes") == pytest.approx(1 + 1.5)
    assert learning.when(falling, 0.6, "cpu_minutes") == pytest.approx(2 * 2.5)
    assert learning.when(falling, 0.3, "steps") is None
    assert learning.when(curve(0.5), 0.6, "minutes") == 1


def test_a_ratio_that_a_seed_does_not_reach_is_no_figure(learning):
    found = {entry["name"]: entry for entry in learning.results({"ours": [curve(1, 0.5), curve(1, 0.7)]}, [0.6])}
    reason = found["ours: minutes to a ratio of 0.6"]["skipped"]
    assert reason == "not reached by each seed; the lowest ratios are 0.500, 0.700"
    assert found["ours: ratio at step 10"]["samples"] == [0.5, 0.7]
    assert found["ours: ratio at step 10"]["tags"]["cpu_minutes"] == [4.0, 4.0]
    assert found["ours: a step"]["samples"] == [6.0, 6.0]


@pytest.fixture
def two_seeds(learning):
    """A record of two seeds in which ours comes to 0.6 with both, and the peer with one."""
    curves = {"ours": [curve(1, 0.8, 0.5), curve(1, 0.7, 0.4)], "torch": [curve(1, 0.75, 0.6), curve(1, 0.9, 0.7)]}
    options = {"implementations": ["ours", "torch", "torch compiled"], "targets": [0.65, 0.6], "seeds": [1, 2]}
    record = importlib.import_module("record")
    results = [*learning.results(curves, [0.65, 0.6]), record.skipped("torch compiled", "no compiler")]
    about = {"host": record.host(), "versions": {"numpy": "1"}, "commit": "abc"}
    return {"benchmark": "learning", "options": options, "results": results} | about


def test_the_tables_have_each_step_and_say_whether_the_ranges_of_the_seeds_meet(two_seeds):
    summary, way, apart = importlib.import_module("tables").of(two_seeds).split("\n\n")
    assert "| minutes to 0.6 | CPU minutes to 0.6 | steps to 0.6 | seconds a step | start, s |" in summary
    [ours] = [line for line in summary.splitlines() if line.startswith("| **ours** |")]
    assert ours.endswith("| 2.5 (2.33-2.67) | 5 (4.67-5.33) | 15 (13.3-16.7) | 6 (6-6) | 60 (60-60) |")
    assert summary.splitlines()[-2].startswith("| torch | not reached |")
    assert "| torch compiled | skipped: no compiler |" in summary
    assert way.splitlines()[2:] == [
        "| 0 | 1.000 (1.000-1.000) | 2.0 | 1.000 (1.000-1.000) | 2.0 |",
        "| 10 | 0.750 (0.700-0.800) | 4.0 | 0.825 (0.750-0.900) | 4.0 |",
        "| 20 | 0.450 (0.400-0.500) | 6.0 | 0.650 (0.600-0.700) | 6.0 |",
    ]
    assert "| measurements at which the seeds' ranges meet | 1 of 2 |" in apart
    assert "| difference at the end, of each seed | -0.100, -0.300 |" in apart


def test_the_headline_has_the_minutes_or_how_many_seeds_did_not_come_so_far(two_seeds):
    headline = importlib.import_module("learning_tables").headline
    first, second = headline(two_seeds).split(". ")
    assert first.startswith("**CPU minutes to a ratio of 0.65**: ours 4.")
    assert second == (
        "**CPU minutes to a ratio of 0.60**: ours 5 (4.67-5.33); "
        "torch: 1 of 2 seeds came to it in 20 steps (lowest: 0.600, 0.700)."
    )
    numbers = re.compile(r"\d+(?:\.\d+)?")
    assert sorted(numbers.findall(headline(two_seeds, chinese=True))) == sorted(numbers.findall(headline(two_seeds)))


def test_one_command_makes_tables_chart_and_headline_of_a_new_record(two_seeds, tmp_path):
    """Of a record that was not there before; a second time it changes nothing."""
    report, readmes = importlib.import_module("report"), importlib.import_module("readmes")
    results = tmp_path / "results"
    results.mkdir()
    for name in ("README.md", "README_CN.md"):
        text = "".join(f"<!-- {kind}: results/learning.json -->\n<!-- end {kind} -->\n" for kind in ("table", "chart"))
        (tmp_path / name).write_text(text)
    command = ["--readme", str(tmp_path / "README.md"), str(tmp_path / "README_CN.md")]
    assert report.main(command) == 0
    assert [*results.iterdir()] == [] and (tmp_path / "README.md").read_text().count("No record yet.") == 1
    (results / "learning.json").write_text(json.dumps(two_seeds))
    assert report.main(command) == 0
    made = {path.name: path.read_bytes() for path in (*tmp_path.glob("*.md"), *results.glob("*.svg"))}
    assert report.main(command) == 0
    assert made == {path.name: path.read_bytes() for path in (*tmp_path.glob("*.md"), *results.glob("*.svg"))}
    english, chinese, svg = (made[name].decode() for name in ("README.md", "README_CN.md", "learning.svg"))
    assert "](results/learning.svg)\n\n**CPU minutes to a ratio of 0.65**: ours 4." in english and "| 20 |" in english
    assert "](results/learning.svg)\n\n**误差比" in chinese
    # a line of each seed and one of their mean, of ours and of the peer
    assert svg.count("stroke: #1f5a94") == 4 and svg.count("stroke: #b5651d") == 4  # the legend's line is the fourth
    assert importlib.import_module("charts").shown(two_seeds) in svg
    first, *_ = importlib.import_module("figures").of([two_seeds])
    assert (first.what, first.value) == ("Learning: ours to a ratio of 0.6", "5 CPU minutes")
    assert first.means.endswith("(lowest: 0.600, 0.700).")
    other = two_seeds | {"results": two_seeds["results"][:-1]}
    (results / "learning.json").write_text(json.dumps(other))
    (image,) = readmes.images(english, tmp_path).values()
    assert image != svg


def test_without_pytorch_the_peer_is_skipped(learning, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert learning.lacks("torch") == "torch is not installed"
    assert learning.lacks("ours") is None
    monkeypatch.undo()
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert learning.lacks("torch compiled") == "torch.compile needs a C++ compiler, no-such-compiler is not installed"
