"""The training loop: load, build, resume, train, report, save. Read it from top to bottom."""

import contextlib
import fcntl
import logging
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ugatit_data import Loader, open_loader
from ugatit_data.dataset.manifest import read_dataset
from ugatit_train import runtime  # before MindSpore: it sets the environment
from ugatit_train.errors import UgatitError

# isort: split
import mindspore as ms
from mindspore import Tensor

from ugatit_train.networks.ugatit import Discriminator, Generator, initialise
from ugatit_train.options import config
from ugatit_train.options.schedule import Schedule
from ugatit_train.performance import profiling
from ugatit_train.training import checkpoint, log, modelarts
from ugatit_train.training.samples import Sampler, sample_images
from ugatit_train.training.step import LOSS_NAMES, Step, StepSettings

METRICS_FILE = "metrics.jsonl"
LONGEST_UNSAVED_S = 1800.0  # the model zoo's save_freq of 100,000 steps can be a day: a kill costs half an hour at most

_log = logging.getLogger(__name__)


class TrainingError(UgatitError, RuntimeError):
    """A run that must not go on; the last checkpoint is good."""


class InterruptedTraining(TrainingError):
    """A signal came: the state is saved, `--resume` goes on."""


def build_step(options: config.Options, schedule: Schedule, world: int = 1) -> Step:
    """The networks with their first weights, and the step over them."""
    o = options
    generators = [Generator(o.ch, o.n_res, o.image_size[0], o.img_ch, o.light, o.padding) for _ in range(2)]
    layers = (o.n_dis + 1, o.n_dis + 1, o.n_dis - 1, o.n_dis - 1)  # GA, GB, LA, LB
    discriminators = [Discriminator(o.ch, n, o.img_ch, o.padding, o.spectral_norm) for n in layers]
    settings = StepSettings(
        lr=o.lr,
        weight_decay=o.weight_decay,
        adv_weight=o.adv_weight,
        cycle_weight=o.cycle_weight,
        identity_weight=o.identity_weight,
        cam_weight=o.cam_weight,
        iteration=schedule.iteration,
        decay_start=schedule.decay_start,
        sn_iterations=o.sn_iterations,
        update_order=o.update_order,
        use_global_norm=o.use_global_norm,
        recompute=o.recompute,
        loss_scale=o.loss_scale or ("dynamic" if o.amp else 1.0),
        world=world,
    )
    step = Step(generators, discriminators, settings)
    initialise(step, o.seed)
    return step


def train(options: config.Options) -> None:
    """Trains to the end of the schedule, from the last good checkpoint if `options.resume`.

    Writes into `output_path`: options.yaml, train.log, metrics.jsonl, samples/, checkpoints/; and to `train_url`.

    Raises:
        DataError: the data set cannot be read.
        CheckpointError: there is nothing to resume from, or it belongs to other networks or data.
        InterruptedTraining: SIGTERM or Ctrl-C; the state is saved.
        TrainingError: a loss is not finite; the message names step, losses and samples.
        OSError: no room on the disk.
    """
    place = runtime.setup(options.device_target, options.device_id, options.distributed, options.amp)
    writes = place.rank == 0
    if options.save_graphs:
        ms.set_context(save_graphs=2, save_graphs_path=options.graph_path)
    out = Path(options.output_path)
    folder = out / "checkpoints"
    dataset = read_dataset(options.data_folder)
    images = max(dataset.num_images("train", "a"), dataset.num_images("train", "b"))
    schedule = options.schedule(-(-images // (options.batch_size * place.world)))

    step_cell = build_step(options, schedule, place.world)
    parameters = {p.name: p for p in step_cell.get_parameters()}
    done = start_step = 0
    if options.resume:
        before = Path(options.load_path or out)
        found, meta = checkpoint.latest_good(before / "checkpoints")
        if meta["data"]["dataset_id"] != dataset.dataset_id:
            raise checkpoint.CheckpointError(
                f"{found}: trained on data set {meta['data']['dataset_id'][:12]}, {options.data_folder} is "
                f"{dataset.dataset_id[:12]}: give the same data set, or begin a new run with another --output_path"
            )
        start_step = _start_step(options, place, found, meta)
        checkpoint.load(found, meta, parameters)
        done = meta["step"]
    if done >= schedule.iteration:
        raise config.OptionError(f"{out}: its run has done all of its {done} steps: give a larger --iteration")

    loader = open_loader(
        options.data_folder,
        batch_size=options.batch_size,
        img_size=options.image_size,
        layout="float32",  # on the CPU normalising in the loader's threads is cheaper than in the graph
        channels=options.img_ch,
        threads=options.threads,
        seed=options.seed,
        start_step=start_step,
        rank=place.rank,
        world=place.world,
    )
    mean_over_ranks = runtime.mean_over_ranks(place)
    saved_s = time.monotonic()

    def save(step: int) -> None:
        meta = {"step": step, "data": loader.state(), "options": config.lasting(options)}
        try:
            saved = checkpoint.save(folder, parameters, meta, options.keep)
        except checkpoint.NotFiniteError as error:
            raise TrainingError(f"step {step}: {error}: {_way_on(folder)}") from None
        _log.info("saved %s", saved)
        publish()
        nonlocal saved_s
        saved_s = time.monotonic()

    nothing = contextlib.nullcontext()
    with (
        _own_folder(options, out, checkpoint.bytes_of(parameters)) if writes else nothing,
        modelarts.publishing(out, options.train_url if writes else "", checkpoint.META_FILE) as publish,  # ends last
        loader,
        log.Metrics(out / METRICS_FILE, done) if writes else nothing as metrics,
        log.Events(out / "tensorboard", done) if writes and options.tensorboard else nothing as events,
        _log_to(out / "train.log" if writes else None),
        profiling.StepProfiler(out / "profile", f"a step of {out.name}", options.device_target)
        if writes and options.enable_profiling
        else nothing as profiler,
        _signals() as got,
    ):
        if done:
            _log.info("going on from step %d (%s)", done, found)
        sampler = Sampler(step_cell.genA2B, step_cell.genB2A, sample_images(options, dataset), out / "samples")
        bar = tqdm(total=schedule.iteration, initial=done, unit="step", disable=not (writes and sys.stderr.isatty()))
        for step in range(done + 1, schedule.iteration + 1):
            began = time.perf_counter()
            real_a, real_b = next(loader)
            fetched = time.perf_counter()
            batch = [Tensor.from_numpy(images) for images in (real_a, real_b)]
            if step == done + 1:
                step_cell.compile(*batch)
                _log.info("compilation: %.1f s", time.perf_counter() - fetched)
            compiled = time.perf_counter()
            losses = step_cell(*batch).asnumpy()
            # The ranks agree on the losses, and on stopping at one step: a rank that waits for another waits for ever.
            *losses, signalled = mean_over_ranks(np.append(losses, np.float32(bool(got))))
            ended = time.perf_counter()

            if not np.isfinite(losses).all():
                raise TrainingError(f"{_not_finite(step, losses, loader)}: {_way_on(folder)}, or look at these images")
            values = dict(zip(LOSS_NAMES, map(float, losses), strict=True))
            times = {"data_wait_s": fetched - began, "compile_s": compiled - fetched, "step_s": ended - compiled}
            if "loss_scale" in parameters:
                times["loss_scale"] = float(parameters["loss_scale"].asnumpy())
            if profiler:
                try:
                    profiler.step(times["step_s"])
                except profiling.ProfileError as error:  # no reason to end a run
                    _log.warning("no profile: %s", error)
            line = values | {"lr": schedule.learning_rate(step, options.lr)} | times
            if writes:
                metrics.write(step, line)
            if events:
                events.write(step, line)
            bar.set_postfix(
                d_loss=f"{values['d_loss']:.3f}",
                g_loss=f"{values['g_loss']:.1f}",
                data=f"{times['data_wait_s']:.3f}s",
                device=f"{times['step_s']:.3f}s",
                refresh=False,
            )
            bar.update()
            if step % max(1, schedule.print_every // 10) == 0 or step == schedule.iteration:
                step_s = times["data_wait_s"] + times["step_s"]
                _log.info(log.log_line(step, schedule.iteration, step_s, values["d_loss"], values["g_loss"]))
            if writes and step % schedule.print_every == 0:
                sampler.draw(step)
            due = step % schedule.save_every == 0 or time.monotonic() - saved_s > LONGEST_UNSAVED_S
            if writes and (due or step == schedule.iteration or signalled):
                save(step)
            if signalled and step < schedule.iteration:
                raise InterruptedTraining(f"interrupted: saved step {step}: go on with --output_path {out} --resume")
        bar.close()


def _start_step(options: config.Options, place: runtime.Place, found: Path, meta: dict) -> int:
    """The loader's step where the run goes on: the next samples, at another batch counted in its batches.

    Raises:
        CheckpointError: another batch or number of devices, and no --change_batch.
    """
    data, before = meta["data"], checkpoint.run_options(found, meta).batch_size
    devices, batch = data["global_batch"] // before, options.batch_size * place.world
    if (devices, before) != (place.world, options.batch_size) and not options.change_batch:
        raise checkpoint.CheckpointError(
            f"{found}: trained on {devices} devices with --batch_size {before}, this start is on {place.world} with "
            f"--batch_size {options.batch_size}: make them equal, or give --change_batch"
        )
    return data["step"] * data["global_batch"] // batch


@contextlib.contextmanager
def _own_folder(options: config.Options, out: Path, size: int) -> Iterator[None]:
    """The run's folder with its options, held against a second training: the kernel's lock is gone with its owner.

    Raises:
        OptionError: another process trains into it.
        OSError: no room for checkpoints of `size` bytes.
    """
    out.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(out, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise config.OptionError(
                f"{out}: another training is at work there: wait for its end, or give another --output_path"
            ) from None
        except OSError as error:  # as on some network file systems
            _log.warning("%s: cannot be locked (%s): start no second training into it", out, error.strerror)
        _check_room(out, size, options.keep)
        before = Path(options.load_path or out)
        if options.resume and before != out:
            shutil.copyfile(before / METRICS_FILE, out / METRICS_FILE)
        config.save(options, out / config.OPTIONS_FILE)
        yield
    finally:
        os.close(descriptor)


def _check_room(out: Path, size: int, keep: int) -> None:
    """Raises OSError where the disk has no room for `keep` checkpoints and the one being written."""
    free, need = shutil.disk_usage(out).free, size * (keep + 1)
    if free < need:
        raise OSError(
            f"{out}: {free / 1e9:.1f} GB free, {keep} checkpoints and the one being written take {need / 1e9:.1f} GB: "
            "make room, or give a smaller --keep"
        )


def _not_finite(step: int, losses: np.ndarray, loader: Loader) -> str:
    bad = ", ".join(name for name, value in zip(LOSS_NAMES, losses, strict=True) if not np.isfinite(value))
    samples = [
        f"{domain.upper()} {[loader.keys(domain)[i].decode(errors='backslashreplace') for i in ids.tolist()]}"
        for domain, ids in zip("ab", loader.sample_ids(loader.state()["step"] - 1), strict=True)
    ]
    return f"step {step}: not finite: {bad}; samples {' and '.join(samples)}"


def _way_on(folder: Path) -> str:
    if any(folder.glob("step-*[0-9]")):
        return "the last checkpoint is good: resume from it with a smaller --lr"
    return "no checkpoint was saved yet: begin again in another --output_path with a smaller --lr"


@contextlib.contextmanager
def _signals() -> Iterator[list[int]]:
    """A list that gets the number of the first SIGINT or SIGTERM; a second one ends the program at once.

    MindSpore replaces the handler of SIGINT while it runs, and turns it into SIGTERM: which one came is not told.
    """
    got: list[int] = []

    def note(number: int, _frame: object) -> None:
        if got:
            raise KeyboardInterrupt
        got.append(number)
        _log.warning("interrupted: saving after this step")

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield got
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _log_to(path: Path | None) -> Iterator[None]:
    """The package's log on the console, which the progress bar leaves whole, and in a file if there is one."""
    logger = logging.getLogger("ugatit_train")
    form = logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%d %H:%M:%S")
    handlers = [_TqdmHandler(), *([logging.FileHandler(path)] if path else [])]
    for handler in handlers:
        handler.setFormatter(form)
        logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        for handler in handlers:
            logger.removeHandler(handler)
            handler.close()


class _TqdmHandler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        tqdm.write(self.format(record))
