"""FLOPs and bytes of single MindSpore operations, from the shapes that its profiler records.

On the CPU it records no output shapes and no attributes. What does not follow from the inputs is None, never a guess.
Bytes count the inputs and the output once each, in float32.
"""

import itertools
import math
from collections.abc import Iterable, Sequence

Shape = tuple[int, ...]
FlopsBytes = tuple[int | None, int | None]  # None: unknown
FLOAT_BYTES = 4

_NOTHING = {"Reshape", "Depend", "Load", "UpdateState", "MakeTuple", "TupleGetItem", "ExpandDims", "Squeeze"}
_REDUCTIONS = {"ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin"}
# The input's shape does not tell how large the output is.
_UNTOLD = {"Slice", "StridedSlice", "StridedSliceGrad", "Tile", "BroadcastTo", "Zeros", "Ones", "Split"}
_COPIES = {"TensorMove", "Transpose", "Cast", "Concat", "MirrorPad", "MirrorPadGrad", "Assign", "Stack"}


def op_cost(kind: str, shapes: Sequence[Shape], takers: Iterable[Sequence[Shape]] = ()) -> FlopsBytes:
    """(FLOPs, bytes) of an operation of `kind` on inputs of `shapes`. `takers` are the inputs of later products."""
    sizes = [math.prod(shape) for shape in shapes]
    total, largest = sum(sizes), max(sizes, default=0)
    if kind in _NOTHING:
        return 0, 0
    if kind in ("MatMul", "BatchMatMul"):
        return _product(shapes[0], shapes[1])
    if kind == "Im2Col":
        columns = _columns(shapes[0], takers)
        return 0, None if columns is None else FLOAT_BYTES * (total + columns)
    if kind == "Col2Im":  # its input, the columns, is larger than the map that comes out
        return sizes[0], FLOAT_BYTES * sizes[0]
    if kind in _UNTOLD:
        return 0, None
    if kind in _REDUCTIONS:
        return largest, FLOAT_BYTES * largest
    if kind == "Adam":  # reads weight, both moments and gradient; writes weight and moments
        return 14 * sizes[0], 7 * FLOAT_BYTES * sizes[0]
    if kind == "Concat":
        return 0, 2 * FLOAT_BYTES * total
    if kind in _COPIES:
        return 0, 2 * FLOAT_BYTES * sizes[0]
    if kind in ("BatchNorm", "BatchNormGrad"):
        maps = 2 if kind == "BatchNorm" else 3
        return 8 * (maps - 1) * largest, maps * FLOAT_BYTES * largest
    return largest, FLOAT_BYTES * (total + largest)  # element by element; inputs are broadcast to the largest


def conv_flops(kind: str, inputs: Sequence[Shape], output: Shape) -> int | None:
    """FLOPs of CANN's Conv2D, Conv2DBackpropInput or Conv2DBackpropFilter; None for another kind.

    Maps are NCHW, or NC1HWC0 beside weights in FRACTAL_Z: then channels are counted with their padding to 16.
    """
    maps = [shape for shape in inputs if len(shape) >= 4]  # without a bias, and the sizes that the gradients take
    if len(maps) != 2:
        return None
    whole = {
        "Conv2D": (maps[1], output),
        "Conv2DBackpropInput": (maps[0], maps[1]),
        "Conv2DBackpropFilter": (output, maps[1]),
    }
    if kind not in whole:
        return None
    weight, y = whole[kind]
    channels = y[1] * (y[4] if len(y) == 5 else 1)
    return 2 * math.prod(y) * math.prod(weight) // channels


def _product(a: Shape, b: Shape) -> FlopsBytes:
    """(FLOPs, bytes) of a product of a and b, either of which may be transposed: it sums over the side they share."""
    if len(a) < 2 or len(b) < 2:
        return None, None
    (a0, a1), (b0, b1) = a[-2:], b[-2:]
    batch = math.prod(a[:-2])
    for shared, rows, columns in ((a1, a0, b1), (a0, a1, b1), (a1, a0, b0), (a0, a1, b0)):
        partner = b0 if columns == b1 else b1
        if shared == partner and shared * rows == a0 * a1 and shared * columns == b0 * b1:
            elements = a0 * a1 + b0 * b1 + rows * columns
            return 2 * batch * rows * columns * shared, FLOAT_BYTES * batch * elements
    return None, None


def _columns(image: Shape, takers: Iterable[Sequence[Shape]]) -> int | None:
    """The size of im2col's output: that of the first later operand which can be a matrix of the image's windows.

    Tried are the kernels, strides and paddings that `networks.convolution` uses.
    """
    n, c, h, w = image
    windows = {}
    for k, stride in itertools.product((2, 3, 4, 7), (1, 2)):
        for pad in (0, 1, k - 1):
            rows, columns = ((side + 2 * pad - k) // stride + 1 for side in (h, w))
            windows[c * k * k, n * c * k * k * rows * columns] = rows > 0 and columns > 0
    for shapes in takers:
        for shape in shapes:
            size = math.prod(shape)
            if any(windows.get((side, size)) for side in shape):
                return size
    return None
