"""A step in which every operator takes another form than on the CPU has the losses of the CPU's."""

import dataclasses

import numpy as np

from ugatit_train.forms import CPU, Forms

from ..stepping import CONFIGURATIONS, TRACED, run

OTHERS = Forms(
    adalin="unfolded", leaky_relu="operator", cam="doubled", sigma="weight", optimizer="alpha", cycles="joined"
)


def test_a_step_of_other_forms_is_the_step(traced_run):
    """Losses of steps 1 and 5 as in the tests of the step."""
    same = [f.name for f in dataclasses.fields(Forms) if getattr(OTHERS, f.name) == getattr(CPU, f.name)]
    assert same == ["half"]
    other = np.stack(run(CONFIGURATIONS[TRACED], OTHERS)[0])
    ours = np.stack(traced_run[0])
    np.testing.assert_allclose(ours[0], other[0], rtol=1e-5)
    np.testing.assert_allclose(ours, other, rtol=1e-3)
    assert (ours != other).any()  # float32 rounds the forms differently
