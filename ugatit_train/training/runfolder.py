"""A run's folder: whether it is free, its lock against a second training, where a run goes on from."""

import contextlib
import dataclasses
import logging
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ugatit_data.commands import command
from ugatit_data.files import lock
from ugatit_train.errors import UgatitError
from ugatit_train.options import config, saved, schedule
from ugatit_train.training import checkpoint
from ugatit_train.training.evaluations import EVALUATIONS_FILE
from ugatit_train.training.log import METRICS_FILE
from ugatit_train.training.page.keeping import PAGE_FILE

CHECKPOINTS = "checkpoints"

_log = logging.getLogger(__name__)


class NoRoomError(UgatitError):
    """The disk has too little room for a run's checkpoints."""


def check_is_there(folder: Path) -> None:
    """Raises CheckpointError where a tool is given no folder as a run, or one of its checkpoints."""
    if folder.is_dir():
        return
    if folder.suffix == ".ckpt" and folder.is_file():
        raise checkpoint.CheckpointError(
            f"{folder}: a file; if it is a generator of the model zoo's U-GAT-IT, make a run of it with "
            f"{command('import_modelzoo')}"
        )
    raise checkpoint.CheckpointError(f"{folder}: no such folder: give a run's --output_path as --checkpoint")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Start:
    """Where a run begins: after `step` steps, with batch `loader_step` of the loader."""

    step: int = 0
    loader_step: int = 0
    found: Path | None = None  # the checkpoint
    before: config.Options | None = None  # of the run that wrote it
    averages: str = ""  # what becomes of the generators' averages, where the run did not have them or loses them

    def check_unfinished(self, iteration: int, out: Path) -> None:
        """Raises OptionError where the run in `out` has done all of its `iteration` steps."""
        if self.step >= iteration:
            raise config.OptionError(
                f"{out}: its run has done all of its {self.step} steps: give a larger --iteration, by which the "
                "learning rate goes too: the log will say how"
            )

    def tell(self, options: config.Options, steps_per_epoch: int) -> None:
        """Logs where the run goes on from, and what becomes of its learning rate if that changes."""
        if self.step:
            _log.info("going on from step %d (%s)", self.step, self.found)
            if self.averages:
                _log.warning("%s", self.averages)
            if words := self.change_of_rate(options, steps_per_epoch):
                _log.warning("%s", words)

    def change_of_rate(self, options: config.Options, steps_per_epoch: int) -> str:
        """How the learning rate goes on otherwise than the run would have had it, in a line; nothing if it does not."""
        if self.before is None or not self.step:
            return ""
        before, now = self.before.schedule(steps_per_epoch), options.schedule(steps_per_epoch)
        return schedule.change(before, self.before.lr, now, options.lr, self.step)


BEGIN = Start()


def check(options: config.Options, anew: bool = True) -> None:
    """Raises OptionError where no run can be written, or a new one would go into a folder that is in use.

    With `anew` a run may begin again that ended before its first checkpoint: the same command can be given again.
    """
    folder, before = Path(options.output_path), Path(options.load_path or options.output_path)
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not there.is_dir():
        raise config.OptionError(f"{there}: is a file: give a folder as --output_path")
    if not os.access(there, os.W_OK | os.X_OK):
        raise config.OptionError(f"{there}: is not writable for this user: give another --output_path")
    goes_on, begins_anew = options.resume and before == folder, anew and _is_unsaved(folder)
    if not goes_on and not begins_anew and folder.is_dir() and any(folder.iterdir()):
        remedy = "give"
        if (folder / saved.OPTIONS_FILE).exists():
            remedy = (
                "give --resume without --load_path to go on with its run, or"
                if options.resume
                else "give --resume to go on with its run, or"
            )
        raise config.OptionError(f"{folder}: exists and is not empty: {remedy} another --output_path")


def _is_unsaved(folder: Path) -> bool:
    """Whether all that the folder holds is a run without a checkpoint, with which nothing is lost."""
    names = {path.name.removesuffix(".partial") for path in folder.iterdir()} if folder.is_dir() else set()
    files = {saved.OPTIONS_FILE, METRICS_FILE, EVALUATIONS_FILE, PAGE_FILE, "train.log"}
    own_names = files | {"tensorboard", "samples", "profile", CHECKPOINTS}
    return saved.OPTIONS_FILE in names <= own_names and not checkpoint.committed(folder / CHECKPOINTS)


def resume(options: config.Options, world: int, dataset_id: str, state: Mapping[str, Any]) -> Start:
    """Load the newest good checkpoint into `state` (name -> Parameter), and tell where the run goes on.

    `world` is the number of devices, `dataset_id` the data set's. While all devices together take as many images a step
    as before, the samples of each step are what they would have been, on any number of devices. At another such batch
    the loader goes on with the next samples, counted in batches of today's size.

    Raises:
        CheckpointError: there is none, it is of other networks or data, or of another batch without `change_batch`.
        OptionError: the run had other networks, or an option that this version does not know.
    """
    run = Path(options.load_path or options.output_path)
    another = "begin a new run with another --output_path"
    remedy = "leave --resume out, and it begins anew" if _is_unsaved(run) else another
    found, meta = checkpoint.latest_good(run / CHECKPOINTS, remedy)
    data = meta["data"]
    for name, kind in {"dataset_id": str, "global_batch": int, "step": int}.items():
        if type(data.get(name)) is not kind or (name == "global_batch" and data[name] < 1):
            raise checkpoint.CheckpointError(
                f"{found / checkpoint.META_FILE}: says not where its data stood ({name}): it was written to translate "
                "with: begin a new run with another --output_path"
            )
    if data["dataset_id"] != dataset_id:
        raise checkpoint.CheckpointError(
            f"{found}: trained on data set {data['dataset_id'][:12]}, {options.data_folder} is {dataset_id[:12]}"
            f"{saved.moved_data(options.data_folder, run / saved.OPTIONS_FILE)}: "
            "give the same data set, or begin a new run with another --output_path"
        )
    before, batch = checkpoint.run_options(found, meta), options.batch_size * world
    saved.check_kept(options, before, found)
    devices = data["global_batch"] // before.batch_size
    if data["global_batch"] != batch and not options.change_batch:
        raise checkpoint.CheckpointError(
            f"{found}: trained on {devices} devices with --batch_size {before.batch_size}, this start is on {world} "
            f"with --batch_size {options.batch_size}: make the products equal, or give --change_batch"
        )
    checkpoint.load(found, meta, state)
    return Start(
        step=meta["step"],
        loader_step=data["step"] * data["global_batch"] // batch,
        found=found,
        before=before,
        averages=_settle_averages(options, found, meta, state),
    )


def _settle_averages(options: config.Options, found: Path, meta: Mapping[str, Any], state: Mapping[str, Any]) -> str:
    """Begins averages that the checkpoint `found` does not hold; a line where they begin or end, otherwise nothing."""
    if options.ema and not checkpoint.holds_averages(meta):
        from ugatit_train.training import average  # with MindSpore, which a check of the folder does without

        average.begin(state)
        return f"--ema {options.ema:g}: {found} holds no averages: they begin with its weights"
    if not options.ema and checkpoint.holds_averages(meta):
        return f"--ema 0: the averages in {found} are dropped: the run goes on without"
    return ""


@contextlib.contextmanager
def own(options: config.Options, checkpoint_bytes: int) -> Iterator[None]:
    """Make the run's folder, with its options, and lock it against a second training while inside.

    Raises:
        OptionError: it is in use: another process trains into it, or a new run would go into an old one's folder.
        NoRoomError: no room for checkpoints of `checkpoint_bytes` each.
    """
    out = Path(options.output_path)
    out.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(out, os.O_RDONLY)
    try:
        try:
            locked = can_lock = lock(descriptor)
        except OSError as error:  # as on some network file systems
            _log.warning("%s: cannot be locked (%s): start no second training into it", out, error.strerror)
            locked, can_lock = True, False
        if not locked:
            raise config.OptionError(
                f"{out}: another training is at work there: wait for its end, or give another --output_path"
            )
        check(options, anew=can_lock)
        _check_room(out, checkpoint_bytes, options)
        before = Path(options.load_path or out)
        for name in (METRICS_FILE, EVALUATIONS_FILE):
            if options.resume and before != out and (before / name).exists():  # an imported run has none
                shutil.copyfile(before / name, out / name)
        saved.save(options, out / saved.OPTIONS_FILE)
        yield
    finally:
        os.close(descriptor)


def _check_room(out: Path, size: int, options: config.Options) -> None:
    """Raises NoRoomError where the disk has no room for the checkpoints to keep and the one being written."""
    count = options.keep + (options.eval_freq is not None)
    best = ", the best one" if options.eval_freq is not None else ""
    free, need = shutil.disk_usage(out).free, size * (count + 1)
    if free < need:
        raise NoRoomError(
            f"{out}: {free / 1e9:.1f} GB free, {options.keep} checkpoints{best} and the one being written take "
            f"{need / 1e9:.1f} GB: make room, or give a smaller --keep"
        )
