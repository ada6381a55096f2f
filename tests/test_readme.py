"""The front doors, README.md and README_CN.md, say the same; their figures are those of the records."""

import json
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ENGLISH, CHINESE = ((ROOT / name).read_text() for name in ("README.md", "README_CN.md"))
NUMBER = re.compile(r"(?<![\w.])\d[\d,]*(?:\.\d+)*")
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
HINT = re.compile(r"pip install '([^']*\[[^']*)'")


def chapters(text: str) -> list[str]:
    return re.split(r"^## ", text, flags=re.MULTILINE)


def prose(text: str) -> str:
    return BLOCK.sub("", text)


def codes(text: str) -> set[str]:
    return set(re.findall(r"`([^`\n]+)`", prose(text)))


def links(text: str) -> list[str]:
    """What a page leads to; a page in one language stands for its other one."""
    return [link.replace("_CN.md", ".md") for link in re.findall(r"\]\(([^)]+)\)", text)]


def numbers(text: str) -> list[str]:
    """As they are written. No part of a word is one, such as the 11 of ms11; 5,774 is one, and 3.11 too."""
    return [found.rstrip(",") for found in NUMBER.findall(text)]


def rows(text: str) -> list[list[list[str]]]:
    """The numbers in each cell of each table's rows; a language may order them by its grammar."""
    lines = re.findall(r"^\|.*\|$", text, re.MULTILINE)
    return [[sorted(numbers(cell)) for cell in line[1:-1].split("|")] for line in lines]


def figures(text: str) -> str:
    return re.search(r"<!-- figures: begin -->\n(.*?)<!-- figures: end -->", text, re.DOTALL)[1]


def result(record: str, name: str) -> float:
    """The median of a result of benchmarks/results."""
    results = json.loads((ROOT / "benchmarks" / "results" / f"{record}.json").read_text())["results"]
    [entry] = [entry for entry in results if entry["name"] == name]
    return entry["median"]


def test_both_languages_have_the_same_blocks_and_links():
    assert BLOCK.findall(CHINESE) == BLOCK.findall(ENGLISH) != []
    # the Chinese page leads to Chinese pages where there are any, and says twice that there is one
    assert set(links(CHINESE)) - {"README.md"} == set(links(ENGLISH)) - {"README.md"}
    assert "README_CN.md" in ENGLISH.split("##")[0] and "](README.md)" in CHINESE.split("##")[0]
    assert "](tools/MIGRATION_CN.md)" in CHINESE


def test_both_languages_have_the_same_figures():
    assert rows(CHINESE) == rows(ENGLISH)
    assert sorted(numbers(figures(CHINESE))) == sorted(numbers(figures(ENGLISH)))
    for one, other in zip(chapters(ENGLISH), chapters(CHINESE), strict=True):
        assert set(numbers(other)) == set(numbers(one))


def test_both_languages_name_the_same_commands_and_options():
    """The Chinese page may also name what stands in its blocks, for their comments are English."""
    for one, other in zip(chapters(ENGLISH), chapters(CHINESE), strict=True):
        blocks = "".join(block for _, block in BLOCK.findall(other))
        assert codes(one) <= codes(other)
        assert {code for code in codes(other) - codes(one) if code not in blocks} <= {"make demo"}


def test_a_figure_that_differs_is_found():
    assert numbers("Python 3.11, 5,774 images/s, 63-175 hours, float32 of ms11") == ["3.11", "5,774", "63", "175"]
    told = f"{result('step_time', '256 px: ours'):.3g} s"
    assert rows(ENGLISH.replace(told, "7.77 s")) != rows(ENGLISH)


def faster_torch(size: int) -> float:
    """Seconds of PyTorch's step in float32, eager or compiled."""
    return min(result("step_time", f"{size} px: {form}") for form in ("torch", "torch compiled"))


def test_the_results_are_those_of_the_records():
    """The start is that of PyTorch's eager step, the faster one at 64 px."""
    assert faster_torch(64) == result("step_time", "64 px: torch")
    cells = [
        ("learning", f"{result('learning', 'ours: ratio at step 1200'):.3f}"),
        ("learning", f"PyTorch {result('learning', 'torch: ratio at step 1200'):.3f}"),
        ("learning", f"the best affine change of colour {result('demo', 'ratio, change of colour'):.3f}"),
        ("a training step, light, 256 px", f"{result('step_time', '256 px: ours'):.3g} s"),
        ("a training step, light, 256 px", f"PyTorch {faster_torch(256):.3g} s"),
        ("a training step, light, 64 px", f"{result('step_time', '64 px: ours'):.3g} s"),
        ("a training step, light, 64 px", f"PyTorch {faster_torch(64):.3g} s"),
        ("loader, JPEGs", f"{result('data_loading', 'ours jpeg, uint8'):,.0f} images/s"),
        ("loader, JPEGs", f"`cv2.imdecode` alone {result('data_loading', 'imdecode alone, 2 threads'):,.0f}"),
        ("loader, JPEGs", f"MindDataset {result('data_loading', 'MindDataset fused crop, uint8'):,.0f}"),
        ("loader, raw", f"{result('data_loading', 'ours raw, uint8'):,.0f} images/s"),
        ("loader, raw", f"ffcv {result('data_loading', 'ffcv raw 286, uint8'):,.0f}"),
        ("loader, raw", f"copying alone {result('data_loading', 'memcpy alone, 2 threads'):,.0f}"),
        ("start, 64 px", f"{result('step_time', '64 px: ours, first step'):.3g} s"),
        ("start, 64 px", f"PyTorch {result('step_time', '64 px: torch, first step'):.3g} s"),
    ]
    for row, told in cells:
        [line] = [line for line in figures(ENGLISH).splitlines() if line.startswith(f"| {row}")]
        assert re.search(rf"(?:\| |, ){re.escape(told)}(?:,| \|)", line), (line, told)
    minutes, seconds = divmod(round(result("demo", "all")), 60)
    demo = [f"{minutes} min {seconds:02} s", f"{result('demo', 'compilation'):.0f} s", f"{result('demo', 'ratio'):.3f}"]
    demo += [f"{result('demo', f'edges, {of}'):.3f}" for of in ("translated", "input")]
    for page, opening in ((ENGLISH, "Learning: "), (CHINESE, "学习效果：`")):
        [paragraph] = re.findall(rf"^{opening}.*?\n\n", figures(page), re.MULTILINE | re.DOTALL)
        assert [value for value in demo if value not in " ".join(paragraph.split())] == []


def test_what_a_million_steps_cost_is_what_the_records_say():
    """tools/TRAINING.md has the same, of more sizes, and is held to the records; so are days and hours here."""
    of_training = (ROOT / "tools" / "TRAINING.md").read_text()
    memory = result("step_time", "256 px: ours, peak memory") / 1024
    for column, model in enumerate(("light", "full")):
        [there] = re.findall(rf"^\| {model}, 256 px \| (.*) \|$", of_training, re.MULTILINE)
        on_cpu, *on_cards = there.split(" | ")
        for name, told in zip(("CPU, 2 cores", "Ascend 910,", "Ascend 910B,"), (on_cpu, *on_cards), strict=True):
            [line] = re.findall(rf"^\| {name}.*$", ENGLISH, re.MULTILINE)
            if (model, told) == ("light", on_cpu):
                told += f", {memory:.3g} GiB"
            assert line[2:-2].split(" | ")[1 + column] == told


CHANGED = re.compile(r"since then (?:all )?(?:\d+ of the )?\d+ measured files changed|has changed since\]|有改动\]")


def test_a_release_shows_no_figure_of_code_that_has_changed_since():
    """Between releases, under the heading Unreleased of CHANGELOG.md, the pages may say so of a record."""
    heading = re.search(r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)[1]
    if heading == "Unreleased":
        pytest.skip("no release: records may be of earlier code, and the pages say of which")
    for page in (ENGLISH, CHINESE, *((ROOT / name / "README.md").read_text() for name in ("benchmarks", "tools"))):
        assert CHANGED.findall(page) == []


def test_what_is_said_of_changed_code_is_seen():
    for said in (
        "Measured at commit abc of 2026-11-24; since then 2 of the 6 measured files changed: files.py.",
        "Measured at commit abc of 2026-11-24; since then all 22 measured files changed.",
        "the code that it measured [has changed since](benchmarks/README.md).",
        "此后[被测的代码有改动](benchmarks/README.md)。",
    ):
        assert len(CHANGED.findall(said)) == 1


def test_every_hint_to_install_is_spelled_alike():
    """An extra is one of pyproject.toml's, of an installed ugatit; CONTRIBUTING.md tells of another environment.

    A program may fill in the extra's name, and a test may match the hint as a pattern.
    """
    if not (ROOT / ".git").exists():
        pytest.skip("no clone of git: its list of files is not there")
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    extras = set(re.findall(r"^(\w+) = \[", (ROOT / "pyproject.toml").read_text(), re.MULTILINE))
    hints = {
        (path, hint)
        for path in listed
        if path.endswith((".py", ".md", ".sh")) and path not in ("CONTRIBUTING.md", "tests/test_readme.py")
        for hint in HINT.findall((ROOT / path).read_text())
    }
    assert len(hints) > 15
    allowed = re.compile(rf"ugatit\[({'|'.join(extras)}|\{{.*\}})\]")
    assert [(path, hint) for path, hint in hints if not allowed.fullmatch(hint.replace("\\", ""))] == []
    for wrong in (".[torch]", "ugatit[toch]", "ugatit[torch,onnx]"):
        assert HINT.findall(f"pip install '{wrong}'") == [wrong] and not allowed.fullmatch(wrong)
