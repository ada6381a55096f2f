"""Pictures and videos in, translated ones out."""

import contextlib
import dataclasses
import errno
import itertools
import os
import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np

from ugatit_data import BadInputError
from ugatit_data.errors import RejectedImageError
from ugatit_train.inference import overlap
from ugatit_train.inference.models import Model, ModelError, Signature
from ugatit_train.pictures import drawing, video, videofile
from ugatit_train.pictures.files import beside, find_jobs, read_picture, write_picture
from ugatit_train.pictures.fitting import Fit


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one picture or video: the files written, or the reason why there are none, or not all.

    Of a video that is written, also its frames, and the seconds that it took.
    """

    source: Path
    written: tuple[Path, ...] = ()
    problem: str = ""
    frames: int = 0
    seconds: float = 0.0


def translate(
    model: Model,
    sources: Path | str | Sequence[Path | str],
    out: Path | str,
    *,
    size: tuple[int, int] | None = None,
    keep_size: bool = False,
    tiles: bool = False,
    batch: int = 1,
    heatmap: bool = False,
    side_by_side: bool = False,
    progress: Callable[[int], object] = lambda count: None,
    report: Callable[[Outcome], object] = lambda outcome: None,
) -> list[Outcome]:
    """Translate pictures, folders, globs and videos into the folder `out`; gives what became of each of them.

    Writes `<stem>.png`; with `heatmap` also `<stem>.heatmap.png`, where the generator looks (red is most); with
    `side_by_side` also `<stem>.side_by_side.png`: input as the model sees it, heat map if wanted, output. A video
    becomes MP4 files of the same names, with its sound and its frames' times. What cannot be read as a whole is
    reported, and the rest goes on.

    Pictures are resized to the training's size, as the training data were, unless one of these is given:
        size: (height, width) of the outputs, in pixels; a model of any size works at it, if they are multiples of 4
            from 8; a full one's are resized.
        keep_size: outputs have their picture's size; a model of any size takes it whole, a full one's are resized.
        tiles: outputs have their picture's size; the model sees overlapping parts of the training's size.

    `batch` pictures of one size go through the model together. `progress` is called with the number of pictures and
    frames that are done since the last call, `report` with each outcome as it is known.

    Raises:
        BadInputError: a source holds no file, two pictures would share an output, an output would replace a source,
            more than one of `size`, `keep_size` and `tiles` is given, or `size` or `batch` is out of range; nothing is
            written.
        ModelError: the model takes another batch; nothing is written.
        OSError: `out` cannot be written; what is there is whole.
    """
    out = Path(out)
    drawn = _Drawn(heatmap, side_by_side)
    found = [Path(sources)] if isinstance(sources, Path | str) else [Path(source) for source in sources]
    jobs = find_jobs(found, endings(heatmap, side_by_side))
    _keep_sources(jobs, out, drawn.suffixes)
    if (size is not None) + keep_size + tiles > 1:
        raise BadInputError("size, keep_size and tiles are three ways to an output's size: give one of them")
    if batch < 1:
        raise BadInputError(f"batch {batch}: give at least 1")
    if size and not model.signature.size and (min(size) < 8 or size[0] % 4 or size[1] % 4):
        raise BadInputError(f"size {size}: give (height, width), multiples of 4 from 8")
    taken = model.signature.batch
    if taken not in (None, batch):
        raise ModelError(f"--batch {batch}: this file takes {taken}: leave --batch out")
    fit = _fit_for(model.signature, size, keep_size, tiles)
    outcomes = []
    for outcome in _translated(model, jobs, out, fit, batch, drawn, progress):
        outcomes.append(outcome)
        report(outcome)
    return outcomes


def translate_picture(
    model: Model,
    picture: np.ndarray,
    *,
    size: tuple[int, int] | None = None,
    keep_size: bool = False,
    tiles: bool = False,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A picture as the model sees it, its translation, and where the generator looks (red is most), of one size.

    All are uint8 (H, W, 3) RGB. `size`, `keep_size` and `tiles`, of which one may be given, mean what they mean for
    `translate`, and the translation has the pixels that it would write.
    """
    fit = _fit_for(model.signature, size, keep_size, tiles)
    ((_, seen, made, heat),) = _Batches(model, fit, 1).add(None, picture)
    shown = _Drawn(heatmap=True, side_by_side=False)(seen, made, heat)
    return seen, shown[""], shown[".heatmap"]


def _fit_for(signature: Signature, size: tuple[int, int] | None, keep_size: bool, tiles: bool) -> Fit:
    own = signature.size or signature.img_size
    if tiles:
        return Fit(way="tiles", size=own)
    if keep_size:
        return Fit(way="resize" if signature.size else "whole", size=own)
    return Fit(way="squash", size=own if signature.size else size or own, shown=size)


def _keep_sources(jobs: list[tuple[Path, Path]], out: Path, endings: Sequence[str]) -> None:
    """Raises BadInputError if an output would replace a source: `out` may be the folder that the sources are in."""
    if not out.is_dir():
        return
    sources = {os.path.realpath(path) for path, _ in jobs}
    for path, name in jobs:
        for file in (beside(out / name, ending) for ending in endings):
            if os.path.realpath(file) in sources:
                raise BadInputError(f"{path}: its output would replace the source {file}: give another folder")


def endings(heatmap: bool, side_by_side: bool) -> tuple[str, ...]:
    """What is written beside each output, as endings of its stem."""
    return (".heatmap",) * heatmap + (".side_by_side",) * side_by_side


@dataclasses.dataclass(frozen=True)
class _Drawn:
    """Which files are written for a picture."""

    heatmap: bool
    side_by_side: bool

    @property
    def suffixes(self) -> tuple[str, ...]:
        return ("", *endings(self.heatmap, self.side_by_side))

    def __call__(self, picture: np.ndarray, made: np.ndarray, heat: np.ndarray) -> dict[str, np.ndarray]:
        """Suffix of the stem -> uint8 (H, W, 3); of an input (H, W, 3), output (C, H, W) and heat map (1, H, W)."""
        shown = {"": drawing.to_uint8(made[None])[0]}
        if self.heatmap:
            shown[".heatmap"] = drawing.heatmap_to_uint8(heat[None], (heat.shape[1], heat.shape[2]))[0]
        if self.side_by_side:
            shown[".side_by_side"] = np.concatenate([picture, *list(shown.values())[::-1]], axis=1)
        return shown


class _Batches:
    """Runs a model on pictures, together those whose pieces have one shape; at most four batches wait."""

    def __init__(self, model: Model, fit: Fit, batch: int):
        self._model, self._fit, self._batch = model, fit, batch
        self._waiting: dict[tuple[int, ...], list[tuple[Hashable, np.ndarray, list[np.ndarray]]]] = {}

    def add(self, key: Hashable, picture: np.ndarray) -> Iterator[tuple]:
        """What is ready after this picture: (key, the picture, its output (C, H, W), its heat map (1, H, W)) each."""
        pieces = self._fit.pieces(picture)
        self._waiting.setdefault(pieces[0].shape, []).append((key, picture, pieces))
        count = {shape: sum(len(pieces) for *_, pieces in jobs) for shape, jobs in self._waiting.items()}
        fullest = max(count, key=lambda shape: count[shape])
        if count[fullest] >= self._batch or sum(count.values()) >= 4 * self._batch:
            yield from self._run(fullest)

    def rest(self) -> Iterator[tuple]:
        """The same of all that still waits."""
        for shape in list(self._waiting):
            yield from self._run(shape)

    def _run(self, shape: tuple[int, ...]) -> Iterator[tuple]:
        jobs = self._waiting.pop(shape)
        images = [drawing.to_network(x, self._model.signature.img_ch) for *_, pieces in jobs for x in pieces]
        starts = range(0, len(images), self._batch)
        made = [self._model.run(np.concatenate(images[start : start + self._batch])) for start in starts]
        outputs, heatmaps = (list(np.concatenate(parts)) for parts in zip(*made, strict=True))
        for key, picture, pieces in jobs:
            high, wide = picture.shape[:2]
            joined = [self._fit.joined(maps[: len(pieces)], high, wide) for maps in (outputs, heatmaps)]
            del outputs[: len(pieces)], heatmaps[: len(pieces)]
            yield key, drawing.as_seen(self._fit.beside(picture), self._model.signature.img_ch), *joined


def _translated(
    model: Model, jobs: list[tuple[Path, Path]], out: Path, fit: Fit, batch: int, drawn: _Drawn, progress: Callable
) -> Iterator[Outcome]:
    def written(job: tuple[Path, Path], *pictures: np.ndarray) -> Outcome:
        path, name = job
        files = []
        progress(1)
        try:
            (out / name).parent.mkdir(parents=True, exist_ok=True)
            for suffix, image in drawn(*pictures).items():
                write_picture(beside(out / name, suffix), image)
                files.append(beside(out / name, suffix))
        except OSError as error:
            return Outcome(source=path, written=tuple(files), problem=_own_fault(error))
        return Outcome(source=path, written=tuple(files))

    out.mkdir(parents=True, exist_ok=True)
    batches = _Batches(model, fit, batch)
    for path, name in jobs:
        if video.is_video(path):
            continue
        try:
            picture = read_picture(path)
        except RejectedImageError as error:
            progress(1)
            yield Outcome(source=path, problem=error.reason)
            continue
        for done in batches.add((path, name), picture):
            yield written(*done)
    for done in batches.rest():
        yield written(*done)

    for path, name in jobs:
        if video.is_video(path):
            yield _translate_video(_Batches(model, fit, batch), batch, path, out / name, drawn, progress)


def _own_fault(error: OSError) -> str:
    """Why this one output cannot be written. Raises what would stop the others too: a full disk."""
    if error.errno not in (errno.ENAMETOOLONG, errno.EFBIG):
        raise error
    return f"cannot be written: {error.strerror}"


def _translate_video(
    batches: _Batches, batch: int, path: Path, target: Path, drawn: _Drawn, progress: Callable
) -> Outcome:
    """Reads, translates and writes at the same time, each in a thread of its own."""
    writers: dict[Path, videofile.Writer] = {}
    began, count, started = time.perf_counter(), itertools.count(), False
    rate, _ = video.about(path)

    def write(shown_at: Fraction, *pictures: np.ndarray) -> None:
        for suffix, frame in drawn(*pictures).items():
            writers[beside(target, suffix)].write(frame, shown_at)

    def done() -> None:
        next(count)
        progress(1)

    try:
        with contextlib.ExitStack() as opened:  # removes what is not finished
            target.parent.mkdir(parents=True, exist_ok=True)
            for suffix in drawn.suffixes:
                writer = videofile.Writer(beside(target, suffix), rate, path)
                writers[beside(target, suffix)] = opened.enter_context(writer)
            behind = opened.enter_context(overlap.Behind(write, done, batch))
            frames = opened.enter_context(contextlib.closing(overlap.ahead(video.frames(path), batch)))
            translated = itertools.chain(
                itertools.chain.from_iterable(batches.add(*frame) for frame in frames), batches.rest()
            )
            for made in translated:
                if started:
                    behind.call(*made)
                else:  # opens the files; in a thread it might do so after a Ctrl-C has removed them
                    write(*made)
                    done()
                    started = True
            behind.finish()
            for writer in writers.values():
                writer.finish()
    except RejectedImageError as error:
        return Outcome(source=path, problem=error.reason)
    except OSError as error:
        return Outcome(source=path, problem=_own_fault(error))
    return Outcome(source=path, written=tuple(writers), frames=next(count), seconds=time.perf_counter() - began)
