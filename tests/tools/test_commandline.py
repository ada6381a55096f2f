"""The frame of all tools: what is raised becomes one line and an exit code."""

import errno
import io
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from ugatit_data import BadInputError, CorruptDatasetError
from ugatit_data.storage import StorageError
from ugatit_train.options.config import OptionError

from .conftest import ROOT, TOOLS


@pytest.fixture
def frame(load_tool):
    return load_tool("commandline")


def no_space(file=None):
    error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    error.filename = file
    return error


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (BadInputError("x: no such\n  thing"), 2, "x: no such thing"),
        (OptionError("--x 3: no"), 2, "--x 3: no"),
        (CorruptDatasetError("x: damaged"), 1, "x: damaged"),
        (no_space("a/b"), 1, "a/b: No space left on device: run it again"),
        (OSError("no room: give another --out"), 1, "no room: give another --out"),
        (MemoryError(), 1, "out of memory: free some memory, and run it again"),
        (RuntimeError("words\nMemory isn't enough.\n"), 1, "Memory isn't enough: free some memory, and run it again"),
        (KeyboardInterrupt(), 1, "interrupted: run it again"),
    ],
)
def test_what_a_tool_raises_is_one_line(frame, capsys, error, code, line):
    def main(argv):
        raise error

    assert frame.run("convert", main, []) == code
    assert capsys.readouterr() == ("", f"ugatit convert: {line}\n")


@pytest.mark.parametrize(
    ("encoding", "errors", "printed"),
    [
        ("ascii", "strict", r"\xfc\u20ac\udcff"),
        ("latin-1", "strict", "\xfc" + r"\u20ac\udcff"),
        ("utf-8", "strict", "ü€" + r"\udcff"),
        ("utf-8", "surrogateescape", "ü€\udcff"),  # as in the locale C: the bytes as they are
    ],
)
def test_a_name_that_stdout_cannot_encode_is_printed_with_escapes(frame, monkeypatch, encoding, errors, printed):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding, errors=errors))
    assert frame.run("convert", lambda argv: print(os.fsdecode("ü€".encode() + b"\xff")) or 0, []) == 0
    assert raw.getvalue() == f"{printed}\n".encode(encoding, errors)


def test_other_errors_are_no_refusals(frame):
    def main(argv):
        raise RuntimeError("a fault of the program")

    with pytest.raises(RuntimeError, match="a fault of the program"):
        frame.run("convert", main, [])


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (CorruptDatasetError("x: damaged"), 2, "x: damaged"),
        (FileNotFoundError(errno.ENOENT, "No such file", "x"), 2, "x: No such file: check the path"),
        (StorageError("s3://x: does not answer"), 1, "s3://x: does not answer"),
    ],
)
def test_what_fails_while_checking_is_bad_input_but_for_storage(frame, capsys, error, code, line):
    def main(argv):
        with frame.checking():
            raise error

    assert frame.run("convert", main, []) == code
    assert capsys.readouterr().err == f"ugatit convert: {line}\n"


def test_a_failure_of_work_among_checks_keeps_its_exit_code(frame, capsys):
    def main(argv):
        with frame.checking(), frame.working("resume"):
            raise no_space("x")

    assert frame.run("infer_310", main, []) == 1
    assert capsys.readouterr().err == "ugatit infer_310: x: No space left on device: resume\n"


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (no_space(), "out: No space left on device: resume"),
        (no_space("file"), "file: No space left on device: resume"),
        (MemoryError(), "out of memory: give less"),
        (KeyboardInterrupt(), "interrupted: go on"),
    ],
)
def test_work_has_remedies_of_its_own(frame, capsys, error, line):
    def main(argv):
        with frame.checking(), frame.working("resume", interrupted="go on", memory="give less", where="out"):
            raise error

    assert frame.run("train", main, []) == 1
    assert capsys.readouterr().err == f"ugatit train: {line}\n"


def test_what_a_tool_leaves_unfinished_does_not_stand_in_the_way_of_the_next_try(frame, tmp_path):
    out = tmp_path / "out"
    with pytest.raises(MemoryError), frame.filling(out):
        (out / "sub").mkdir()
        (out / "sub" / "first.png").write_text("whole")
        raise MemoryError
    assert (out / "sub" / "first.png").exists()  # for who wants to look
    frame.refuse_full_folder(out, "--out")
    with frame.filling(out):
        assert [path.name for path in out.iterdir()] == [".unfinished"]
        (out / "second.png").write_text("whole")
    assert [path.name for path in out.iterdir()] == ["second.png"]
    with pytest.raises(BadInputError, match="out exists and is not an empty folder: give another --out"):
        frame.refuse_full_folder(out, "--out")


def test_a_second_tool_does_not_empty_the_folder_of_one_at_work(frame, tmp_path):
    out = tmp_path / "out"
    with frame.filling(out):
        (out / "hours.png").write_text("of work")
        frame.refuse_full_folder(out, "--out")  # looks as if one had been killed there
        with pytest.raises(BadInputError, match="out: another tool writes there: wait for its end"), frame.filling(out):
            raise AssertionError
    with pytest.raises(BadInputError, match="out exists and is not an empty folder"), frame.filling(out):
        raise AssertionError
    assert [path.name for path in out.iterdir()] == ["hours.png"]


@pytest.mark.parametrize("was_there", [False, True])
def test_a_tool_that_writes_nothing_leaves_nothing(frame, tmp_path, was_there):
    out = tmp_path / "out"
    if was_there:
        out.mkdir()
    with pytest.raises(KeyboardInterrupt), frame.filling(out):
        (out / "sub").mkdir()
        raise KeyboardInterrupt
    assert out.exists() == was_there and not any(path.is_file() for path in tmp_path.rglob("*"))
    (tmp_path / "of the user").mkdir()
    (tmp_path / "of the user" / "file").write_text("x")
    frame.abandon(tmp_path / "of the user")
    frame.abandon(tmp_path / "none")
    assert (tmp_path / "of the user" / "file").exists()


def piped(code: str, close: str) -> subprocess.Popen:
    """A process whose stdout (or stderr) nobody reads."""
    read, write = os.pipe()
    os.close(read)
    where = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | {close: write}
    made = subprocess.Popen([sys.executable, "-c", code], text=True, cwd=ROOT, **where)
    os.close(write)
    return made


FRAME = """
import sys
from pathlib import Path
from tools import commandline

def main(argv):
    {}

sys.exit(commandline.run("convert", main, []))
"""


@pytest.mark.parametrize("flush", [False, True])
def test_a_closed_pipe_ends_a_tool_without_a_word(flush):
    with piped(FRAME.format(f"print('x', flush={flush}); return 0"), "stdout") as process:
        assert process.communicate() == (None, "")
    assert process.returncode == 1


@pytest.mark.parametrize("line", ["['convert', '--help']", "['train', '--help']", "['--help']", "['--version']"])
def test_a_manual_that_nobody_reads_ends_without_a_word(line):
    code = f"import sys; from tools.__main__ import main; sys.argv[1:] = {line}; main()"
    with piped(code, "stdout") as process:
        assert process.communicate() == (None, "")
    assert process.returncode in (0, 1)  # argparse hides it


def test_another_broken_pipe_is_an_error():
    line = "raise BrokenPipeError(32, 'Broken pipe')"
    done = subprocess.run([sys.executable, "-c", FRAME.format(line)], capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode, done.stderr) == (1, "ugatit convert: Broken pipe: run it again\n")


def test_a_tool_read_by_head(tmp_path):
    done = subprocess.run(
        f"{shlex.join([sys.executable, str(TOOLS / 'convert_dataset.py')])} --help | head -1; echo ${{PIPESTATUS[0]}}",
        shell=True, executable="/bin/bash", capture_output=True, text=True,
    )  # fmt: skip
    assert done.stdout.startswith("usage: tools/convert_dataset.py") and done.stderr == ""


@pytest.mark.parametrize("line", ["print('x'); return 0", "raise SystemExit(0)"])
def test_a_tool_that_is_started_without_a_stdout(line):
    done = subprocess.run(
        f"{shlex.quote(sys.executable)} - >&-",
        input=FRAME.format(line),
        shell=True,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
def test_a_list_of_tools_that_finds_no_space_is_one_line():
    code = "import sys; from tools.__main__ import main; sys.argv[1:] = ['--help']; main()"
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([sys.executable, "-c", code], stdout=full, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    assert (done.returncode, done.stderr) == (1, "ugatit: stdout: No space left on device: run it again\n")
