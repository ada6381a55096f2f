"""A checkpoint's generator on the CPU by onnxruntime or OpenVINO, without MindSpore: they run the graph of `export`.

Their pictures differ from MindSpore's by one level of 255 at most, their heat maps by one step of the colours.
"""

import functools
import importlib
import importlib.util
import sys
import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from ugatit_train.exchange.export import ONE_FILE, onnx_model
from ugatit_train.inference import generator
from ugatit_train.inference.filling import Translator, filled
from ugatit_train.inference.models import Model, ModelError, run_of, signature_of
from ugatit_train.training.checkpoint import CheckpointError

ENGINES = ("auto", "mindspore", "onnxruntime", "openvino")
EXTRAS = {"onnxruntime": "onnx", "openvino": "openvino"}  # what pip installs an engine with
FEW, SMALL, LARGE = 100, 128 * 128, 256 * 256  # pictures; pixels of a call; pixels of a picture
"""Measured on two cores (benchmarks/README.md): up to SMALL pixels, and of pictures above LARGE, OpenVINO is the
fastest. Between them MindSpore is as fast or faster, but starts seconds later: longer than what FEW pictures save.
Of calls with several pictures the same holds, and there MindSpore's lead is larger.
onnxruntime is always behind one of the two."""


class TooLargeError(ModelError):
    """A generator whose weights do not fit into one ONNX graph."""


def choose(
    asked: str,
    device_target: str,
    pictures: float,
    pixels: Callable[[], int | None],
    batch: int = 1,
    many: str = "many pictures",
) -> tuple[str, str]:
    """The engine to run a checkpoint, one of ENGINES but auto, and why.

    auto is, on the CPU, OpenVINO where it is installed and there are at most FEW / `batch` pictures, or at most SMALL
    pixels in a call of `batch`, or pictures of more than LARGE pixels or of any size; else MindSpore. `pixels` gives
    those of a picture, None for any, where they decide; `many` says why MindSpore is taken otherwise.

    Raises:
        ModelError: an engine is asked for that is not installed, or that does not run on the device.
    """
    if asked == "mindspore":
        return asked, "asked for"
    if asked != "auto":
        if device_target != "CPU":
            raise ModelError(f"--engine {asked}: runs on the CPU: give --device_target CPU, or --engine mindspore")
        if missing := _missing(asked):
            raise ModelError(f"--engine {asked}: {missing} is not installed: pip install 'ugatit[{EXTRAS[asked]}]'")
        return asked, "asked for"
    if device_target != "CPU":
        return "mindspore", f"auto: the one on {device_target}"
    if missing := _missing("openvino"):
        return "mindspore", f"auto: {missing} is not installed"
    if pictures <= FEW // batch:
        return "openvino", f"auto: {FEW // batch} pictures or fewer"
    count = pixels()
    if count is None:
        return "openvino", "auto: --keep_size"
    if count * batch <= SMALL or count > LARGE:
        return "openvino", "auto: large pictures" if count > LARGE else "auto: small pictures"
    return "mindspore", f"auto: {many}"


def _missing(engine: str) -> str | None:
    """The first package of an engine that is not installed."""
    return next((name for name in (engine, "onnx") if importlib.util.find_spec(name) is None), None)


def version(engine: str) -> str:
    """The version of an engine that is loaded."""
    return sys.modules[engine].__version__


def from_checkpoint(
    engine: str, folder: Path, direction: str, any_size: bool = False, weights: str | None = None
) -> Model:
    """The generator of a run or a checkpoint, as `models.from_checkpoint` gives it, run by "onnxruntime" or "openvino".

    Raises:
        CheckpointError: there is no good checkpoint, or it holds no averages and they are wanted.
        TooLargeError: its weights are more than 2 GB.
        ModelError: the engine cannot be loaded, or refuses the graph.
    """
    parameters, options, taken = generator.load_arrays(folder, direction, weights)
    signature = signature_of(options, direction, taken)
    if (size := sum(array.nbytes for array in parameters.values())) > ONE_FILE:
        raise TooLargeError(
            f"--engine {engine}: weights of {size / 1e9:.1f} GB, 2 are the most: give --engine mindspore"
        )
    try:
        model = onnx_model(parameters, signature, options.padding).SerializeToString()
    except KeyError as error:
        raise CheckpointError(f"{folder}: of other networks: it holds no {error}: give another checkpoint") from None
    try:
        return Model(run=_OPENERS[engine](model, any_size and options.light), signature=signature)
    except MemoryError:
        raise
    except Exception as error:  # onnxruntime's exceptions have no other common base
        raise ModelError(f"{folder}: {engine} cannot run it ({_reason(error)}): give --engine mindspore") from error


def _reason(error: Exception) -> str:
    """What an engine says, in one line, without the lines of OpenVINO that name places in its source."""
    lines = [line for line in str(error).splitlines() if not line.startswith("Exception from ")]
    return textwrap.shorten(" ".join(lines), 300, placeholder=" ...") or type(error).__name__


def _onnxruntime(model: bytes, _any_size: bool) -> Translator:
    import onnxruntime

    return run_of(onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"]), "onnxruntime")


def _openvino(model: bytes, any_size: bool) -> Translator:
    """Compiled once for each size and batch, or, slower, once for all."""
    core = _openvino_core()
    network = core.read_model(model)
    # float32 also where the processor has bfloat16, which OpenVINO takes by itself.
    settings = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    ready: dict[tuple[int, ...], Callable[[Mapping], Mapping]] = {}

    def run(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        shape = () if any_size else x.shape
        if shape not in ready:
            if shape:
                network.reshape({"image": list(shape)})
            request = core.compile_model(network, "CPU", settings).create_infer_request()
            ready[shape] = request.infer
        made = ready[shape]({"image": x})
        return made["translated"].copy(), made["heatmap"].copy()

    return run if any_size else filled(run)


@functools.cache
def _openvino_core() -> Any:
    """The one Core of this process, which is never closed.

    On a processor with AMX each gives the thread another stack for signals, and at its end puts back the one before. Of
    two that end in the order of their start, the second puts back what is gone: the next signal kills the process.
    """
    return _silent_openvino().Core()


def _silent_openvino() -> ModuleType:
    """The package openvino, which when imported reports that by the network and writes into the user's home, unless its
    package openvino_telemetry is missing."""
    name = "openvino_telemetry"
    loaded = sys.modules.get(name)
    sys.modules[name] = None  # type: ignore[assignment]  # an import of it raises ImportError
    try:
        return importlib.import_module("openvino")
    finally:
        del sys.modules[name]
        if loaded is not None:
            sys.modules[name] = loaded


_OPENERS = {"onnxruntime": _onnxruntime, "openvino": _openvino}
