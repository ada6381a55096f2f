"""A training that is judged while it runs (`--eval_freq`), by the figures of `evaluate`, on some of the test pictures.

The loop lies below this room, so it is handed the judge.
"""

import logging
import time
from pathlib import Path
from typing import Any

import numpy as np

from ugatit_data import BadInputError
from ugatit_train.evaluation import features, kid, testpictures
from ugatit_train.options.config import Options
from ugatit_train.pictures import drawing
from ugatit_train.training.evaluations import Generators, Judge
from ugatit_train.training.log import DIRECTIONS

PICTURES = 100
"""The most test pictures of a domain that are judged, evenly from all of them: the paper's test sets have as many."""
LONGEST_S = 600.0
"""An evaluation that takes longer is given up. Other devices wait for it; HCCL ends a run that waits for 1,800 s."""

_log = logging.getLogger(__name__)


def train(options: Options) -> None:
    """Trains to the end of the schedule, from the last good checkpoint if `options.resume`.

    Writes into `output_path`: options.yaml, train.log, metrics.jsonl, index.html, samples/, checkpoints/; with
    `eval_freq` also evaluations.jsonl; and to `train_url`. The data are in `data_folder`: `ugatit train` copies those
    of `data_url` there before.

    Raises:
        DataError: the data set cannot be read, or has no test pictures for `eval_freq`.
        CheckpointError: there is nothing to resume from, or it belongs to other networks or data.
        OptionError: options that do not fit the data set or the run in `output_path`.
        FeaturesError: `inception_ckpt_path` cannot be used for `eval_freq`.
        DeviceError: the device cannot be used.
        InterruptedTraining: SIGTERM, Ctrl-C or SIGHUP, unless that was ignored; the state is saved.
        BrokenPipeError: nobody reads stdout any more; the state is saved.
        TrainingError: a loss is not finite; the message names step, losses and samples.
        NoRoomError, OSError: no room on the disk.
    """
    check(options)
    from ugatit_train.training import loop  # loads MindSpore

    loop.train(options, open_judge)


def check(options: Options) -> None:
    """Raises DataError or FeaturesError where the judge of `eval_freq` could not be opened."""
    if options.eval_freq is None:
        return
    folder = options.data_folder
    for domain in "ab":
        if (count := testpictures.count(folder, domain)) < 2:
            raise BadInputError(
                f"{folder}: {count} pictures in test{domain.upper()}, two are the least that --eval_freq judges on: "
                "convert pictures with testA and testB, or leave --eval_freq out"
            )
    features.check(_inception(options))


def _inception(options: Options) -> Path | None:
    return Path(options.inception_ckpt_path) if options.inception_ckpt_path else None


def open_judge(options: Options) -> Judge:
    """What judges the generators of a run with these options, by KID with its `inception_ckpt_path`, else smoke_mmd.

    It reads the test pictures and takes their features once. Needs `check` and `runtime.setup` before.

    Raises:
        DataError: the data set was damaged.
        FeaturesError: the file of an InceptionV3 cannot be used.
    """
    began = time.perf_counter()
    extractor = features.open_features(_inception(options), options.compile_cache)
    pictures = {domain: _pictures(options, domain) for domain in "ab"}
    known = {domain: np.array([extractor.extract(picture) for picture in its]) for domain, its in pictures.items()}
    identity = kid.kernel_distance(known["a"], known["b"]), kid.kernel_distance(known["b"], known["a"])
    _log.info(
        "judging by %s (%s) on %d pictures of testA and %d of testB; their features took %.1f s",
        extractor.metric, extractor.origin, *map(len, pictures.values()), time.perf_counter() - began,
    )  # fmt: skip

    def judge(generators: Generators) -> dict[str, Any] | None:
        until = time.monotonic() + LONGEST_S
        found: dict[str, Any] = {"metric": extractor.metric, "features": extractor.origin}
        for direction, untouched in zip(DIRECTIONS, identity, strict=True):
            made = []
            for picture in pictures[direction[0]]:
                if time.monotonic() > until:
                    _log.warning(
                        "judging took more than %.0f min, and was given up: no more of it until the next start: leave "
                        "--eval_freq out, and judge the checkpoints by themselves", LONGEST_S / 60,
                    )  # fmt: skip
                    return None
                x = drawing.to_network(picture, options.img_ch)
                made.append(extractor.extract(drawing.to_uint8(generators[direction](x))[0]))
            distance = kid.kernel_distance(np.array(made), known[direction[2]])
            figures = {"mean": distance.mean, "std": distance.std, "identity": untouched.mean}
            found[direction] = {"images": len(made)} | figures
        return found

    return judge


def _pictures(options: Options, domain: str) -> list[np.ndarray]:
    """The test pictures of a domain to judge on, as the generators see them, uint8 RGB."""
    total = testpictures.count(options.data_folder, domain)
    count = min(total, PICTURES)
    chosen = {i * total // count for i in range(count)}
    found = testpictures.read(options.data_folder, domain, options.image_size)
    pixels = [each.pixels for i, each in enumerate(found) if i in chosen]  # a data set's can all be read
    return [drawing.as_seen(picture, options.img_ch) for picture in pixels if picture is not None]
