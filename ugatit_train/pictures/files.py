"""Picture files: find them, name their outputs, read and write them. Pictures are uint8 (H, W, 3) RGB."""

import glob
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np

from ugatit_data import BadInputError
from ugatit_data.errors import RejectedImageError
from ugatit_data.files import write_whole
from ugatit_data.pixels.geometry import Size, resize
from ugatit_data.pixels.policy import decode
from ugatit_train.pictures import video


def find_pictures(source: Path) -> list[Path]:
    """The file itself, every file under a folder at any depth, or what a glob matches (`**` any depth), sorted.

    Names that begin with a dot are left out.

    Raises:
        BadInputError: nothing is there.
    """
    if source.is_file():
        return [source]
    root = _root(source)
    candidates: Iterable[Path]
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
    """The folder that a glob starts from; the path itself if it has no wildcard."""
    if source.exists():
        return source
    plain = [part for part in (source, *source.parents) if not any(sign in str(part) for sign in "*?[")]
    return plain[0]


def output_names(pictures: Sequence[Path], source: Path) -> list[Path]:
    """The output of each picture, relative to the output folder: its subfolder and stem, as PNG; a video's as MP4.

    If two pictures would share an output (x.jpg, x.png), both keep their suffix: x.jpg.png, x.png.png. If a third
    picture already has one of these names (x.jpg.png), it keeps its suffix too.
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


def find_jobs(sources: Sequence[Path]) -> list[tuple[Path, Path]]:
    """Every picture and video of some sources, each with its output's name.

    Raises:
        BadInputError: a source holds none, or pictures of two sources would share an output.
    """
    jobs: dict[Path, Path] = {}
    for source in sources:
        found = find_pictures(source)
        for path, name in zip(found, output_names(found, source), strict=True):
            if jobs.setdefault(name, path) != path:
                raise BadInputError(f"{jobs[name]} and {path} would both become {name}: translate them one by one")
    return [(path, name) for name, path in jobs.items()]


def count_images(jobs: Sequence[tuple[Path, Path]]) -> int:
    """The number of pictures and, as far as the files tell it, of video frames."""
    return sum(video.about(path)[1] if video.is_video(path) else 1 for path, _ in jobs)


def read_picture(path: Path, img_size: Size | None = None) -> np.ndarray:
    """The upright picture; with `img_size`, resized to it as the training data are.

    Raises:
        RejectedImageError: it cannot be read or decoded; the message is the reason.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise RejectedImageError(f"unreadable: {error.strerror}") from None
    pixels = decode(data).pixels
    return pixels if img_size is None else resize(pixels, img_size)


def write_picture(path: Path, picture: np.ndarray) -> None:
    """Write a picture as its suffix says (.png, .jpg); the file appears complete or not at all.

    Raises:
        BadInputError: OpenCV has no writer for the suffix.
        OSError: the file cannot be written.
    """
    quality = [cv2.IMWRITE_JPEG_QUALITY, 92] if path.suffix.lower() in (".jpg", ".jpeg") else []
    try:
        data = cv2.imencode(path.suffix, np.ascontiguousarray(picture[..., ::-1]), quality)[1].tobytes()
    except cv2.error:
        raise BadInputError(f"{path}: no writer for {path.suffix!r}: name it .png or .jpg") from None
    write_whole(path, data)
