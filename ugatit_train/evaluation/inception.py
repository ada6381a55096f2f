"""The InceptionV3 of FID and KID up to its 2048 pooled features.

It is TensorFlow's inception-2015-12-05, as in the public PyTorch weights `pt_inception-2015-12-05`. It differs from
torchvision's in two ways: average pooling does not count the border's zeros, and the last block pools by the maximum.
For inference only: each batch norm is part of its convolution (see `inception_weights.py`).

Shapes: N images, C and O channels, H x W pixels; all tensors float32 NCHW. Weights are `<name>.weight` (O, C, kh, kw)
and `<name>.bias` (O,), named as in PyTorch without `.conv` and `.bn`.
"""

import numpy as np
from mindspore import Parameter, Tensor, nn, ops
from mindspore.ops import operations as P
from mindspore.ops.operations.array_ops import Im2Col

from ugatit_train.forms import Forms


class FoldedConv(nn.Cell):
    """ReLU(convolution + bias); `same` pads with zeros, so that stride 1 keeps the size."""

    def __init__(self, forms: Forms, c_in: int, c_out: int, kernel: tuple[int, int], stride: int, same: bool):
        super().__init__()
        kh, kw = kernel
        ph, pw = (kh // 2, kw // 2) if same else (0, 0)
        self.weight = Parameter(Tensor(np.zeros((c_out, c_in, kh, kw), np.float32)), name="weight")
        self.bias = Parameter(Tensor(np.zeros((c_out,), np.float32)), name="bias")
        self.stride, self.lost_h, self.lost_w = stride, kh - 1 - 2 * ph, kw - 1 - 2 * pw
        self.by_matmul = forms.convolution == "matmul"
        self.pointwise = kh == kw == stride == 1
        self.im2col = Im2Col([kh, kw], stride, 1, [ph, pw])
        self.matmul = P.MatMul()
        self.conv = P.Conv2D(c_out, (kh, kw), pad_mode="pad", pad=(ph, ph, pw, pw), stride=stride)

    def construct(self, x):
        """x (1, C, H, W)."""
        o = self.weight.shape[0]
        if not self.by_matmul:
            return ops.relu(self.conv(x, self.weight) + self.bias.reshape(1, o, 1, 1))
        _, c, h, w = x.shape
        columns = x.reshape(c, h * w) if self.pointwise else self.im2col(x).reshape(self.weight.size // o, -1)
        y = ops.relu(self.matmul(self.weight.reshape(o, -1), columns) + self.bias.reshape(o, 1))
        return y.reshape(1, o, (h - self.lost_h - 1) // self.stride + 1, (w - self.lost_w - 1) // self.stride + 1)


# A block is a list of branches. All branches take the block's input, and their outputs are joined along the channels.
# A branch is a list of steps: convolutions (`_conv`) or poolings ("avg" and "max" keep the size, "max2" halves it). The
# last step may be a pair of convolutions: both outputs are joined.
def _conv(name: str, c_out: int, kernel: int | tuple[int, int] = 1, stride: int = 1) -> tuple:
    """A convolution's name, output channels, kernel (kh, kw) and stride; stride 2 has no padding."""
    return name, c_out, (kernel, kernel) if isinstance(kernel, int) else kernel, stride


def _block_a(pool: int) -> list[list]:
    return [
        [_conv("branch1x1", 64)],
        [_conv("branch5x5_1", 48), _conv("branch5x5_2", 64, 5)],
        [_conv("branch3x3dbl_1", 64), _conv("branch3x3dbl_2", 96, 3), _conv("branch3x3dbl_3", 96, 3)],
        ["avg", _conv("branch_pool", pool)],
    ]


def _block_b() -> list[list]:
    return [
        [_conv("branch3x3", 384, 3, 2)],
        [_conv("branch3x3dbl_1", 64), _conv("branch3x3dbl_2", 96, 3), _conv("branch3x3dbl_3", 96, 3, 2)],
        ["max2"],
    ]


def _block_c(c: int) -> list[list]:
    wide, high = (1, 7), (7, 1)
    return [
        [_conv("branch1x1", 192)],
        [_conv("branch7x7_1", c), _conv("branch7x7_2", c, wide), _conv("branch7x7_3", 192, high)],
        [
            _conv("branch7x7dbl_1", c),
            _conv("branch7x7dbl_2", c, high),
            _conv("branch7x7dbl_3", c, wide),
            _conv("branch7x7dbl_4", c, high),
            _conv("branch7x7dbl_5", 192, wide),
        ],
        ["avg", _conv("branch_pool", 192)],
    ]


def _block_d() -> list[list]:
    return [
        [_conv("branch3x3_1", 192), _conv("branch3x3_2", 320, 3, 2)],
        [
            _conv("branch7x7x3_1", 192),
            _conv("branch7x7x3_2", 192, (1, 7)),
            _conv("branch7x7x3_3", 192, (7, 1)),
            _conv("branch7x7x3_4", 192, 3, 2),
        ],
        ["max2"],
    ]


def _block_e(pool: str) -> list[list]:
    def fork(one: str, other: str) -> tuple:
        return _conv(one, 384, (1, 3)), _conv(other, 384, (3, 1))

    return [
        [_conv("branch1x1", 320)],
        [_conv("branch3x3_1", 384), fork("branch3x3_2a", "branch3x3_2b")],
        [_conv("branch3x3dbl_1", 448), _conv("branch3x3dbl_2", 384, 3), fork("branch3x3dbl_3a", "branch3x3dbl_3b")],
        [pool, _conv("branch_pool", 192)],
    ]


STEM = (  # name, input and output channels, kernel, stride, padded; None is a pooling that halves the size
    ("Conv2d_1a_3x3", 3, 32, 3, 2, False),
    ("Conv2d_2a_3x3", 32, 32, 3, 1, False),
    ("Conv2d_2b_3x3", 32, 64, 3, 1, True),
    None,
    ("Conv2d_3b_1x1", 64, 80, 1, 1, False),
    ("Conv2d_4a_3x3", 80, 192, 3, 1, False),
    None,
)
BLOCKS = {  # name -> input channels and branches
    "Mixed_5b": (192, _block_a(32)),
    "Mixed_5c": (256, _block_a(64)),
    "Mixed_5d": (288, _block_a(64)),
    "Mixed_6a": (288, _block_b()),
    "Mixed_6b": (768, _block_c(128)),
    "Mixed_6c": (768, _block_c(160)),
    "Mixed_6d": (768, _block_c(160)),
    "Mixed_6e": (768, _block_c(192)),
    "Mixed_7a": (768, _block_d()),
    "Mixed_7b": (1280, _block_e("avg")),
    "Mixed_7c": (2048, _block_e("max")),
}


class Block(nn.Cell):
    """The branches of one input, joined along the channels."""

    def __init__(self, forms: Forms, c_in: int, branches: list[list]):
        super().__init__()
        pools = {"avg": P.AvgPool(3, 1, "SAME"), "max": P.MaxPool(3, 1, "SAME"), "max2": P.MaxPool(3, 2, "VALID")}
        chains = []
        for branch in branches:
            chain, c = [], c_in
            for step in branch:
                if isinstance(step, str):
                    chain.append(pools[step])
                elif isinstance(step[0], str):
                    chain.append(self._add(forms, c, step))
                    c = step[1]
                else:
                    chains += [(*chain, self._add(forms, c, end)) for end in step]
                    chain = []
            if chain:
                chains.append(tuple(chain))
        self.chains = tuple(chains)

    def _add(self, forms: Forms, c_in: int, step: tuple) -> FoldedConv:
        name, c_out, kernel, stride = step
        conv = FoldedConv(forms, c_in, c_out, kernel, stride, same=stride == 1)
        setattr(self, name, conv)
        return conv

    def construct(self, x):
        ends: tuple = ()
        for chain in self.chains:
            y = x
            for step in chain:
                y = step(y)
            ends = ends + (y,)
        return ops.concat(ends, 1)


class Inception(nn.Cell):
    """float32 (1, 3, 299, 299) in [-1, 1] -> (1, 2048)."""

    def __init__(self, forms: Forms):
        super().__init__()
        steps = []
        for part in STEM:
            if part is None:
                steps.append(P.MaxPool(3, 2, "VALID"))
            else:
                name, c_in, c_out, k, stride, same = part
                setattr(self, name, FoldedConv(forms, c_in, c_out, (k, k), stride, same))
                steps.append(getattr(self, name))
        for name, (c_in, branches) in BLOCKS.items():
            setattr(self, name, Block(forms, c_in, branches))
            steps.append(getattr(self, name))
        self.steps = tuple(steps)

    def construct(self, x):
        for step in self.steps:
            x = step(x)
        n, c, h, w = x.shape
        return x.reshape(n, c, h * w).mean(-1)
