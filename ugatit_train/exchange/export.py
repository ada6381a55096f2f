"""Writes a trained generator as a MINDIR, ONNX or AIR file, and compares the file with the checkpoint's network.

MindSpore writes MINDIR and AIR, from networks of plain forms (`Forms()`); `onnxgraph` writes ONNX.
"""

import contextlib
import dataclasses
import re
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ugatit_train.forms import Forms
from ugatit_train.inference import models
from ugatit_train.inference.generator import load_generator
from ugatit_train.inference.models import Model, ModelError, Signature
from ugatit_train.training.checkpoint import GENERATORS

if TYPE_CHECKING:
    import onnx

SUFFIXES = {"MINDIR": ".mindir", "ONNX": ".onnx", "AIR": ".air"}
BOUND = 1e-4  # a larger `Difference` between a file and the checkpoint's network is an error
ONE_FILE = 2**31 - 2**24  # bytes of weights that fit into one ONNX file: protobuf's limit is 2 GiB


@dataclasses.dataclass(frozen=True, kw_only=True)
class Difference:
    """The largest absolute differences between two models' outputs."""

    picture: float  # of pictures in [-1, 1]
    heatmap: float  # as a share of the heat map's largest value

    @property
    def is_small(self) -> bool:
        return self.picture <= BOUND and self.heatmap <= BOUND  # NaN is not small


def signature_for(model: Model, file_format: str, size: tuple[int, int] | None, static: bool) -> Signature:
    """What the file will take: all that the model takes, or, as AIR or with `static`, one picture of one size.

    `size`, in pixels (height, width), fixes an open size.

    Raises:
        ModelError: the model takes another size only.
    """
    signature = model.signature
    if size and signature.size not in (None, size):
        raise ModelError(f"--size: this full model takes {signature.size[0]} pixels only: leave it out")
    if static or file_format == "AIR":
        return dataclasses.replace(signature, size=size or signature.img_size, batch=1)
    return dataclasses.replace(signature, size=size or signature.size)


def write(checkpoint: Path, signature: Signature, file_format: str, folder: Path) -> Path:
    """Writes the generator of a run or a checkpoint into `folder` as, say, genA2B.onnx; gives the file to open.

    Weights of more than 1 GB (MINDIR) or 2 GB (ONNX) go into files beside it: keep them together.

    Raises:
        CheckpointError: there is no good checkpoint.
        ModelError: a package is missing.
    """
    stem = GENERATORS[signature.direction]
    path = folder / f"{stem}{SUFFIXES[file_format]}"
    generator, options, _ = load_generator(checkpoint, signature.direction, Forms(), signature.weights)
    if file_format == "ONNX":
        _write_onnx(path, {n: p.asnumpy() for n, p in generator.parameters_and_names()}, signature, options.padding)
        return path
    return _write_with_mindspore(path, generator, signature, file_format)


def onnx_model(parameters: Mapping[str, np.ndarray], signature: Signature, padding: str) -> "onnx.ModelProto":
    """The graph of a generator with its signature. Raises ModelError: onnx is not installed."""
    try:
        import onnx

        from ugatit_train.exchange import onnxgraph
    except ImportError:
        raise ModelError("onnx is not installed: pip install 'ugatit[onnx]'") from None
    model = onnxgraph.generator(parameters, padding=padding, light=signature.light, shape=signature.shape())
    onnx.helper.set_model_props(model, {models.KEY: signature.text()})
    return model


def _write_onnx(path: Path, parameters: dict[str, np.ndarray], signature: Signature, padding: str) -> None:
    model = onnx_model(parameters, signature, padding)
    import onnx

    beside = sum(p.nbytes for p in parameters.values()) > ONE_FILE
    onnx.save(model, path, save_as_external_data=beside, location=f"{path.name}.data" if beside else None)
    onnx.checker.check_model(path)


def _write_with_mindspore(path: Path, generator, signature: Signature, file_format: str) -> Path:
    import mindspore as ms

    def note(proto) -> None:
        proto.user_info[models.KEY] = signature.text()

    generator.set_train(False)
    shape = signature.shape()
    fixed = [side for side in shape if side is not None]
    image = ms.Tensor(np.zeros(fixed, np.float32)) if fixed == shape else ms.Tensor(shape=shape, dtype=ms.float32)
    syntax = ms.get_context("jit_syntax_level")  # an export that fails changes it
    try:
        if file_format == "AIR":
            ms.export(generator, image, file_name=str(path), file_format="AIR")
            return path
        # MindSpore takes no path with a space, or of other letters than these.
        is_taken = re.fullmatch(r"[0-9a-zA-Z@_\-.:/\\]+", str(path.absolute()))
        with contextlib.nullcontext(path.parent) if is_taken else tempfile.TemporaryDirectory() as folder:
            made = Path(folder, path.name)
            ms.export(generator, image, file_name=str(made), file_format="MINDIR", custom_func=note)
            for file in [] if is_taken else Path(folder).iterdir():
                shutil.move(file, path.parent / file.name)
    finally:
        ms.set_context(jit_syntax_level=syntax)
    for file in path.parent.rglob("*"):
        file.chmod(0o755 if file.is_dir() else 0o644)  # MindSpore writes them for the owner only
    if not path.exists():  # MindSpore splits more than 1 GB into two files
        path = path.with_name(f"{path.stem}_graph.mindir")
    return path


def compare(one: Model, other: Model, images: Iterable[np.ndarray]) -> Difference:
    """The difference of two models' outputs for float32 (N, C, H, W) images; `one` has the heat maps to measure by."""
    picture, heatmap = [0.0], [0.0]
    for image in images:
        (made, heat), (made_too, heat_too) = one.run(image), other.run(image)
        picture.append(float(np.abs(made - made_too).max()))
        heatmap.append(float(np.abs(heat - heat_too).max() / max(np.abs(heat).max(), 1e-12)))
    return Difference(picture=float(np.max(picture)), heatmap=float(np.max(heatmap)))


def trial_images(signature: Signature, count: int = 5, seed: int = 0) -> list[np.ndarray]:
    """Pictures to compare two models on: smooth noise, float32 (N, C, H, W) in [-1, 1].

    If the signature's size is open, they have the training's size and two others.
    """
    random = np.random.default_rng(seed)
    made = []
    for i in range(count):
        high, wide = signature.size or signature.img_size
        if signature.size is None:
            high, wide = high + 4 * (i % 3), wide + 8 * (i % 3)
        coarse = random.uniform(-1, 1, (signature.batch or 1 + i % 2, signature.img_ch, high // 4 + 1, wide // 4 + 1))
        fine = coarse.repeat(4, 2).repeat(4, 3)[:, :, :high, :wide] + random.normal(0, 0.1, (high, wide))
        made.append(np.clip(fine, -1, 1).astype(np.float32))
    return made


def move(path: Path, folder: Path) -> Path:
    """Move a written file, and the files beside it, into `folder` and remove their own; gives the file's new path."""
    for part in sorted(path.parent.iterdir()):
        shutil.move(part, folder / part.name)
    path.parent.rmdir()
    return folder / path.name
