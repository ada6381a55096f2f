"""A run that several test modules of this folder look at."""

import fcntl
import os

import pytest


@pytest.fixture(scope="session")
def traced_run(tmp_path_factory):
    """Five steps of the demo's kind in a process of their own: losses, parameters, and what oneDNN printed.

    Test processes that run side by side (pytest -n) share one: whoever comes first makes it, the others wait.
    """
    from .stepping import TRACED, read_run, run_in_a_process

    own = tmp_path_factory.getbasetemp()
    common = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
    with (common / "traced.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (common / "traced.txt").exists():
            run_in_a_process(TRACED, common / "traced.npz")
    return read_run(common / "traced.npz")
