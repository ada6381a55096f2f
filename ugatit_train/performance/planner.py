"""Estimates a run's memory and time from the shapes of its networks. Nothing here imports MindSpore.

Memory is for weights, Adam's two moments, gradients, and what the layers keep for the backward pass (`costs.py`). What
shapes do not tell are the constants below, fitted to measured steps on the CPU. `benchmarks/memory.py` measures such
steps, and a test compares the estimates with its record.
"""

from dataclasses import dataclass

from ugatit_train.forms import Forms, form_for
from ugatit_train.options.config import Options
from ugatit_train.performance import costs, memory

MIB, GIB = 1 << 20, 1 << 30

# Fitted to seven of the peaks in benchmarks/results/memory.json (the test names the others); the last three to the
# light model's seconds in benchmarks/results/step_time.json, on 2 cores of 400 GFLOP/s.
PROGRAM_BYTES = 1680 * MIB  # MindSpore, and what its compiler keeps
BLOCK_BYTES = 197 * MIB  # what the compiler keeps for each residual block in a half of the generator
GRADIENTS_G = 3.0  # times the generators' weights: gradients of the first pass, of the cycle, and their sum
GRADIENTS_D = 6.7  # times the discriminators' weights: gradients, and copies for spectral norm and products' layouts
KEPT = 1.3  # memory for the layers' outputs, as a multiple of all outputs of a step's passes
KEPT_RECOMPUTED = 0.75  # the same with --recompute
EFFICIENCY = 0.65  # FLOPs a second (as counted, without Winograd's savings) as a share of sgemm's
WEIGHT_S_PER_BYTE = 1.7e-9  # Adam and spectral norm
STEP_S = 0.3  # the rest: thousands of small operations

ASCEND_910_BYTES = 32 * GIB


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """Bytes on the device, and FLOPs of a step, for one process."""

    program: int
    weights: int
    optimizer: int
    gradients: int
    activations: int
    step_flops: int

    @property
    def total(self) -> int:
        return self.program + self.weights + self.optimizer + self.gradients + self.activations


def estimate(options: Options, forms: Forms | None = None) -> Estimate:
    """What a step with these options needs; `forms` are the device's if not given."""
    o = options
    forms = forms or form_for(o.device_target, half=o.precision == "float16")
    height, width = o.image_size
    layers = costs.networks(
        ch=o.ch, n_res=o.n_res, n_dis=o.n_dis, height=height, width=width, img_ch=o.img_ch, light=o.light,
        small_upsampling=forms.upsampling == "small",
    )  # fmt: skip
    weights = {name: 4 * sum(layer.weights for layer in its) for name, its in layers.items()}
    outputs = {name: 4 * sum(layer.outputs for layer in its) for name, its in layers.items()}
    # Of the discriminators' passes, only the one for the generators' update keeps outputs while the generators' do.
    passes = [p for p in costs.step_passes(o.batch_size) if p.network.startswith("gen") or not p.weight_gradient]
    gradients = [size * (GRADIENTS_G if name.startswith("gen") else GRADIENTS_D) for name, size in weights.items()]
    return Estimate(
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
    """The device's memory: on the CPU this machine's or its container's, on Ascend 32 GiB; None if unknown."""
    if device_target == "Ascend":
        return ASCEND_910_BYTES
    if device_target != "CPU":
        return None
    return memory.total_bytes()


def step_seconds(needs: Estimate, gflop_per_s: float) -> float:
    """The time of a step on a CPU whose float32 matrix product reaches `gflop_per_s`."""
    return needs.step_flops / (EFFICIENCY * gflop_per_s * 1e9) + WEIGHT_S_PER_BYTE * needs.weights + STEP_S


def describe(options: Options, steps: int | None, gflop_per_s: float | None) -> str:
    """Memory and time in two lines. `gflop_per_s` is this machine's ceiling, None if another device trains."""
    needs = estimate(options)
    parts = ("weights", "optimizer", "gradients", "activations", "program")
    shown = ", ".join(f"{part} {getattr(needs, part) / GIB:.1f}" for part in parts)
    lines = [f"memory, estimated: {needs.total / GIB:.1f} GiB ({shown})"]
    if gflop_per_s:
        step_s = step_seconds(needs, gflop_per_s)
        whole = "" if steps is None else f", {duration(step_s * steps)} for {steps} steps"
        lines.append(
            f"time, estimated: {step_s:.2f} s a step{whole} ({needs.step_flops / 1e9:.0f} GFLOP a step, "
            f"matrix products at {gflop_per_s:.0f} GFLOP/s; on another processor half of it or twice as much)"
        )
    else:
        lines.append(f"time: not estimated for {options.device_target} ({needs.step_flops / 1e9:.0f} GFLOP a step)")
    return "\n".join(lines)


def duration(seconds: float) -> str:
    """A time such as 3 d 4 h, 4 h 12 min, 5 min."""
    hours, minutes = divmod(round(seconds / 60), 60)
    days = hours // 24
    if days:
        return f"{days} d {hours % 24} h"
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def warning(options: Options, processes: int = 1) -> str:
    """One line if the run does not fit the device, or what of it is free now; empty if it does, or if that is unknown.

    `processes` train together on this machine: on the CPU they share its memory.
    """
    needed, there = estimate(options).total, device_bytes(options.device_target)
    is_cpu = options.device_target == "CPU"
    if is_cpu:
        needed *= processes
    if there is None:
        return ""
    shown = f"about {needed / GIB:.0f} GiB are needed, {options.device_target}"
    if needed > there:
        return f"{shown} has {there / GIB:.0f}: {remedy(options)}"
    if is_cpu and needed > (free := memory.available_bytes()):
        return f"{shown} has {free / GIB:.1f} free of {there / GIB:.0f}: end other programs, or {remedy(options)}"
    return ""


def remedy(options: Options) -> str:
    """The options that make a run smaller, as a request."""
    smaller = [] if options.light else ["--light"]
    smaller += [] if options.recompute or options.device_target != "CPU" else ["--recompute"]
    return f"give {', '.join([*smaller, 'a smaller --img_size'])}, --batch_size or --ch"
