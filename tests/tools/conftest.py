"""Tools are run as a user runs them, or imported as a module where a function of theirs is tested."""

import argparse
import importlib
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from ugatit_data.commands import SCRIPTS
from ugatit_train import runtime
from ugatit_train.options import arguments, saved
from ugatit_train.options.config import Options

from ..train.options.test_modelzoo import DEFAULTS

ROOT = Path(__file__).parents[2]
TOOLS = ROOT / "tools"


@pytest.fixture(scope="session")
def of_a_user():
    """of_a_user(environment) -> the same without what this process has set for its own MindSpore: a shell has none."""
    return lambda environment: {name: value for name, value in environment.items() if name != "GLOG_v"}


@pytest.fixture
def run_tool(of_a_user):
    """run_tool("train", "--ch", 3) -> the finished process, with its text output."""

    def run(name: str, *arguments, env=os.environ, **options) -> subprocess.CompletedProcess:
        command = [sys.executable, TOOLS / f"{name}.py", *map(str, arguments)]
        env = of_a_user(env)
        return subprocess.run(command, capture_output=True, text=True, timeout=600, check=False, env=env, **options)

    return run


@pytest.fixture
def job(s3_server, dataset, tmp_path, monkeypatch):
    """job(...) -> the finished tools/train.py --enable_modelarts, run in `cwd`; the data set is in the bucket.

    `kill_when` is called until it says that the process is to be killed.
    """
    from ugatit_data.storage import Mirror, open_storage

    monkeypatch.setenv("S3_ENDPOINT", s3_server)
    Mirror(dataset, open_storage("s3://bucket/data", s3_server), "dataset.json").push()

    def run(*arguments, cwd=tmp_path, kill_when=None) -> subprocess.CompletedProcess:
        arguments = ("--enable_modelarts", "--data_url", "s3://bucket/data", *map(str, arguments))
        command = [sys.executable, TOOLS / "train.py", *arguments]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=cwd) as process:
            while kill_when is not None and process.poll() is None:
                if kill_when():
                    process.kill()
                time.sleep(0.002)
            out, err = process.communicate(timeout=600)
        return subprocess.CompletedProcess(command, process.returncode, out, err)

    return run


@pytest.fixture
def load_tool(monkeypatch):
    """load_tool("demo") -> the module tools/demo.py; the signals that it takes are given back."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}

    def load(name: str):
        monkeypatch.syspath_prepend(str(ROOT))
        return importlib.import_module(f"tools.{name}")

    yield load
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def tool(load_tool, capsys):
    """tool("export", "--out", folder) -> (exit code, what it printed, what it complained), as `ugatit export` here."""

    def run(name, *arguments):
        try:
            main = load_tool(Path(SCRIPTS[name]).stem).main
            code = load_tool("commandline").run(name, main, [str(argument) for argument in arguments])
        except SystemExit as error:  # --help
            code = error.code
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


class ParsedError(Exception):
    """Ends a tool that has understood its command line."""


@pytest.fixture
def understood(load_tool, tmp_path, monkeypatch):
    """understood("ugatit train --light") -> the tool's name; what the tool does not understand is an error.

    Launchers, `tools/*.sh`, run with a program in Python's place that tells what they start.
    """
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nprintf '%s\\037' \"$@\"\nprintf '\\036'\n")
    python.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "default_config.yaml").write_text("".join(f"{name}: {value}\n" for name, value in DEFAULTS.items()))
    parse_args = argparse.ArgumentParser.parse_args

    def parse(self, *given):
        parse_args(self, *given)
        raise ParsedError

    def started_by(script: Path, words: list[str]) -> list[list[str]]:
        for word in words:
            if word.endswith(".mindir"):  # which run_infer_310.sh wants to see
                (tmp_path / word).parent.mkdir(parents=True, exist_ok=True)
                (tmp_path / word).touch()
        told = subprocess.check_output([script, *words], text=True, env=os.environ | {"PYTHON": str(python)})
        calls = [call.split("\037")[:-1] for call in told.split("\036")[:-1]]
        return [call for call in calls if call[0] != "-c"]

    def goes_on(words: list[str]) -> None:
        """Makes the run that the command resumes or tests."""
        place = next((words[words.index(name) + 1] for name in ("--load_path", "--output_path") if name in words), None)
        folder = tmp_path / (place or "results")
        folder.mkdir(parents=True, exist_ok=True)
        saved.save(Options(), folder / saved.OPTIONS_FILE)

    def parsed(name: str, words: list[str]) -> None:
        if name == "launch":
            places = [i for i, word in enumerate(words) if word.startswith("--")]
            assert all(word.isdigit() or word.endswith(".json") for word in words[: places[0]]), words
            words = words[places[0] :]
        if name in ("launch", "train"):
            if "--resume" in words or "--phase" in words:
                goes_on(words)
            arguments.parse(words)
            return
        with monkeypatch.context() as patch:
            patch.setattr(load_tool("commandline").Parser, "parse_args", parse)
            with pytest.raises(ParsedError):
                load_tool(Path(SCRIPTS[name]).stem).main(words)

    def check(command: str) -> str:
        first, *words = shlex.split(command, comments=True)
        calls = [[first, *words]]
        if first == "ugatit":
            calls = [[SCRIPTS[words[0]], *words[1:]]]
        elif first.endswith(".sh"):
            calls = started_by(ROOT / first, words)
        [name] = {name for call in calls for name, file in SCRIPTS.items() if file == Path(call[0]).name}
        for call in calls:
            parsed(name, call[1:])
        return name

    return check


@pytest.fixture
def refused():
    """Assert that a tool refused its input: exit 2, one line on stderr with the words, nothing else printed."""

    def check(process: subprocess.CompletedProcess, *words: str) -> None:
        assert process.returncode == 2, process.stderr
        assert process.stdout == ""
        assert process.stderr.count("\n") == 1, process.stderr
        for word in words:
            assert word in process.stderr

    return check


@pytest.fixture
def no_mindspore(tmp_path_factory):
    """Environment in which importing MindSpore fails, so that a refusal proves that it was not needed.

    With GLIBC_TUNABLES, which spares `train` and `profile` their second start: test_command.py tests it.
    """
    blocked = tmp_path_factory.mktemp("blocked")
    (blocked / "mindspore.py").write_text("raise ImportError('mindspore was imported')")
    path = f"{blocked}{os.pathsep}{TOOLS.parent}"
    return {"PYTHONPATH": path, "PATH": "", "GLIBC_TUNABLES": runtime.MALLOC_TUNABLES}


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    """A folder of tiny pictures: four in trainA, three in trainB."""
    root = tmp_path_factory.mktemp("pictures") / "source"
    draw = np.random.default_rng(0)
    for folder, count in (("trainA", 4), ("trainB", 3)):
        (root / folder).mkdir(parents=True)
        for i in range(count):
            cv2.imwrite(str(root / folder / f"{i}.png"), draw.integers(0, 256, (20, 30, 3), np.uint8))
    return root


@pytest.fixture(scope="session")
def dataset(pictures, tmp_path_factory):
    from ugatit_data import convert

    out = tmp_path_factory.mktemp("converted") / "dataset"
    convert(pictures, out, workers=1)
    return out
