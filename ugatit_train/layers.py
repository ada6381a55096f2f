"""The layers of U-GAT-IT: convolution, padding, instance norm, AdaLIN, CAM, spectral norm, up-sampling.

Shapes: N samples, C channels, H x W pixels, K = C * k * k, L output pixels; all tensors float32 NCHW.
Device differences live here and in `runtime.py` only.
"""

import math

import numpy as np
from mindspore import Parameter, Tensor, nn, ops
from mindspore import dtype as mstype
from mindspore.ops import operations as P
from mindspore.ops.operations.array_ops import Col2Im, Im2Col

from ugatit_train import runtime

EPS = 1e-5  # of every normalisation; the value of the paper's code


def uniform(shape: tuple[int, ...], fan_in: int, name: str) -> Parameter:
    """A zero Parameter that remembers its bound, U(-1/sqrt(fan_in), 1/sqrt(fan_in)); `networks.initialise` fills it.

    The bound is PyTorch's default for convolutions and linear layers, which the paper's code keeps.
    """
    parameter = Parameter(Tensor(np.zeros(shape, np.float32)), name=name)
    parameter.init_bound = 1 / math.sqrt(fan_in)
    return parameter


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


class GatherConv(nn.Cell):
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
        n, c, h, w = x.shape
        o = weight.shape[0]
        kk = weight.size // o
        dy = dout.reshape(n, o, -1)
        dcolumns = self.product.transposed(weight.reshape(o, kk), dy)
        dx = self.col2im(dcolumns.reshape(n, c, self.k * self.k, -1), Tensor([h, w], mstype.int32))
        dweight = self.product.outer(dy, self.im2col(x).reshape(n, kk, -1))
        return dx, dweight.reshape(weight.shape)


class ScatterConv(nn.Cell):
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


def valid_conv(c_in: int, c_out: int, k: int, stride: int = 1) -> nn.Cell:
    """The device's best form of a valid convolution: a Cell of (x, weight)."""
    if not runtime.convolves_by_matmul():
        return P.Conv2D(c_out, k, pad_mode="valid", stride=stride)
    if k == 1 and stride == 1:
        return PointwiseConv()
    if stride == 1 and c_out * 8 <= c_in:
        return ScatterConv(k)
    return GatherConv(k, stride)


class Conv(nn.Cell):
    """Valid k x k convolution with its weight (O, C, k, k) and, if asked, its bias (O,)."""

    def __init__(self, c_in: int, c_out: int, k: int, stride: int = 1, bias: bool = False):
        super().__init__()
        fan_in = c_in * k * k
        self.weight = uniform((c_out, c_in, k, k), fan_in, "weight")
        self.bias = uniform((c_out,), fan_in, "bias") if bias else None
        self.conv = valid_conv(c_in, c_out, k, stride)

    def construct(self, x):
        y = self.conv(x, self.weight)
        return y if self.bias is None else y + self.bias.reshape(1, -1, 1, 1)


class Linear(nn.Cell):
    """(N, C) -> (N, O) by a weight (O, C) without bias."""

    def __init__(self, c_in: int, c_out: int):
        super().__init__()
        self.weight = uniform((c_out, c_in), c_in, "weight")
        self.matmul = P.MatMul(transpose_b=True)

    def construct(self, x):
        return self.matmul(x, self.weight)


class Pad(nn.Cell):
    """Pads H and W by p on every side: reflection (the paper's) or zeros (the seed's variant)."""

    def __init__(self, p: int, padding: str):
        super().__init__()
        self.p = p
        self.reflects = padding == "reflect"
        self.mirror = P.MirrorPad("REFLECT")
        self.paddings = Tensor([[0, 0], [0, 0], [p, p], [p, p]])

    def construct(self, x):
        if self.reflects:
            return self.mirror(x, self.paddings)
        # By concatenation: the Pad primitive took 27 ms where this takes 3 (256 x 64 x 64, CPU).
        n, c, h, w = x.shape
        rows = ops.zeros((n, c, self.p, w), mstype.float32)
        x = ops.concat((rows, x, rows), 2)
        columns = ops.zeros((n, c, h + 2 * self.p, self.p), mstype.float32)
        return ops.concat((columns, x, columns), 3)


class _NormaliseMaps(nn.Cell):
    """(x - mean) / sqrt(var + eps) * scale + shift for every map (n, c), biased variance; scale, shift (N * C,).

    Through the BatchNorm primitive over (1, N * C, H, W): four times faster than separate reductions on the CPU and
    right for any N. `momentum=0.0` is needed: otherwise the primitive writes into its mean and variance inputs.
    """

    def __init__(self):
        super().__init__()
        self.batch_norm = P.BatchNorm(is_training=True, epsilon=EPS, momentum=0.0)

    def construct(self, x, scale, shift):
        n, c, h, w = x.shape
        zeros = ops.zeros((n * c,), mstype.float32)
        return self.batch_norm(x.reshape(1, n * c, h, w), scale, shift, zeros, zeros)[0].reshape(n, c, h, w)


class InstanceNorm(nn.Cell):
    """Instance norm without parameters, biased variance."""

    def __init__(self):
        super().__init__()
        self.normalise = _NormaliseMaps()

    def construct(self, x):
        maps = x.shape[0] * x.shape[1]
        return self.normalise(x, ops.ones((maps,), mstype.float32), ops.zeros((maps,), mstype.float32))


class AdaLIN(nn.Cell):
    """gamma * (rho * IN(x) + (1 - rho) * LN(x)) + beta, unbiased variances (paper, equation 1); rho (C,) is its own.

    The layer's moments are made from the maps' moments, and both normalisations and the affine map fold into one
    scale and one shift for every map; each is exact algebra.
    """

    def __init__(self, c: int, rho: float = 0.9):
        super().__init__()
        self.rho = Parameter(Tensor(np.full((c,), rho, np.float32)), name="rho")
        self.normalise = _NormaliseMaps()

    def construct(self, x, gamma, beta):
        """x (N, C, H, W); gamma, beta (N, C) or (1, C)."""
        n, c, h, w = x.shape
        hw = h * w
        maps = x.reshape(n * c, hw)
        mean = maps.mean(-1).reshape(n, c)
        square = (maps * maps).mean(-1).reshape(n, c)
        variance = square - mean * mean
        layer_mean = mean.mean(1, True)
        layer_variance = square.mean(1, True) - layer_mean * layer_mean
        in_rstd = ops.rsqrt(variance * (hw / (hw - 1)) + EPS)
        ln_rstd = ops.rsqrt(layer_variance * (c * hw / (c * hw - 1)) + EPS)
        rho = self.rho.reshape(1, c)
        scale = gamma * (rho * in_rstd + (1 - rho) * ln_rstd)  # the result is (x - mean) * scale + shift
        shift = gamma * (1 - rho) * (mean - layer_mean) * ln_rstd + beta
        return self.normalise(x, (scale * ops.sqrt(variance + EPS)).reshape(-1), shift.reshape(-1))


class LIN(AdaLIN):
    """AdaLIN with gamma and beta (C,) of its own, as the up-sampling blocks use it; rho starts at 0."""

    def __init__(self, c: int):
        super().__init__(c, 0.0)
        self.gamma = Parameter(Tensor(np.ones((c,), np.float32)), name="gamma")
        self.beta = Parameter(Tensor(np.zeros((c,), np.float32)), name="beta")

    def construct(self, x):
        return AdaLIN.construct(self, x, self.gamma.reshape(1, -1), self.beta.reshape(1, -1))


def leaky_relu(x):
    """LeakyReLU with slope 0.2, written with ReLU: LeakyReLU itself took six times as long on the CPU."""
    return ops.relu(x) * 0.8 + x * 0.2


class LeakyReLU(nn.Cell):
    """`leaky_relu` as a Cell."""

    def construct(self, x):
        return leaky_relu(x)


def upsample(x):
    """Nearest neighbour, (N, C, H, W) -> (N, C, 2H, 2W)."""
    n, c, h, w = x.shape
    x = ops.broadcast_to(x.reshape(n, c, h, 1, w, 1), (n, c, h, 2, w, 2))
    return x.reshape(n, c, 2 * h, 2 * w)


def _unit(x):
    return x / (ops.sqrt((x * x).sum()) + 1e-12)


class _Spectral(nn.Cell):
    """A weight (O, ...) with the left singular vector u (O,) of its spectral norm (Miyato et al., 2018).

    sigma = u^T W v, u and v constants for the gradient. The layers divide their output by sigma, not their weight:
    the same number, without a copy of the weight.
    """

    def __init__(self, c_out: int):
        super().__init__()
        self.u = Parameter(Tensor(np.zeros((c_out,), np.float32)), name="u", requires_grad=False)
        self.matvec = P.MatMul()
        self.matvec_t = P.MatMul(transpose_a=True)

    def iterate(self, u):
        """One power iteration from u (O,): the new (u, v), v being (K,)."""
        w = ops.stop_gradient(self.weight.reshape(self.weight.shape[0], -1))
        v = _unit(self.matvec_t(w, u.reshape(-1, 1)))
        return _unit(self.matvec(w, v)).reshape(-1), v.reshape(-1)

    def sigma(self, u, v):
        """u^T W v of the present weight, a scalar."""
        w = self.weight.reshape(self.weight.shape[0], -1)
        return (self.matvec(w, v.reshape(-1, 1)).reshape(-1) * u).sum()


class SpectralConv(_Spectral):
    """`Conv` under spectral norm, called with the vectors (u, v); `vectors=()` leaves the norm out."""

    def __init__(self, c_in: int, c_out: int, k: int, stride: int = 1, bias: bool = False):
        super().__init__(c_out)
        fan_in = c_in * k * k
        self.weight = uniform((c_out, c_in, k, k), fan_in, "weight")
        self.bias = uniform((c_out,), fan_in, "bias") if bias else None
        self.conv = valid_conv(c_in, c_out, k, stride)

    def construct(self, x, vectors):
        y = self.conv(x, self.weight)
        if len(vectors) == 2:
            y = y * (1 / self.sigma(vectors[0], vectors[1]))
        return y if self.bias is None else y + self.bias.reshape(1, -1, 1, 1)


class SpectralLinear(_Spectral):
    """(N, C) -> (N, O) by a weight (O, C) without bias under spectral norm."""

    def __init__(self, c_in: int, c_out: int):
        super().__init__(c_out)
        self.weight = uniform((c_out, c_in), c_in, "weight")
        self.matmul = P.MatMul(transpose_b=True)

    def construct(self, x, vectors):
        y = self.matmul(x, self.weight)
        return y * (1 / self.sigma(vectors[0], vectors[1])) if len(vectors) == 2 else y


def pool(x):
    """Global average and maximum, (N, C, H, W) -> two (N, C)."""
    n, c, h, w = x.shape
    maps = x.reshape(n * c, h * w)
    return maps.mean(-1).reshape(n, c), ops.amax(maps, -1).reshape(n, c)


class Attention(nn.Cell):
    """The attended map of CAM: conv1x1(concat(x * w_gap, x * w_gmp)), the products folded into the 1 x 1 weight."""

    def __init__(self, c: int):
        super().__init__()
        self.weight = uniform((c, 2 * c, 1, 1), 2 * c, "weight")
        self.bias = uniform((c,), 2 * c, "bias")
        self.conv = valid_conv(c, c, 1)

    def construct(self, x, gap_weight, gmp_weight):
        """x (N, C, H, W); gap_weight, gmp_weight (1, C): raw also under spectral norm, as in the paper's code."""
        c = x.shape[1]
        w = self.weight.reshape(c, 2 * c)
        folded = w[:, :c] * gap_weight + w[:, c:] * gmp_weight
        return self.conv(x, folded.reshape(c, c, 1, 1)) + self.bias.reshape(1, c, 1, 1)
