"""The checks of the compile cache: what a graph that was loaded computes beside the one that was compiled."""

import numpy as np

from ugatit_train.evaluation.device import tiny
from ugatit_train.evaluation.device.record import CheckFailed, Result, Skipped
from ugatit_train.evaluation.device.shared import Shared, Training


def losses(loads: bool, shared: Shared, result: Result) -> str:
    """Five steps of the tiny light network, whose graph is kept in a folder or (`loads`) taken from there."""
    on_cpu = shared.job.device_target == "CPU"
    if on_cpu and not loads:
        raise Skipped("on the CPU losses_light is compiled so")
    cold = shared.job.known["losses_light"].get("found")
    if cold is None:
        raise Skipped("losses_light has none to compare with")
    training = Training(shared.options("light"), shared.folder / "graphs")
    found = [training.first, *(training() for _ in range(tiny.STEPS - 1))]
    result.figures |= {"loaded": training.loaded, "first_step_s": training.first_s}
    return compare(found, cold, loads, shared, result)


def compare(found: list[dict[str, float]], cold: list[dict], loads: bool, shared: Shared, result: Result) -> str:
    """The largest difference in words. Raises CheckFailed where it is too large, or the graph came from elsewhere."""
    if result.figures["loaded"] != loads:
        raise CheckFailed("the graph was compiled again" if loads else "a graph was loaded from an empty folder")
    expected = [{name: value for name, value in losses.items() if name != "step"} for losses in cold]
    difference = float(np.max(tiny.differences(found, expected)))
    result.figures["difference"] = difference
    on_cpu = shared.job.device_target == "CPU"
    bound = 0.0 if on_cpu else tiny.TOLERANCES[shared.precision].first
    why = "it is the same graph" if on_cpu else "a card may add up in another order"
    result.tolerances["losses"] = f"a relative difference of {bound:g} from losses_light: {why}"
    seconds, before = result.figures["first_step_s"], shared.job.known["losses_light"]["first_step_s"]
    how = f"first step in {seconds:.1f} s, in losses_light {before:.1f} s"
    if not difference <= bound:
        raise CheckFailed(f"{how}: the losses differ by {difference:.1e}, relative; allowed {bound:g}")
    return f"{how}: largest relative difference of a loss {difference:.1e}"
