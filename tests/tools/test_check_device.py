"""tools/check_device.py: the checks on this CPU, once; its exit codes, its report."""

import importlib.util
import json

import pytest

from ugatit_train.evaluation.device import record, runner, tiny
from ugatit_train.evaluation.device.process import CHECKS


def test_the_quick_checks_of_a_cpu(run_tool, tmp_path):
    out = tmp_path / "checked"
    done = run_tool("check_device", "--device_target", "CPU", "--quick", "--minutes", 15, "--out", out)
    made = json.loads((out / record.RECORD_FILE).read_text())
    assert done.returncode == 0, (done.stdout, done.stderr, [check["traceback"] for check in made["checks"]])
    assert f"{len(CHECKS) - 1} passed, 0 failed, 1 skipped in " in done.stdout
    assert {"schema": 1, "device_target": "CPU", "fail": 0, "skipped": 1}.items() <= made.items()
    checks = {check["name"]: check for check in made["checks"]}
    assert set(checks) == set(CHECKS)
    assert checks.pop("cache_cold")["said"] == "on the CPU losses_light is compiled so"
    for name, check in checks.items():
        assert check["status"] == "pass" and check["said"] and check["seconds"] > 0 and check["figures"], name
        assert f"PASS    {name} " in done.stdout
        assert bool(check["tolerances"]) == (name != "profile")

    figures = {name: check["figures"] for name, check in checks.items()}
    assert figures["device"]["precision"] == "float32" and figures["device"]["forms"]["convolution"] == "matmul"
    assert 0 < figures["device"]["relative_errors"]["convolution"] < 1e-6
    for model in tiny.MODELS:
        found = [{k: v for k, v in step.items() if k != "step"} for step in figures[f"losses_{model}"]["found"]]
        assert 0 < max(tiny.differences(found, tiny.recorded()[model])) < 1e-3
        times = figures[f"step_time_{model}"]
        assert 0 < times["median_s"] < 5 * times["projected_s"] and len(times["step_s"]) == 5
    assert figures["resume"] == {"saved_step": 5, "differences": [0.0, 0.0], "equal": figures["resume"]["equal"]}
    assert figures["cache_warm"]["loaded"] and figures["cache_warm"]["difference"] == 0
    assert 0 < figures["export"]["picture"] < 1e-4 and figures["export"]["bytes"] > 10_000
    assert {process["rank"] for process in figures["all_reduce"]["processes"]} == {0, 1}
    assert figures["profile"]["operations"][0]["calls"] > 10 and (out / "profile" / "trace.json").is_file()
    page = (out / record.PAGE_FILE).read_text()
    assert page.startswith("# Device check, CPU: PASS\n") and "those of the tiny network" in page


def test_without_the_device_one_check_fails_and_the_others_are_skipped(run_tool, tmp_path):
    if importlib.util.find_spec("te"):
        pytest.skip("CANN is installed: there may be an Ascend card")
    out = tmp_path / "checked"
    done = run_tool("check_device", "--device_target", "Ascend", "--out", out)
    assert (done.returncode, done.stderr) == (1, "")
    first, *others = json.loads((out / record.RECORD_FILE).read_text())["checks"]
    assert first["status"] == "fail" and first["figures"]["versions"]["mindspore"]
    assert first["said"].startswith("DeviceError: device_target Ascend cannot be used on this machine: ")
    assert {(check["status"], check["said"]) for check in others} == {("skipped", "the device cannot be used")}
    assert [check["name"] for check in others] == list(CHECKS)[1:]
    assert f"0 passed, 1 failed, {len(CHECKS) - 1} skipped in " in done.stdout


CHILD = """
import json, sys
_, names = json.loads(sys.argv[1])
for name in names:
    print(json.dumps({"begun": name}))
    status, said = ("fail", "step 2: g_adv is 8.6") if name == "losses_light" else ("pass", "as it should")
    result = {"name": name, "title": "t", "status": status, "said": said, "figures": {"precision": 1}}
    print(json.dumps({"result": result}))
"""


def test_a_check_that_fails_is_exit_1_and_a_line(tool, tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "PROGRAM", CHILD)
    out = tmp_path / "checked"
    code, said, complaint = tool("check_device", "--device_target", "CPU", "--out", out)
    assert (code, complaint) == (1, "")
    assert "FAIL    losses_light       0 s  step 2: g_adv is 8.6" in said.splitlines()
    assert f"{len(CHECKS) - 1} passed, 1 failed, 0 skipped in " in said
    assert json.loads((out / record.RECORD_FILE).read_text())["fail"] == 1
    assert (out / record.PAGE_FILE).read_text().startswith(f"# Device check, CPU: FAIL (1 of {len(CHECKS)} checks)\n")


@pytest.mark.parametrize(
    ("words", "arguments"),
    [
        ("required: --device_target", ()),
        ("did you mean --quick?", ("--device_target", "CPU", "--quik")),
        ("exists and is not an empty folder: give another --out", ("--device_target", "CPU", "--out", ".")),
    ],
)
def test_refusals(words, arguments, tool, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.chdir(tmp_path)
    code, said, complaint = tool("check_device", *arguments)
    assert (code, said) == (2, "") and words in complaint and complaint.count("\n") == 1


def test_a_refusal_needs_no_mindspore(run_tool, no_mindspore, refused, tmp_path):
    refused(run_tool("check_device", "--device_target", "NPU", env=no_mindspore, cwd=tmp_path), "NPU")
