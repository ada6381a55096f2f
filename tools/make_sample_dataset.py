#!/usr/bin/env python3
"""Make a small data set of real photographs, without a download.

The photographs lie in the scikit-image wheel. Each is cut into regions, and each region belongs to one of trainA,
trainB, testA, testB: no pixel of one is in another. An image of A is a square crop of a region. `ink` draws those of B
over in a fixed style of ink lines and flat colour. testA_target keeps the drawing of each testA image, to measure
learning.
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

import cv2
import numpy as np
from tqdm import tqdm

from ugatit_data import BadInputError

from .commandline import Parser, path, whole, working

# The colour photographs of scikit-image 0.22-0.25 that are in the wheel, of known licence; see the README.
PHOTOGRAPHS = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg")
REGION_SIDE = 80  # pixels; the cells of the grid are at least as large: 126 regions, so that each folder has seen much
TEST_SHARE = 0.2  # of a photograph's regions, for each of testA and testB
FOLDERS = ("trainA", "trainB", "testA", "testB")
TARGET = "testA_target"
INK = (0.09, 0.10, 0.25)
PAPER = (1.0, 0.96, 0.84)


def main(argv: list[str]) -> int:
    parser = Parser(
        "sample",
        description="Make a small unpaired data set: photographs, and other photographs drawn in ink and flat colour.",
        epilog="Example:\n  %(prog)s demo/images --train 200 --test 24\n\n"
        "Exit code: 0 done, 1 a failure while writing, 2 bad input.",
    )
    parser.add_argument("out", metavar="OUT", type=path, help="folder to make, with trainA trainB testA testB")
    parser.add_argument("--size", type=whole(16), default=128, help="height and width of the images in pixels")
    parser.add_argument("--train", type=whole(1), default=200, help="images in each of trainA and trainB")
    parser.add_argument("--test", type=whole(1), default=24, help="images in each of testA and testB")
    parser.add_argument("--seed", type=whole(0), default=1, help="seed of the choice of regions and crops")
    options = parser.parse_args(argv)

    if options.out.exists() or options.out.is_symlink():
        raise BadInputError(f"{options.out} exists: remove it, or give another folder")
    folder = photograph_folder()
    if folder is None:
        raise BadInputError(
            "scikit-image 0.22 to 0.25, which carries the photographs, is missing: pip install 'ugatit[demo]'"
        )
    partial = options.out.with_name(options.out.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)  # of a run that was killed
    try:
        with working("nothing was kept, run it again", where=options.out):
            fill(partial, folder, options)
            partial.rename(options.out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    counts = {name: len(list((options.out / name).iterdir())) for name in (*FOLDERS, TARGET)}
    print(f"{options.out}: " + ", ".join(f"{count} in {name}" for name, count in counts.items()))
    return 0


def fill(out: Path, source: Path, options: argparse.Namespace) -> None:
    """Writes the images and targets into the folder `out`; `source` holds the photographs."""
    photographs = {Path(name).stem: read(source / name) for name in PHOTOGRAPHS}
    total = 2 * (options.train + options.test)
    with tqdm(crops(photographs, options), total=total, unit="image", disable=not sys.stderr.isatty()) as bar:
        for subfolder, name, image in bar:
            write(out / subfolder / name, ink(image) if subfolder.endswith("B") else image)
            if subfolder == "testA":
                write(out / TARGET / name, ink(image))


def photograph_folder() -> Path | None:
    """Where scikit-image keeps its pictures, if it is installed with all of ours; found without importing it."""
    spec = importlib.util.find_spec("skimage")
    folder = Path(spec.origin).parent / "data" if spec and spec.origin else None
    return folder if folder and all((folder / name).is_file() for name in PHOTOGRAPHS) else None


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


def regions(shapes: dict[str, tuple[int, int]], seed: int) -> dict[str, list[tuple[str, int, int, int, int]]]:
    """The regions (photograph, top, left, height, width) of each folder: disjoint, a share of every photograph each.

    `shapes`: the (height, width) of each photograph by name.
    """
    shared: dict[str, list] = {name: [] for name in FOLDERS}
    for number, (photograph, (height, width)) in enumerate(shapes.items()):
        rows, columns = height // REGION_SIDE, width // REGION_SIDE
        h, w = height // rows, width // columns
        cells = [(photograph, h * row, w * column, h, w) for row in range(rows) for column in range(columns)]
        cells = [cells[i] for i in np.argsort(words(seed, number, len(cells)), kind="stable")]
        tests = max(1, round(TEST_SHARE * len(cells)))
        trains = cells[2 * tests :]
        half = (len(trains) + number % 2) // 2  # the odd region goes to A and to B in turn
        parts = (trains[:half], trains[half:], cells[:tests], cells[tests : 2 * tests])
        for folder, part in zip(FOLDERS, parts, strict=True):
            shared[folder] += enumerate(part)
    # The photographs in turn, so that any first few images show all of them.
    return {folder: [cell for _, cell in sorted(part, key=lambda x: x[0])] for folder, part in shared.items()}


def crops(photographs: dict[str, np.ndarray], options: argparse.Namespace) -> Iterator[tuple[str, str, np.ndarray]]:
    """Folder, file name and image, uint8 (size, size, 3) RGB, of every crop, 3/4 to all of a region's side."""
    shared = regions({name: (image.shape[0], image.shape[1]) for name, image in photographs.items()}, options.seed)
    for stream, folder in enumerate(FOLDERS, start=len(photographs)):
        count = options.train if folder.startswith("train") else options.test
        drawn = words(options.seed, stream, 3 * count).reshape(count, 3)
        for i in range(count):
            photograph, top, left, height, width = shared[folder][i % len(shared[folder])]
            side, y, x = (int(word >> np.uint64(33)) for word in drawn[i])
            longest = min(height, width)
            side = longest * 3 // 4 + side % (longest - longest * 3 // 4 + 1)
            top, left = top + y % (height - side + 1), left + x % (width - side + 1)
            crop = photographs[photograph][top : top + side, left : left + side]
            way = cv2.INTER_AREA if options.size < side else cv2.INTER_CUBIC
            yield folder, f"{i:04d}-{photograph}.jpg", cv2.resize(crop, (options.size,) * 2, interpolation=way)


def words(seed: int, stream: int, count: int) -> np.ndarray:
    """Random words, uint64 (count,). Raw Philox words stay the same in every release of NumPy."""
    return np.random.Philox(key=np.array([seed, stream], np.uint64)).random_raw(count)


def ink(image: np.ndarray) -> np.ndarray:
    """The style: five flat tones of lifted lightness on cream paper, and dark ink lines. uint8 HWC RGB in and out.

    A function of the image alone; strokes widen with its side.
    """
    scale = image.shape[0] / 96
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
