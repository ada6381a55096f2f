"""Writes a generator as an ONNX graph: its parameters as NumPy arrays in, `onnx.ModelProto` out, without MindSpore.

MindSpore's own exporter knows fixed shapes only. The graph uses opset 13 and operators that every runtime has:
reflection is made of slices, norms of means. Batch, height and width may stay open; a full model's height and width
are fixed. Shapes: N samples, C channels, H x W pixels.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET, IR_VERSION = 13, 8
EPS = 1e-5  # in every norm, as in `networks.normalisation`


class _Graph:
    """Nodes in order. Every method adds some, and gives the name of their result."""

    def __init__(self, parameters: Mapping[str, np.ndarray]):
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, onnx.TensorProto] = {}
        self._parameters = parameters

    def add(self, op: str, *inputs: str, **attributes) -> str:
        name = f"{op.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [name], name=name, **attributes))
        return name

    def constant(self, values, dtype=np.float32) -> str:
        array = np.asarray(values, dtype)
        name = f"{array.dtype}{array.tolist()}"
        self.constants.setdefault(name, numpy_helper.from_array(array, name))
        return name

    def ints(self, *values: int) -> str:
        return self.constant(values, np.int64)

    def parameter(self, name: str, shape: tuple[int, ...] | None = None) -> str:
        """A parameter by its name in the Generator; `shape` reshapes it."""
        if name not in self.constants:
            array = np.ascontiguousarray(self._parameters[name], np.float32)
            self.constants[name] = numpy_helper.from_array(array if shape is None else array.reshape(shape), name)
        return name

    def mean(self, x: str, *axes: int) -> str:
        """The mean, over one axis after the other: a float32 sum over millions of pixels would lose digits."""
        for axis in sorted(axes, reverse=True):
            x = self.add("ReduceMean", x, axes=[axis], keepdims=1)
        return x

    def moments(self, x: str, *axes: int) -> tuple[str, str]:
        """x - mean, and the biased variance of x, over the axes."""
        centred = self.add("Sub", x, self.mean(x, *axes))
        return centred, self.mean(self.add("Mul", centred, centred), *axes)

    def scaled(self, centred: str, variance: str) -> str:
        """centred / sqrt(variance + EPS)."""
        return self.add("Div", centred, self.add("Sqrt", self.add("Add", variance, self.constant(EPS))))

    def pad(self, x: str, p: int, padding: str) -> str:
        if padding == "zero":
            return self.add("Pad", x, self.ints(0, 0, p, p, 0, 0, p, p))
        for axis in (2, 3):
            where = self.ints(axis), self.ints(-1)
            before = self.add("Slice", x, self.ints(p), self.ints(0), *where)
            after = self.add("Slice", x, self.ints(-2), self.ints(-2 - p), *where)
            x = self.add("Concat", before, x, after, axis=axis)
        return x

    def conv(self, x: str, name: str, padding: str, stride: int = 1) -> str:
        weight = self.parameter(f"{name}.weight")
        k = self._parameters[weight].shape[2]
        return self.add("Conv", self.pad(x, k // 2, padding), weight, strides=[stride, stride])

    def linear(self, x: str, name: str) -> str:
        """(N, C) times a weight (O, C): (N, O)."""
        return self.add("Gemm", x, self.parameter(f"{name}.weight"), transB=1)

    def instance_norm(self, x: str) -> str:
        return self.scaled(*self.moments(x, 2, 3))

    def unbiased(self, x: str, variance: str, *axes: int) -> str:
        """A biased variance over the axes of x, times n / (n - 1); n is computed when the graph runs."""
        sizes = self.add("Gather", self.add("Shape", x), self.ints(*axes), axis=0)
        n = self.add("Cast", self.add("ReduceProd", sizes, keepdims=0), to=TensorProto.FLOAT)
        return self.add("Mul", variance, self.add("Div", n, self.add("Sub", n, self.constant(1))))

    def adalin(self, x: str, rho: str, gamma: str, beta: str) -> str:
        """AdaLIN (paper, equation 1); gamma and beta are (N, C, 1, 1) or (1, C, 1, 1)."""
        normed = []
        for axes in ((2, 3), (1, 2, 3)):
            centred, variance = self.moments(x, *axes)
            normed.append(self.scaled(centred, self.unbiased(x, variance, *axes)))
        c = self._parameters[rho].size
        rho = self.parameter(rho, (1, c, 1, 1))
        rest = self.add("Sub", self.constant(1), rho)
        mixed = self.add("Add", self.add("Mul", rho, normed[0]), self.add("Mul", rest, normed[1]))
        return self.add("Add", self.add("Mul", mixed, gamma), beta)

    def maps(self, x: str) -> str:
        """(N, C) to (N, C, 1, 1)."""
        return self.add("Unsqueeze", x, self.ints(2, 3))

    def up_block(self, x: str, name: str, padding: str) -> str:
        x = self.add(
            "Resize", x, "", self.constant([1, 1, 2, 2]),
            mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor",
        )  # fmt: skip
        x = self.conv(x, f"{name}.conv", padding)
        c = self._parameters[f"{name}.norm.rho"].size
        gamma, beta = (self.parameter(f"{name}.norm.{kind}", (1, c, 1, 1)) for kind in ("gamma", "beta"))
        return self.add("Relu", self.adalin(x, f"{name}.norm.rho", gamma, beta))

    def cam(self, x: str) -> tuple[str, str]:
        """The attended map and the logits (N, 2)."""
        c = self._parameters["cam.gap_fc.weight"].size
        average = self.add("Flatten", self.mean(x, 2, 3))
        maximum = self.add("Flatten", self.add("ReduceMax", x, axes=[2, 3], keepdims=1))
        logits = self.linear(average, "cam.gap_fc"), self.linear(maximum, "cam.gmp_fc")
        weights = (self.parameter(f"cam.{kind}_fc.weight") for kind in ("gap", "gmp"))
        scales = [self.add("Reshape", weight, self.ints(1, c, 1, 1)) for weight in weights]
        both = self.add("Concat", *(self.add("Mul", x, scale) for scale in scales), axis=1)
        attended = self.add("Conv", both, self.parameter("cam.conv1x1.weight"), self.parameter("cam.conv1x1.bias"))
        return self.add("Relu", attended), self.add("Concat", *logits, axis=1)


def generator(
    parameters: Mapping[str, np.ndarray], *, padding: str, light: bool, shape: Sequence[int | None]
) -> onnx.ModelProto:
    """The graph of a Generator; `parameters` have their names in it ("down0.weight"), without a network's prefix.

    Input `image`: (N, C, H, W) in [-1, 1]. Outputs: `translated` of the same shape and range, `cam_logit` (N, 2),
    `heatmap` (N, 1, H/4, W/4). `shape` is the input's; None leaves a number open.
    """
    g = _Graph(parameters)
    x = "image"
    for i, stride in enumerate((1, 2, 2)):
        x = g.add("Relu", g.instance_norm(g.conv(x, f"down{i}", padding, stride)))
    count = sum(name.startswith("res.") and name.endswith("conv1.weight") for name in parameters)
    for i in range(count):
        y = g.add("Relu", g.instance_norm(g.conv(x, f"res.{i}.conv1", padding)))
        x = g.add("Add", x, g.instance_norm(g.conv(y, f"res.{i}.conv2", padding)))
    x, logit = g.cam(x)
    heatmap = g.add("ReduceSum", x, g.ints(1), keepdims=1)
    y = g.add("Flatten", g.mean(x, 2, 3) if light else x)
    for name in ("fc1", "fc2"):
        y = g.add("Relu", g.linear(y, name))
    gamma, beta = g.maps(g.linear(y, "gamma")), g.maps(g.linear(y, "beta"))
    for i in range(count):
        y = g.adalin(g.conv(x, f"adares.{i}.conv1", padding), f"adares.{i}.norm1.rho", gamma, beta)
        y = g.conv(g.add("Relu", y), f"adares.{i}.conv2", padding)
        x = g.add("Add", x, g.adalin(y, f"adares.{i}.norm2.rho", gamma, beta))
    for name in ("up0", "up1"):
        x = g.up_block(x, name, padding)
    x = g.add("Tanh", g.conv(x, "out", padding))

    outputs = {"translated": x, "cam_logit": logit, "heatmap": heatmap}
    for name, inner in outputs.items():
        g.nodes.append(helper.make_node("Identity", [inner], [name], name=name))
    n, c, h, w = (side or name for side, name in zip(shape, "NCHW", strict=True))
    small = [side // 4 if isinstance(side, int) else f"{side}/4" for side in (h, w)]
    shapes = {"image": (n, c, h, w), "translated": (n, c, h, w), "cam_logit": (n, 2), "heatmap": (n, 1, *small)}
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]
    graph = helper.make_graph(g.nodes, "generator", values[:1], values[1:], list(g.constants.values()))
    opset = [helper.make_opsetid("", OPSET)]
    return helper.make_model(graph, opset_imports=opset, ir_version=IR_VERSION, producer_name="ugatit")
