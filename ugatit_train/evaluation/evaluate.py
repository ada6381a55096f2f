"""Judges a trained pair of generators on testA and testB: pictures, times, and distances to the target domain.

The distance is KID with InceptionV3's features, and `smoke_mmd` with the built-in ones. Beside it stands the distance
of the *identity*, the test pictures as they are: a translation must be better than that. A gray model (`img_ch` 1) is
judged on gray pictures, source and target: it can make no other.
"""

import dataclasses
import functools
import json
import math
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from ugatit_data import BadInputError
from ugatit_data.files import write_whole
from ugatit_train import runtime
from ugatit_train.evaluation import kid, testpictures
from ugatit_train.evaluation.features import Features, open_features
from ugatit_train.inference import models
from ugatit_train.inference.generator import choose
from ugatit_train.options import arguments
from ugatit_train.options.saved import OPTIONS_FILE, moved_data
from ugatit_train.pictures import drawing
from ugatit_train.pictures.files import write_picture
from ugatit_train.training.checkpoint import META_FILE, CheckpointError, find, read_meta, run_options
from ugatit_train.training.log import DIRECTIONS

METRICS_FILE = "metrics.json"
SHEET_FILE = "contact_sheet.png"
SHEET_ROWS = 8


@dataclasses.dataclass
class _Judged:
    """What is known of one direction so far."""

    build_s: float = 0.0  # to load and compile, up to the first picture
    image_s: list[float] = dataclasses.field(default_factory=list)  # of each picture, in the network only
    vectors: list[np.ndarray] = dataclasses.field(default_factory=list)
    rows: list[tuple[np.ndarray, ...]] = dataclasses.field(default_factory=list)  # input, heat map, output


def own_data(checkpoint: Path) -> Path:
    """The data set that a run, or one of its checkpoints, was trained on.

    Raises:
        OptionError, CheckpointError: `checkpoint` is neither.
        BadInputError: its path is relative to another folder, in which the run was started.
    """
    run = checkpoint
    if (checkpoint / META_FILE).exists():
        run = checkpoint.absolute().parents[1]
        folder = run_options(checkpoint, read_meta(checkpoint)).data_folder
    elif (checkpoint / OPTIONS_FILE).exists():
        folder = arguments.load(checkpoint / OPTIONS_FILE).data_folder
    else:
        raise CheckpointError(f"{checkpoint}: no run and no checkpoint: give the folder of one")
    if words := moved_data(folder, run / OPTIONS_FILE):
        try:
            testpictures.count(folder, "a")
        except BadInputError:
            raise BadInputError(f"{folder}: no such data set here{words}: give it as --data_path") from None
    return folder


def check(data: Path, directions: tuple[str, ...]) -> None:
    """Raises BadInputError if a direction has no test pictures, or is none."""
    if not directions or not set(directions) <= set(DIRECTIONS):
        raise BadInputError(f"directions {directions}: give some of {DIRECTIONS}")
    for direction in directions:
        domain = direction[0].upper()
        if not testpictures.count(data, direction[0]):
            raise BadInputError(
                f"{data}: holds no picture in test{domain}, which {direction} is judged on: "
                "give a folder with pictures in testA and testB as --data_path"
            )


def evaluate(
    checkpoint: Path | str,
    data: Path | str | None,
    out: Path | str,
    features: Features | Path | str | None = None,
    directions: tuple[str, ...] = DIRECTIONS,
    *,
    weights: str | None = None,
    device_target: str = "CPU",
    device_id: int = 0,
    compile_cache: str = "auto",
    at_work: Callable[[], object] = lambda: None,
) -> dict[str, Any]:
    """Judge a run (its newest good checkpoint) or one checkpoint on test pictures; gives what `metrics.json` holds.

    `data` is a converted data set or a folder with testA and testB; None is the one that the run was trained on.
    `features` is an InceptionV3's file (see `open_features`) for KID; None takes the built-in features. `directions`
    are "a2b", "b2a" or both. `weights` are "ema" or "raw"; if not given, the average where there is one.
    `compile_cache` is auto, off or a folder, where compiled graphs are kept. `at_work` is called when all is checked,
    before the first picture.

    Writes into the folder `out`: `a2b/` and `b2a/` with a PNG for every test picture, `contact_sheet.png` with heat
    maps, and `metrics.json`. A picture that cannot be read is named under "problems", and the rest goes on.

    Raises:
        BadInputError: a direction has no test pictures, or is none.
        CheckpointError, OptionError: `checkpoint` is no run and no checkpoint, or has no good one, or it holds no
            averages and they are wanted.
        FeaturesError: the features' file cannot be used.
        DeviceError: the device cannot be used.
        CorruptDatasetError: the data set was damaged.
        OSError: `out` cannot be written; what is there is whole.
    """
    checkpoint, out = Path(checkpoint), Path(out)
    data = Path(data) if data else own_data(checkpoint)
    check(data, directions)
    runtime.setup(device_target, device_id)
    if not isinstance(features, Features):
        features = open_features(Path(features) if features else None, compile_cache)
    checkpoint, meta = find(checkpoint)  # one for both directions, even if a training writes newer ones meanwhile
    problems: dict[str, str] = {}
    result: dict[str, Any] = {"checkpoint": str(checkpoint), "step": meta["step"]}
    result["weights"] = weights = choose(checkpoint, meta, weights)
    run_options(checkpoint, meta)  # raises where its run had an option that this version does not know
    at_work()
    result |= {"data": str(data), "problems": problems}
    result |= {"metric": features.metric, "features": features.origin, "subsets": kid.SUBSETS}
    known: dict[str, np.ndarray] = {}  # the feature vectors of each domain
    columns: dict[str, list[np.ndarray]] = {}

    for direction in directions:
        source, target = direction[0], direction[2]
        opening = functools.partial(
            models.from_checkpoint, checkpoint, direction, weights=weights, compile_cache=compile_cache
        )
        judged, taken = _translate(opening, direction, data, out, features, problems)
        result["img_ch"] = taken.img_ch
        result[direction] = {
            "images": len(judged.image_s),
            "build_s": judged.build_s,
            "image_s_median": float(np.median(judged.image_s)) if judged.image_s else None,
        }
        for domain in sorted({source, target} - set(known)):
            pictures = _good_pictures(data, domain, taken, problems, f"features of test{domain.upper()}")
            known[domain] = np.array([features.extract(picture) for _, picture in pictures])
        result[direction] |= figures(features.metric, known[source], known[target], np.array(judged.vectors))
        for i, title in enumerate((f"{source.upper()}: input", "heat map", f"to {target.upper()}: output")):
            columns[f"{direction} {title}"] = [row[i] for row in judged.rows]

    rows = min(len(column) for column in columns.values())
    if rows:
        titles = [name.split(" ", 1)[1] for name in columns]
        drawing.contact_sheet([column[:rows] for column in columns.values()], titles, out / SHEET_FILE)
    write_whole(out / METRICS_FILE, json.dumps(result, indent=1) + "\n")
    return result


def _translate(
    opening: Callable[[], models.Model],
    direction: str,
    data: Path,
    out: Path,
    features: Features,
    problems: dict[str, str],
) -> tuple[_Judged, models.Signature]:
    """Writes `out/<direction>/*.png`; gives what is to be judged, and what the generator takes.

    The time of `opening` counts to that of compiling.
    """
    judged = _Judged()
    began = time.perf_counter()
    model = opening()
    taken = model.signature
    (out / direction).mkdir(parents=True, exist_ok=True)
    for name, picture in _good_pictures(data, direction[0], taken, problems, direction):
        x = drawing.to_network(picture, taken.img_ch)
        if not judged.image_s:
            model.run(x)  # compiles
            judged.build_s = time.perf_counter() - began
        started = time.perf_counter()
        made, heat = model.run(x)
        judged.image_s.append(time.perf_counter() - started)
        output = drawing.to_uint8(made)[0]
        path = out / direction / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_picture(path, output)
        if len(judged.rows) < SHEET_ROWS:
            judged.rows.append((picture, drawing.heatmap_to_uint8(heat, taken.img_size)[0], output))
        judged.vectors.append(features.extract(output))
    return judged, taken


def _good_pictures(
    data: Path, domain: str, taken: models.Signature, problems: dict[str, str], label: str
) -> Iterator[tuple[Path, np.ndarray]]:
    """Output name and pixels of every picture that can be read, as the generator sees it; with a progress bar.

    The others go into `problems`.
    """
    total = testpictures.count(data, domain)
    pictures = testpictures.read(data, domain, taken.img_size) if total else ()
    for found in tqdm(pictures, desc=label, total=total, unit="picture", disable=not sys.stderr.isatty()):
        if found.pixels is None:
            problems[f"test{domain.upper()}/{found.source}"] = found.problem
        else:
            yield found.output, drawing.as_seen(found.pixels, taken.img_ch)


def figures(metric: str, source: np.ndarray, target: np.ndarray, made: np.ndarray) -> dict[str, Any]:
    """The distances of one direction by name, from the feature vectors (N, D) of both domains and the translations."""
    if min(map(len, (source, target, made))) < 2:
        return {"not_measured": f"{len(source)} source and {len(target)} target pictures: two of each are the least"}
    translated = kid.kernel_distance(made, target)
    identity = kid.kernel_distance(source, target)
    try:
        legacy = kid.legacy_mixed(source, target, made)
    except kid.KidError:
        legacy = None
    return {
        "subset_size": kid.default_subset_size(made, target),
        metric: dataclasses.asdict(translated),
        f"{metric}_identity": dataclasses.asdict(identity),
        "better_than_identity": translated.mean < identity.mean,
        f"legacy_mixed_{metric}_x100": None if legacy is None else _finite(dataclasses.asdict(legacy)),
    }


def _finite(values: dict[str, float]) -> dict[str, float | None]:
    """The same with None in place of NaN, which JSON does not have."""
    return {name: None if math.isnan(value) else value for name, value in values.items()}


def describe(result: dict[str, Any]) -> list[str]:
    """What `evaluate` gave, as lines to print."""
    lines = [f"{result['checkpoint']}: step {result['step']}, weights {result['weights']}"]
    for direction in (name for name in DIRECTIONS if name in result):
        found = result[direction]
        line = f"{direction}: {found['images']} pictures, built in {found['build_s']:.1f} s"
        lines.append(line + (f", {found['image_s_median']:.4f} s a picture (median)" if found["images"] else ""))
        if "not_measured" in found:
            lines.append(f"{direction}: no distance: {found['not_measured']}")
        metric = result["metric"]
        if metric in found:
            made, untouched = (
                f"{x['mean']:.5f} +- {x['std']:.5f}" for x in (found[metric], found[f"{metric}_identity"])
            )
            verdict = "nearer than" if found["better_than_identity"] else "NO nearer than"
            target = f"test{direction[2].upper()}"
            lines.append(f"{direction}: {metric} to {target} {made}, {verdict} the untouched pictures' {untouched}")
    return lines
