"""Pictures to feature vectors: InceptionV3's, on which KID is defined, or small built-in ones for smoke runs.

A picture is uint8 (S, S, 3) RGB of any S. Only a MindSpore checkpoint needs MindSpore.
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from ugatit_data.commands import command
from ugatit_data.files import sha256_file, stands_in
from ugatit_data.pixels.geometry import resize
from ugatit_train.errors import UgatitError, first_line

NUM_FEATURES = 2048
IMAGE_SIZE = 299


class FeaturesError(UgatitError):
    """A file of a feature extractor that cannot be used; the message is one line and names the remedy."""

    exit_code = 2


@dataclasses.dataclass(frozen=True, kw_only=True)
class Features:
    """A feature extractor.

    metric: the name of the kernel distance between its vectors, "kid" or "smoke_mmd".
    origin: the file's name and SHA-256, or "built in".
    extract: gives a picture's vector, float (D,).
    """

    metric: str
    origin: str
    extract: Callable[[np.ndarray], np.ndarray]


def open_features(path: Path | None, compile_cache: str = "auto") -> Features:
    """The extractor in a file, `.onnx` or `.ckpt`; None gives the built-in one, whose distance is no KID.

    An ONNX file must take float32 (N, 3, 299, 299) in [-1, 1] and give (N, 2048); N may be fixed at 1. A `.ckpt` is a
    MindSpore checkpoint that `ugatit import_inception` wrote; it needs `runtime.setup` before, and takes its compiled
    graph from `compile_cache`: auto, off or a folder.

    Raises:
        FeaturesError: the file cannot be used.
    """
    if path is None:
        return Features(metric="smoke_mmd", origin="built in", extract=smoke)
    run = _opener(path)(path, compile_cache)

    def extract(picture: np.ndarray) -> np.ndarray:
        return run(to_inception(picture))[0]

    return Features(metric="kid", origin=f"{path.name}, sha256 {sha256_file(path)}", extract=extract)


def check(path: Path | None) -> None:
    """Raises FeaturesError where a file is not there, or not of a kind that `open_features` takes."""
    if path is not None:
        _opener(path)


def _opener(path: Path) -> Callable[[Path, str], Callable[[np.ndarray], np.ndarray]]:
    if not path.is_file():
        raise FeaturesError(f"{path}: no such file of an InceptionV3: check the path, or leave it out for a smoke run")
    openers = {".onnx": _open_onnx, ".ckpt": _open_checkpoint}
    if path.suffix not in openers:
        is_torch = path.suffix in (".pth", ".pt")
        remedy = f"make a .ckpt of it with {command('import_inception')}" if is_torch else "give those"
        raise FeaturesError(f"{path}: features come from .onnx or .ckpt files: {remedy}")
    return openers[path.suffix]


def to_inception(picture: np.ndarray) -> np.ndarray:
    """float32 (1, 3, 299, 299) in [-1, 1]: bilinear, without averaging if it shrinks, as in pytorch-fid."""
    large = cv2.resize(picture.astype(np.float32), (IMAGE_SIZE, IMAGE_SIZE), interpolation=cv2.INTER_LINEAR)
    return np.ascontiguousarray(large.transpose(2, 0, 1)[None]) / np.float32(127.5) - np.float32(1)


def _open_checkpoint(path: Path, compile_cache: str) -> Callable[[np.ndarray], np.ndarray]:
    from mindspore import Tensor

    from ugatit_train.evaluation import inception_weights
    from ugatit_train.networks import compiling

    try:
        network = compiling.through_cache(inception_weights.load(path), compiling.graphs(compile_cache))
    except inception_weights.WeightsError as error:
        raise FeaturesError(str(error)) from None
    return lambda x: network(Tensor(x)).asnumpy()


def _open_onnx(path: Path, _compile_cache: str) -> Callable[[np.ndarray], np.ndarray]:
    try:
        import onnxruntime
    except ImportError:
        raise FeaturesError(f"{path}: needs onnxruntime, which is missing: pip install 'ugatit[onnx]'") from None
    try:
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's exceptions have no other common base
        words = stands_in(path)
        reason = f"is {words}" if words else f"not an ONNX file that runs here ({first_line(error)}): give another"
        raise FeaturesError(f"{path}: {reason}") from None
    name = session.get_inputs()[0].name

    def run(x: np.ndarray) -> np.ndarray:
        return session.run(None, {name: x})[0]

    try:
        shape = run(np.zeros((1, 3, IMAGE_SIZE, IMAGE_SIZE), np.float32)).shape
    except Exception as error:
        raise FeaturesError(
            f"{path}: does not take float32 (1, 3, {IMAGE_SIZE}, {IMAGE_SIZE}) ({first_line(error)}): "
            "give FID's InceptionV3"
        ) from None
    if shape != (1, NUM_FEATURES):
        raise FeaturesError(
            f"{path}: gives {shape}, not (1, {NUM_FEATURES}), the pooled features: give those as the output"
        )
    return run


def smoke(picture: np.ndarray) -> np.ndarray:
    """A cheap description of colours and strokes, float64 (75,), for smoke runs. Nothing in it is learned.

    For each Lab channel of the picture at 64 pixels: mean, deviation, histogram of 8 bins. For the gradient of the
    lightness at 64, 32 and 16 pixels: mean, deviation, histogram of 8 bins, and its share in each of 5 directions.
    """
    values: list[float] = []
    lab = cv2.cvtColor(resize(picture, 64).astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    unit = lab / np.array([100, 120, 120], np.float32) + np.array([0, 0.5, 0.5], np.float32)
    for channel in unit.transpose(2, 0, 1):
        values += [channel.mean(), channel.std(), *_histogram(channel, 1.0)]
    light = unit[..., 0]
    for side in (64, 32, 16):
        light = cv2.resize(light, (side, side), interpolation=cv2.INTER_AREA)
        dy, dx = np.gradient(light)
        size = np.hypot(dx, dy)
        values += [size.mean(), size.std(), *_histogram(size, 0.25)]
        bins = (np.arctan2(dy, dx) % np.pi / np.pi * 5).astype(int) % 5
        values += [*(np.bincount(bins.ravel(), size.ravel(), 5) / (size.sum() + 1e-6))]
    return 3 * np.array(values, np.float64)  # by 3, x . y / d in the kernel becomes about 1


def _histogram(values: np.ndarray, top: float) -> np.ndarray:
    """The share of values in each of 8 equal bins from 0 to `top`; the outer bins count what lies outside."""
    bins = np.clip((values / top * 8).astype(int), 0, 7)
    return np.bincount(bins.ravel(), minlength=8) / values.size
