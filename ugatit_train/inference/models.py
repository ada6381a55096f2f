"""A trained generator, from a run's checkpoint, a MINDIR or an ONNX file, as a function of NumPy arrays.

The function takes float32 (N, C, H, W) in [-1, 1] and gives the picture in the same form and a heat map
(N, 1, H/4, W/4). Only checkpoints and MINDIR files need MindSpore.
"""

import contextlib
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ugatit_train.errors import UgatitError

Translator = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
KEY = "ugatit"  # under which an exported file holds its `Form`, as JSON


class ModelError(UgatitError, ValueError):
    """A model file that is missing, damaged or none of ours; one line with the remedy."""

    exit_code = 2


@dataclasses.dataclass(frozen=True, kw_only=True)
class Form:
    """What a generator takes. A `size` of None is any of multiples of 4, from 8; a `batch` of None any number."""

    direction: str  # "a2b" or "b2a"
    light: bool
    img_size: tuple[int, int]  # (height, width) of the training
    img_ch: int
    size: tuple[int, int] | None
    batch: int | None

    def shape(self) -> list[int | None]:
        """Of the input (N, C, H, W); None is open."""
        return [self.batch, self.img_ch, *(self.size or (None, None))]

    def text(self) -> str:
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def of(cls, text: str) -> "Form":
        """The form of such a text. Raises ValueError or TypeError where it is none."""
        values = dict(json.loads(text))
        return cls(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Model:
    """A generator and what it takes."""

    run: Translator
    form: Form


def from_checkpoint(folder: Path, direction: str, any_size: bool = False) -> Model:
    """The generator of a run's folder (its newest good checkpoint) or of one checkpoint's.

    It is compiled once for each size that it meets; with `any_size`, for a light one, once for all, in a slower form.

    Raises:
        CheckpointError: there is no good checkpoint.
    """
    from ugatit_train import runtime
    from ugatit_train.training import checkpoint

    with runtime.any_size() if any_size else contextlib.nullcontext():
        generator, options = checkpoint.load_generator(folder, direction)
    form = Form(
        direction=direction,
        light=options.light,
        img_size=options.image_size,
        img_ch=options.img_ch,
        size=None if options.light else options.image_size,
        batch=None,
    )
    return Model(run=from_cell(generator, any_size and options.light), form=form)


def from_cell(generator, any_size: bool = False) -> Translator:
    """A `networks.Generator` as a function of NumPy arrays, compiled once a size, or once for all.

    A batch that is smaller than one before of its size is filled up for the network, which takes each sample by itself.
    """
    import mindspore as ms

    run, largest = _called(generator.set_train(False)), {}
    if any_size:
        channels = generator.down0.weight.shape[1]
        # One sample a call: with an open batch, every product asks at run time how many there are, and each question
        # doubles what the compiler goes through (76 s for the paper's light generator, 3 s without).
        generator.set_inputs(ms.Tensor(shape=[1, channels, None, None], dtype=ms.float32))

        def one_by_one(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            made, heatmaps = zip(*(run(sample[None]) for sample in x), strict=True)
            return np.concatenate(made), np.concatenate(heatmaps)

        return one_by_one

    def filled(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        count = len(x)
        largest[x.shape[2:]] = batch = max(count, largest.get(x.shape[2:], 0))
        made, heatmap = run(np.concatenate([x, x[:1].repeat(batch - count, 0)]) if batch > count else x)
        return made[:count], heatmap[:count]

    return filled


def _called(cell) -> Translator:
    from mindspore import Tensor

    def run(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        picture, _, heatmap = cell(Tensor.from_numpy(x))
        return picture.asnumpy(), heatmap.asnumpy()

    return run


def from_mindir(path: Path) -> Model:
    """A MINDIR file that `export` wrote, run by MindSpore on this device. Raises ModelError."""
    import mindspore as ms
    from google.protobuf.message import DecodeError
    from mindspore.train.mind_ir_pb2 import ModelProto

    proto = ModelProto()
    try:
        proto.ParseFromString(_read(path))
        form = _form(path, dict(proto.user_info))
        graph = ms.load(str(path))
    except (DecodeError, RuntimeError, ValueError) as error:
        if isinstance(error, ModelError):
            raise
        raise ModelError(f"{path}: no MINDIR, or damaged: export it again") from None
    return Model(run=_called(ms.nn.GraphCell(graph)), form=form)


def from_onnx(path: Path) -> Model:
    """An ONNX file that `export` wrote, run by onnxruntime on the CPU. Raises ModelError."""
    try:
        import onnxruntime
    except ImportError:
        raise ModelError(f"{path}: onnxruntime is not installed: pip install 'ugatit[onnx]'") from None
    if not path.is_file():
        raise ModelError(f"{path}: no such file: check the path")
    try:
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    except Exception as error:  # its own exceptions have no other common base
        reason = " ".join(str(error).split())
        raise ModelError(f"{path}: onnxruntime cannot use it ({reason}): export it again") from None
    form = _form(path, session.get_modelmeta().custom_metadata_map)

    def run(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        try:
            picture, heatmap = session.run(["translated", "heatmap"], {"image": x})
        except Exception as error:  # as above
            raise RuntimeError(f"{path}: {error}") from error
        return picture, heatmap

    return Model(run=run, form=form)


def from_file(path: Path) -> Model:
    """An ONNX file by its suffix .onnx, MINDIR otherwise. Raises ModelError."""
    return from_onnx(path) if path.suffix == ".onnx" else from_mindir(path)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror}: check the path") from None


def _form(path: Path, notes: dict[str, str]) -> Form:
    if KEY not in notes:
        raise ModelError(f"{path}: holds no generator that tools/export.py wrote: export a checkpoint with it")
    try:
        return Form.of(notes[KEY])
    except (TypeError, ValueError):
        raise ModelError(f"{path}: written by another version of ugatit: export the checkpoint again") from None
