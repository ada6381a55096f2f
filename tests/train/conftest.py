"""Settles MindSpore's environment and device before any test module of this folder imports it."""

import pytest

from ugatit_train import runtime

runtime.setup("CPU")


@pytest.fixture(scope="session")
def traced_run(tmp_path_factory):
    """Five steps of the demo's kind in a process of their own: losses, parameters, and what oneDNN printed."""
    from .stepping import TRACED, run_in_a_process

    return run_in_a_process(TRACED, tmp_path_factory.mktemp("traced") / "run.npz")
