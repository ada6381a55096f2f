"""Measures what this machine can do at most: float32 matrix product, convolution, memory copy."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from ugatit_data.files import available_cores

UNITS = {"sgemm": "gflop_per_s", "convolution": "gflop_per_s", "copy": "gb_per_s"}


def probes(scale: float = 1.0) -> dict[str, Callable[[], float]]:
    """Functions by name that measure once, in `UNITS`. `scale` makes the work smaller; `convolution` needs torch."""
    source = np.ones(max(1 << 16, round((1 << 26) * scale)), np.float32)  # 256 MiB: no cache holds it
    target = np.zeros_like(source)
    parts = available_cores()
    pairs = list(zip(np.array_split(target, parts), np.array_split(source, parts), strict=True))
    pool = ThreadPoolExecutor(parts)

    def copy() -> None:
        list(pool.map(lambda pair: np.copyto(*pair), pairs))  # a thread for each core: NumPy releases the GIL

    found = {
        "sgemm": lambda: sgemm(scale),
        "copy": lambda: 2 * source.nbytes / 1e9 / _best(copy),  # read and written
    }
    try:
        import torch
    except ImportError:
        return found
    c, pixels = max(16, round(256 * scale)), 64
    conv = torch.nn.Conv2d(c, c, 3, bias=False)  # as in the generator's residual blocks at 256 px
    x = torch.randn(1, c, pixels + 2, pixels + 2)

    def convolve() -> None:
        with torch.no_grad():
            conv(x)

    return found | {"convolution": lambda: 2 * 9 * c * c * pixels**2 / 1e9 / _best(convolve)}


def sgemm(scale: float = 1.0) -> float:
    """GFLOP/s of a float32 product of square matrices, 2048 x 2048 at scale 1.

    In a process of its own, which is told the processor's kind. NumPy's OpenBLAS does not know a processor newer than
    itself and takes it for one of 2004: 28 GFLOP/s where 140 are there, on a Xeon of 2023 with NumPy 1.26.
    """
    environment = core_type(_flags()) | os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    code = f"from ugatit_train.performance import ceilings; print(ceilings.product({scale}))"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    return float(done.stdout)


def product(scale: float) -> float:
    """`sgemm` by the OpenBLAS of this process."""
    side = max(64, round(2048 * scale))
    left, right = (np.random.default_rng(seed).standard_normal((side, side), np.float32) for seed in (1, 2))
    result = np.empty_like(left)
    return 2 * side**3 / 1e9 / _best(lambda: np.matmul(left, right, out=result))


def core_type(flags: set[str]) -> dict[str, str]:
    """The variable that has OpenBLAS use what a processor with these flags can do; empty for those without AVX2."""
    if {"avx512f", "avx512bw", "avx512dq", "avx512vl"} <= flags:
        return {"OPENBLAS_CORETYPE": "SKYLAKEX"}
    return {"OPENBLAS_CORETYPE": "HASWELL"} if {"avx2", "fma"} <= flags else {}


def _flags() -> set[str]:
    """What Linux says of the processor on x86; empty elsewhere."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return set()
    return next((set(line.split()) for line in lines if line.startswith("flags")), set())


def _best(work: Callable[[], object], rounds: int = 5, least_s: float = 0.2) -> float:
    """Seconds of the fastest of some rounds, after one to warm up: other load must not lower a ceiling.

    Short rounds are repeated for `least_s` seconds, for other load comes and goes.
    """
    work()
    times: list[float] = []
    while len(times) < rounds or sum(times) < least_s:
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return min(times)
