"""The trainer's side of `test_step.py`: configurations of the step, and what five steps of one leave behind.

`run_in_a_process` runs one in a process of its own, for `test_convolution_trap.py`, which reads what oneDNN printed.
"""

import os
import subprocess
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy
from mindspore import Tensor

from ugatit_train import runtime
from ugatit_train.forms import ASCEND, CPU, Forms
from ugatit_train.networks import compiling
from ugatit_train.networks.ugatit import Discriminator, Generator
from ugatit_train.training import average
from ugatit_train.training.step import Step, StepSettings

from . import reference as ref
from .parity import fill, float32

NUM_STEPS = 5
ASCEND_HERE = replace(ASCEND, padding="mirror")  # the CPU has no ReflectionPad2D
OTHERS = Forms(  # every operator takes another form than on the CPU
    adalin="unfolded", leaky_relu="operator", cam="doubled", sigma="weight", optimizer="alpha", cycles="joined"
)
ZOO_VARIANT = {"padding": "zero", "spectral_norm": False, "update_order": "g_first"}


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """A step to compile, at 32 pixels with ch 4 and n_res 1."""

    batch: int = 1
    img_ch: int = 3
    n_dis: int = 3
    light: bool = True
    clips_norm: bool = False
    rho_at_its_bounds: bool = False
    loss_scale: float | str = 1.0
    recompute: bool = False
    ema: float = 0.0
    forms: Forms = CPU
    options: dict = field(default_factory=dict)

    @property
    def reference(self):
        return ref.Options(**{"iteration": 6, **self.options})  # the rate falls in steps 4 and 5


# Together: each option of the step both ways, one and two samples, one and three channels.
TRACED = "light_per_step"  # the one that also runs in a process of its own; its graph is that of test_loop.py
CONFIGURATIONS = {
    TRACED: Configuration(n_dis=4, options={"iteration": 30}),
    "full_per_pass_gray": Configuration(
        light=False, batch=2, img_ch=1, rho_at_its_bounds=True, ema=0.3, options={"sn_iterations": "per_pass"}
    ),
    "g_first_per_pass_others": Configuration(
        loss_scale="dynamic",
        ema=0.999,
        forms=OTHERS,
        options={"update_order": "g_first", "sn_iterations": "per_pass"},
    ),
    "zoo_variant_global_norm": Configuration(batch=2, clips_norm=True, loss_scale=1024, ema=0.2, options=ZOO_VARIANT),
    "ascend_light": Configuration(forms=ASCEND_HERE, options={"iteration": 1000}),
    "ascend_full_g_first": Configuration(
        light=False, batch=2, forms=ASCEND_HERE, recompute=True, options={"update_order": "g_first"}
    ),
}


def compile_step(configuration, forms=None):
    """A Step of the configuration, of other forms if they are given, with zero weights."""
    options, c = configuration.reference, configuration
    forms = forms or c.forms
    return Step(
        [Generator(forms, 4, 1, 32, c.img_ch, c.light, options.padding) for _ in range(2)],
        [
            Discriminator(forms, 4, n_layers, c.img_ch, options.padding, options.spectral_norm)
            for n_layers in (c.n_dis + 1, c.n_dis + 1, c.n_dis - 1, c.n_dis - 1)
        ],
        StepSettings(
            iteration=options.iteration,
            decay_start=options.iteration // 2,
            sn_iterations=options.sn_iterations,
            update_order=options.update_order,
            use_global_norm=c.clips_norm,
            loss_scale=c.loss_scale,
            recompute=c.recompute,
            ema=c.ema,
        ),
    )


def first_state(configuration):
    """The reference's state before step 1, of numbers that float32 holds."""
    c = configuration
    state = ref.init_state(numpy.random.default_rng(3), 4, 1, c.n_dis, 32, c.img_ch, c.light)
    if c.rho_at_its_bounds:
        for name in rhos(state.params):
            state.params[name] = numpy.resize([0.0, 1.0], state.params[name].shape)
    rounded = ({name: float32(value) for name, value in flat.items()} for flat in (state.params, state.u))
    return state._replace(**dict(zip(("params", "u"), rounded, strict=True)))


def rhos(flat):
    return [name for name in flat if name.endswith(".rho") and not name.startswith(("adam", "ema"))]


def batches(configuration):
    """(a, b) of each step."""
    shape = (NUM_STEPS, 2, configuration.batch, configuration.img_ch, 32, 32)
    return float32(numpy.random.default_rng(4).uniform(-1, 1, shape))


TOO_LARGE = (float("inf"), 2.0**127)  # loss scales of two more steps where the scale is dynamic


def run(configuration, forms=None, cache=None):
    """The losses of every step, and all parameters by name before the first step and after each.

    The graph comes from the suite's folder, or from the `GraphCache` that is given.
    """
    step, state = compile_step(configuration, forms), first_state(configuration)
    fill(step, {**state.params, **state.u})
    average.begin(step.state())
    parameters = {p.name: p for p in step.get_parameters()}
    losses, snapshots = [], [snapshot(parameters)]
    first = [Tensor(image.astype(numpy.float32)) for image in batches(configuration)[0]]
    (cache or compiling.graphs()).compile(step, *first)
    for a, b in batches(configuration):
        losses.append(step(*(Tensor(image.astype(numpy.float32)) for image in (a, b))).asnumpy())
        snapshots.append(snapshot(parameters))
    for scale in TOO_LARGE if configuration.loss_scale == "dynamic" else ():
        parameters["loss_scale"].set_data(Tensor(numpy.float32(scale)))
        step(*(Tensor(image.astype(numpy.float32)) for image in batches(configuration)[-1]))
        snapshots.append(snapshot(parameters))
    if configuration.loss_scale not in (1.0, "dynamic"):
        step(*(Tensor(numpy.full_like(image, 1e25, numpy.float32)) for image in batches(configuration)[-1]))
        snapshots.append(snapshot(parameters))
    return losses, snapshots


def snapshot(parameters):
    return {name: p.asnumpy().astype(numpy.float64) for name, p in parameters.items()}


def run_in_a_process(name, out):
    """`run` in a new process that has oneDNN list its primitives; what `read_run` gives, kept in `out` and beside."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("ONEDNN", "DNNL"))}
    code = f"from train.stepping import save; save({name!r}, {str(out)!r})"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[1],
        env=environment | {"ONEDNN_VERBOSE": "1", "GLOG_v": "2", "GLIBC_TUNABLES": runtime.MALLOC_TUNABLES},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    out.with_suffix(".txt").write_text(done.stdout + done.stderr)
    return read_run(out)


def read_run(out):
    """(losses, parameters, what it printed)."""
    with numpy.load(out) as saved:
        names = sorted({key.split("/", 1)[1] for key in saved if "/" in key})
        snapshots = [{key: saved[f"{t}/{key}"] for key in names} for t in range(NUM_STEPS + 1)]
        return list(saved["losses"]), snapshots, out.with_suffix(".txt").read_text()


def save(name, out):
    """What the new process does."""
    runtime.setup("CPU")
    losses, snapshots = run(CONFIGURATIONS[name])
    flat = {f"{t}/{key}": value for t, values in enumerate(snapshots) for key, value in values.items()}
    numpy.savez(out, losses=numpy.stack(losses), **flat)
