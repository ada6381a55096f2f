"""The layers of U-GAT-IT but norms and padding: convolution, CAM, spectral norm, up-sampling.

Shapes: N samples, C channels, H x W pixels, K = C * k * k, L output pixels; all tensors float32 NCHW.
`forms` says which form each takes (see `ugatit_train/forms.py`).
"""

import math

import numpy as np
from mindspore import Parameter, Tensor, nn, ops
from mindspore.ops import operations as P

from ugatit_train.forms import Forms
from ugatit_train.networks import winograd
from ugatit_train.networks.convolution import MadeAgain, UpConv, valid_conv
from ugatit_train.networks.padding import Pad


def uniform(shape: tuple[int, ...], fan_in: int, name: str) -> Parameter:
    """A zero Parameter with its `init_bound` 1/sqrt(fan_in), within which `ugatit.initialise` draws its values.

    The bound is PyTorch's default for convolutions and linear layers, which the paper's code keeps.
    """
    parameter = Parameter(Tensor(np.zeros(shape, np.float32)), name=name)
    parameter.init_bound = 1 / math.sqrt(fan_in)
    return parameter


class Conv(nn.Cell):
    """Valid k x k convolution with its weight (O, C, k, k) and, if asked, its bias (O,)."""

    def __init__(self, forms: Forms, c_in: int, c_out: int, k: int, stride: int = 1, bias: bool = False):
        super().__init__()
        fan_in = c_in * k * k
        self.weight = uniform((c_out, c_in, k, k), fan_in, "weight")
        self.bias = uniform((c_out,), fan_in, "bias") if bias else None
        self.conv = valid_conv(forms, c_in, c_out, k, stride)

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


class UpsampledConv(Conv):
    """3 x 3 convolution of the map enlarged twice by nearest neighbour and padded by 1: (N, C, H, W) -> (N, O, 2H, 2W).

    On the small map, the reflected border of the large one is a repeated edge.
    """

    def __init__(self, forms: Forms, c_in: int, c_out: int, padding: str):
        super().__init__(forms, c_in, c_out, 3)
        self.stays_small = forms.upsampling == "small"
        self.pad = Pad(forms, 1, "edge" if self.stays_small and padding == "reflect" else padding)
        self.enlarge = _Enlarge(self.pad)
        self.again, self.is_plain = MadeAgain(self.enlarge, self.conv), forms.convolution == "operator"
        self.up_conv = UpConv()
        self.by_tiles = forms.tiles
        self.winograd = winograd.WinogradConv(padding, scale=2)

    def construct(self, x):
        if self.by_tiles and winograd.fits(x.shape[2], x.shape[3]):
            return self.winograd(x, self.weight)
        if self.stays_small:
            return self.up_conv(self.pad(x), self.weight)
        if self.is_plain and self.again.saves_memory:
            return self.again(x, self.weight)
        return self.conv(self.enlarge(x), self.weight)


class _Enlarge(nn.Cell):
    """x enlarged twice by nearest neighbour, then padded."""

    def __init__(self, pad: Pad):
        super().__init__()
        self.pad = pad

    def construct(self, x):
        return self.pad(upsample(x))


def leaky_relu(forms: Forms):
    """LeakyReLU with slope 0.2, as a function of x."""
    if forms.leaky_relu == "prelu":
        return _LeakyReLUByPReLU()
    return _leaky_relu_by_relu if forms.leaky_relu == "relu" else _leaky_relu


class _LeakyReLUByPReLU(nn.Cell):
    """One kernel, and one for the backward."""

    def __init__(self):
        super().__init__()
        self.prelu, self.slope = P.PReLU(), Tensor(np.array([0.2], np.float32))

    def construct(self, x):
        return self.prelu(x, self.slope)


def _leaky_relu_by_relu(x):
    return ops.relu(x) * 0.8 + x * 0.2


def _leaky_relu(x):
    return ops.leaky_relu(x, 0.2)


def upsample(x):
    """Nearest neighbour, (N, C, H, W) -> (N, C, 2H, 2W)."""
    n, c, h, w = x.shape
    x = ops.broadcast_to(x.reshape(n, c, h, 1, w, 1), (n, c, h, 2, w, 2))
    return x.reshape(n, c, 2 * h, 2 * w)


class _OverSigma(nn.Cell):
    """(y, weight, u, v) -> y / (u^T W v), the backward written out: a third of the kernels, and no second copy of y."""

    def __init__(self):
        super().__init__()
        self.matvec = P.MatMul()
        self.matvec_t = P.MatMul(transpose_a=True)
        self.outer = P.MatMul(transpose_b=True)

    def inverse(self, weight, u, v):
        return ops.reciprocal(self.matvec_t(u, self.matvec(weight.reshape(weight.shape[0], -1), v)))

    def construct(self, y, weight, u, v):
        return y * self.inverse(weight, u, v)

    def bprop(self, y, weight, u, v, out, dout):
        inverse = self.inverse(weight, u, v)
        dsigma = (dout * out).sum() * inverse
        dweight = self.outer(u * (dsigma * -1.0), v).reshape(weight.shape)
        return dout * inverse, dweight, ops.zeros_like(u), ops.zeros_like(v)


class _Spectral(nn.Cell):
    """A weight (O, ...) with the left singular vector u (O,) of its spectral norm (Miyato et al., 2018).

    sigma = u^T W v, u and v constants for the gradient. The layers divide their output or their weight by it.
    """

    def __init__(self, forms: Forms, c_out: int):
        super().__init__()
        self.divides_output = forms.sigma != "weight"
        self.by_own_backward, self.over_sigma = forms.sigma == "own", _OverSigma()
        self.u = Parameter(Tensor(np.zeros((c_out,), np.float32)), name="u", requires_grad=False)
        self.matvec = P.MatMul()
        self.matvec_t = P.MatMul(transpose_a=True)

    def unit(self, x):
        """The column x (K, 1) at length 1."""
        return x / (ops.sqrt(self.matvec_t(x, x)) + 1e-12)

    def iterate(self, u):
        """One power iteration from u (O,) or (O, 1): the new (u, v), columns (O, 1) and (K, 1)."""
        w = ops.stop_gradient(self.weight.reshape(self.weight.shape[0], -1))
        v = self.unit(self.matvec_t(w, u.reshape(-1, 1)))
        return self.unit(self.matvec(w, v)), v

    def sigma(self, u, v):
        """u^T W v of the present weight, (1, 1)."""
        w = self.weight.reshape(self.weight.shape[0], -1)
        return self.matvec_t(u, self.matvec(w, v))

    def present(self):
        """The weight as it is here. Given the Parameter itself, a Cell's own backward reads what it was when the step
        began: the generators' gradient would go through the discriminators as they were before their update."""
        return self.weight.value()

    def over(self, y, vectors):
        """y / sigma."""
        if self.by_own_backward:
            return self.over_sigma(y, self.present(), vectors[0], vectors[1])
        return y * (1 / self.sigma(vectors[0], vectors[1]))


class SpectralConv(_Spectral):
    """`Conv` under spectral norm, called with the vectors (u, v); `vectors=()` leaves the norm out."""

    def __init__(self, forms: Forms, c_in: int, c_out: int, k: int, stride: int = 1, bias: bool = False):
        super().__init__(forms, c_out)
        fan_in = c_in * k * k
        self.weight = uniform((c_out, c_in, k, k), fan_in, "weight")
        self.bias = uniform((c_out,), fan_in, "bias") if bias else None
        self.conv = valid_conv(forms, c_in, c_out, k, stride)

    def construct(self, x, vectors):
        if len(vectors) == 2 and not self.divides_output:
            y = self.conv(x, self.weight / self.sigma(vectors[0], vectors[1]))
        else:
            y = self.conv(x, self.present())
            if len(vectors) == 2:
                y = self.over(y, vectors)
        return y if self.bias is None else y + self.bias.reshape(1, -1, 1, 1)


class SpectralLinear(_Spectral):
    """(N, C) -> (N, O) by a weight (O, C) without bias under spectral norm."""

    def __init__(self, forms: Forms, c_in: int, c_out: int):
        super().__init__(forms, c_out)
        self.weight = uniform((c_out, c_in), c_in, "weight")
        self.matmul = P.MatMul(transpose_b=True)

    def construct(self, x, vectors):
        if len(vectors) != 2:
            return self.matmul(x, self.weight)
        if self.divides_output:
            return self.over(self.matmul(x, self.weight), vectors)
        return self.matmul(x, self.weight / self.sigma(vectors[0], vectors[1]))


def pool(x):
    """Global average and maximum, (N, C, H, W) -> two (N, C)."""
    n, c, h, w = x.shape
    maps = x.reshape(n * c, h * w)
    mean = maps.sum(-1) * (1 / (h * w))  # ReduceMean is an aclop on Ascend: slow to launch
    return mean.reshape(n, c), ops.amax(maps, -1).reshape(n, c)


class Attention(nn.Cell):
    """The attended map of CAM: conv1x1(concat(x * w_gap, x * w_gmp)), of one map if the weights are folded."""

    def __init__(self, forms: Forms, c: int):
        super().__init__()
        self.folds = forms.cam == "folded"
        self.weight = uniform((c, 2 * c, 1, 1), 2 * c, "weight")
        self.bias = uniform((c,), 2 * c, "bias")
        self.conv = valid_conv(forms, c if self.folds else 2 * c, c, 1)

    def construct(self, x, gap_weight, gmp_weight):
        """x (N, C, H, W); gap_weight, gmp_weight (1, C): raw also under spectral norm, as in the paper's code."""
        c = x.shape[1]
        if not self.folds:
            both = ops.concat((x * gap_weight.reshape(1, c, 1, 1), x * gmp_weight.reshape(1, c, 1, 1)), 1)
            return self.conv(both, self.weight) + self.bias.reshape(1, c, 1, 1)
        w = self.weight.reshape(c, 2 * c)
        folded = w[:, :c] * gap_weight + w[:, c:] * gmp_weight
        return self.conv(x, folded.reshape(c, c, 1, 1)) + self.bias.reshape(1, c, 1, 1)
