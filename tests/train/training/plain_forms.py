"""The plain form of each saving of the step, to put in its place: for tests, and for benchmarks/step_time.py --savings.

`FORMS[name]()` replaces one form in `ugatit_train` for networks that are built afterwards in this process. What it
computes is the same; `test_plain_forms.py` compares a step made of all of them with the one that trains.
"""

from __future__ import annotations

from mindspore import ops

from ugatit_train.networks import layers, normalisation, ugatit, winograd


def _never_fits(height, width):
    return False


def no_winograd():
    """3 x 3 convolutions by im2col and matmul, the up-sampling ones by im2col on the small map."""
    winograd.fits = _never_fits


def large_maps():
    """Up-sampling convolutions on the enlarged and padded map."""
    build = layers.UpsampledConv.__init__

    def __init__(self, c_in, c_out, padding):
        build(self, c_in, c_out, padding)
        self.stays_small = False
        self.pad = layers.Pad(1, padding)

    layers.UpsampledConv.__init__ = __init__


def separate_moments():
    """Instance norm by means over the pixels, in place of the BatchNorm primitive."""
    build = normalisation._NormaliseMaps.__init__

    def __init__(self):
        build(self)
        self.is_plain = True

    normalisation._NormaliseMaps.__init__ = __init__


def _adalin(self, x, gamma, beta):
    n, c, h, w = x.shape
    hw = h * w
    centred = x - x.mean((2, 3), True)
    in_variance = (centred * centred).sum((2, 3), True) / (hw - 1)
    layer_centred = x - x.mean((1, 2, 3), True)
    ln_variance = (layer_centred * layer_centred).sum((1, 2, 3), True) / (c * hw - 1)
    rho = self.rho.reshape(1, c, 1, 1)
    mixed = rho * centred * ops.rsqrt(in_variance + normalisation.EPS)
    mixed = mixed + (1 - rho) * layer_centred * ops.rsqrt(ln_variance + normalisation.EPS)
    return mixed * gamma.reshape(-1, c, 1, 1) + beta.reshape(-1, c, 1, 1)


def unfolded_adalin():
    """AdaLIN and LIN as the paper's equation 1 has them: both normalisations of the whole map, then mixed."""
    normalisation.AdaLIN.construct = _adalin


def _leaky_relu(x):
    return ops.leaky_relu(x, 0.2)


def leaky_relu_operator():
    """LeakyReLU by MindSpore's own operator."""
    layers.leaky_relu = ugatit.leaky_relu = _leaky_relu


def _attention(self, x, gap_weight, gmp_weight):
    c = x.shape[1]
    both = ops.concat((x * gap_weight.reshape(1, c, 1, 1), x * gmp_weight.reshape(1, c, 1, 1)), 1)
    return self.conv(both, self.weight) + self.bias.reshape(1, c, 1, 1)


def unfolded_cam():
    """CAM's 1 x 1 convolution over the doubled map."""
    layers.Attention.construct = _attention


def _spectral_conv(self, x, vectors):
    weight = self.weight
    if len(vectors) == 2:
        weight = weight / self.sigma(vectors[0], vectors[1])
    y = self.conv(x, weight)
    return y if self.bias is None else y + self.bias.reshape(1, -1, 1, 1)


def divided_weights():
    """Spectral norm divides the weight, in place of the output."""
    layers.SpectralConv.construct = _spectral_conv


FORMS = {
    "winograd": no_winograd,
    "small up-sampling": large_maps,
    "batch norm primitive": separate_moments,
    "folded AdaLIN": unfolded_adalin,
    "leaky ReLU by ReLU": leaky_relu_operator,
    "folded CAM": unfolded_cam,
    "sigma on the output": divided_weights,
}
