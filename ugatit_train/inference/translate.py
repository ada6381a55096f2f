"""Images in, images out: find pictures, show them to a generator, write what it makes of them.

The generator is any function of float32 (N, C, H, W) in [-1, 1] that gives the pictures in the same form and heat maps
(N, 1, h, w), both NumPy: `models` makes one of a checkpoint, a MINDIR or an ONNX file.
"""

import dataclasses
import glob
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from ugatit_data import BadInputError
from ugatit_data.errors import RejectedImageError
from ugatit_data.pixels.geometry import Size, resize
from ugatit_data.pixels.policy import decode
from ugatit_train.inference.models import Translator
from ugatit_train.pictures import drawing, video
from ugatit_train.pictures.fitting import Fit


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one picture or video: the files written, or the reason why there are none."""

    source: Path
    written: tuple[Path, ...] = ()
    problem: str = ""


def find_pictures(source: Path) -> list[Path]:
    """The file itself, every file under a folder at any depth, or what a glob matches (`**` any depth), sorted.

    Names that begin with a dot are left out.

    Raises:
        BadInputError: nothing is there.
    """
    if source.is_file():
        return [source]
    root = _root(source)
    if source.is_dir():
        candidates, none = source.rglob("*"), "holds no file: give a folder with pictures in it"
    elif root != source:
        candidates, none = map(Path, glob.glob(str(source), recursive=True)), "matches no file: check the pattern"
    else:
        raise BadInputError(f"{source}: no such picture or folder: check the path")
    found = [
        path
        for path in sorted(candidates)
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(root).parts)
    ]
    if not found:
        raise BadInputError(f"{source}: {none}")
    return found


def _root(source: Path) -> Path:
    """The folder that a glob starts from; the path itself where there is no wildcard."""
    if source.exists():
        return source
    plain = [part for part in (source, *source.parents) if not any(sign in str(part) for sign in "*?[")]
    return plain[0]


def output_names(pictures: Sequence[Path], source: Path) -> list[Path]:
    """Where each picture's output goes below the output folder: its place and stem, as PNG; MP4 of a video.

    Where two pictures would have one output (x.jpg, x.png), both keep their suffix too: x.jpg.png, x.png.png. A third
    one that these names meet (x.jpg.png) does so as well.
    """
    root = _root(source)
    inside = [Path(path.name) if path == source else path.relative_to(root) for path in pictures]
    keeps: set[Path] = set()
    while True:
        names = {path: _output_name(path, path in keeps) for path in inside}
        count = Counter(names.values())
        taken = {path for path, name in names.items() if count[name] > 1} - keeps
        if not taken:
            return [names[path] for path in inside]
        keeps |= taken


def _output_name(path: Path, keeps_suffix: bool) -> Path:
    suffix = ".mp4" if video.is_video(path) else ".png"
    return path.with_name(path.name + suffix) if keeps_suffix else path.with_suffix(suffix)


def plan(sources: Sequence[Path]) -> list[tuple[Path, Path]]:
    """Every picture of some sources, and its output's name.

    Raises:
        BadInputError: a source holds none, or two pictures of two sources would have one output.
    """
    jobs: dict[Path, Path] = {}
    for source in sources:
        found = find_pictures(source)
        for path, name in zip(found, output_names(found, source), strict=True):
            if jobs.setdefault(name, path) != path:
                raise BadInputError(f"{jobs[name]} and {path} would both become {name}: translate them one by one")
    return [(path, name) for name, path in jobs.items()]


def read_picture(path: Path, img_size: Size | None = None) -> np.ndarray:
    """Any picture as uint8 (H, W, 3) RGB, upright; with `img_size` squashed to that, as the training data are.

    Raises:
        RejectedImageError: it cannot be read or decoded; the message is the reason.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise RejectedImageError(f"unreadable: {error.strerror}") from None
    pixels = decode(data).pixels
    return pixels if img_size is None else resize(pixels, img_size)


def to_network(picture: np.ndarray, img_ch: int) -> np.ndarray:
    """uint8 (H, W, 3) RGB to float32 (1, img_ch, H, W) in [-1, 1]; one channel is BT.601 luma."""
    pixels = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)[..., None] if img_ch == 1 else picture
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)[None], np.float32) / np.float32(127.5) - np.float32(1)


class _Batches:
    """Runs a network on pictures, those whose pieces have one shape together; at most four batches wait."""

    def __init__(self, translator: Translator, fit: Fit, img_ch: int, batch: int):
        self._translator, self._fit, self._img_ch, self._batch = translator, fit, img_ch, batch
        self._waiting: dict[tuple[int, ...], list[tuple[Hashable, np.ndarray, list[np.ndarray]]]] = {}

    def add(self, key: Hashable, picture: np.ndarray) -> Iterator[tuple]:
        """What is ready with this picture: (key, the picture, its output (C, H, W), its heat map (1, H, W)) each."""
        pieces = self._fit.pieces(picture)
        self._waiting.setdefault(pieces[0].shape, []).append((key, picture, pieces))
        count = {shape: sum(len(pieces) for *_, pieces in jobs) for shape, jobs in self._waiting.items()}
        fullest = max(count, key=count.get)
        if count[fullest] >= self._batch or sum(count.values()) >= 4 * self._batch:
            yield from self._run(fullest)

    def rest(self) -> Iterator[tuple]:
        for shape in list(self._waiting):
            yield from self._run(shape)

    def _run(self, shape: tuple[int, ...]) -> Iterator[tuple]:
        jobs = self._waiting.pop(shape)
        images = [to_network(piece, self._img_ch) for *_, pieces in jobs for piece in pieces]
        starts = range(0, len(images), self._batch)
        made = [self._translator(np.concatenate(images[start : start + self._batch])) for start in starts]
        outputs, heatmaps = (list(np.concatenate(parts)) for parts in zip(*made, strict=True))
        for key, picture, pieces in jobs:
            high, wide = picture.shape[:2]
            joined = [self._fit.joined(maps[: len(pieces)], high, wide) for maps in (outputs, heatmaps)]
            del outputs[: len(pieces)], heatmaps[: len(pieces)]
            yield key, self._fit.beside(picture), *joined


def translate(
    translator: Translator,
    sources: Path | Sequence[Path],
    out: Path,
    *,
    fit: Fit,
    img_ch: int = 3,
    batch: int = 1,
    heatmap: bool = False,
    side_by_side: bool = False,
    progress: Callable[[int], object] = lambda count: None,
) -> Iterator[Outcome]:
    """Translate pictures, folders, globs and videos into `out`; a bad one is reported and the rest goes on.

    Writes `<stem>.png`, with `heatmap` also `<stem>.heatmap.png` (where the generator looks: red is most), with
    `side_by_side` also `<stem>.side_by_side.png` (input, heat map if asked for, output); MP4 files of a video.
    `progress` is told of pictures and frames as they are done. With `batch` over 1, equal sizes are done together.

    Raises:
        BadInputError: a source holds no file.
        OSError: `out` cannot be written.
    """
    jobs = plan([sources] if isinstance(sources, Path) else sources)

    def drawn(picture: np.ndarray, made: np.ndarray, heat: np.ndarray) -> dict[str, np.ndarray]:
        shown = {"": drawing.to_uint8(made[None])[0]}
        if heatmap:
            shown[".heatmap"] = drawing.heatmap_to_uint8(heat[None], heat.shape[1:])[0]
        if side_by_side:
            shown[".side_by_side"] = np.concatenate([picture, *list(shown.values())[::-1]], axis=1)
        return shown

    def written(job: tuple[Path, Path], *pictures: np.ndarray) -> Outcome:
        path, name = job
        files = []
        for suffix, image in drawn(*pictures).items():
            files.append(_beside(out / name, suffix))
            drawing.write_image(files[-1], image)
        progress(1)
        return Outcome(source=path, written=tuple(files))

    batches = _Batches(translator, fit, img_ch, batch)
    for path, name in jobs:
        (out / name).parent.mkdir(parents=True, exist_ok=True)
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
            yield _translate_video(_Batches(translator, fit, img_ch, batch), path, out / name, drawn, progress)


def _beside(target: Path, suffix: str) -> Path:
    return target.with_name(f"{target.stem}{suffix}{target.suffix}")


def _translate_video(batches: _Batches, path: Path, target: Path, drawn: Callable, progress: Callable) -> Outcome:
    writers: dict[str, video.Writer] = {}
    rate, _ = video.about(path)

    def write(done: Iterator[tuple]) -> None:
        for _, *pictures in done:
            for suffix, frame in drawn(*pictures).items():
                if suffix not in writers:
                    writers[suffix] = video.Writer(_beside(target, suffix), rate)
                writers[suffix].write(frame)
            progress(1)

    whole = False
    try:
        for number, frame in enumerate(video.frames(path)):
            write(batches.add(number, frame))
        write(batches.rest())
        whole = True
    except RejectedImageError as error:
        return Outcome(source=path, problem=error.reason)
    finally:
        for writer in writers.values():
            writer.close(whole=whole)
    return Outcome(source=path, written=tuple(_beside(target, suffix) for suffix in writers))


def count_images(jobs: Sequence[tuple[Path, Path]]) -> int:
    """Pictures and, about, frames."""
    return sum(video.about(path)[1] if video.is_video(path) else 1 for path, _ in jobs)
