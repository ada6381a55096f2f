"""Sample pictures while training: the model zoo's seven rows of both directions, always of the same few images.

With `--ema` they are made with the averages of the weights, as `translate` makes them: see `build.pictured`.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from mindspore import Tensor

from ugatit_data import open_loader
from ugatit_data.dataset.manifest import Dataset
from ugatit_train.networks import compiling
from ugatit_train.networks.ugatit import Generator
from ugatit_train.options.config import Options
from ugatit_train.pictures import drawing
from ugatit_train.pictures.files import write_picture

COUNT = 4  # images of each domain in a grid


def sample_images(options: Options, dataset: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """The first images of testA and testB, or of the training images if there is no test split; float32 NCHW."""
    images = []
    for domain in ("a", "b"):
        split = "test" if dataset.num_images("test", domain) else "train"
        with open_loader(
            options.data_folder,
            split,
            batch_size=1,
            img_size=options.image_size,
            layout="float32",
            domain=domain,
            augment=False,
            channels=options.img_ch,
            threads=1,
        ) as loader:
            images.append(np.concatenate([image for _, image in zip(range(COUNT), loader, strict=False)]))
    of_a, of_b = images
    return of_a, of_b


class Sampler:
    """Draws grids of the fixed images. Each generator compiles once, for one image, which keeps the memory small."""

    def __init__(
        self,
        a2b: Generator,
        b2a: Generator,
        images: tuple[np.ndarray, np.ndarray],
        folder: Path,
        graphs: compiling.GraphCache,
    ):
        there, back = compiling.through_cache(a2b, graphs), compiling.through_cache(b2a, graphs)
        self._generators = {"a2b": (there, back), "b2a": (back, there)}
        self._images = dict(zip(self._generators, images, strict=True))
        self._folder = folder

    def translators(self) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
        """By direction, pictures float32 (1, C, H, W) in [-1, 1] to translated ones, by the graphs of `draw`."""

        def called(generator: Callable) -> Callable[[np.ndarray], np.ndarray]:
            return lambda pictures: generator(Tensor.from_numpy(pictures))[0].asnumpy()

        return {direction: called(there) for direction, (there, _) in self._generators.items()}

    def draw(self, step: int) -> None:
        """Writes `<step>_a2b.png` and `<step>_b2a.png`."""
        self._folder.mkdir(exist_ok=True)
        for direction, (there, back) in self._generators.items():
            images = self._images[direction]
            made = [_rows(there, back, Tensor(image[None])) for image in images]
            columns = [images, *(np.concatenate(parts) for parts in zip(*made, strict=True))]
            grid = drawing.sample_grid(dict(zip(drawing.SAMPLE_ROWS, columns, strict=True)))
            write_picture(self._folder / f"{step:08d}_{direction}.png", grid)


def _rows(there: Callable, back: Callable, x: Tensor) -> list[np.ndarray]:
    """Heat map and picture of identity, translation and cycle of one image (1, C, H, W)."""
    same, _, same_heat = back(x)
    fake, _, fake_heat = there(x)
    cycle, _, cycle_heat = back(fake)
    return [part.asnumpy() for part in (same_heat, same, fake_heat, fake, cycle_heat, cycle)]
