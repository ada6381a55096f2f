"""ModelArts: data and checkpoints come from object storage before a run, its results go there during and after it."""

import contextlib
import fcntl
import logging
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ugatit_data.conversion.verify import verify
from ugatit_data.errors import BadInputError
from ugatit_data.storage import Mirror, StorageError, open_storage
from ugatit_train import runtime
from ugatit_train.options import config

DATA_PATH, LOAD_PATH = "cache/data", "cache/checkpoint"

_log = logging.getLogger(__name__)


def copy_in(given: dict[str, Any]) -> dict[str, Any]:
    """The given options (`arguments.given`) with local paths for what --data_url and --checkpoint_url name.

    Both are copied to this machine, once: other processes wait, and find it done. A data set's every file is compared
    with its recorded SHA-256; a checkpoint's are when it is loaded.

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
    receipt, partial = (folder.with_name(folder.name + suffix) for suffix in (".url", ".partial"))
    with folder.with_name(folder.name + ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
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
    if not (folder / config.OPTIONS_FILE).is_file():
        raise BadInputError(f"{url}: no run, it has no {config.OPTIONS_FILE}: give the URL that was its --train_url")


@contextlib.contextmanager
def publishing(folder: Path, url: str, last: str) -> Iterator[Callable[[], None]]:
    """A function that brings `folder` to `url`, for in between, after each checkpoint; at the end it is brought too.

    In between, a failure is a warning, and the next time tries again. Without a URL the function does nothing.
    Files named `last` are sent after all others, which they vouch for.

    Raises:
        DataError: at the beginning, no such URL; at the end, the results could not be brought.
    """
    if not url:
        yield lambda: None
        return
    mirror = Mirror(folder, open_storage(url, runtime.storage_endpoint()), last)

    def publish() -> None:
        try:
            _log.info("%d files brought to %s", mirror.push(), mirror.url)
        except StorageError as error:
            _log.warning("%s. The next checkpoint tries again.", error)

    try:
        yield publish
    except BaseException:
        publish()
        raise
    try:
        mirror.push()
    except StorageError as error:
        raise StorageError(f"{error}; the results are in {folder}") from None
