"""The training loop: load, build, resume, train, report, save. Read `train` from top to bottom."""

import contextlib
import dataclasses
import errno
import logging
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from ugatit_data import Loader, open_loader
from ugatit_data.dataset.manifest import read_dataset
from ugatit_train import runtime  # before MindSpore: it sets the environment
from ugatit_train.errors import UgatitError
from ugatit_train.forms import Forms, form_for

# isort: split
import mindspore as ms
from mindspore import Parameter, Tensor

from ugatit_train.networks import compiling
from ugatit_train.networks.ugatit import Discriminator, Generator, initialise
from ugatit_train.options import config, saved
from ugatit_train.options.schedule import Schedule
from ugatit_train.performance import profiling, recorded
from ugatit_train.training import checkpoint, interrupts, log, modelarts, runfolder, workers
from ugatit_train.training.samples import Sampler, sample_images
from ugatit_train.training.step import Step, StepSettings

LONGEST_UNSAVED_S = 1800.0  # the model zoo's save_freq of 100,000 steps can be a day: a kill costs half an hour at most

_log = logging.getLogger(__name__)


class TrainingError(UgatitError):
    """A run that must not go on; the last checkpoint is good."""


class InterruptedTraining(TrainingError):
    """A signal came: the state is saved, `--resume` goes on."""


def build_step(options: config.Options, schedule: Schedule, world: int = 1, forms: Forms | None = None) -> Step:
    """The networks with their first weights, and the step over them; `forms` are the device's if not given."""
    o = options
    forms = forms or form_for(o.device_target, half=o.precision == "float16")
    generators = [Generator(forms, o.ch, o.n_res, o.image_size[0], o.img_ch, o.light, o.padding) for _ in range(2)]
    layers = (o.n_dis + 1, o.n_dis + 1, o.n_dis - 1, o.n_dis - 1)  # GA, GB, LA, LB
    discriminators = [Discriminator(forms, o.ch, n, o.img_ch, o.padding, o.spectral_norm) for n in layers]
    settings = StepSettings(
        lr=o.lr,
        weight_decay=o.weight_decay,
        adv_weight=o.adv_weight,
        cycle_weight=o.cycle_weight,
        identity_weight=o.identity_weight,
        cam_weight=o.cam_weight,
        iteration=schedule.iteration,
        decay_start=schedule.decay_start,
        decay=schedule.decay,
        sn_iterations=o.sn_iterations,
        update_order=o.update_order,
        use_global_norm=o.use_global_norm,
        recompute=o.recompute,
        loss_scale=o.loss_scale or ("dynamic" if o.precision == "float16" else 1.0),
        world=world,
    )
    step = Step(generators, discriminators, settings)
    initialise(step, o.seed)
    return step


def train(options: config.Options) -> None:
    """Trains to the end of the schedule, from the last good checkpoint if `options.resume`.

    Writes into `output_path`: options.yaml, train.log, metrics.jsonl, samples/, checkpoints/; and to `train_url`. The
    data are in `data_folder`: `ugatit train` copies those of `data_url` there before.

    Raises:
        DataError: the data set cannot be read.
        CheckpointError: there is nothing to resume from, or it belongs to other networks or data.
        OptionError: options that do not fit the data set or the run in `output_path`.
        DeviceError: the device cannot be used.
        InterruptedTraining: SIGTERM, Ctrl-C or SIGHUP, unless that was ignored; the state is saved.
        BrokenPipeError: nobody reads stdout any more; the state is saved.
        TrainingError: a loss is not finite; the message names step, losses and samples.
        NoRoomError, OSError: no room on the disk.
    """
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
    mean_over_ranks = runtime.mean_over_ranks(worker)

    with (
        loader,
        runfolder.own(options, checkpoint.bytes_of(state)) if writes else contextlib.nullcontext(),
        modelarts.publishing(out, options.train_url if writes else "", checkpoint.META_FILE) as publish,
        _signals() as got,
        log.reporting(out if writes else None, schedule, start.step, options.tensorboard, _unread(got)) as report,
        _profiler(options, out, writes) as profiler,
    ):
        start.tell(options, steps_per_epoch)
        images_shown = sample_images(options, dataset)
        sampler = Sampler(step_cell.genA2B, step_cell.genB2A, images_shown, out / "samples", graphs)
        saved_s = time.monotonic()
        skipped = _Skipped(state, start.step)
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
                raise TrainingError(f"{_not_finite(step, values, loader)}: {_way_on(out)}, or look at these images")
            values["lr"] = schedule.learning_rate(step, options.lr)
            times = {"data_wait_s": fetched - began, "compile_s": compiled - fetched, "step_s": ended - compiled}
            if "loss_scale" in state:
                times["loss_scale"] = float(state["loss_scale"].asnumpy())
            skipped.tell(step)
            report(step, values | times)
            if profiler:
                _profile(profiler, times["step_s"])
            if writes and step % schedule.print_every == 0:
                sampler.draw(step)
            last = step == schedule.iteration
            due = step % schedule.save_every == 0 or time.monotonic() - saved_s > LONGEST_UNSAVED_S
            if writes and (due or last or signalled):
                _save(step, state, loader, options)
                publish()
                saved_s = time.monotonic()
            if signalled and not last:
                raise _interrupted(step, got, out)


def _graphs(options: config.Options, worker: runtime.Worker) -> compiling.GraphCache:
    if options.save_graphs:  # the compiler writes them only where it compiles
        return compiling.GraphCache(None, worker)
    return compiling.GraphCache(compiling.folder_of(options.compile_cache, options.device_target), worker)


def _compile(step_cell: Step, batch: list[Tensor], graphs: compiling.GraphCache) -> None:
    began = time.perf_counter()
    loaded = graphs.compile(step_cell, *batch)
    how = ", its graph was in the compile cache" if loaded else ""
    _log.info("compilation: %.1f s%s", time.perf_counter() - began, how)


def _settle_compiler(options: config.Options) -> config.Options:
    """Sets precision, level of compilation and what is written of it; the options with the device's precision."""
    runtime.set_jit_level(options.jit_level)
    if options.save_graphs:
        ms.set_context(save_graphs=2, save_graphs_path=options.graph_path)
    return dataclasses.replace(options, precision=runtime.set_precision(options.precision))


class _Skipped:
    """Tells of the steps whose gradients overflowed at a fixed loss scale, which updated nothing and do not count."""

    def __init__(self, state: Mapping[str, Parameter], step: int):
        self.state = state
        self.count = self._now(step)

    def _now(self, step: int) -> int:
        return step - int(self.state["step"].asnumpy())

    def tell(self, step: int) -> None:
        """A warning at the first of them, and each time that they have doubled."""
        before, self.count = self.count, self._now(step)
        if self.count > before and self.count & before == 0:
            _log.warning(
                "step %d: the gradients overflow: nothing is updated (%d such steps so far): "
                "begin a new run with a smaller --loss_scale, or with dynamic",
                step,
                self.count,
            )


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


def _save(step: int, state: Mapping[str, Parameter], loader: Loader, options: config.Options) -> None:
    meta = {"step": step, "data": loader.state(), "options": saved.lasting(options)}
    out = Path(options.output_path)
    try:
        written = checkpoint.save(out / runfolder.CHECKPOINTS, state, meta, options.keep)
    except checkpoint.NotFiniteError as error:
        raise TrainingError(f"step {step}: {error}: {_way_on(out)}") from None
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


def _not_finite(step: int, losses: Mapping[str, float], loader: Loader) -> str:
    """Which losses are not finite, and the samples of the step."""
    bad = ", ".join(name for name, value in losses.items() if not np.isfinite(value))
    samples = [
        f"{domain.upper()} {[loader.keys(domain)[i].decode(errors='backslashreplace') for i in ids.tolist()]}"
        for domain, ids in zip("ab", loader.sample_ids(loader.state()["step"] - 1), strict=True)
    ]
    return f"step {step}: not finite: {bad}; samples {' and '.join(samples)}"


def _way_on(out: Path) -> str:
    if any((out / runfolder.CHECKPOINTS).glob("step-*[0-9]")):
        return "the last checkpoint is good: resume from it with a smaller --lr"
    return "no checkpoint was saved yet: begin again in another --output_path with a smaller --lr"


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
    """What a run that saved `step` ends with, after the signals `got`; a closed pipe ends a tool without a word."""
    if signal.SIGPIPE in got:
        return BrokenPipeError(errno.EPIPE, f"stdout is closed; saved step {step}")
    return InterruptedTraining(f"{workers.SAVED} {step}: go on with --output_path {out} --resume")
