"""Images in, images out: find pictures, bring them into a generator's form, write what it makes of them.

The generator is any function of float32 (1, C, H, W) in [-1, 1] that gives the picture in the same form and a heat map
(1, 1, h, w), both NumPy: a checkpoint stands behind it, or later a MINDIR or ONNX file, without MindSpore.
"""

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from ugatit_data import BadInputError
from ugatit_data.errors import RejectedImageError
from ugatit_data.geometry import Size, resize
from ugatit_data.images import decode
from ugatit_train import reporting

Translator = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one picture: the files written, or the reason why there are none."""

    source: Path
    written: tuple[Path, ...] = ()
    problem: str = ""


def from_cell(generator) -> Translator:
    """A trained `networks.Generator`, a Cell, as a function of NumPy arrays. It is compiled at the first picture."""
    from mindspore import Tensor

    generator.set_train(False)

    def run(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        picture, _, heatmap = generator(Tensor.from_numpy(x))
        return picture.asnumpy(), heatmap.asnumpy()

    return run


def find_pictures(source: Path) -> list[Path]:
    """The picture itself, or every file under a folder at any depth, sorted; names that begin with a dot are left out.

    Raises:
        BadInputError: nothing is there, or the folder holds no file.
    """
    if source.is_file():
        return [source]
    if not source.is_dir():
        raise BadInputError(f"{source}: no such picture or folder: check the path")
    found = [
        path
        for path in sorted(source.rglob("*"))
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(source).parts)
    ]
    if not found:
        raise BadInputError(f"{source}: holds no file: give a folder with pictures in it")
    return found


def output_names(pictures: Sequence[Path], source: Path) -> list[Path]:
    """Where each picture's output goes below the output folder: its place and stem, as PNG.

    Where two pictures of a folder have one stem (x.jpg, x.png), both keep their suffix too: x.jpg.png, x.png.png.
    """
    inside = [Path(path.name) if path == source else path.relative_to(source) for path in pictures]
    count = Counter(path.with_suffix("") for path in inside)
    return [
        path.with_name(path.name + ".png") if count[path.with_suffix("")] > 1 else path.with_suffix(".png")
        for path in inside
    ]


def read_picture(path: Path, img_size: Size) -> np.ndarray:
    """Any picture as uint8 RGB of img_size, (H, W, 3): upright, squashed as the training data are.

    Raises:
        RejectedImageError: it cannot be read or decoded; the message is the reason.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise RejectedImageError(f"unreadable: {error.strerror}") from None
    return resize(decode(data).pixels, img_size)


def to_network(picture: np.ndarray, img_ch: int) -> np.ndarray:
    """uint8 (H, W, 3) RGB to float32 (1, img_ch, H, W) in [-1, 1]; one channel is BT.601 luma."""
    pixels = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)[..., None] if img_ch == 1 else picture
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)[None], np.float32) / np.float32(127.5) - np.float32(1)


def translate(
    translator: Translator,
    source: Path,
    out: Path,
    *,
    img_size: Size,
    img_ch: int = 3,
    heatmap: bool = False,
    side_by_side: bool = False,
) -> Iterator[Outcome]:
    """Translate a picture or a folder into `out`, one picture at a time; a bad one is reported and the rest goes on.

    Writes `<stem>.png`, with `heatmap` also `<stem>.heatmap.png` (where the generator looks: red is most), with
    `side_by_side` also `<stem>.side_by_side.png` (input, heat map if asked for, output), all of img_size pixels.

    Raises:
        BadInputError: `source` holds no file.
        OSError: `out` cannot be written.
    """
    pictures = find_pictures(source)
    for path, name in zip(pictures, output_names(pictures, source), strict=True):
        try:
            picture = read_picture(path, img_size)
        except RejectedImageError as error:
            yield Outcome(source=path, problem=error.reason)
            continue
        made, heat = translator(to_network(picture, img_ch))
        shown = {"": reporting.to_uint8(made)[0]}
        if heatmap:
            shown[".heatmap"] = reporting.heatmap_to_uint8(heat, img_size)[0]
        if side_by_side:
            shown[".side_by_side"] = np.concatenate([picture, *list(shown.values())[::-1]], axis=1)
        target = out / name
        target.parent.mkdir(parents=True, exist_ok=True)
        written = []
        for suffix, image in shown.items():
            written.append(target.with_name(f"{target.stem}{suffix}.png"))
            reporting.write_image(written[-1], image)
        yield Outcome(source=path, written=tuple(written))
