"""The checks of time: a step beside its projection, and a profile of it."""

import statistics
import time

from ugatit_train.evaluation.device import machine
from ugatit_train.evaluation.device.record import CheckFailed, Result, Skipped
from ugatit_train.evaluation.device.shared import Job, Shared, Training
from ugatit_train.options.config import Options
from ugatit_train.performance import ceilings, costs, planner, roofline

STEPS = 5
# Times the projection, which may be wrong by two or three; a fault of the device, as a kernel that the host computes,
# costs more.
SLOWEST = 5.0
FIRST_STEP_S = 60.0  # of a larger network than the tiny one, where no compilation was timed
COMPILES = 2.5  # its first step beside the tiny one's: 4 residual blocks in place of 1


def sizes(job: Job) -> dict[str, int]:
    """The options of the network whose step is timed; empty for the tiny one."""
    if job.quick:
        return {}
    size = 64 if job.device_target == "CPU" else 256
    return {"ch": 64, "n_res": 4, "n_dis": costs.n_dis_for(size, 6), "img_size": size}


def described(job: Job) -> str:
    """The sizes of the timed step in words."""
    if job.quick:
        return "With --quick, times and the profile are those of the tiny network: they show that the checks work."
    found = sizes(job)
    why = ", which fits the time on a CPU" if job.device_target == "CPU" else ""
    return f"Times and the profile are of a network of {found['ch']} channels at {found['img_size']} px{why}."


def step_time(model: str, shared: Shared, result: Result) -> str:
    """Seconds of a step, beside what it should take at this machine's ceilings or by the chip's published ones."""
    training = timed_training(model, shared)
    seconds = [training.timed() for _ in range(STEPS)]
    step_s = statistics.median(seconds)
    options = training.options
    projected_s, source = projection(options)
    planned, peak = planner.estimate(options).total, machine.peak_bytes(options.device_target)
    result.figures |= {
        "network": f"{model}, ch {options.ch}, {options.img_size} px, batch {options.batch_size}",
        "first_step_s": training.first_s,
        "step_s": seconds,
        "median_s": step_s,
        "projected_s": projected_s,
        "projection": source,
        "peak_gib": peak / planner.GIB,
        "planned_gib": planned / planner.GIB,
    }
    result.tolerances["median_s"] = f"{SLOWEST:g} times the projection, which may itself be wrong by two or three"
    found = f"{result.figures['network']}: {step_s:.3f} s a step, projected {projected_s:.3f} s ({source})"
    if not step_s <= SLOWEST * projected_s:
        raise CheckFailed(f"{found}: more than {SLOWEST:g} times as long")
    return found


def timed_training(model: str, shared: Shared) -> Training:
    """The compiled step to time. Raises Skipped where its compilation does not fit the time that is left."""
    job = shared.job
    wanted = sizes(job)
    if wanted and not shared.has(model, **wanted):
        tiny = shared.first_s(model)
        needed_s = COMPILES * tiny if tiny else FIRST_STEP_S
        left_s = job.deadline - time.time()
        if needed_s > left_s:
            raise Skipped(
                f"compiling takes about {needed_s:.0f} s, {max(left_s, 0):.0f} s are left: give more --minutes"
            )
    return shared.training(model, **wanted)


def projection(options: Options) -> tuple[float, str]:
    """Seconds that a step should take, and where the figure comes from."""
    if options.device_target == "CPU":
        gflop_per_s = ceilings.sgemm(0.5)
        return planner.step_seconds(planner.estimate(options), gflop_per_s), f"planner, sgemm {gflop_per_s:.0f} GFLOP/s"
    if options.device_target != "Ascend":
        raise Skipped(f"no projection is made for {options.device_target}")
    chip = roofline.ASCEND[0 if options.precision == "float16" else 1]  # the first 910 has float16 only
    height, width = options.image_size
    layers = costs.networks(
        ch=options.ch, n_res=options.n_res, n_dis=options.n_dis, height=height, width=width, img_ch=options.img_ch,
        light=options.light,
    )  # fmt: skip
    found = roofline.project(layers, options.batch_size, options.light, chip, precision=options.precision)
    source = f"{chip.name} in {found.precision} at {found.efficiency:.0%} of its roofline, and all launches at most"
    return found.step_s[1], source


def profile(shared: Shared, result: Result) -> str:
    """A profile of the timed step of the light network."""
    from ugatit_train.performance import profiling

    training = timed_training("light", shared)
    folder = shared.folder / "profile"
    with profiling.StepProfiler(folder, "light", training.options.device_target, skip=1, active=3) as profiler:
        while not profiler.step(training.timed()):
            pass
    if not profiler.rows:
        raise CheckFailed(f"{folder}: the profiler has written nothing that can be read")
    rows = profiler.rows[:10]
    result.figures["operations"] = [
        {"operation": row.kind, "calls": row.calls, "ms": round(row.total_ms, 2), "share": f"{row.share:.1%}"}
        for row in rows
    ]
    dearest = ", ".join(f"{row.kind} {row.total_ms:.1f} ms" for row in rows[:3])
    return f"{sum(row.calls for row in profiler.rows[:-1])} operations, the dearest {dearest}"
