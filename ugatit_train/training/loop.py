"""The training loop: load, build, resume, train, report, save. Read `train` from top to bottom."""

import contextlib
import dataclasses
import errno
import logging
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ugatit_data import Loader, open_loader
from ugatit_data.dataset.manifest import read_dataset
from ugatit_train import runtime  # before MindSpore: it sets the environment
from ugatit_train.errors import UgatitError

# isort: split
import mindspore as ms
from mindspore import Parameter, Tensor

from ugatit_train.networks import compiling
from ugatit_train.options import config, saved
from ugatit_train.options.schedule import Schedule
from ugatit_train.performance import profiling, recorded
from ugatit_train.training import (
    best,
    checkpoint,
    evaluations,
    faults,
    interrupts,
    log,
    modelarts,
    prospect,
    runfolder,
    workers,
)  # fmt: skip
from ugatit_train.training.build import build_step, pictured
from ugatit_train.training.page.keeping import keeping
from ugatit_train.training.samples import Sampler, sample_images
from ugatit_train.training.step import Step

OpenJudge = Callable[[config.Options], evaluations.Judge]
"""Opens what judges a run with these options; it is called if they ask for that."""

LONGEST_UNSAVED_S = 1800.0  # the model zoo's save_freq of 100,000 steps can be a day: a kill costs half an hour at most

_log = logging.getLogger(__name__)


class TrainingError(UgatitError):
    """A run that must not go on; the last checkpoint is good."""


class InterruptedTraining(TrainingError):
    """A signal came: the state is saved, `--resume` goes on."""


INTERRUPTIONS = (InterruptedTraining, BrokenPipeError, KeyboardInterrupt)  # what ends a run that can go on


def train(options: config.Options, open_judge: OpenJudge | None = None) -> None:
    """Trains as `ugatit_train.train` says, which calls this with the judge for `options.eval_freq`."""
    worker = runtime.setup(options.device_target, options.device_id, options.distributed)
    options = _settle_compiler(options)
    writes = worker.rank == 0
    out = Path(options.output_path)
    dataset = read_dataset(options.data_folder)
    images = max(dataset.num_images("train", "a"), dataset.num_images("train", "b"))
    steps_per_epoch = -(-images // (options.batch_size * worker.world))
    schedule = options.schedule(steps_per_epoch)

    step_cell = build_step(options, schedule, worker.world)
    state = step_cell.state()
    start = runfolder.resume(options, worker.world, dataset.dataset_id, state) if options.resume else runfolder.BEGIN
    start.check_unfinished(schedule.iteration, out)
    loader, graphs = _loader(options, worker, start.loader_step), _graphs(options, worker)
    pace = prospect.Pace(options, schedule)
    mean_over_ranks = runtime.mean_over_ranks(worker)

    with (
        loader,
        runfolder.own(options, checkpoint.bytes_of(state)) if writes else contextlib.nullcontext(),
        modelarts.publishing(out, options.train_url if writes else "", checkpoint.META_FILE) as publish,
        _signals() as got,
        log.reporting(out if writes else None, schedule, start.step, options.tensorboard, pace, _unread(got)) as report,
        keeping(out if writes else None, options, schedule, INTERRUPTIONS) as update_page,
        _profiler(options, out, writes) as profiler,
    ):
        start.tell(options, steps_per_epoch)
        if writes:
            prospect.tell(options, schedule, start.step, worker)
        images_shown = sample_images(options, dataset)
        sampler = Sampler(*pictured(step_cell, options), images_shown, out / "samples", graphs)
        judge_at: Callable[[int], None] = lambda step: None  # noqa: E731
        if options.eval_freq:
            mean_over_ranks(np.zeros(1, np.float32))  # connects the ranks, for which HCCL waits less than for a step
            if writes:
                judge_at = _judge(options, schedule, start.step, state, loader, sampler, open_judge)
        judge_at(start.step)
        saved_s = time.monotonic()
        skipped = faults.Skipped(state, start.step)
        for step in range(start.step + 1, schedule.iteration + 1):
            began = time.perf_counter()
            batch = [Tensor.from_numpy(images) for images in next(loader)]
            fetched = time.perf_counter()
            if step == start.step + 1:
                _compile(step_cell, batch, graphs)
            compiled = time.perf_counter()
            losses = step_cell(*batch).asnumpy()
            # The ranks agree on the losses, and on stopping at one step: a rank that waits for another waits for ever.
            *losses, signalled = mean_over_ranks(np.append(losses, np.float32(bool(got))))
            ended = time.perf_counter()

            values = dict(zip(step_cell.loss_names, map(float, losses), strict=True))
            if not np.isfinite(losses).all():
                raise TrainingError(faults.not_finite(step, values, loader, out))
            values["lr"] = schedule.learning_rate(step, options.lr)
            times = {"data_wait_s": fetched - began, "compile_s": compiled - fetched, "step_s": ended - compiled}
            if "loss_scale" in state:
                times["loss_scale"] = float(state["loss_scale"].asnumpy())
            skipped.tell(step)
            report(step, values | times)
            if profiler:
                _profile(profiler, times["step_s"])
            shown, last = step % schedule.print_every == 0, step == schedule.iteration
            if writes and shown:
                sampler.draw(step)
            due = step % schedule.save_every == 0 or time.monotonic() - saved_s > LONGEST_UNSAVED_S
            saves = writes and (due or last or signalled)
            if saves:
                _save(step, state, loader, options)
                saved_s = time.monotonic()
            if last or not signalled:  # a resume judges the step that was saved at a signal
                judge_at(step)
            if saves:
                publish()
            if writes and shown:
                update_page()
            if signalled and not last:
                raise _interrupted(step, got, out)


def _graphs(options: config.Options, worker: runtime.Worker) -> compiling.GraphCache:
    if options.save_graphs:  # the compiler writes them only where it compiles
        return compiling.GraphCache(None, worker)
    return compiling.GraphCache(compiling.folder_of(options.compile_cache, options.device_target), worker)


def _compile(step_cell: Step, batch: list[Tensor], graphs: compiling.GraphCache) -> None:
    began = time.perf_counter()
    loaded = graphs.compile(step_cell, *batch, at_compiling=prospect.tell_of_compiling)
    how = ", its graph was in the compile cache" if loaded else ""
    _log.info("compilation: %.1f s%s", time.perf_counter() - began, how)


def _settle_compiler(options: config.Options) -> config.Options:
    """Sets precision, level of compilation and what is written of it; the options with the device's precision."""
    runtime.set_jit_level(options.jit_level)
    if options.save_graphs:
        ms.set_context(save_graphs=2, save_graphs_path=options.graph_path)
    return dataclasses.replace(options, precision=runtime.set_precision(options.precision))


def _loader(options: config.Options, worker: runtime.Worker, start_step: int) -> Loader:
    return open_loader(
        options.data_folder,
        batch_size=options.batch_size,
        img_size=options.image_size,
        layout="float32",  # on the CPU normalising in the loader's threads is cheaper than in the graph
        channels=options.img_ch,
        threads=options.threads,
        seed=options.seed,
        start_step=start_step,
        rank=worker.rank,
        world=worker.world,
    )


def _judge(
    options: config.Options,
    schedule: Schedule,
    done: int,
    state: Mapping[str, Parameter],
    loader: Loader,
    sampler: Sampler,
    open_judge: OpenJudge | None,
) -> Callable[[int], None]:
    """A function that judges the step of its number, if it is time."""

    def save_best(step: int, evaluation: dict[str, Any]) -> None:
        _save(step, state, loader, options, evaluation)

    def judge() -> evaluations.Judge:
        if open_judge is None:
            raise config.OptionError("--eval_freq: the loop alone has no judge: call ugatit_train.train")
        return open_judge(options)

    out = Path(options.output_path)
    return evaluations.Judging(out, schedule, done, sampler.translators(), judge, save_best).at


def _save(
    step: int,
    state: Mapping[str, Parameter],
    loader: Loader,
    options: config.Options,
    evaluation: dict[str, Any] | None = None,
) -> None:
    """Saves a checkpoint; with an `evaluation` it is the best so far."""
    meta = {"step": step, "data": loader.state(), "options": saved.lasting(options)}
    folder = (out := Path(options.output_path)) / runfolder.CHECKPOINTS
    try:
        if evaluation:
            written = best.save(folder, state, meta | {"evaluation": evaluation})
        else:
            written = checkpoint.save(folder, state, meta, options.keep)
    except checkpoint.NotFiniteError as error:
        raise TrainingError(f"step {step}: {error}: {faults.way_on(out)}") from None
    _log.info("saved %s", written)


def _profiler(
    options: config.Options, out: Path, writes: bool
) -> contextlib.AbstractContextManager[profiling.StepProfiler | None]:
    if options.enable_profiling and writes:
        return profiling.StepProfiler(out / "profile", f"a step of {out.name}", options.device_target)
    return contextlib.nullcontext()


def _profile(profiler: profiling.StepProfiler, step_s: float) -> None:
    try:
        profiler.step(step_s)
    except recorded.ProfileError as error:  # no reason to end a run
        _log.warning("no profile: %s", error)


def _signals() -> contextlib.AbstractContextManager[list[int]]:
    """A list that gets the number of the first signal to end; a second one ends the program at once.

    MindSpore replaces the handler of SIGINT while it runs, and turns it into SIGTERM, so nobody knows which one came.
    """

    def end() -> None:
        raise KeyboardInterrupt

    return interrupts.noted(lambda: _log.warning("interrupted: saving after this step"), end)


def _unread(got: list[int]) -> Callable[[], None]:
    """A function that notes as a signal that nobody reads what the run tells, as when `| head` has ended."""

    def note() -> None:
        got.append(signal.SIGPIPE)
        _log.warning("stdout is closed: saving after this step")

    return note


def _interrupted(step: int, got: list[int], out: Path) -> Exception:
    """What a run that saved `step` ends with, after the signals `got`; a closed pipe ends a tool without a word.

    But Ctrl-C in `train | tee` closes the pipe too, and is told on stderr.
    """
    if {*got} == {signal.SIGPIPE}:
        return BrokenPipeError(errno.EPIPE, f"stdout is closed; saved step {step}")
    return InterruptedTraining(f"{workers.SAVED} {step}: go on with --output_path {out} --resume")
