"""No convolution of a step may run as oneDNN's reference implementation, hundreds of times slower (AVX-512 hosts)."""

import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

NATIVE_CONVOLUTION = """
from ugatit_train import runtime
runtime.setup("CPU")
import numpy as np
from mindspore import Tensor, nn
from mindspore.ops import operations as P

class Native(nn.Cell):
    def __init__(self):
        super().__init__()
        self.conv = P.Conv2D(16, 3, pad_mode="valid")

    def construct(self, x, weight):
        return self.conv(x, weight)

ones = [Tensor(np.ones(shape, np.float32)) for shape in [(1, 16, 16, 16), (16, 16, 3, 3)]]
assert Native()(*ones).asnumpy().max() == 144
"""


def executed(printed):
    """The primitives that oneDNN ran: (kind, implementation) -> how often."""
    # onednn_verbose,v1,primitive,exec,cpu,convolution,jit_uni_ncsp:conv+ref:any,forward_training,...
    lines = (line.split(",") for line in printed.splitlines() if line.startswith("onednn_verbose,"))
    return Counter((f[5], f[6]) for f in lines if f[2:4] == ["primitive", "exec"])


def reference_convolutions(primitives):
    return {
        f"{kind} {name}": count
        for (kind, name), count in primitives.items()
        if "convolution" in kind and re.search(r"\bref\b", name)
    }


def test_a_step_runs_no_reference_convolution(traced_run):
    _, _, printed = traced_run
    primitives = executed(printed)
    seen = f"oneDNN ran {primitives.total()} primitives: {dict(primitives)}"
    assert primitives.total() > 1000, seen
    assert not reference_convolutions(primitives), seen


def test_no_update_is_removed_as_if_it_had_no_effect(traced_run):
    """The first is MindSpore's warning of the copies that `runtime` turns off: it does warn."""
    _, _, printed = traced_run
    assert "Do not insert TensorMove for all Load nodes" in printed
    assert "eliminated by mistake" not in printed


def test_the_check_sees_the_reference_convolution_of_a_native_one(tmp_path):
    cpu = Path("/proc/cpuinfo")
    if not (cpu.exists() and "avx512f" in cpu.read_text()):
        pytest.skip("this processor has no AVX-512: oneDNN does not fall back to its reference here")
    (tmp_path / "native.py").write_text(NATIVE_CONVOLUTION)  # MindSpore compiles from source files only
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("ONEDNN", "DNNL"))}
    done = subprocess.run(
        [sys.executable, "native.py"],
        cwd=tmp_path,
        env=environment | {"ONEDNN_VERBOSE": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert reference_convolutions(executed(done.stdout)), done.stdout
