"""The product's ceiling is that of the processor, also of one that NumPy's OpenBLAS does not know."""

import os
import subprocess
import sys

import pytest

from ugatit_train.performance import ceilings

OLD = {"fma", "avx", "avx2"}
NEW = OLD | {"avx512f", "avx512bw", "avx512dq", "avx512vl"}


@pytest.mark.parametrize(
    ("flags", "expected"),
    [(NEW, "SKYLAKEX"), (NEW - {"avx512vl"}, "HASWELL"), (OLD, "HASWELL"), (OLD - {"fma"}, None), (set(), None)],
)
def test_the_kernels_are_those_that_the_processor_can_run(flags, expected):
    assert ceilings.core_type(flags) == ({"OPENBLAS_CORETYPE": expected} if expected else {})


def test_openblas_takes_what_it_is_told():
    """OpenBLAS says so itself; on a processor without AVX2 it is told nothing."""
    told = ceilings.core_type(ceilings._flags())
    if not told:
        pytest.skip("this processor has no AVX2, or Linux does not say so")
    environment = os.environ | told | {"OPENBLAS_VERBOSE": "2"}
    done = subprocess.run([sys.executable, "-c", "import numpy"], env=environment, capture_output=True, text=True)
    assert f"core: {told['OPENBLAS_CORETYPE'].lower()}" in (done.stdout + done.stderr).lower()


def test_it_is_measured_in_a_process_with_the_imports_and_the_variables_of_this_one(monkeypatch):
    asked = []
    true = subprocess.run
    monkeypatch.setattr(ceilings.subprocess, "run", lambda *words, **more: asked.append(more) or true(*words, **more))
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    assert ceilings.sgemm(0.01) > 0
    assert asked[0]["env"]["OPENBLAS_CORETYPE"] == "Haswell"  # the user's word counts


def test_a_product_is_counted_with_its_additions(monkeypatch):
    worked = []
    monkeypatch.setattr(ceilings, "_best", lambda work: worked.append(work().shape) or 0.5)
    assert ceilings.product(0.05) == pytest.approx(2 * 102**3 / 1e9 / 0.5)
    assert worked == [(102, 102)]


@pytest.mark.parametrize(("round_s", "rounds"), [(0.01, 21), (0.5, 6)])
def test_short_rounds_are_repeated_for_other_load_comes_and_goes(monkeypatch, round_s, rounds):
    now, worked = [0.0], []

    def work():
        worked.append(1)
        now[0] += round_s

    monkeypatch.setattr(ceilings.time, "perf_counter", lambda: now[0])
    assert ceilings._best(work) == pytest.approx(round_s)
    assert len(worked) == pytest.approx(rounds, abs=1)
