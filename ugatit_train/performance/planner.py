"""How much memory and time a run will take, by the shapes of its networks. Nothing here imports MindSpore.

What is counted: weights, Adam's two moments, gradients, and what each layer of a step's passes keeps for its backward
pass (`costs.py`). What is not known from shapes are the constants below, fitted to the peak memory of real steps on the
CPU: `benchmarks/memory.py` measures it again, and `tests/train/test_planner.py` holds the plan to that record.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from ugatit_train.forms import form_for
from ugatit_train.options.config import Options
from ugatit_train.performance import costs

MIB, GIB = 1 << 20, 1 << 30

# Fitted to seven of the peaks in benchmarks/results/memory.json (the test names the others); the last three to the
# light model's seconds in benchmarks/results/step_time.json, on 2 cores of 400 GFLOP/s.
PROGRAM_BYTES = 1680 * MIB  # MindSpore, and what its compiler does not give back
BLOCK_BYTES = 197 * MIB  # the same for each residual block in a half of the generator
GRADIENTS_G = 3.0  # gradients of the generators' weights: of the first pass, of the cycle, their sum
GRADIENTS_D = 6.7  # of the discriminators', with the copies that spectral norm and the layouts of products take
KEPT = 1.3  # of what the layers give out in the passes of a step, how much is alive at once, in units of all of it
KEPT_RECOMPUTED = 0.75  # the same with --recompute
EFFICIENCY = 0.65  # FLOPs a second, Winograd's savings not subtracted, against this machine's matrix product
WEIGHT_S_PER_BYTE = 1.7e-9  # Adam and spectral norm
STEP_S = 0.3  # the rest: thousands of small operations

ASCEND_910_BYTES = 32 * GIB


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Bytes of memory on the device, and floating-point operations of a step, for one process."""

    program: int
    weights: int
    optimizer: int
    gradients: int
    activations: int
    step_flops: int

    @property
    def total(self) -> int:
        return self.program + self.weights + self.optimizer + self.gradients + self.activations


def plan(options: Options) -> Plan:
    """What the options' step needs."""
    o = options
    height, width = o.image_size
    layers = costs.networks(
        ch=o.ch, n_res=o.n_res, n_dis=o.n_dis, height=height, width=width, img_ch=o.img_ch, light=o.light,
        small_upsampling=form_for(o.device_target).upsampling == "small",
    )  # fmt: skip
    weights = {name: 4 * sum(layer.weights for layer in its) for name, its in layers.items()}
    outputs = {name: 4 * sum(layer.outputs for layer in its) for name, its in layers.items()}
    # Of the discriminators only the pass that judges the fakes is alive together with the generators' passes.
    passes = [p for p in costs.step_passes(o.batch_size) if p.network.startswith("gen") or not p.weight_gradient]
    gradients = [size * (GRADIENTS_G if name.startswith("gen") else GRADIENTS_D) for name, size in weights.items()]
    return Plan(
        program=PROGRAM_BYTES + BLOCK_BYTES * o.n_res if o.device_target == "CPU" else 0,
        weights=sum(weights.values()),
        optimizer=2 * sum(weights.values()),
        gradients=round(sum(gradients)),
        activations=round(
            (KEPT_RECOMPUTED if o.recompute else KEPT) * sum(p.samples * outputs[p.network] for p in passes)
        ),
        step_flops=sum(cost.flops for cost in costs.step_costs(layers, o.batch_size, o.spectral_norm)),
    )


def device_bytes(device_target: str) -> int | None:
    """The memory of the device: this machine's, or its container's, for the CPU, 32 GiB for Ascend; None: unknown."""
    if device_target == "Ascend":
        return ASCEND_910_BYTES
    if device_target != "CPU":
        return None
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = Path("/sys/fs/cgroup/memory.max")
    text = limit.read_text().strip() if limit.exists() else ""
    return min(physical, int(text)) if text.isdigit() else physical


def step_seconds(plan: Plan, gflop_per_s: float) -> float:
    """Of a step of the plan on the CPU, whose matrix product reaches `gflop_per_s`."""
    return plan.step_flops / (EFFICIENCY * gflop_per_s * 1e9) + WEIGHT_S_PER_BYTE * plan.weights + STEP_S


def describe(options: Options, steps: int | None, gflop_per_s: float | None) -> str:
    """The plan in two lines; `gflop_per_s` is this machine's ceiling, None where it is not the device that trains."""
    p = plan(options)
    parts = {name: getattr(p, name) / GIB for name in ("weights", "optimizer", "gradients", "activations", "program")}
    shown = ", ".join(f"{name} {size:.1f}" for name, size in parts.items())
    lines = [f"memory, estimated: {p.total / GIB:.1f} GiB ({shown})"]
    if gflop_per_s:
        step_s = step_seconds(p, gflop_per_s)
        whole = "" if steps is None else f", {duration(step_s * steps)} for {steps} steps"
        lines.append(
            f"time, estimated: {step_s:.2f} s a step{whole} ({p.step_flops / 1e9:.0f} GFLOP a step, "
            f"matrix products at {gflop_per_s:.0f} GFLOP/s; on another processor half of it or twice as much)"
        )
    else:
        lines.append(f"time: not estimated for {options.device_target} ({p.step_flops / 1e9:.0f} GFLOP a step)")
    return "\n".join(lines)


def duration(seconds: float) -> str:
    """Such as 3 d 4 h, 4 h 12 min, 5 min."""
    hours, minutes = divmod(round(seconds / 60), 60)
    days = hours // 24
    if days:
        return f"{days} d {hours % 24} h"
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def warning(options: Options) -> str:
    """One line where the run will not fit the device; nothing where it will, or where that is not known."""
    needed, there = plan(options).total, device_bytes(options.device_target)
    if there is None or needed <= there:
        return ""
    return f"about {needed / GIB:.0f} GiB are needed, {options.device_target} has {there / GIB:.0f}: {remedy(options)}"


def remedy(options: Options) -> str:
    """What makes a run smaller."""
    smaller = [] if options.light else ["--light"]
    smaller += [] if options.recompute or options.device_target != "CPU" else ["--recompute"]
    return f"give {', '.join([*smaller, 'a smaller --img_size'])}, --batch_size or --ch"
