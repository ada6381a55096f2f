"""The checks of a device: what they compare with, and that each finds what is wrong. Nothing compiles a step here."""

import contextlib
import dataclasses
import json
import signal
import time
from types import SimpleNamespace
from unittest.mock import Mock

import mindspore as ms
import pytest
from mindspore import Parameter, Tensor

from ugatit_train.evaluation.device import checks, machine, process, ranks, record, runner, speed, tiny, warm
from ugatit_train.evaluation.device.record import CheckFailed, Result, Skipped
from ugatit_train.evaluation.device.shared import Job, Shared
from ugatit_train.exchange.export import Difference
from ugatit_train.forms import ASCEND
from ugatit_train.training import build, checkpoint

from . import record_device_losses

JOB = Job(device_target="CPU", device_id=0, quick=True, deadline=float("inf"), folder="none", known={})


@pytest.fixture
def result():
    return Result(name="name", title="title")


@pytest.fixture
def shared(tmp_path):
    """Shared with a folder of its own, and without the device, which the tests hold already."""
    made = Shared(dataclasses.replace(JOB, folder=str(tmp_path)))
    made.__dict__["precision"] = "float32"
    return made


# What the losses are compared with


@pytest.mark.parametrize("model", tiny.MODELS)
def test_the_recorded_losses_are_the_references(model):
    recorded = tiny.recorded()[model]
    assert len(recorded) == tiny.STEPS
    for found, expected in zip(record_device_losses.losses(model), recorded, strict=True):
        assert found == pytest.approx(expected, rel=1e-8)
        assert list(found) == list(expected)


@pytest.mark.parametrize(("wrong", "step"), [({"identity_weight": 0.0}, 1), ({"beta1": 0.9}, 5)], ids=["term", "adam"])
def test_a_wrong_training_is_outside_of_every_tolerance(wrong, step, result, monkeypatch):
    own, expected = record_device_losses.ref.Options, tiny.recorded()["light"]
    monkeypatch.setattr(record_device_losses.ref, "Options", lambda **more: own(**more, **wrong))
    found = record_device_losses.losses("light", step) + expected[step:]
    for precision in tiny.TOLERANCES:
        with pytest.raises(CheckFailed, match=r"^step \d: .* a relative difference of .*, allowed "):
            checks.compare(found, expected, precision, result)


@pytest.mark.parametrize(
    ("step", "name", "factor"), [(1, "g_cam", 1 + 2e-5), (5, "d_loss", 1 - 2e-3), (3, "g_adv", float("nan"))]
)
def test_one_wrong_loss_is_found_and_named(step, name, factor, result):
    expected = tiny.recorded()["full"]
    found = [dict(losses) for losses in expected]
    assert "0.0e+00 in step 1" in checks.compare(found, expected, "float32", result)
    found[step - 1][name] *= factor
    with pytest.raises(CheckFailed, match=f"^step {step}: {name} is "):
        checks.compare(found, expected, "float32", result)
    assert result.figures["found"][step - 1]["step"] == step and "float32" in result.tolerances["step 1"]


def test_a_recorded_loss_that_differs_is_a_line_that_says_fail(shared, monkeypatch):
    """The device has the reference's losses here; it is the record that is changed."""
    first, *rest = tiny.recorded()["full"]
    training = Mock(first=first, first_s=1.0)
    monkeypatch.setattr(shared, "training", lambda model: training)
    training.side_effect = rest
    assert process.make("losses_full", shared).line().startswith("PASS    losses_full ")
    training.side_effect = rest
    monkeypatch.setattr(tiny, "recorded", lambda: {"full": [first, *rest[:2], rest[2] | {"g_cycle": 1.0}, rest[3]]})
    failed = process.make("losses_full", shared)
    assert (
        failed.line().startswith("FAIL    losses_full ") and "step 4: g_cycle is 1.065019, recorded 1: " in failed.said
    )


# The other checks


class Remembers:
    """In place of a training: a loss that depends on its state, which each call changes."""

    def __init__(self):
        self.options = tiny.options("light")
        self.step = Parameter(Tensor(5, ms.int32), name="step")
        self.weight = Parameter(Tensor([1.0]), name="genA2B.w")
        self.cell = SimpleNamespace(state=lambda: {p.name: p for p in (self.step, self.weight)})
        self.first_s = 1.0

    def __call__(self):
        self.step.set_data(self.step + 1)
        self.weight.set_data(self.weight * 0.5)
        return {"loss": float(self.weight.asnumpy()[0])}

    def timed(self):
        return 2.0


@pytest.fixture
def remembers(shared, monkeypatch):
    """shared, whose training is a `Remembers`."""
    training = Remembers()
    monkeypatch.setattr(shared, "training", lambda model: training)
    return shared


def test_a_resume_that_loads_nothing_is_found(remembers, result, monkeypatch):
    assert "2 of 2 parameters equal to the bit" in checks.resume(remembers, result)
    assert result.figures["saved_step"] == 5 and result.figures["differences"] == [0.0, 0.0]
    monkeypatch.setattr(checkpoint, "load", lambda *_: None)
    remembers.folder = remembers.folder / "again"
    with pytest.raises(CheckFailed, match=r"^resumed after step 7, saved at 7: the losses differ by 1\.0e\+00, 0 of 2"):
        checks.resume(remembers, result)


def test_an_export_that_differs_or_fails_is_found(shared, result, monkeypatch):
    def write(checkpoint, signature, file_format, folder):
        (folder / "file").write_bytes(bytes(10))
        return folder / "file"

    options = tiny.options("light")
    cell = build.build_step(options, options.schedule(1))
    monkeypatch.setattr(shared, "training", lambda model: SimpleNamespace(options=options, cell=cell))
    monkeypatch.setattr(checks.exchange, "write", write)
    monkeypatch.setattr(checks.models, "from_file", lambda file: file)
    monkeypatch.setattr(checks.exchange, "compare", lambda *_: Difference(picture=2e-4, heatmap=0.0))
    with pytest.raises(CheckFailed, match=r"^the file differs by 2\.0e-04 in the picture .* more than 0\.0001$"):
        checks.export(shared, result)
    assert result.figures["bytes"] == 10
    monkeypatch.setattr(checks.exchange, "write", lambda *_: {}["no such operator"])
    shared.folder = shared.folder / "again"
    failed = process.make("export", shared)
    assert (failed.status, failed.said) == ("fail", "KeyError: 'no such operator'")
    assert "exchange.write(" in failed.traceback


def test_a_convolution_of_half_the_digits_is_found(shared, result, monkeypatch):
    monkeypatch.setattr(checks, "kernel_errors", lambda forms: {"convolution": 3e-4, "product": 1e-7})
    with pytest.raises(CheckFailed, match=r"^a convolution has a relative error of 3\.0e-04, in float32 at most 1e-05"):
        checks.device(shared, result)
    assert result.figures["precision"] == "float32" and result.figures["versions"]["mindspore"].startswith("2.")
    shared.__dict__["precision"] = "hf32"
    assert checks.device(shared, result).endswith("GiB, hf32")


@pytest.mark.parametrize(
    ("loaded", "factor", "words"),
    [(True, 1, ""), (False, 1, "the graph was compiled again"), (True, 1.0001, "the losses differ by 1.0e-04")],
)
def test_a_loaded_graph_with_other_losses_is_found(loaded, factor, words, shared, result):
    found = tiny.recorded()["light"]
    cold = [{"step": step, **losses} for step, losses in enumerate(found, 1)]
    shared.job = dataclasses.replace(shared.job, known={"losses_light": {"found": cold, "first_step_s": 30.0}})
    result.figures |= {"loaded": loaded, "first_step_s": 4.0}
    found = [*found[:4], {name: value * factor for name, value in found[4].items()}]
    with pytest.raises(CheckFailed, match=words) if words else contextlib.nullcontext():
        assert warm.compare(found, cold, True, shared, result).startswith("first step in 4.0 s, in losses_light 30.0 s")


def test_the_compile_cache_is_checked_where_there_are_losses_to_compare_with(shared, result):
    shared.job = dataclasses.replace(shared.job, known={"losses_light": {}})
    with pytest.raises(Skipped, match="on the CPU losses_light is compiled so"):
        warm.losses(False, shared, result)
    with pytest.raises(Skipped, match="losses_light has none to compare with"):
        warm.losses(True, shared, result)


@pytest.mark.parametrize(("half", "least", "most"), [(False, 0, 1e-6), (True, 1e-4, 2e-3)])
def test_the_error_of_a_convolution_tells_its_precision(half, least, most):
    """In Ascend's forms, but for the padding, which the CPU lacks."""
    errors = checks.kernel_errors(dataclasses.replace(ASCEND, padding="mirror", half=half))
    assert least <= errors["convolution"] < most and errors["product"] < 1e-6


def test_processes_that_share_a_device_or_have_another_mean_are_found(shared, result):
    good = [{"rank": i, "device_id": i, "difference": 0.0, "mib": 4.0, "ms": 1.0} for i in range(2)]
    assert ranks.judge(good, "Ascend").startswith("2 processes: the mean is right")
    with pytest.raises(CheckFailed, match=r"share a device: they have the numbers \[0, 0\]"):
        ranks.judge([good[0], good[1] | {"device_id": 0}], "Ascend")
    with pytest.raises(CheckFailed, match="mean over 2 processes is wrong by 5.0e-01"):
        ranks.judge([good[0], good[1] | {"difference": 0.5}], "Ascend")
    shared.job = dataclasses.replace(shared.job, device_target="Ascend", known={"device": {"devices": 1}})
    with pytest.raises(Skipped, match="one device only"):
        ranks.all_reduce(shared, result)


def test_a_step_that_takes_five_times_its_projection_is_found(remembers, result, monkeypatch):
    monkeypatch.setattr(speed, "projection", lambda options: (0.41, "made up"))
    assert "2.000 s a step, projected 0.410 s (made up)" in speed.step_time("light", remembers, result)
    monkeypatch.setattr(speed, "projection", lambda options: (0.39, "made up"))
    with pytest.raises(CheckFailed, match="more than 5 times as long"):
        speed.step_time("light", remembers, result)
    assert result.figures["step_s"] == [2.0] * speed.STEPS


def test_a_compilation_that_does_not_fit_the_time_is_skipped(shared):
    shared.job = dataclasses.replace(shared.job, quick=False, deadline=time.time() + 10)
    with pytest.raises(Skipped, match=r"about 60 s, \d+ s are left: give more --minutes"):
        speed.timed_training("light", shared)
    assert speed.sizes(shared.job)["img_size"] == 64 and "64 px, which fits the time on a CPU" in speed.described(
        shared.job
    )
    assert speed.sizes(dataclasses.replace(shared.job, device_target="Ascend"))["img_size"] == 256


@pytest.mark.parametrize(("model", "precision"), [("light", "float16"), ("full", "hf32")])
def test_the_projection_of_a_card_is_its_chips(model, precision):
    wanted = speed.sizes(dataclasses.replace(JOB, quick=False, device_target="Ascend"))
    options = tiny.Options(light=model == "light", device_target="Ascend", precision=precision, **wanted)
    seconds, source = speed.projection(options)
    assert 0.1 < seconds < 1 and source.startswith("Ascend 910 " if precision == "float16" else "Ascend 910B ")


# Processes


def test_whatever_a_check_raises_is_its_result(shared, monkeypatch, tmp_path):
    def raising(error):
        def check(shared, result):
            result.figures["so far"] = 1
            raise error

        return process.Check(title="title", process="light", function=check)

    errors = {"bad": CheckFailed("wrong"), "none": Skipped("no card"), "fault": ZeroDivisionError("by zero.\nMore")}
    monkeypatch.setattr(process, "CHECKS", {name: raising(error) for name, error in errors.items()})
    with (tmp_path / "answers").open("w") as answers:
        process.tell(shared, list(errors), answers)
    told = [json.loads(line) for line in (tmp_path / "answers").read_text().splitlines()]
    assert [line["begun"] for line in told[::2]] == list(errors)
    found = {line["result"]["name"]: line["result"] for line in told[1::2]}
    assert [(one["status"], one["said"]) for one in found.values()] == [
        ("fail", "wrong"), ("skipped", "no card"), ("fail", "ZeroDivisionError: by zero"),
    ]  # fmt: skip
    assert all(one["figures"] == {"so far": 1} for one in found.values())
    assert "raise error" in found["fault"]["traceback"] and found["bad"]["traceback"] == ""


CHILD = """
import json, os, sys, time
job, names = json.loads(sys.argv[1])
def say(**what): print(json.dumps(what), flush=True)
for name in names:
    say(begun=name)
    if name == "crash": print("last words", file=sys.stderr, flush=True); os.kill(os.getpid(), 11)
    if name == "hang": time.sleep(600)
    if name.startswith("meet"):
        open(os.path.join(job["folder"], name), "w")
        while len([each for each in os.listdir(job["folder"]) if each.startswith("meet")]) < 2: time.sleep(0.01)
    figures = {} if name == "device" and job["quick"] else {"precision": "float32", "known": job["known"]}
    say(result={"name": name, "title": "t", "status": "pass", "figures": figures})
"""


def results_of(names, folder, monkeypatch, beside=(), **job):
    monkeypatch.setattr(runner, "PROGRAM", CHILD)
    job = dataclasses.replace(JOB, **{"quick": False, "folder": str(folder), "deadline": time.time() + 60, **job})
    found = list(runner.Processes(job, {name: ("title", own) for name, own in names}, beside).run())
    assert [result.name for result in found] == [name for name, _ in names] or beside
    return {result.name: result for result in found}


def test_a_process_that_dies_fails_its_check_and_the_others_go_on(monkeypatch, tmp_path):
    names = [("device", "one"), ("crash", "one"), ("after", "one"), ("other", "two")]
    found = results_of(names, tmp_path, monkeypatch)
    assert [result.status for result in found.values()] == ["pass", "fail", "pass", "pass"]
    assert found["crash"].said == f"its process ended by {signal.Signals.SIGSEGV.name}"
    assert found["crash"].traceback == "last words\n"
    assert list(found["other"].figures["known"]) == ["device", "crash", "after"]
    assert found["other"].figures["known"]["after"] == found["after"].figures


def test_a_check_that_hangs_is_ended_with_the_time(monkeypatch, tmp_path):
    names = [("device", "one"), ("hang", "one"), ("after", "one"), ("other", "two")]
    began = time.time()
    found = results_of(names, tmp_path, monkeypatch, deadline=began + 0.7)
    assert time.time() - began < 30
    assert [result.status for result in found.values()] == ["pass", "fail", "skipped", "skipped"]
    assert {result.said for name, result in found.items() if name != "device"} == {
        "the time was over: give more --minutes"
    }


def test_the_process_at_work_is_ended_with_the_tool(monkeypatch, tmp_path):
    monkeypatch.setattr(runner, "PROGRAM", CHILD)
    job = dataclasses.replace(JOB, quick=False, folder=str(tmp_path), deadline=time.time() + 60)
    processes = runner.Processes(job, {"device": ("title", "one"), "hang": ("title", "one")})
    results = processes.run()
    assert next(results).name == "device"
    (popen,) = processes.at_work
    assert popen.poll() is None
    processes.stop()
    assert popen.poll() == -signal.SIGTERM
    results.close()


def test_processes_work_side_by_side_when_there_is_a_device(monkeypatch, tmp_path):
    """Those that `meet` end where both have begun, not one after the other."""
    names = [("device", "one"), ("meet one", "one"), ("meet two", "two"), ("last", "three")]
    found = results_of(names, tmp_path, monkeypatch, beside=("two",))
    assert {result.status for result in found.values()} == {"pass"}
    assert "device" in found["meet two"].figures["known"] and "meet one" in found["last"].figures["known"]


def test_a_program_that_ends_leaves_no_process(monkeypatch, tmp_path):
    monkeypatch.setattr(runner, "PROGRAM", CHILD)
    job = dataclasses.replace(JOB, quick=False, folder=str(tmp_path), deadline=time.time() + 60)
    names = {"device": "one", "hang": "one", "next": "two"}
    processes = runner.Processes(job, {name: ("title", own) for name, own in names.items()})
    results = processes.run()
    assert next(results).name == "device"
    at_work = [*processes.at_work]
    results.close()  # as where the record finds no room
    assert [popen.poll() for popen in at_work] == [-signal.SIGTERM]
    assert [log.name for log in (tmp_path / "logs").iterdir()] == ["device.log"] and not processes.at_work


def test_processes_share_a_cpu_with_cores_and_no_card(monkeypatch):
    for cores, device, quick, expected in ((2, "CPU", True, ("ranks", "full")), (1, "CPU", True, ()),
                                           (2, "CPU", False, ()), (2, "Ascend", True, ())):  # fmt: skip
        monkeypatch.setattr(runner, "available_cores", lambda cores=cores: cores)
        assert runner.beside(dataclasses.replace(JOB, device_target=device, quick=quick)) == expected


def test_without_the_device_nothing_else_is_tried(monkeypatch, tmp_path):
    found = results_of([("device", "one"), ("other", "two")], tmp_path, monkeypatch, quick=True)
    assert (found["other"].status, found["other"].said) == ("skipped", "the device cannot be used")


def test_the_page_shows_what_the_record_holds():
    good = Result(name="good", title="what", said="a | b", figures={"x": 1.5, "rows": [{"step": 1, "loss": 2.0}]})
    bad = Result(name="bad", title="what", status="fail", said="wrong", traceback="line 1\nline 2")
    bad.tolerances["x"] = "0.1: because"
    about = {
        "device_target": "CPU",
        "command": "ugatit check_device",
        "began": "now",
        "seconds": 3.0,
        "sizes": "Small.",
    }
    made = record.whole([good, bad], about)
    assert (made["pass"], made["fail"], made["skipped"]) == (1, 1, 0)
    page = record.page(made)
    assert page.startswith("# Device check, CPU: FAIL (1 of 2 checks)\n")
    for line in ("| **good**: what | PASS | 0 | a \\| b |", "- x: 1.5", "| step | loss |", "| 1 | 2 |", "## bad: FAIL",
                 "- allowed, x: 0.1: because", "line 2"):  # fmt: skip
        assert f"\n{line}\n" in page, line
    assert bad.line() == "FAIL    bad                0 s  wrong"
    assert record.page(record.whole([good], about)).startswith("# Device check, CPU: PASS\n")


def test_a_figure_that_is_no_number_is_text_in_the_record(tmp_path):
    bad = Result(name="bad", title="what", status="fail", figures={"rows": [{"loss": float("nan")}], "x": float("inf")})
    about = {"device_target": "CPU", "command": "c", "began": "now", "seconds": 3.0, "sizes": "Tiny"}
    record.write(record.whole([bad], about), tmp_path)
    made = json.loads((tmp_path / record.RECORD_FILE).read_text(), parse_constant=pytest.fail)
    assert made["checks"][0]["figures"] == {"rows": [{"loss": "nan"}], "x": "inf"}
    assert "\n| nan |\n" in (tmp_path / record.PAGE_FILE).read_text()


def test_an_ascend_host_names_its_cann(monkeypatch, tmp_path):
    (tmp_path / "version.cfg").write_text("# version: 1.0\nruntime_running_version=[8.1.RC1]\n")
    monkeypatch.setenv("ASCEND_HOME_PATH", str(tmp_path))
    assert machine.versions()["CANN"] == "# version: 1.0 runtime_running_version=[8.1.RC1]"
    assert machine.settings()["ASCEND_HOME_PATH"] == str(tmp_path)
