"""Convolutions as functions of (x, weight): MindSpore's Conv2D, or im2col, matmul and col2im (see `Forms.convolution`).

The backward of the second kind is written out: it keeps the input only and makes the columns again.
Shapes: N samples, C and O channels, H x W pixels, K = C * k * k, L output pixels; all tensors float32 NCHW.
"""

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops
from mindspore import dtype as mstype
from mindspore.ops import operations as P
from mindspore.ops.operations.array_ops import Col2Im, Im2Col

from ugatit_train.forms import Forms


class _Product(nn.Cell):
    """Products of a shared matrix with N others, as the fewest and largest matmuls.

    The matrix is copied N times for a batched matmul, or the others are put side by side for a single one, whichever
    moves less memory: the first for the generators' large maps, the second for the discriminators' large weights.
    """

    def __init__(self):
        super().__init__()
        self.nn = P.MatMul()
        self.tn = P.MatMul(transpose_a=True)
        self.nt = P.MatMul(transpose_b=True)
        self.batch_nn = P.BatchMatMul()
        self.batch_tn = P.BatchMatMul(transpose_a=True)
        self.batch_nt = P.BatchMatMul(transpose_b=True)

    def construct(self, w, x):
        """w (O, K), x (N, K, L) -> (N, O, L)."""
        n, k, size = x.shape
        o = w.shape[0]
        if n == 1:
            return self.nn(w, x.reshape(k, size)).reshape(1, o, size)
        if o * k <= (o + k) * size:
            return self.batch_nn(ops.broadcast_to(w, (n, o, k)), x)
        return self.nn(w, _side_by_side(x)).reshape(o, n, size).transpose(1, 0, 2)

    def transposed(self, w, y):
        """w (O, K), y (N, O, L) -> (N, K, L), the product with w's transpose."""
        n, o, size = y.shape
        k = w.shape[1]
        if n == 1:
            return self.tn(w, y.reshape(o, size)).reshape(1, k, size)
        if o * k <= (o + k) * size:
            return self.batch_tn(ops.broadcast_to(w, (n, o, k)), y)
        return self.tn(w, _side_by_side(y)).reshape(k, n, size).transpose(1, 0, 2)

    def outer(self, y, x):
        """y (N, O, L), x (N, K, L) -> (O, K), summed over N and L."""
        n, o, size = y.shape
        k = x.shape[1]
        if n == 1:
            return self.nt(y.reshape(o, size), x.reshape(k, size))
        if o * k <= (o + k) * size:
            return self.batch_nt(y, x).sum(0)
        return self.nt(_side_by_side(y), _side_by_side(x))


def _side_by_side(x):
    """(N, C, L) -> (C, N * L)."""
    n, c, size = x.shape
    return x.transpose(1, 0, 2).reshape(c, n * size)


class OwnBackward(nn.Cell):
    """A Cell of (x, weight) whose backward keeps these two and computes the rest of the forward again.

    In one graph the compiler finds both computations equal and keeps the forward's: faster, but more memory. With
    `saves_memory` the backward's x and weight depend on the gradient, so that it computes again.
    """

    saves_memory = False

    def kept(self, x, weight, dout):
        return (ops.depend(x, dout), ops.depend(weight, dout)) if self.saves_memory else (x, weight)


class GatherConv(OwnBackward):
    """Valid convolution as im2col and matmul; the backward keeps x only and makes the columns again."""

    def __init__(self, k: int, stride: int):
        super().__init__()
        self.k, self.stride = k, stride
        self.im2col = Im2Col([k, k], stride, 1, 0)
        self.col2im = Col2Im([k, k], [1, 1], [0, 0], [stride, stride])
        self.product = _Product()

    def construct(self, x, weight):
        """x (N, C, H, W), weight (O, C, k, k) -> (N, O, (H-k)//stride+1, (W-k)//stride+1)."""
        n, _, h, w = x.shape
        o = weight.shape[0]
        y = self.product(weight.reshape(o, -1), self.im2col(x).reshape(n, weight.size // o, -1))
        return y.reshape(n, o, (h - self.k) // self.stride + 1, (w - self.k) // self.stride + 1)

    def bprop(self, x, weight, out, dout):
        x, weight = self.kept(x, weight, dout)
        n, c, h, w = x.shape
        o = weight.shape[0]
        kk = weight.size // o
        dy = dout.reshape(n, o, -1)
        dcolumns = self.product.transposed(weight.reshape(o, kk), dy)
        dx = self.col2im(dcolumns.reshape(n, c, self.k * self.k, -1), Tensor([h, w], mstype.int32))
        dweight = self.product.outer(dy, self.im2col(x).reshape(n, kk, -1))
        return dx, dweight.reshape(weight.shape)


class ScatterConv(OwnBackward):
    """Valid convolution of stride 1 as matmul and col2im: fewer columns than im2col where O is much below C."""

    def __init__(self, k: int):
        super().__init__()
        self.k = k
        self.im2col = Im2Col([k, k], 1, 1, k - 1)
        self.col2im = Col2Im([k, k], [1, 1], [k - 1, k - 1], [1, 1])
        self.product = _Product()

    def flipped(self, weight):
        """weight (O, C, k, k) -> (O * k * k, C), taps reversed: col2im adds where im2col would read."""
        o, c, _, _ = weight.shape
        return weight.reshape(o, c, self.k * self.k)[:, :, ::-1].transpose(0, 2, 1).reshape(-1, c)

    def construct(self, x, weight):
        """x (N, C, H, W), weight (O, C, k, k) -> (N, O, H-k+1, W-k+1)."""
        n, c, h, w = x.shape
        o = weight.shape[0]
        columns = self.product(self.flipped(weight), x.reshape(n, c, h * w))
        size = Tensor([h - self.k + 1, w - self.k + 1], mstype.int32)
        return self.col2im(columns.reshape(n, o, self.k * self.k, h * w), size)

    def bprop(self, x, weight, out, dout):
        x, weight = self.kept(x, weight, dout)
        n, c, h, w = x.shape
        o = weight.shape[0]
        dcolumns = self.im2col(dout).reshape(n, o * self.k * self.k, h * w)
        dx = self.product.transposed(self.flipped(weight), dcolumns).reshape(x.shape)
        dflipped = self.product.outer(dcolumns, x.reshape(n, c, h * w)).reshape(o, self.k * self.k, c)
        return dx, dflipped.transpose(0, 2, 1)[:, :, ::-1].reshape(weight.shape)


class PointwiseConv(nn.Cell):
    """1 x 1 convolution as a matmul."""

    def __init__(self):
        super().__init__()
        self.product = _Product()

    def construct(self, x, weight):
        """x (N, C, H, W), weight (O, C, 1, 1) -> (N, O, H, W)."""
        n, c, h, w = x.shape
        o = weight.shape[0]
        return self.product(weight.reshape(o, c), x.reshape(n, c, h * w)).reshape(n, o, h, w)


class _Made(nn.Cell):
    """conv(make(x), weight)."""

    def __init__(self, make: nn.Cell, conv: nn.Cell):
        super().__init__()
        self.make, self.conv = make, conv

    def construct(self, x, weight):
        return self.conv(self.make(x), weight)


class MadeAgain(OwnBackward):
    """conv(make(x), weight) of Cells without parameters; the backward keeps x and makes what `conv` reads again.

    For `saves_memory` only: without it the compiler keeps what was made.
    """

    def __init__(self, make: nn.Cell, conv: nn.Cell):
        super().__init__()
        self.made = _Made(make, conv)

    def construct(self, x, weight):
        return self.made(x, weight)

    def bprop(self, x, weight, out, dout):
        x, weight = self.kept(x, weight, dout)
        return ms.vjp(self.made, x, weight)[1](dout)  # with `_, backward = ...` the convolution would run again too


class HalfConv(nn.Cell):
    """A convolution in float16, forward and backward, of float32 tensors; the weight stays in float32."""

    def __init__(self, conv):
        super().__init__()
        self.conv = conv

    def construct(self, x, weight):
        return self.conv(x.astype(mstype.float16), weight.astype(mstype.float16)).astype(mstype.float32)


def valid_conv(forms: Forms, c_in: int, c_out: int, k: int, stride: int = 1) -> nn.Cell:
    """A valid convolution, as a Cell of (x, weight)."""
    if forms.convolution == "operator":
        plain = P.Conv2D(c_out, k, pad_mode="valid", stride=stride)
        return HalfConv(plain) if forms.half else plain
    if k == 1 and stride == 1:
        return PointwiseConv()
    if stride == 1 and c_out * 8 <= c_in:
        return ScatterConv(k)
    return GatherConv(k, stride)


# Rows of a 3 x 3 kernel that fall on the same row of the small map, for the output's even and odd rows (phases):
# an even row 2i reads the enlarged rows 2i-1 | 2i, 2i+1, an odd one 2i, 2i+1 | 2i+2.
_PHASES = np.array([[[1, 0, 0], [0, 1, 1]], [[1, 1, 0], [0, 0, 1]]], np.float32)


class UpConv(nn.Cell):
    """upsample -> pad 1 -> 3 x 3 convolution, computed on the small map with 2.25 times fewer products.

    Each of the output's four phases (even and odd rows and columns) is a 2 x 2 convolution of the small map, with sums
    of the 3 x 3 weights. One im2col serves all four; col2im with stride 2 interleaves them, and its padding cuts off
    the window that each phase has too many. `x` is padded by 1 before: reflection becomes a repeated edge on the small
    map, zeros stay zeros.
    """

    def __init__(self):
        super().__init__()
        # kron[(ky, kx), (ty, tx, qy, qx)]: tap (ky, kx) counts in tap (qy, qx) of phase 1 - ty, 1 - tx; the phases are
        # reversed because col2im puts window i at rows 2i-1 (t = 0) and 2i (t = 1), which are of odd and even phase.
        reversed_phases = _PHASES[::-1]
        kron = np.einsum("tqk,sro->kotsqr", reversed_phases, reversed_phases).reshape(9, 16)
        self.kron = Tensor(kron)
        self.matmul = P.MatMul()
        self.interleave = _Interleave()

    def construct(self, x, weight):
        """x (N, C, H + 2, W + 2), weight (O, C, 3, 3) -> (N, O, 2H, 2W)."""
        o, c, _, _ = weight.shape
        phases = self.matmul(weight.reshape(o * c, 9), self.kron).reshape(o, c, 4, 4)
        return self.interleave(x, phases.transpose(0, 2, 1, 3).reshape(o * 4, c * 4))


class _Interleave(OwnBackward):
    """x (N, C, H + 2, W + 2), weight (O * 4, C * 4) of the four phases -> (N, O, 2H, 2W)."""

    def __init__(self):
        super().__init__()
        self.windows = Im2Col([2, 2], 1, 1, 0)
        self.unwindow = Col2Im([2, 2], [1, 1], [0, 0], [1, 1])
        self.blocks = Im2Col([2, 2], 2, 1, 1)
        self.unblock = Col2Im([2, 2], [1, 1], [1, 1], [2, 2])
        self.product = _Product()

    def construct(self, x, weight):
        n, c, h, w = x.shape
        o = weight.shape[0] // 4
        y = self.product(weight, self.windows(x).reshape(n, c * 4, -1))
        return self.unblock(y.reshape(n, o, 4, -1), Tensor([2 * (h - 2), 2 * (w - 2)], mstype.int32))

    def bprop(self, x, weight, out, dout):
        x, weight = self.kept(x, weight, dout)
        n, c, h, w = x.shape
        dy = self.blocks(dout).reshape(n, weight.shape[0], -1)
        dwindows = self.product.transposed(weight, dy).reshape(n, c, 4, -1)
        dx = self.unwindow(dwindows, Tensor([h, w], mstype.int32))
        return dx, self.product.outer(dy, self.windows(x).reshape(n, c * 4, -1))
