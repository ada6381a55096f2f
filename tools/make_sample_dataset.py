#!/usr/bin/env python3
"""Make a small data set of real photographs, without a download.

The photographs lie in wheels that are installed (see PHOTOGRAPHS). Two thirds of each are for training, the other third
for testing or, in other photographs, for choosing options: no pixel is in two of these. An image is a square crop, to
which `even` gives the mean colour and the contrast that all have. Those of trainA and trainB come from the same thirds
and are never the same crop; `ink` draws those of B over in a fixed style of ink lines and flat colour. testA_target
keeps the drawing of each testA image, to measure learning.
"""

if __name__ == "__main__":
    from script import start_tool

    start_tool(__file__)

import argparse
import importlib.util
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from tqdm import tqdm

from ugatit_data import BadInputError
from ugatit_data.files import partial_path

from .commandline import Parser, path, whole, working


class Photograph(NamedTuple):
    """One photograph, and the third of it that is kept from training."""

    package: str  # whose wheel carries it
    file: str  # in the package's folder
    held: str  # the third of it that is kept: left, right or top
    use: str  # what the kept third is for: test, or choose (options are chosen on it, never on test pictures)


# Colour photographs, rich in content and of known licence; see the README.
PHOTOGRAPHS = {
    "astronaut": Photograph("skimage", "data/astronaut.png", "right", "test"),
    "china": Photograph("sklearn", "datasets/images/china.jpg", "left", "test"),
    "coffee": Photograph("skimage", "data/coffee.png", "right", "test"),
    "hopper": Photograph("matplotlib", "mpl-data/sample_data/grace_hopper.jpg", "top", "test"),
    "chelsea": Photograph("skimage", "data/chelsea.png", "right", "choose"),
    "flower": Photograph("sklearn", "datasets/images/flower.jpg", "right", "choose"),
    "rocket": Photograph("skimage", "data/rocket.jpg", "left", "choose"),
}
FOLDERS = ("trainA", "trainB", "testA", "testB", "chooseA")
SIDES = {"train": (0.35, 0.7), "test": (0.5, 0.7), "choose": (0.5, 0.7)}  # of a crop, of the region's shorter side
# Training shows about two thirds of a picture's side at a time (the paper's augmentation), so test pictures show two
# thirds of what training pictures show, with strokes that are as wide in pixels.
TEST_ZOOM = 1.5
MEAN, CONTRAST = 112, 56  # of every image: of each channel, and of all three about their means
INK = (0.09, 0.10, 0.25)
PAPER = (1.0, 0.96, 0.84)


def target(folder: str) -> str:
    """The folder with the drawings of the pictures of `folder`."""
    return f"{folder}_target"


def main(argv: list[str]) -> int:
    parser = Parser(
        "sample",
        description="Make a small unpaired data set: photographs, and photographs drawn in ink and flat colour.",
        epilog="Example:\n  %(prog)s demo/images --train 200 --test 24\n\n"
        "Exit code: 0 done, 1 a failure while writing, 2 bad input.",
    )
    parser.add_argument("out", metavar="OUT", type=path, help="folder to make, with trainA trainB testA testB")
    parser.add_argument("--size", type=whole(16), default=128, help="height and width of the images in pixels")
    parser.add_argument("--train", type=whole(1), default=240, help="images in each of trainA and trainB")
    parser.add_argument("--test", type=whole(1), default=24, help="images in each of testA, testB and chooseA")
    parser.add_argument("--seed", type=whole(0), default=1, help="seed of the choice of crops")
    options = parser.parse_args(argv)

    if options.out.exists() or options.out.is_symlink():
        raise BadInputError(f"{options.out} exists: remove it, or give another folder")
    files = photograph_files()
    partial = partial_path(options.out)
    shutil.rmtree(partial, ignore_errors=True)  # of a run that was killed
    try:
        with working("nothing was kept, run it again", where=options.out):
            fill(partial, files, options)
            partial.rename(options.out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    counts = {name: len(list((options.out / name).iterdir())) for name in (*FOLDERS, target("testA"))}
    print(f"{options.out}: " + ", ".join(f"{count} in {name}" for name, count in counts.items()))
    return 0


def fill(out: Path, files: dict[str, Path], options: argparse.Namespace) -> None:
    """Writes the images and targets into the folder `out`."""
    photographs = {name: read(file) for name, file in files.items()}
    total = 2 * options.train + 3 * options.test
    with tqdm(crops(photographs, options), total=total, unit="image", disable=not sys.stderr.isatty()) as bar:
        for folder, name, cut in bar:
            image = even(cut)
            drawn = ink(image, 1.0 if folder.startswith("train") else TEST_ZOOM)
            write(out / folder / name, drawn if folder.endswith("B") else image)
            if folder in ("testA", "chooseA"):
                write(out / target(folder) / name, drawn)


def photograph_files() -> dict[str, Path]:
    """The file of each photograph, found without importing its package. Raises BadInputError if one is missing."""
    found = {}
    for name, photograph in PHOTOGRAPHS.items():
        spec = importlib.util.find_spec(photograph.package)
        file = Path(spec.origin).parent / photograph.file if spec and spec.origin else None
        if file is None or not file.is_file():
            raise BadInputError(
                f"the photograph {name}, which {photograph.package} carries, is missing: pip install 'ugatit[demo]'"
            )
        found[name] = file
    return found


def read(path: Path) -> np.ndarray:
    """One photograph, uint8 HWC RGB. Pillow comes with scikit-image; OpenCV would complain of these files' profiles."""
    from PIL import Image

    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def write(path: Path, image: np.ndarray) -> None:
    """A JPEG of quality 95 without chroma subsampling, which would fray the ink lines."""
    sampling = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    jpeg = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95, *sampling])[1]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(jpeg.tobytes())


def regions(folder: str, shapes: dict[str, tuple[int, int]]) -> dict[str, tuple[int, int, int, int]]:
    """The region (top, left, height, width) of each photograph from which a folder's images are cut.

    `shapes`: the (height, width) of each photograph by name.
    """
    use = folder[:-1]
    found = {}
    for name, (height, width) in shapes.items():
        held = PHOTOGRAPHS[name].held
        low, high = (height // 3, height) if held == "top" else (0, height)
        left, right = {"left": (width // 3, width), "right": (0, width - width // 3)}.get(held, (0, width))
        if use == "train":
            found[name] = (low, left, high - low, right - left)
        elif use == PHOTOGRAPHS[name].use:
            found[name] = {
                "top": (0, 0, low, width),
                "left": (0, 0, height, left),
                "right": (0, right, height, width - right),
            }[held]
    return found


def crops(photographs: dict[str, np.ndarray], options: argparse.Namespace) -> Iterator[tuple[str, str, np.ndarray]]:
    """Folder, file name and image, uint8 (size, size, 3) RGB, of every crop; the photographs in turn, no crop twice."""
    shapes = {name: (image.shape[0], image.shape[1]) for name, image in photographs.items()}
    taken = set()
    for stream, folder in enumerate(FOLDERS):
        shared = regions(folder, shapes)
        use = folder[:-1]
        # Raw Philox words stay the same in every release of NumPy.
        words = np.random.Philox(key=np.array([options.seed, stream], np.uint64))
        for i in range(options.train if use == "train" else options.test):
            name = list(shared)[i % len(shared)]
            place = (name, *square(shared[name], words.random_raw(3), SIDES[use]))
            while place in taken:
                place = (name, *square(shared[name], words.random_raw(3), SIDES[use]))
            taken.add(place)
            _, top, left, side = place
            crop = photographs[name][top : top + side, left : left + side]
            way = cv2.INTER_AREA if options.size < side else cv2.INTER_CUBIC
            yield folder, f"{i:04d}-{name}.jpg", cv2.resize(crop, (options.size,) * 2, interpolation=way)


def square(region: tuple[int, ...], words: np.ndarray, sides: tuple[float, float]) -> tuple[int, int, int]:
    """Top, left and side of a square in a region, by three random words, uint64 (3,).

    `sides`: the smallest and the largest side, as shares of the region's shorter one.
    """
    top, left, height, width = region
    side, y, x = (int(word >> np.uint64(33)) for word in words)
    shortest, longest = (int(min(height, width) * share) for share in sides)
    side = shortest + side % (longest - shortest + 1)
    return top + y % (height - side + 1), left + x % (width - side + 1), side


def even(image: np.ndarray) -> np.ndarray:
    """The image with MEAN and CONTRAST, as automatic white balance and exposure give. uint8 HWC RGB in and out.

    The instance norms of the generator take an image's own mean colour and contrast out: it can only guess by what the
    image shows which tones they gave to the drawing. Where all images share them, there is nothing to guess.
    """
    spread = image - image.mean((0, 1))
    return np.clip(np.rint(MEAN + CONTRAST / max(spread.std(), 1.0) * spread), 0, 255).astype(np.uint8)


def ink(image: np.ndarray, zoom: float = 1.0) -> np.ndarray:
    """The style: five flat tones of lifted lightness on cream paper, and dark ink lines. uint8 HWC RGB in and out.

    A function of the image alone; strokes widen with its side, and with `zoom` where it is a part of a larger picture.
    """
    scale = zoom * image.shape[0] / 96
    flat = image
    for _ in range(2):
        flat = cv2.bilateralFilter(flat, 0, 40, 1.5 * scale)
    lab = cv2.cvtColor(flat.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    tone = np.clip(np.floor(lab[..., 0] / 20) / 4, 0, 1)  # L is 0-100: five tones from 0 to 1
    lab[..., 0] = 45 + 55 * tone
    colour = np.clip(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB), 0, 1) * np.array(PAPER, np.float32)
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
    # An ink line where a pixel is darker than its surroundings (difference of Gaussians).
    darker = cv2.GaussianBlur(gray, (0, 0), 1.8 * scale) - cv2.GaussianBlur(gray, (0, 0), 0.8 * scale)
    line = np.clip((darker - 0.012) * 18, 0, 1)[..., None]
    return np.rint((colour * (1 - line) + np.array(INK, np.float32) * line) * 255).astype(np.uint8)
