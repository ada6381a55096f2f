"""Opens a trained generator, from a run's checkpoint, a MINDIR or an ONNX file, as a function of NumPy arrays.

The function takes float32 (N, C, H, W) in [-1, 1]; it gives pictures of the same shape and range, and heat maps
(N, 1, H/4, W/4). Only checkpoints and MINDIR files need MindSpore.
"""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ugatit_data.commands import command
from ugatit_data.files import stands_in
from ugatit_data.pixels.geometry import resize
from ugatit_train import runtime
from ugatit_train.errors import UgatitError
from ugatit_train.forms import form_for
from ugatit_train.inference.filling import Translator, filled
from ugatit_train.inference.generator import RAW, WEIGHTS, load_generator
from ugatit_train.options.config import Options
from ugatit_train.pictures import drawing
from ugatit_train.training import runfolder
from ugatit_train.training.checkpoint import GENERATORS

KEY = "ugatit"  # an exported file holds its `Signature` under it, as JSON


class ModelError(UgatitError):
    """A model file that is missing, damaged or not ours; the message is one line with the remedy."""

    exit_code = 2


@dataclasses.dataclass(frozen=True, kw_only=True)
class Signature:
    """What a generator takes: the direction, and the pictures' channels and sizes in pixels (height, width)."""

    direction: str  # "a2b" or "b2a"
    weights: str = RAW  # or "ema": see `generator.WEIGHTS`
    light: bool
    img_size: tuple[int, int]  # of the training
    img_ch: int
    size: tuple[int, int] | None  # None: any, of multiples of 4 from 8
    batch: int | None  # None: any number

    def shape(self) -> list[int | None]:
        """The input's shape (N, C, H, W), with None for what may vary."""
        return [self.batch, self.img_ch, *(self.size or (None, None))]

    def text(self) -> str:
        """JSON, as an exported file holds it."""
        values = dataclasses.asdict(self)
        if self.weights == RAW:  # as before there was another kind
            del values["weights"]
        return json.dumps(values)

    @classmethod
    def of(cls, text: str) -> "Signature":
        """The signature in such a text. Raises ValueError or TypeError if there is none."""
        found = dict(json.loads(text)).items()
        values: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in found}
        made = cls(**values)
        sizes = [made.img_size, *([] if made.size is None else [made.size])]
        if (
            made.direction not in GENERATORS
            or made.weights not in WEIGHTS
            or type(made.light) is not bool
            or made.img_ch not in (1, 3)
            or any(type(size) is not tuple or [type(side) for side in size] != [int, int] for size in sizes)
            or not (made.batch is None or type(made.batch) is int)
        ):
            raise ValueError(f"no signature: {text}")
        return made


@dataclasses.dataclass(frozen=True, kw_only=True)
class Model:
    """A generator as a function of pictures; `run` is the network itself, `signature` what it takes."""

    run: Translator
    signature: Signature

    def __call__(self, pictures: np.ndarray) -> np.ndarray:
        """Translates one picture, uint8 (H, W, 3) RGB, or a batch (N, H, W, 3); gives uint8 of as many axes.

        Pictures are resized to the training's size (height, width), as the training data were; the outputs have it too.

        Raises:
            ModelError: other arrays, or another number of pictures than an exported file takes.
        """
        batch = pictures[None] if pictures.ndim == 3 else pictures
        if batch.dtype != np.uint8 or batch.ndim != 4 or batch.shape[3] != 3 or 0 in batch.shape:
            raise ModelError(f"an array {pictures.dtype} {pictures.shape}: give uint8 RGB, (H, W, 3) or (N, H, W, 3)")
        taken, size = self.signature.batch, self.signature.size or self.signature.img_size
        if taken not in (None, len(batch)):
            raise ModelError(f"a batch of {len(batch)}: this file takes {taken}: give as many")
        made, _ = self.run(
            np.concatenate([drawing.to_network(resize(picture, size), self.signature.img_ch) for picture in batch])
        )
        shown = drawing.to_uint8(made)
        return shown[0] if pictures.ndim == 3 else shown


def open_generator(
    source: Path | str,
    direction: str | None = None,
    *,
    any_size: bool = False,
    weights: str | None = None,
    device_target: str = "CPU",
    device_id: int = 0,
) -> Model:
    """A trained generator as a function of pictures, uint8 RGB: `open_generator("runs/first")(picture)`.

    `source` is the folder of a run (its newest good checkpoint is taken) or of one checkpoint, or a MINDIR or ONNX file
    that `ugatit export` wrote. `direction` is "a2b", which is also a run's default, or "b2a". The first call compiles,
    for seconds or minutes; an ONNX file needs neither that nor MindSpore. With `any_size` the generator of a run is
    compiled once for all sizes that `translate` meets with `keep_size`, if it is a light one. `weights` are "ema", the
    average that a run with `ema` keeps of its weights, or "raw"; if not given, the average where there is one.

    Raises:
        CheckpointError: the folder has no good checkpoint, or it holds no averages and they are wanted.
        OptionError: the run has an option that this version does not know.
        ModelError: the file is missing, damaged or not ours, or it holds the other direction or other weights.
        DeviceError: the device cannot be used.
    """
    source = Path(source)
    if direction not in (None, *GENERATORS):
        raise ModelError(f"direction {direction}: give a2b or b2a")
    if not source.exists():
        raise ModelError(f"{source}: no such file or folder: give a run's folder, or an exported file")
    if source.suffix == ".ckpt" and source.is_file():
        runfolder.check_is_there(source)  # which says how to make a run of it
    if source.suffix == ".onnx":
        model = from_onnx(source)
    elif source.is_dir():
        runtime.setup(device_target, device_id)
        model = from_checkpoint(source, direction or "a2b", any_size, weights)
    else:
        runtime.let_plain_convolutions_be_fast()
        runtime.setup(device_target, device_id)
        model = from_mindir(source)
    return checked(model, direction, weights)


def checked(model: Model, direction: str | None, weights: str | None) -> Model:
    """The model, if it has this direction and these weights; None is any.

    Raises:
        ModelError: it has the other.
    """
    for name, wanted, held in (
        ("direction", direction, model.signature.direction),
        ("weights", weights, model.signature.weights),
    ):
        if wanted not in (None, held):
            raise ModelError(f"--{name} {wanted}: this file holds {held}: export the other one")
    return model


def from_checkpoint(
    folder: Path, direction: str, any_size: bool = False, weights: str | None = None, compile_cache: str = "auto"
) -> Model:
    """The generator in a run's folder (its newest good checkpoint) or in one checkpoint's.

    It compiles once for each size that it meets. With `any_size` a light generator compiles once for all sizes, and is
    slower, and no compile cache keeps that graph. `weights` are "ema" or "raw"; if not given, the average where there
    is one. `compile_cache` is auto, off or a folder: see `compiling.folder_of`. Needs `runtime.setup` before.

    Raises:
        CheckpointError: there is no good checkpoint, or it holds no averages and they are wanted.
    """
    forms = form_for(runtime.device(), any_size=any_size)
    generator, options, taken = load_generator(folder, direction, forms, weights)
    signature = signature_of(options, direction, taken)
    return Model(run=from_cell(generator, any_size and options.light, compile_cache), signature=signature)


def signature_of(options: Options, direction: str, weights: str) -> Signature:
    """What the generator of a run with these options takes."""
    return Signature(
        direction=direction,
        weights=weights,
        light=options.light,
        img_size=options.image_size,
        img_ch=options.img_ch,
        size=None if options.light else options.image_size,
        batch=None,
    )


def from_cell(generator, any_size: bool = False, compile_cache: str = "auto") -> Translator:
    """A `networks.ugatit.Generator` as a function of NumPy arrays, compiled once for each size or once for all."""
    import mindspore as ms

    from ugatit_train.networks import compiling

    run = _called(compiling.through_cache(generator.set_train(False), compiling.graphs(compile_cache)))
    if any_size:
        channels = generator.down0.weight.shape[1]
        # One sample a call: with an open batch every matrix product asks for its size at run time, and each question
        # doubles the compiler's work (76 s for the paper's light generator instead of 3 s).
        generator.set_inputs(ms.Tensor(shape=[1, channels, None, None], dtype=ms.float32))

        def one_by_one(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            made, heatmaps = zip(*(run(sample[None]) for sample in x), strict=True)
            return np.concatenate(made), np.concatenate(heatmaps)

        return one_by_one
    return filled(run)


def _called(cell: Callable) -> Translator:
    from mindspore import Tensor

    def run(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        picture, _, heatmap = cell(Tensor.from_numpy(x))
        return picture.asnumpy(), heatmap.asnumpy()

    return run


def from_mindir(path: Path) -> Model:
    """A MINDIR file that `ugatit export` wrote, run by MindSpore on this device. Raises ModelError."""
    import mindspore as ms
    from google.protobuf.message import DecodeError
    from mindspore.train.mind_ir_pb2 import ModelProto

    proto = ModelProto()
    try:
        proto.ParseFromString(_read(path))
        signature = _signature(path, dict(proto.user_info))
        graph = ms.load(str(path))
    except (DecodeError, RuntimeError, ValueError):
        words = stands_in(path)
        raise ModelError(f"{path}: " + (f"is {words}" if words else "no MINDIR, or damaged: export it again")) from None
    return Model(run=_called(ms.nn.GraphCell(graph)), signature=signature)


def from_onnx(path: Path) -> Model:
    """An ONNX file that `ugatit export` wrote, run by onnxruntime on the CPU. Raises ModelError."""
    try:
        import onnxruntime
    except ImportError:
        raise ModelError(f"{path}: onnxruntime is not installed: pip install 'ugatit[onnx]'") from None
    if not path.is_file():
        raise ModelError(f"{path}: no such file: check the path")
    try:
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's exceptions have no other common base
        if words := stands_in(path):
            raise ModelError(f"{path}: is {words}") from None
        reason = " ".join(str(error).split())
        raise ModelError(f"{path}: onnxruntime cannot use it ({reason}): export it again") from None
    signature = _signature(path, session.get_modelmeta().custom_metadata_map)
    return Model(run=run_of(session, str(path)), signature=signature)


def run_of(session: Any, name: str) -> Translator:
    """An open onnxruntime session as a function of NumPy arrays; errors begin with `name`."""

    def run(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        try:
            picture, heatmap = session.run(["translated", "heatmap"], {"image": x})
        except Exception as error:  # onnxruntime's exceptions have no other common base
            raise RuntimeError(f"{name}: {error}") from error
        return picture, heatmap

    return run


def from_file(path: Path) -> Model:
    """An ONNX file if its suffix is .onnx, else a MINDIR file. Raises ModelError."""
    return from_onnx(path) if path.suffix == ".onnx" else from_mindir(path)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror}: check the path") from None


def _signature(path: Path, notes: dict[str, str]) -> Signature:
    if KEY not in notes:
        raise ModelError(f"{path}: holds no generator that {command('export')} wrote: export a checkpoint with it")
    try:
        return Signature.of(notes[KEY])
    except (TypeError, ValueError):
        raise ModelError(f"{path}: written by another version of ugatit: export the checkpoint again") from None
