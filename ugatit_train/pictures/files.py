"""Picture files: find them, name their outputs, read and write them. Pictures are uint8 (H, W, 3) RGB."""

import glob
import os
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from ugatit_data import BadInputError
from ugatit_data.conversion.sources import read_regular, unreadable, walk
from ugatit_data.errors import RejectedImageError
from ugatit_data.files import fitting_name, sha256_hex, write_whole
from ugatit_data.pixels.geometry import Size, resize
from ugatit_data.pixels.policy import decode
from ugatit_train.pictures import video


def find_pictures(source: Path) -> list[Path]:
    """The file itself, every file under a folder (`pictures_below`), or what a glob matches (`**` any depth), sorted.

    Names that begin with a dot are left out. Links are followed; a loop of links is left at its second turn.

    Raises:
        BadInputError: nothing is there, or a folder cannot be read.
    """
    if source.is_file():
        return [source]
    if source.is_dir():
        found, none = pictures_below(source), "holds no file: give a folder with pictures in it"
    elif (root := _root(source)) != source:
        matches = map(Path, glob.glob(str(source), recursive=True))
        found = sorted((path for path in matches if not path.is_dir() and _kept(path, root)), key=os.fsencode)
        none = "matches no file: check the pattern"
    else:
        raise BadInputError(f"{source}: no such picture or folder: check the path")
    if not found:
        raise BadInputError(f"{source}: {none}")
    return found


def pictures_below(folder: Path) -> list[Path]:
    """Every file of a folder that a conversion would list, in the order of its keys; none is an empty list.

    Raises:
        BadInputError: a folder must not be read.
        ConversionError: the file system fails.
    """
    return [folder / os.fsdecode(key) for key in sorted(entry.key for entry in walk(os.fsencode(folder)))]


def _root(source: Path) -> Path:
    """The folder that a glob starts from; the path itself if it has no wildcard."""
    if source.exists():
        return source
    plain = [part for part in (source, *source.parents) if not any(sign in str(part) for sign in "*?[")]
    return plain[0]


def _kept(path: Path, root: Path) -> bool:
    """Whether a walk from `root` would give the path too: no name begins with a dot, and no link leads round."""
    inside = path.relative_to(root)
    folders = [(root / parent).stat() for parent in inside.parents]
    looped = len({(folder.st_dev, folder.st_ino) for folder in folders}) < len(folders)
    return not looped and not any(part.startswith(".") for part in inside.parts)


def output_names(pictures: Sequence[Path], source: Path, endings: Sequence[str] = ()) -> list[Path]:
    """The output of each picture, relative to the output folder: its subfolder and stem, as PNG; a video's as MP4.

    If two pictures would share an output (x.jpg, x.png), both keep their suffix: x.jpg.png, x.png.png. If a third
    picture already has one of these names (x.jpg.png), it keeps its suffix too. The same holds for what is written
    beside it (`endings` such as ".heatmap": a.png, a.heatmap.png), for names that differ only where some file systems
    see no difference (X.png, x.jpg), and for a folder of that name. Names of more than 255 bytes are shortened.
    """
    root = _root(source)
    return _names([Path(path.name) if path == source else path.relative_to(root) for path in pictures], endings)


def _names(inside: Sequence[Path], endings: Sequence[str]) -> list[Path]:
    """`output_names` of pictures whose paths in the output folder these are."""
    keeps = [0] * len(inside)
    while True:
        names = [_output_name(path, kept) for path, kept in zip(inside, keeps, strict=True)]
        more = set()
        for same in _meeting(names, endings).values():
            least = min(keeps[i] for i in same)
            more |= {i for i in same if keeps[i] == least < 2}
        if not more:
            return names
        for i in more:
            keeps[i] += 1


def _output_name(path: Path, keeps: int) -> Path:
    """The stem (`keeps` 0), the whole name (1) or that and digits of no other path (2), with the output's suffix."""
    stem = path.name if keeps else path.stem
    digits = f"~{sha256_hex(os.fsencode(path))[:8]}" if keeps == 2 else ""
    return path.with_name(fitting_name(stem, digits + (".mp4" if video.is_video(path) else ".png")))


def beside(output: Path, ending: str) -> Path:
    """The file with this ending beside an output: x.heatmap.png of x.png."""
    return output.with_name(fitting_name(output.stem, ending + output.suffix))


def _meeting(names: Sequence[Path], endings: Sequence[str]) -> dict[str, list[int]]:
    """The files that several outputs, with what stands beside them, would share, or that are folders of others."""
    owners: dict[str, list[int]] = {}
    for i, name in enumerate(names):
        for ending in ("", *endings):
            owners.setdefault(_alike(beside(name, ending)), []).append(i)
    above = {_alike(folder) for parent in {name.parent for name in names} for folder in (parent, *parent.parents)}
    return {file: same for file, same in owners.items() if len(same) > 1 or file in above}


def _alike(file: Path) -> str:
    """Equal for paths that some file systems take for one: they ignore case, or how an accent is written."""
    return unicodedata.normalize("NFC", str(file)).casefold()


def find_jobs(sources: Sequence[Path], endings: Sequence[str] = ()) -> list[tuple[Path, Path]]:
    """Every picture and video of some sources, each with its output's name (see `output_names`).

    Raises:
        BadInputError: a source holds none, pictures of two sources would share an output, or there are only videos
            and PyAV, which reads them, is not installed.
    """
    listed = {source: find_pictures(source) for source in sources}
    alone = [source for source, pictures in listed.items() if pictures == [source]]  # names of files given by name
    names = dict(zip(alone, _names([Path(path.name) for path in alone], endings), strict=True))
    found: dict[tuple[Path, Path], None] = {}  # in order, each once
    for source, pictures in listed.items():
        made = [names[source]] if source in names else output_names(pictures, source, endings)
        found |= dict.fromkeys(zip(pictures, made, strict=True))
    jobs = list(found)
    if all(video.is_video(path) for path, _ in jobs):
        try:
            video.pyav()
        except RejectedImageError as error:
            raise BadInputError(f"{jobs[0][0]}: {error.reason}") from None
    for file, same in _meeting([name for _, name in jobs], endings).items():
        paths = " and ".join(str(jobs[i][0]) for i in same)
        both = "both become" if len(same) > 1 else "become a file where a folder is needed,"
        raise BadInputError(f"{paths} would {both} {file}: translate them one by one")
    return jobs


def count_images(jobs: Sequence[tuple[Path, Path]]) -> float:
    """The number of pictures and, about, of video frames; inf if a video does not tell."""
    return sum(video.about(path)[1] if video.is_video(path) else 1 for path, _ in jobs)


def read_picture(path: Path, img_size: Size | None = None) -> np.ndarray:
    """The upright picture; with `img_size`, resized to it as the training data are.

    Raises:
        RejectedImageError: it cannot be read or decoded; the message is the reason.
    """
    try:
        data = read_regular(os.fsencode(path))
    except OSError as error:
        raise RejectedImageError(unreadable(error)) from None
    pixels = decode(data).pixels
    return pixels if img_size is None else resize(pixels, img_size)


def write_picture(path: Path, picture: np.ndarray) -> None:
    """Write a picture as its suffix says (.png, .jpg); the file appears complete or not at all.

    Raises:
        BadInputError: OpenCV has no writer for the suffix.
        OSError: the file cannot be written.
    """
    try:
        data = encode(picture, path.suffix)
    except cv2.error:
        raise BadInputError(f"{path}: no writer for {path.suffix!r}: name it .png or .jpg") from None
    write_whole(path, data)


def encode(picture: np.ndarray, suffix: str = ".png") -> bytes:
    """The bytes of a picture's file. Raises cv2.error where OpenCV has no writer for the suffix."""
    quality = [cv2.IMWRITE_JPEG_QUALITY, 92] if suffix.lower() in (".jpg", ".jpeg") else []
    return cv2.imencode(suffix, np.ascontiguousarray(picture[..., ::-1]), quality)[1].tobytes()
