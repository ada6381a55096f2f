"""The generator and the discriminator of U-GAT-IT (paper, appendix C, tables 5 to 7)."""

import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from mindspore import Tensor, nn, ops

from ugatit_train.forms import Forms
from ugatit_train.networks import winograd
from ugatit_train.networks.convolution import MadeAgain
from ugatit_train.networks.layers import (
    Attention,
    Conv,
    Linear,
    SpectralConv,
    SpectralLinear,
    UpsampledConv,
    leaky_relu,
    pool,
)
from ugatit_train.networks.normalisation import LIN, AdaLIN, InstanceNorm
from ugatit_train.networks.padding import Pad


class PaddedConv(Conv):
    """`Conv` after padding; the weight's name is the block's own."""

    def __init__(self, forms: Forms, c_in: int, c_out: int, k: int, padding: str, stride: int = 1):
        super().__init__(forms, c_in, c_out, k, stride)
        self.pad = Pad(forms, k // 2, padding)
        self.again, self.is_plain = MadeAgain(self.pad, self.conv), forms.convolution == "operator"
        self.by_tiles = forms.tiles and (k, stride) == (3, 1)
        self.winograd = winograd.WinogradConv(padding)

    def construct(self, x):
        if self.by_tiles and winograd.fits(x.shape[2], x.shape[3]):
            return self.winograd(x, self.weight)
        if self.is_plain and self.again.saves_memory:
            return self.again(x, self.weight)
        return self.conv(self.pad(x), self.weight)


class ResBlock(nn.Cell):
    """x + IN(conv(ReLU(IN(conv(x)))))."""

    def __init__(self, forms: Forms, c: int, padding: str, norm: Callable[..., nn.Cell] = InstanceNorm):
        super().__init__()
        self.conv1 = PaddedConv(forms, c, c, 3, padding)
        self.conv2 = PaddedConv(forms, c, c, 3, padding)
        self.norm = norm(forms)

    def construct(self, x):
        return x + self.norm(self.conv2(ops.relu(self.norm(self.conv1(x)))))


class AdaResBlock(nn.Cell):
    """x + AdaLIN(conv(ReLU(AdaLIN(conv(x)))))."""

    def __init__(self, forms: Forms, c: int, padding: str, norm: Callable[..., nn.Cell] = AdaLIN):
        super().__init__()
        self.conv1 = PaddedConv(forms, c, c, 3, padding)
        self.norm1 = norm(forms, c)
        self.conv2 = PaddedConv(forms, c, c, 3, padding)
        self.norm2 = norm(forms, c)

    def construct(self, x, gamma, beta):
        return x + self.norm2(self.conv2(ops.relu(self.norm1(self.conv1(x), gamma, beta))), gamma, beta)


class UpBlock(nn.Cell):
    """ReLU(LIN(upsampled conv(x))), doubling the size and halving the channels."""

    def __init__(self, forms: Forms, c: int, padding: str, norm: Callable[..., nn.Cell] = LIN):
        super().__init__()
        self.conv = UpsampledConv(forms, c, c // 2, padding)
        self.norm = norm(forms, c // 2)

    def construct(self, x):
        return ops.relu(self.norm(self.conv(x)))


class GeneratorCAM(nn.Cell):
    """Class activation map attention: (x, (N, 2) logits of average and maximum pooling)."""

    def __init__(self, forms: Forms, c: int):
        super().__init__()
        self.gap_fc = Linear(c, 1)
        self.gmp_fc = Linear(c, 1)
        self.conv1x1 = Attention(forms, c)

    def construct(self, x):
        average, maximum = pool(x)
        logit = ops.concat((self.gap_fc(average), self.gmp_fc(maximum)), 1)
        return ops.relu(self.conv1x1(x, self.gap_fc.weight, self.gmp_fc.weight)), logit


@dataclass(frozen=True, kw_only=True)
class Parts:
    """The classes that a generator is made of. A block is made of (forms, c, padding, norm)."""

    norm: Callable[..., nn.Cell] = InstanceNorm
    """Of (forms), without parameters, after the down-sampling convolutions and in residual blocks: x -> x.

    One Cell serves several convolutions: a Cell for each took 2 to 4% longer to compile."""

    adaptive_norm: Callable[..., nn.Cell] = AdaLIN
    """Of (forms, c), in adaptive blocks: (x, gamma, beta) -> x, the last two (N, C)."""

    up_norm: Callable[..., nn.Cell] = LIN
    """Of (forms, c), in up-sampling blocks: x -> x."""

    residual: Callable[..., nn.Cell] = ResBlock
    """n_res of them before the attention: x -> x."""

    adaptive: Callable[..., nn.Cell] = AdaResBlock
    """n_res of them after it: (x, gamma, beta) -> x."""

    up: Callable[..., nn.Cell] = UpBlock
    """Two: x (N, C, H, W) -> (N, C / 2, 2 H, 2 W)."""


PAPER = Parts()


class Generator(nn.Cell):
    """Translates float32 NCHW images in [-1, 1]; img_size must be a multiple of 4.

    The light one computes AdaLIN's gamma and beta from the pooled map (N, C) and takes any size; the full one computes
    them from the whole map (N, C * H * W / 16) and takes img_size only.
    """

    def __init__(
        self,
        forms: Forms,
        ch: int = 64,
        n_res: int = 4,
        img_size: int = 256,
        img_ch: int = 3,
        light: bool = False,
        padding: str = "reflect",
        parts: Parts = PAPER,
    ):
        super().__init__()
        c = 4 * ch
        self.forms = forms
        self.light = light
        self.down0 = PaddedConv(forms, img_ch, ch, 7, padding)
        self.down1 = PaddedConv(forms, ch, 2 * ch, 3, padding, stride=2)
        self.down2 = PaddedConv(forms, 2 * ch, c, 3, padding, stride=2)
        self.norm = parts.norm(forms)
        self.res = nn.CellList([parts.residual(forms, c, padding, parts.norm) for _ in range(n_res)])
        self.cam = GeneratorCAM(forms, c)
        self.fc1 = Linear(c if light else c * (img_size // 4) ** 2, c)
        self.fc2 = Linear(c, c)
        self.gamma = Linear(c, c)
        self.beta = Linear(c, c)
        self.adares = nn.CellList([parts.adaptive(forms, c, padding, parts.adaptive_norm) for _ in range(n_res)])
        self.up0 = parts.up(forms, c, padding, parts.up_norm)
        self.up1 = parts.up(forms, c // 2, padding, parts.up_norm)
        self.out = PaddedConv(forms, ch, img_ch, 7, padding)

    def construct(self, x):
        """x (N, img_ch, H, W) -> image of the same shape, CAM logits (N, 2), heat map (N, 1, H/4, W/4)."""
        for down in (self.down0, self.down1, self.down2):
            x = ops.relu(self.norm(down(x)))
        for block in self.res:
            x = block(x)
        x, logit = self.cam(x)
        heatmap = x.sum(1, keepdims=True)
        n, c, h, w = x.shape
        features = x.reshape(n * c, h * w).mean(-1).reshape(n, c) if self.light else x.reshape(n, c * h * w)
        features = ops.relu(self.fc2(ops.relu(self.fc1(features))))
        gamma, beta = self.gamma(features), self.beta(features)
        for block in self.adares:
            x = block(x, gamma, beta)
        return ops.tanh(self.out(self.up1(self.up0(x)))), logit, heatmap


class DiscriminatorCAM(nn.Cell):
    """`GeneratorCAM` with spectral norm on the two classifiers; vectors: their (u, v)."""

    def __init__(self, forms: Forms, c: int):
        super().__init__()
        self.gap_fc = SpectralLinear(forms, c, 1)
        self.gmp_fc = SpectralLinear(forms, c, 1)
        self.leaky_relu = leaky_relu(forms)
        self.conv1x1 = Attention(forms, c)

    def construct(self, x, gap_vectors, gmp_vectors):
        average, maximum = pool(x)
        logit = ops.concat((self.gap_fc(average, gap_vectors), self.gmp_fc(maximum, gmp_vectors)), 1)
        return self.leaky_relu(self.conv1x1(x, self.gap_fc.weight, self.gmp_fc.weight)), logit


class Discriminator(nn.Cell):
    """n_layers convolutions of 4 x 4: the paper's global one has 7, its local one 5.

    Call it with images and the spectral norm's `vectors` from `iterate`: a (u, v) for each of its layers.
    """

    def __init__(
        self,
        forms: Forms,
        ch: int = 64,
        n_layers: int = 7,
        img_ch: int = 3,
        padding: str = "reflect",
        spectral_norm: bool = True,
    ):
        super().__init__()
        widths = [ch * 2**i for i in range(n_layers - 1)]
        strides = [2] * (n_layers - 2) + [1]
        self.convs = nn.CellList(
            [
                SpectralConv(forms, c_in, c_out, 4, stride, bias=True)
                for c_in, c_out, stride in zip([img_ch, *widths[:-1]], widths, strides, strict=True)
            ]
        )
        self.pad = Pad(forms, 1, padding)
        self.cam = DiscriminatorCAM(forms, widths[-1])
        self.conv = SpectralConv(forms, widths[-1], 1, 4)
        self.leaky_relu = leaky_relu(forms)
        self.spectral_norm = spectral_norm
        self.spectral = (*self.convs, self.cam.gap_fc, self.cam.gmp_fc, self.conv)

    def left_vectors(self):
        """The stored u of every layer under spectral norm."""
        us: tuple = ()
        for layer in self.spectral:
            us = us + (layer.u,)
        return us

    def iterate(self, us):
        """One power iteration of every layer from `us`: a (u, v) each; empty pairs without spectral norm."""
        vectors: tuple = ()
        for layer, u in zip(self.spectral, us):  # noqa: B905 - graph mode knows no strict
            vectors = vectors + ((layer.iterate(u) if self.spectral_norm else ()),)
        return vectors

    def store(self, vectors):
        """Keeps the u of `vectors` for the next step."""
        stored: tuple = ()
        if self.spectral_norm:
            for layer, pair in zip(self.spectral, vectors):  # noqa: B905
                stored = stored + (ops.assign(layer.u, pair[0].reshape(-1)),)
        return stored

    def construct(self, x, vectors):
        """x (N, img_ch, H, W) -> logits (N, 1, h, w), CAM logits (N, 2)."""
        count = len(self.convs)
        for i in range(count):
            x = self.leaky_relu(self.convs[i](self.pad(x), vectors[i]))
        x, cam_logit = self.cam(x, vectors[count], vectors[count + 1])
        return self.conv(self.pad(x), vectors[count + 2]), cam_logit


def initialise(cell: nn.Cell, seed: int) -> None:
    """Fills every weight of `cell` from (seed, the weight's name): uniform in its bound, u a random unit vector."""
    for name, parameter in cell.parameters_and_names():
        random = np.random.default_rng([seed, zlib.crc32(name.encode())])
        bound = getattr(parameter, "init_bound", None)
        if bound is not None:
            values = random.uniform(-bound, bound, parameter.shape)
        elif name.endswith(".u"):
            values = random.standard_normal(parameter.shape)
            values /= np.linalg.norm(values)
        else:
            continue
        parameter.set_data(Tensor(values.astype(np.float32)))
