"""The best checkpoint of a run that judges itself (`--eval_freq`): `checkpoints/best-00000100/`.

The best is the one whose figure of A to B is the lowest; its `checkpoint.json` holds the evaluation. It is kept
whatever `--keep` says; a run that goes on in another folder (`--load_path`) begins a new best. A better one is complete
before the one before goes: after a kill at any moment there is one.
"""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ugatit_train.training import checkpoint

_log = logging.getLogger(__name__)


def save(folder: Path, parameters: Mapping[str, Any], meta: Mapping[str, Any]) -> Path:
    """Commits the run's best checkpoint, removes the one before, and gives its folder.

    Arguments and errors are those of `checkpoint.save`; `meta["evaluation"]` is the line of its evaluation.
    """
    final = checkpoint.commit(folder / f"best-{meta['step']:08d}", parameters, meta)
    for before in checkpoint.committed(folder, "best"):
        if before != final:
            checkpoint.remove(before)
    return final


def newest(folder: Path) -> tuple[Path, dict[str, Any]] | None:
    """The best checkpoint in a run's folder `checkpoints`, and its meta; None if there is none.

    Of two, the later one: a program that was killed has not removed the one before.

    Raises:
        CheckpointError: it is damaged.
    """
    found = checkpoint.committed(folder, "best")
    return checkpoint.find(found[-1]) if found else None


def choose(folder: Path, which: str) -> Path:
    """What `--which` takes of `folder`, a run's or one checkpoint's: "last" leaves it, "best" is the best checkpoint.

    Raises:
        CheckpointError: there is no best one, or it is damaged.
    """
    if which == "last":
        return folder
    if (folder / checkpoint.META_FILE).exists():
        raise checkpoint.CheckpointError(f"{folder}: is one checkpoint: give the run's folder, or leave --which out")
    try:
        found = newest(folder / "checkpoints")
    except checkpoint.CheckpointError as error:
        raise checkpoint.CheckpointError(f"{error}, or --which last") from None
    if found is None:
        raise checkpoint.CheckpointError(
            f"{folder}: has no best checkpoint, for it was not judged while it trained: give --which last, or train "
            "with --eval_freq"
        )
    return found[0]


def is_better(found: Mapping[str, Any], best: Mapping[str, Any] | None) -> bool:
    """Whether the evaluation `found` is of a better checkpoint than the best before; the first one is."""
    if best is None:
        return True
    measure, before = ((line["metric"], line["features"]) for line in (found, best))
    if measure != before:
        _log.warning("the best checkpoint was judged by %s (%s): the best is sought anew", *before)
        return True
    return found["a2b"]["mean"] < best["a2b"]["mean"]
