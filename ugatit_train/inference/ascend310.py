"""Inference on an Ascend 310 in three steps over binary files, laid out as for the model zoo's C++ program.

<name>.bin                 a picture, float32 (1, C, H, W) in [-1, 1]
<name>_0.bin, _1.bin, ...  the model's outputs in order: picture, CAM logits, heat map
test_perform_static.txt    one line with the average time

Names hold no dot, because the C++ program cuts a file's name at its first one. Only `lite_runner` uses
`mindspore_lite`. It follows the documentation of MindSpore Lite 2.10 and has not run on a card.
"""

import itertools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from ugatit_data import BadInputError
from ugatit_data.commands import command
from ugatit_data.errors import RejectedImageError
from ugatit_data.files import NAME_BYTES, fitting_name, write_whole
from ugatit_train.errors import first_line
from ugatit_train.inference import models
from ugatit_train.inference.models import ModelError
from ugatit_train.inference.translate import Outcome
from ugatit_train.pictures import drawing
from ugatit_train.pictures.files import find_pictures, output_names, read_picture, write_picture

TIME_FILE = "test_perform_static.txt"

Runner = Callable[[np.ndarray], list[np.ndarray]]  # float32 (1, C, H, W) -> the model's outputs


PRECISION_MODES = ("preferred_fp32", "enforce_fp32", "enforce_fp16", "enforce_origin", "preferred_optimal")


def lite_runner(
    mindir: Path, device_id: int, shape: tuple[int, ...], precision_mode: str = PRECISION_MODES[0]
) -> Runner:
    """A MINDIR file, run by MindSpore Lite on an Ascend card, for inputs of one shape. Raises ModelError.

    `precision_mode` is MindSpore Lite's, whose own default makes all of a model float16 (enforce_fp16).
    """
    import mindspore_lite as mslite

    context = mslite.Context()
    context.target = ["ascend"]
    context.ascend.device_id = device_id
    context.ascend.precision_mode = precision_mode
    model = mslite.Model()
    try:
        model.build_from_file(str(mindir), mslite.ModelType.MINDIR, context)
        inputs = model.get_inputs()
        if list(inputs[0].shape) != list(shape):
            model.resize(inputs, [list(shape)])
    except RuntimeError as error:
        raise ModelError(
            f"{mindir}: MindSpore Lite cannot build it for inputs of {shape} ({first_line(error)}): "
            f"export it with {command('export')} --static"
        ) from None

    def run(x: np.ndarray) -> list[np.ndarray]:
        inputs = model.get_inputs()
        inputs[0].set_data_from_numpy(x)
        return [output.get_data_to_numpy() for output in model.predict(inputs)]

    return run


def cpu_runner(mindir: Path, shape: tuple[int, ...]) -> Runner:
    """A MINDIR file that `ugatit export` wrote, run by MindSpore on the CPU, for inputs of one shape.

    Needs `runtime.setup` before. Raises ModelError.
    """
    import mindspore as ms

    signature = models.from_mindir(mindir).signature
    if signature.img_ch != shape[1] or signature.size not in (None, shape[2:]):
        high, wide = signature.size or shape[2:]
        raise ModelError(f"{mindir}: takes other pictures: give --img_size {high}x{wide} --img_ch {signature.img_ch}")
    cell = ms.nn.GraphCell(ms.load(str(mindir)))

    def run(x: np.ndarray) -> list[np.ndarray]:
        return [output.asnumpy() for output in cell(ms.Tensor(x))]

    return run


def binary_names(pictures: Sequence[Path], source: Path) -> list[str]:
    """A name for each picture, all different, without dots or slashes: sub/my.cat.jpg becomes sub_my_cat."""
    names: dict[str, None] = {}  # in order
    for path in output_names(pictures, source):
        plain = "_".join(path.with_suffix("").parts).replace(".", "_")
        plain = fitting_name(plain, "", NAME_BYTES - 16)  # the steps append a number, `_0` and a suffix
        tried = itertools.chain([plain], (f"{plain}-{i}" for i in itertools.count(2)))
        names[next(name for name in tried if name not in names)] = None
    return list(names)


def preprocess(source: Path, out: Path, size: tuple[int, int], img_ch: int) -> Iterator[Outcome]:
    """Write one picture, or every picture of a folder, as `<name>.bin`; one that cannot be read is reported.

    Raises:
        BadInputError: `source` holds no file.
        OSError: `out` cannot be written.
    """
    pictures = find_pictures(source)
    out.mkdir(parents=True, exist_ok=True)
    for path, name in zip(pictures, binary_names(pictures, source), strict=True):
        try:
            picture = read_picture(path, size)
        except RejectedImageError as error:
            yield Outcome(source=path, problem=error.reason)
            continue
        target = out / f"{name}.bin"
        write_whole(target, drawing.to_network(picture, img_ch).tobytes())
        yield Outcome(source=path, written=(target,))


def binary_files(folder: Path, ending: str = ".bin") -> list[Path]:
    """The binary files of a folder, sorted. Raises BadInputError if it holds none."""
    found = sorted(folder.glob(f"*{ending}")) if folder.is_dir() else []
    if not found:
        raise BadInputError(f"{folder}: holds no *{ending}: run the step before, or check the path")
    return found


def read_binary(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """float32 of that shape. Raises RejectedImageError if the file has another length."""
    expected = 4 * math.prod(shape)
    found = path.stat().st_size
    if found != expected:
        raise RejectedImageError(
            f"{found} bytes, but float32 {shape} has {expected}: give the --img_size it was made with"
        )
    return np.fromfile(path, np.float32).reshape(shape)


def infer(runner: Runner, inputs: Path, out: Path, shape: tuple[int, ...]) -> Iterator[tuple[Outcome, float]]:
    """Run every `<name>.bin` and write its outputs `<name>_<i>.bin`; gives the outcome, and the seconds in the model.

    The first file runs twice, so that no time includes the compilation.

    Raises:
        BadInputError: `inputs` holds no binary file.
        OSError: `out` cannot be written.
    """
    out.mkdir(parents=True, exist_ok=True)
    compiled = False
    for path in binary_files(inputs):
        try:
            x = read_binary(path, shape)
        except RejectedImageError as error:
            yield Outcome(source=path, problem=error.reason), 0.0
            continue
        if not compiled:
            runner(x)
            compiled = True
        began = time.perf_counter()
        outputs = runner(x)
        took = time.perf_counter() - began
        written = [out / f"{path.stem}_{i}.bin" for i in range(len(outputs))]
        for target, output in zip(written, outputs, strict=True):
            write_whole(target, output.astype(np.float32).tobytes())
        yield Outcome(source=path, written=tuple(written)), took


def time_line(seconds: Sequence[float]) -> str:
    """The line that the C++ program writes."""
    average_ms = 1000 * sum(seconds) / len(seconds)
    return f"NN inference cost average time: {average_ms:.3f} ms of infer_count {len(seconds)}"


def postprocess(results: Path, out: Path, size: tuple[int, int], img_ch: int, suffix: str) -> Iterator[Outcome]:
    """Write every `<name>_0.bin` as the picture `<name>_0.jpg` (or another suffix); a damaged one is reported.

    Raises:
        BadInputError: `results` holds none.
        OSError: `out` cannot be written.
    """
    out.mkdir(parents=True, exist_ok=True)
    for path in binary_files(results, "_0.bin"):
        try:
            picture = read_binary(path, (1, img_ch, *size))
        except RejectedImageError as error:
            yield Outcome(source=path, problem=error.reason)
            continue
        target = out / f"{path.stem}{suffix}"
        write_picture(target, drawing.to_uint8(picture)[0])
        yield Outcome(source=path, written=(target,))
