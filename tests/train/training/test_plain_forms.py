"""A step of which every saving is replaced by its plain form has the losses of the one that trains."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

from ..stepping import TRACED

CODE = """
import sys
from ugatit_train import runtime
runtime.setup("CPU")
from train import plain_forms, stepping
for replace in plain_forms.FORMS.values():
    replace()
stepping.save(sys.argv[1], sys.argv[2], recompute=False)
"""


def test_all_plain_forms_together_are_the_step(traced_run, tmp_path):
    """In a process of its own, because a form stays replaced. Losses of steps 1 and 5 as in the tests of the step."""
    command = [sys.executable, "-c", CODE, TRACED, tmp_path / "plain.npz"]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    with np.load(tmp_path / "plain.npz") as saved:
        plain = saved["losses"]
    ours = np.stack(traced_run[0])
    np.testing.assert_allclose(ours[0], plain[0], rtol=1e-5)
    np.testing.assert_allclose(ours, plain, rtol=1e-3)
    assert (ours != plain).any()  # the forms were replaced: float32 rounds them differently
