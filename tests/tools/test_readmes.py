"""Every command of every README is understood by the tool that it starts, and every link leads somewhere."""

import ast
import importlib
import inspect
import re
import shlex

import pytest

from ugatit_data.commands import SCRIPTS

from .conftest import ROOT

READMES = sorted(
    path.relative_to(ROOT).as_posix()
    for folder in (".", "ugatit_data", "ugatit_train", "tools", "benchmarks", "tests", "tests/*")
    for path in ROOT.glob(f"{folder}/*.md")
)


def blocks(name: str, *languages: str) -> list[str]:
    """The blocks of a page that are marked as one of these languages; "" is no mark."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", (ROOT / name).read_text(), re.DOTALL | re.MULTILINE)
    return [block for language, block in found if language in languages]


LINES = [
    line.strip()
    for name in READMES
    for block in blocks(name, "", "bash", "sh")
    for line in block.replace("\\\n", " ").splitlines()
    if line.strip()
]
AROUND = ("git clone ", "cd ", "source .venv/bin/activate")  # lines of the shell that start nothing of ours


def kind(line: str) -> str:
    """The first word that tells what a line starts: ugatit, tools, make, pip, python or around; else the line."""
    if line.startswith(AROUND):
        return "around"
    word = line.removeprefix("PYTHONPATH=. ").split()[0]
    found = word.removeprefix(".venv/bin/").partition("/")[0]
    return found if found in ("ugatit", "tools", "make", "pip", "python") else line


def given(name):
    return [line for line in LINES if kind(line) == name]


def headings(text: str) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    plain = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    titles = re.findall(r"^#+ (.+)$", plain, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def broken(name: str, text: str) -> list[str]:
    """The links of a page, relative to it, that lead to no file or to no heading of it."""
    found = []
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if link.startswith(("http://", "https://")):
            continue
        file, _, anchor = link.partition("#")
        target = (ROOT / name).parent / file if file else ROOT / name
        if not target.exists() or (anchor and anchor not in headings(target.read_text())):
            found.append(link)
    return found


def test_each_line_of_a_block_starts_something_that_is_checked_here():
    assert {"tools/README.md", "tools/TRAINING.md", "ugatit_data/README.md", "tests/README.md"} <= set(READMES)
    assert {kind(line) for line in LINES} <= {"ugatit", "tools", "make", "pip", "python", "around"}


def test_the_commands_are_understood(understood):
    started = set()
    for command in sorted({*given("ugatit"), *given("tools")}):
        try:
            started.add(understood(command))
        except AssertionError as error:
            raise AssertionError(f"{command}: {error}") from error
    assert set(SCRIPTS) <= started  # every tool has an example


def test_a_wrong_command_is_found(understood):
    for command in ("ugatit train --data_pth dataset", "ugatit translate photo.jpg", "tools/run_eval.sh"):
        with pytest.raises((Exception, SystemExit)) as refused:
            understood(command)
        assert not isinstance(refused.value, pytest.fail.Exception)


def test_make_knows_its_targets():
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    variables = set(re.findall(r"^([A-Z]+) \??=", makefile, re.MULTILINE))
    for line in given("make"):
        [target, *values] = shlex.split(line, comments=True)[1:]
        assert target in targets and {value.partition("=")[0] for value in values} <= variables, line


def test_python_starts_what_is_there_and_pip_installs_what_is_declared():
    extras = set(re.findall(r"^(\w+) = \[", (ROOT / "pyproject.toml").read_text(), re.MULTILINE))
    pages = "".join((ROOT / name).read_text() for name in READMES)
    asked = re.findall(r"pip install[^`\n]*'(?:ugatit|\.)\[([\w,]+)\]'", pages)
    assert {"onnx", "video", "torch"} <= set(asked) <= extras
    for line in given("python"):
        files = re.findall(r"\S+\.py\b", line)
        assert len(files) == 1 and (ROOT / files[0]).is_file(), line


def misused(code: str) -> list[str]:
    """The calls, in a page's code, of what our packages offer, with arguments that they do not take."""
    tree, offered, found = ast.parse(code), {}, []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in (
            "ugatit_data",
            "ugatit_train",
        ):
            module = importlib.import_module(node.module)
            offered |= {alias.name: getattr(module, alias.name) for alias in node.names}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and callable(offered.get(node.func.id)):
            try:
                inspect.signature(offered[node.func.id]).bind(*node.args, **{key.arg: None for key in node.keywords})
            except TypeError as error:
                found.append(f"{node.func.id}: {error}")
    return found


def test_the_code_of_the_pages_calls_what_there_is():
    found = [block for name in READMES for block in blocks(name, "python")]
    assert len(found) >= 8
    assert [words for block in found for words in misused(block)] == []
    assert misused("from ugatit_data import open_loader\nopen_loader('dataset', batch=8)") == [
        "open_loader: got an unexpected keyword argument 'batch'"
    ]


def test_every_link_leads_somewhere():
    assert {name: found for name in READMES if (found := broken(name, (ROOT / name).read_text()))} == {}


def test_a_link_that_leads_nowhere_is_found():
    text = (
        "[a](train.yaml) [b](none.md) [c](#evaluate) [d](#nowhere) [e](../README.md#nowhere) [f](https://example.com)"
    )
    assert broken("tools/README.md", text) == ["none.md", "#nowhere", "../README.md#nowhere"]
