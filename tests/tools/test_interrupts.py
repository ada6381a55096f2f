"""Ctrl-C while MindSpore loads or compiles, and memory that is not there: one line and exit 1."""

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from .conftest import TOOLS


@pytest.mark.parametrize("wait_s", [0, 3], ids=["while MindSpore loads", "while it compiles"])
@pytest.mark.parametrize(
    ("name", "arguments", "line"),
    [
        (
            "profile_step",
            ("--img_size", "24", "--n_dis", "4", "--light"),
            "what is in {} is not whole; given again, it begins anew",
        ),
        ("export", ("--checkpoint", "{}"), "nothing was kept, run it again"),
    ],
)
def test_ctrl_c_is_one_line(of_a_user, untrained_run, tmp_path, name, arguments, line, wait_s):
    out = tmp_path / "out"
    arguments = [text.format(untrained_run) for text in arguments]
    command = [sys.executable, TOOLS / f"{name}.py", "--out", out, *arguments]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path, env=of_a_user(os.environ)
    ) as process:
        while "mindspore" not in Path(f"/proc/{process.pid}/maps").read_text():
            time.sleep(0.005)
        time.sleep(wait_s)
        process.send_signal(signal.SIGINT)
        said, complaint = process.communicate(timeout=120)
    assert (process.returncode, complaint) == (1, f"tools/{name}.py: interrupted: {line.format(out)}\n")
    assert said in ("", "device: CPU\n")
    assert not any(path.is_file() for path in tmp_path.rglob("*"))


def test_memory_that_is_not_there_is_one_line(run_tool, untrained_run, tmp_path):
    cv2.imwrite(str(tmp_path / "large.png"), np.full((3000, 4000, 3), 99, np.uint8))  # 7 GB of columns for 7 x 7
    done = run_tool(
        "translate", tmp_path / "large.png", "--checkpoint", untrained_run, "--out", tmp_path / "out", "--keep_size",
        "--engine", "mindspore",
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (6_000_000_000, 6_000_000_000)),
    )  # fmt: skip
    assert done.returncode == 1
    line = done.stderr.splitlines()[-1]  # before it stands what MindSpore says itself
    assert (
        line.startswith("tools/translate.py: Memory isn't enough and alloc failed") and "Traceback" not in done.stderr
    )
    assert line.endswith(": give a smaller --size or --batch, or --tiles")
