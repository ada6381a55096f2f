"""ModelArts: how it started us; copies data and checkpoints from object storage, and brings the results there."""

import contextlib
import logging
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ugatit_data.conversion.verify import verify
from ugatit_data.errors import BadInputError
from ugatit_data.files import lock, partial_path
from ugatit_data.storage import Mirror, StorageError, open_storage
from ugatit_train import runtime
from ugatit_train.options.saved import OPTIONS_FILE
from ugatit_train.training.workers import Cluster

DATA_PATH, LOAD_PATH = "cache/data", "cache/checkpoint"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Job:
    """How the platform has started this process, and so what it does: train alone, join others, or launch workers."""

    way: Literal["alone", "join", "launch"] = "alone"
    why: str = ""
    rank: int = 0  # among the processes that the platform has started
    hosts: runtime.Hosts = runtime.Hosts()

    def cluster(self, port: int, logs: Path) -> Cluster:
        """The workers that this process launches."""
        hosts = self.hosts
        return Cluster(
            local=hosts.devices,
            world=hosts.count * hosts.devices,
            node=hosts.this,
            master=hosts.master,
            port=port,
            logs=logs,
        )


def how_started() -> Job:
    """Tells the platform's ways of starting apart, by the environment that its manual documents.

    A preset image starts one process a card, each with its rank in a rank table, and lets none listen on a port. With a
    custom command it starts one process a host, which is to start the others. Not run on ModelArts.

    Raises:
        DeviceError: one of the variables is not a number.
    """
    if ranked := runtime.by_rank_table():
        here = f"RANK_TABLE_FILE is set, with RANK_ID {ranked.rank} and RANK_SIZE {ranked.world}"
        if ranked.world == 1:
            return Job(why=f"started by a preset image ({here}): trains alone")
        does = f"joins the others on device {ranked.device}, starts none"
        return Job(way="join", why=f"started by a preset image, once per card ({here}): {does}", rank=ranked.rank)
    hosts = runtime.modelarts_hosts()
    here = f"RANK_TABLE_FILE and RANK_ID are not both set, {hosts.count} hosts with {hosts.devices} devices each"
    if hosts.count * hosts.devices == 1:
        return Job(why=f"started by a custom command ({here}): trains alone")
    does = f"host {hosts.this} starts {hosts.devices} workers, the scheduler is at {hosts.master}"
    return Job(
        way="launch", why=f"started by a custom command, once per host ({here}): {does}", rank=hosts.this, hosts=hosts
    )


def copy_in(given: dict[str, Any]) -> dict[str, Any]:
    """The given options (`arguments.given`) with local paths for what --data_url and --checkpoint_url name.

    Copies both to this machine, once: other processes wait, and find it done. Every file of a data set is compared with
    its recorded SHA-256 here, those of a checkpoint when it is loaded.

    Raises:
        DataError: the storage refuses, or what came is damaged.
    """
    if not given.get("enable_modelarts"):
        return given
    paths = {}
    for url_name, path_name, default, check in (
        ("data_url", "data_path", DATA_PATH, _check_dataset),
        ("checkpoint_url", "load_path", LOAD_PATH, _check_run),
    ):
        if url := given.get(url_name):
            paths[path_name] = given.get(path_name) or default
            _copy(url, Path(paths[path_name]), check, path_name)
    return given | paths


def _copy(url: str, folder: Path, check: Callable[[Path, str], None], option: str) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    receipt, partial = folder.with_name(folder.name + ".url"), partial_path(folder)
    with folder.with_name(folder.name + ".lock").open("w") as held:
        lock(held.fileno(), wait=True)
        if folder.exists():
            if receipt.exists() and receipt.read_text() == url:
                _log.warning("%s: the copy of %s that is here is used; remove it to copy again", folder, url)
                return
            raise BadInputError(f"{folder}: exists and is no copy of {url}: remove it, or give another --{option}")
        shutil.rmtree(partial, ignore_errors=True)
        open_storage(url, runtime.storage_endpoint()).copy_in(partial)
        check(partial, url)
        receipt.write_text(url)
        partial.rename(folder)


def _check_dataset(folder: Path, url: str) -> None:
    problems = verify(folder)
    if problems:
        first = problems[0]
        raise StorageError(
            f"{url}: {first.file}: {first.what} ({len(problems)} problems): copy the data set there again"
        )


def _check_run(folder: Path, url: str) -> None:
    if not (folder / OPTIONS_FILE).is_file():
        raise BadInputError(f"{url}: no run, it has no {OPTIONS_FILE}: give the URL that was its --train_url")


@contextlib.contextmanager
def publishing(folder: Path, url: str, last: str) -> Iterator[Callable[[], None]]:
    """A function that brings `folder` to `url`, to be called after each checkpoint; the end brings it once more.

    A failure of the function is a warning, and the next call tries again. Without a URL it does nothing.
    Files named `last` are sent after all others, for they tell that the others are whole.

    Raises:
        DataError: there is no such URL (at the beginning), or the results could not be brought (at the end).
    """
    if not url:
        yield lambda: None
        return
    mirror = Mirror(folder, open_storage(url, runtime.storage_endpoint()), last)

    def publish(after: str = "The next checkpoint tries again.") -> None:
        try:
            _log.info("%d files brought to %s", mirror.push(), mirror.url)
        except (StorageError, OSError) as error:
            _log.warning("%s. %s", error, after)

    try:
        yield publish
    except BaseException:
        publish(f"The results are in {folder}.")
        raise
    try:
        mirror.push()
    except (StorageError, OSError) as error:
        raise StorageError(f"{error}; the results are in {folder}") from None
