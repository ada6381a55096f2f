"""The checks of a device. Each takes what its process shares, fills in its result, and gives a line of what it found.

What it finds wrong it raises as CheckFailed, and any other exception is a failure too. MindSpore loads inside of them.
"""

import dataclasses

import numpy as np

from ugatit_train.evaluation.device import machine, tiny
from ugatit_train.evaluation.device.record import CheckFailed, Result
from ugatit_train.evaluation.device.shared import Shared, Training
from ugatit_train.exchange import export as exchange
from ugatit_train.forms import form_for
from ugatit_train.inference import models
from ugatit_train.options import saved
from ugatit_train.training import checkpoint, runfolder

# The largest relative error of a convolution's sum of 144 products, against float64.
KERNEL_BOUNDS = {
    "float32": (1e-5, "float32 rounds to 6e-8"),
    "hf32": (2e-3, "HF32 and float16 round to 11 bits, 5e-4"),
    "float16": (2e-3, "HF32 and float16 round to 11 bits, 5e-4"),
}
HALF_EXPORT_BOUND = 1e-2  # on a CPU the pictures of convolutions in float16 differ from float32's by 5e-3
NOISE = "noise"  # in place of a data set's name, in the checkpoints


def device(shared: Shared, result: Result) -> str:
    """Versions, chip, memory, precision; a convolution behind a reflection padding, and a product, against float64."""
    target = shared.job.device_target
    result.figures |= {"versions": machine.versions(), "host": machine.host(), "environment": machine.settings()}
    precision = shared.precision
    found = machine.chip(target)
    forms = form_for(target, half=precision == "float16")
    result.figures |= found | {"precision": precision, "forms": dataclasses.asdict(forms)}
    errors = kernel_errors(forms)
    result.figures["relative_errors"] = errors
    bound, why = KERNEL_BOUNDS[precision]
    result.tolerances["convolution"] = f"a relative error of {bound:g} in {precision}: {why}"
    if not errors["convolution"] <= bound:
        raise CheckFailed(
            f"a convolution has a relative error of {errors['convolution']:.1e}, in {precision} at most {bound:g}"
        )
    return f"{found['chip']}, devices: {found['devices']}, {found['memory_gib']} GiB, {precision}"


def kernel_errors(forms) -> dict[str, float]:
    """Relative errors of the networks' 3 x 3 convolution and of a matrix product, of the largest expected value."""
    from mindspore import Tensor, ops

    from ugatit_train.networks.ugatit import PaddedConv

    random = np.random.default_rng(3)
    shapes = ((1, 16, 16, 16), (16, 16, 3, 3), (144, 144), (144, 144))
    x, weight, left, right = (random.standard_normal(shape, np.float32) for shape in shapes)
    conv = PaddedConv(forms, 16, 16, 3, "reflect")
    conv.weight.set_data(Tensor(weight))
    padded = np.pad(x.astype(np.float64), ((0, 0), (0, 0), (1, 1), (1, 1)), "reflect")
    windows = np.stack([padded[:, :, i : i + 16, j : j + 16] for i in range(3) for j in range(3)], -1)
    pairs = {
        "convolution": (
            conv(Tensor(x)),
            np.einsum("nchwk,ock->nohw", windows, weight.reshape(16, 16, 9).astype(np.float64)),
        ),
        "product": (ops.matmul(Tensor(left), Tensor(right)), left.astype(np.float64) @ right.astype(np.float64)),
    }
    return {
        name: float(np.abs(found.asnumpy() - expected).max() / np.abs(expected).max())
        for name, (found, expected) in pairs.items()
    }


def losses(model: str, shared: Shared, result: Result) -> str:
    """Five steps of a tiny network against the recorded losses of the float64 reference."""
    training = shared.training(model)
    found = [training.first, *(training() for _ in range(tiny.STEPS - 1))]
    result.figures["first_step_s"] = training.first_s
    return compare(found, tiny.recorded()[model], shared.precision, result)


def compare(found: list[dict[str, float]], expected: list[dict[str, float]], precision: str, result: Result) -> str:
    """The largest difference in words. Raises CheckFailed where a step's is too large, or a loss is not finite."""
    allowed = tiny.TOLERANCES[precision]
    differences = tiny.differences(found, expected)
    result.tolerances["step 1"] = f"a relative difference of {allowed.first:g} in {precision}"
    result.tolerances["later steps"] = f"{allowed.later:g}: {allowed.why}"
    for name, rows in {"found": found, "recorded in float64": expected}.items():
        result.figures[name] = [{"step": step, **row} for step, row in enumerate(rows, 1)]
    result.figures["differences"] = differences
    bounds = [allowed.first, *[allowed.later] * (tiny.STEPS - 1)]
    for step, (difference, bound) in enumerate(zip(differences, bounds, strict=True), 1):
        if not difference <= bound:  # NaN is not
            here, there = found[step - 1], expected[step - 1]
            name = max(there, key=lambda n: np.nan_to_num(abs(here[n] - there[n]) / abs(there[n]), nan=np.inf))
            raise CheckFailed(
                f"step {step}: {name} is {here[name]:.7g}, recorded {there[name]:.7g}: "
                f"a relative difference of {difference:.1e}, allowed {bound:g}"
            )
    return f"largest relative difference {differences[0]:.1e} in step 1, {max(differences[1:]):.1e} after it"


def resume(shared: Shared, result: Result) -> str:
    """Saves a checkpoint, trains on, zeroes every parameter, resumes, and trains the same steps again."""
    from mindspore import ops

    training, steps = shared.training("light"), 2
    state = training.cell.state()
    folder = shared.folder / "resume"
    step = int(state["step"].asnumpy())
    save(training, folder, step)
    straight = [training() for _ in range(steps)]
    weights = {name: parameter.asnumpy().copy() for name, parameter in state.items()}
    for parameter in state.values():
        parameter.set_data(ops.zeros_like(parameter))
    options = dataclasses.replace(training.options, output_path=str(folder), resume=True)
    start = runfolder.resume(options, 1, NOISE, state)
    again = [training() for _ in range(steps)]
    differences = tiny.differences(again, straight)
    equal = sum(bool((state[name].asnumpy() == array).all()) for name, array in weights.items())
    result.figures |= {"saved_step": start.step, "differences": differences, "equal": f"{equal} of {len(weights)}"}
    exact = shared.job.device_target == "CPU"
    bound = 0.0 if exact else tiny.TOLERANCES[shared.precision].first
    why = "the CPU goes on to the bit" if exact else "a card may add up in another order"
    result.tolerances["losses after the resume"] = f"a relative difference of {bound:g}: {why}"
    if start.step != step or not np.max(differences) <= bound or (exact and equal < len(weights)):
        raise CheckFailed(
            f"resumed after step {start.step}, saved at {step}: the losses differ by {np.max(differences):.1e}, "
            f"{equal} of {len(weights)} parameters are equal to the bit"
        )
    same = f"{equal} of {len(weights)} parameters equal to the bit"
    return f"{steps} steps again: largest relative difference of a loss {max(differences):.1e}, {same}"


def save(training: Training, folder, step: int):
    """A checkpoint of the training in the run's folder; gives its path."""
    data = {"dataset_id": NOISE, "step": 0, "global_batch": 1}
    meta = {"step": step, "data": data, "options": saved.lasting(training.options)}
    return checkpoint.save(folder / runfolder.CHECKPOINTS, training.cell.state(), meta, keep=1)


def export(shared: Shared, result: Result) -> str:
    """Writes a generator as MINDIR, reads it back, and compares the file with the checkpoint's network."""
    path = save(shared.training("light"), shared.folder / "export", 1)
    trained = models.from_checkpoint(path, "a2b")
    signature = exchange.signature_for(trained, "MINDIR", None, static=True)
    folder = shared.folder / "export" / "file"
    folder.mkdir(parents=True)
    file = exchange.write(path, signature, "MINDIR", folder)
    difference = exchange.compare(trained, models.from_file(file), exchange.trial_images(signature, 2))
    result.figures |= dataclasses.asdict(difference) | {"bytes": file.stat().st_size}
    bound = exchange.BOUND if shared.precision == "float32" else HALF_EXPORT_BOUND
    result.tolerances["outputs"] = (
        f"{bound:g} in {shared.precision}: the file has the plain forms, which round differently"
    )
    if not (difference.picture <= bound and difference.heatmap <= bound):  # NaN is not
        raise CheckFailed(f"{said(difference)}, more than {bound:g}")
    return said(difference)


def said(difference: exchange.Difference) -> str:
    in_heatmap = f"{difference.heatmap:.1e} in the heat map (of its largest)"
    return f"the file differs by {difference.picture:.1e} in the picture (of -1 to 1), by {in_heatmap}"
