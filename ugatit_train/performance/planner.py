"""Estimates a run's memory and time from the shapes of its networks. Nothing here imports MindSpore.

Memory is for weights, Adam's two moments, gradients, and what the layers keep for the backward pass (`costs.py`). What
shapes do not tell are the constants below, fitted to measured steps on the CPU. `benchmarks/memory.py` measures such
steps, and a test compares the estimates with its record.
"""

import dataclasses
from dataclasses import dataclass

from ugatit_train.forms import Forms, form_for
from ugatit_train.options.config import Options
from ugatit_train.performance import costs, memory, roofline

MIB, GIB = 1 << 20, 1 << 30

# Fitted to peaks in benchmarks/results/memory.json (the test names those that were not); the last three to the light
# model's seconds in benchmarks/results/step_time.json, on 2 cores of 400 GFLOP/s.
PROGRAM_BYTES = 1680 * MIB  # MindSpore, and what its compiler keeps
BLOCK_BYTES = 197 * MIB  # what the compiler keeps for each residual block in a half of the generator
EFFICIENCY = 0.65  # FLOPs a second (as counted, without Winograd's savings) as a share of sgemm's
WEIGHT_S_PER_BYTE = 1.7e-9  # Adam and spectral norm
STEP_S = 0.3  # the rest: thousands of small operations

CPU_DAYS = 7  # longer than that, a run on a CPU is hardly meant


@dataclass(frozen=True, kw_only=True)
class Keeps:
    """What a step of some forms keeps, as multiples of what the shapes tell."""

    program: float  # of PROGRAM_BYTES and BLOCK_BYTES
    gradients_g: float  # of the generators' weights: gradients of the first pass, of the cycle, and their sum
    gradients_d: float  # of the discriminators' weights: gradients, and copies for spectral norm and products' layouts
    outputs: float  # of all layers' outputs of a step's passes


# Fitted to peaks on the CPU. With the operator's convolutions these hold oneDNN's buffers; a card has CANN's instead.
KEEPS_CPU = Keeps(program=1.0, gradients_g=3.0, gradients_d=6.7, outputs=1.3)
KEEPS_CPU_RECOMPUTED = dataclasses.replace(KEEPS_CPU, outputs=0.75)  # with --recompute, not counted in other forms
KEEPS_PLAIN = Keeps(program=1.0, gradients_g=4.2, gradients_d=3.5, outputs=7.5)
KEEPS_ASCEND = Keeps(program=0.83, gradients_g=1.85, gradients_d=9.2, outputs=1.86)

ASCEND_910_BYTES = 32 * GIB
CARDS_GB = sorted({size for chip in roofline.ASCEND for size in chip.cards_gb})
OFF = 1.25  # times an estimate, which is within a quarter of the measured peaks
CARD_SHARE = 0.9  # of a card's memory for a run; the rest is for the driver and CANN's own buffers: assumed


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """Bytes on the device, and FLOPs of a step, for one process."""

    program: int
    weights: int
    optimizer: int
    averages: int  # of the generators' weights, with `ema`
    copies: int  # at most: of what a step reads several times, but on the CPU (`costs.copied_weights`)
    gradients: int
    activations: int
    step_flops: int

    @property
    def total(self) -> int:
        kept = self.weights + self.optimizer + self.averages
        return self.program + kept + self.copies + self.gradients + self.activations


def estimate(options: Options, forms: Forms | None = None) -> Estimate:
    """What a step with these options needs; `forms` are the device's if not given.

    On Ascend without a precision they are the first 910's, in float16: they need more than the 910B's.
    """
    o = options
    is_half = o.precision == "float16" or (o.device_target == "Ascend" and o.precision is None)
    forms = forms or form_for(o.device_target, half=is_half)
    height, width = o.image_size
    layers = costs.networks(
        ch=o.ch, n_res=o.n_res, n_dis=o.n_dis, height=height, width=width, img_ch=o.img_ch, light=o.light,
        small_upsampling=forms.upsampling == "small",
    )  # fmt: skip
    weights = {name: 4 * sum(layer.weights for layer in its) for name, its in layers.items()}
    outputs = {name: 4 * sum(layer.outputs for layer in its) for name, its in layers.items()}
    # Of the discriminators' passes, only the one for the generators' update keeps outputs while the generators' do.
    passes = [p for p in costs.step_passes(o.batch_size) if p.network.startswith("gen") or not p.weight_gradient]
    keeps = _keeps(forms, o.recompute)
    gradients = [
        size * (keeps.gradients_g if name.startswith("gen") else keeps.gradients_d) for name, size in weights.items()
    ]
    if (
        forms.half
    ):  # a loss scale: the discriminators' weights and moments, kept until the generators' gradients are good
        gradients += [3 * size for name, size in weights.items() if name.startswith("dis")]
    return Estimate(
        program=round(keeps.program * (PROGRAM_BYTES + BLOCK_BYTES * o.n_res)) if o.device_target == "CPU" else 0,
        weights=sum(weights.values()),
        optimizer=2 * sum(weights.values()),
        averages=sum(size for name, size in weights.items() if name.startswith("gen")) if o.ema else 0,
        copies=0
        if o.device_target == "CPU"
        else sum(costs.copied_weights(name, size, forms) for name, size in weights.items()),
        gradients=round(sum(gradients)),
        activations=round(keeps.outputs * sum(p.samples * outputs[p.network] for p in passes)),
        step_flops=sum(cost.flops for cost in costs.step_costs(layers, o.batch_size, o.spectral_norm)),
    )


def _keeps(forms: Forms, recompute: bool) -> Keeps:
    if forms.convolution == "matmul":
        return KEEPS_CPU_RECOMPUTED if recompute else KEEPS_CPU
    return KEEPS_ASCEND if forms.adalin == "groups" else KEEPS_PLAIN


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
    """Memory and time in two lines, of Ascend's cards in more. `gflop_per_s` is this machine's ceiling, None if another
    device trains."""
    needs = estimate(options)
    parts = ("weights", "optimizer", "averages", "copies", "gradients", "activations", "program")
    shown = ", ".join(f"{part} {getattr(needs, part) / GIB:.1f}" for part in parts if getattr(needs, part))
    lines = [f"memory, estimated: {needs.total / GIB:.1f} GiB ({shown})"]
    if gflop_per_s:
        step_s = step_seconds(needs, gflop_per_s)
        whole = "" if steps is None else f", {duration(step_s * steps)} for {steps} steps"
        lines.append(
            f"time, estimated: {step_s:.2f} s a step{whole} ({needs.step_flops / 1e9:.0f} GFLOP a step, "
            f"matrix products at {gflop_per_s:.0f} GFLOP/s; on another processor half of it or twice as much)"
        )
    elif options.device_target == "Ascend":
        lines += [f"memory of a card: {fits(needs.total)}", *_projected(options, steps)]
    else:
        lines.append(f"time: not estimated for {options.device_target} ({needs.step_flops / 1e9:.0f} GFLOP a step)")
    return "\n".join(lines)


def fits(needed: int) -> str:
    """Which of Ascend's cards a run of `needed` bytes fits. Projected from the CPU's peaks: none was run on a card."""
    words = []
    for size in CARDS_GB:
        room = CARD_SHARE * size * GIB
        narrowly = " narrowly" if needed <= room < OFF * needed else ""
        words.append(f"{'fits' if needed <= room else 'does not fit'} {size} GB{narrowly}")
    return (
        f"{', '.join(words)} (a tenth left for the driver and CANN; from peaks on a CPU, which it may miss by a "
        "quarter; not run on a card)"
    )


def _projected(options: Options, steps: int | None) -> list[str]:
    """A line for each of Ascend's chips that has the precision, and one of what others measured."""
    o = options
    height, width = o.image_size
    layers = costs.networks(
        ch=o.ch, n_res=o.n_res, n_dis=o.n_dis, height=height, width=width, img_ch=o.img_ch, light=o.light
    )
    lines = []
    for chip in roofline.ASCEND:
        if o.precision not in (None, *chip.multiply_adds):
            continue
        found = roofline.project(
            layers, o.batch_size, o.light, chip, precision=o.precision, spectral_norm=o.spectral_norm
        )
        low, high = found.step_s
        parts = [f"{part} {spent * 1e3:.0f}" for part, spent in found.parts_s.items() if spent]
        parts.append("launches {:.0f} to {:.0f}".format(*(spent * 1e3 for spent in found.launches_s)))
        if (o.n_res, o.n_dis) != tuple(roofline.COUNTED.values()):
            parts.append("counted for n_res {n_res}, n_dis {n_dis}".format(**roofline.COUNTED))
        whole = "" if steps is None else f", {_span(low * steps, high * steps)} for {steps} steps"
        lines.append(
            f"time, projected, never run on a card: {chip.name} in {found.precision}: {low * 1e3:.0f} to "
            f"{high * 1e3:.0f} ms a step{whole} ({', '.join(parts)}; at {found.efficiency:.0%} of the roofline)"
        )
    lines.append(
        f"beside it, at 256 px, batch 1, on an Ascend 910: {roofline.USERS_MS:.0f} ms a step, users of the original "
        f"project's full model; {roofline.CYCLEGAN_MS:.0f} ms, the model zoo's CycleGAN"
    )
    return lines


def duration(seconds: float) -> str:
    """A time such as 3 d 4 h, 4 h 12 min, 5 min, or less than a minute."""
    hours, minutes = divmod(round(seconds / 60), 60)
    days = hours // 24
    if days:
        return f"{days} d {hours % 24} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min" if minutes else "less than a minute"


def _span(low: float, high: float) -> str:
    """Two durations, or one where they are told alike."""
    words = dict.fromkeys((duration(low), duration(high)))
    return " to ".join(words)


def too_long(options: Options, seconds: float) -> str:
    """One line if a run of `seconds` on a CPU is longer than `CPU_DAYS`; empty otherwise."""
    days = seconds / 86400
    if options.device_target != "CPU" or days <= CPU_DAYS:
        return ""
    light = "" if options.light else "--light, "
    return (
        f"on this CPU this run takes {days:.0f} days: it is meant for a card: give --device_target, or {light}a "
        "smaller --img_size or --iteration"
    )


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
    if options.device_target == "Ascend":
        if needed <= CARD_SHARE * there:
            return ""
        largest = f"a card of {CARDS_GB[-1]} GB, or "
        return f"{shown}'s first 910 has {there / GIB:.0f}: " + (
            f"take {largest}{remedy(options)}" if needed <= CARD_SHARE * CARDS_GB[-1] * GIB else remedy(options)
        )
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
