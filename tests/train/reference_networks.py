"""Layers and networks of the float64 reference (`reference.py`), one function a layer, in the plain form.

Legend: N C H W batch, channels, height, width; O output channels, k kernel size; all arrays float64. Parameters `p` are
flat dicts without the network's prefix: "down0.weight", "convs.0.bias".
"""

import autograd.numpy as np
import numpy
from autograd.extend import defvjp, primitive

EPS_NORM = 1e-5
EPS_SPECTRAL = 1e-12


# Layers


@primitive
def conv2d(x, w, stride=1):
    """Convolution without padding or bias: x (N, C, H, W), w (O, C, k, k) -> (N, O, H', W')."""
    return numpy.moveaxis(numpy.tensordot(_windows(x, w.shape[2], stride), w, axes=((1, 4, 5), (1, 2, 3))), 3, 1)


def _windows(x, k, stride):  # (N, C, H', W', k, k)
    return numpy.lib.stride_tricks.sliding_window_view(x, (k, k), axis=(2, 3))[:, :, ::stride, ::stride]


def _conv2d_grad_x(ans, x, w, stride=1):
    def vjp(g):  # (N, O, H', W'); tap (i, j) of the kernel saw the pixels (i + stride * row, j + stride * column)
        grad_x = numpy.zeros(x.shape)
        rows, columns = stride * (g.shape[2] - 1) + 1, stride * (g.shape[3] - 1) + 1
        for i in range(w.shape[2]):
            for j in range(w.shape[3]):
                tap = numpy.moveaxis(numpy.tensordot(w[:, :, i, j], g, axes=(0, 1)), 0, 1)
                grad_x[:, :, i : i + rows : stride, j : j + columns : stride] += tap
        return grad_x

    return vjp


def _conv2d_grad_w(ans, x, w, stride=1):
    return lambda g: numpy.tensordot(g, _windows(x, w.shape[2], stride), axes=((0, 2, 3), (0, 2, 3)))


defvjp(conv2d, _conv2d_grad_x, _conv2d_grad_w)


def pad(x, amount, mode):
    """`amount` pixels on every side of (N, C, H, W), reflected or zero: a product with two 0/1 matrices."""
    rows, columns = (_padding_matrix(size, amount, mode) for size in x.shape[2:])
    return np.matmul(np.matmul(rows, x), columns.T)


def _padding_matrix(size, amount, mode):  # (size + 2 * amount, size)
    index = numpy.arange(-amount, size + amount)
    if mode == "zero":
        return numpy.float64(index[:, None] == numpy.arange(size))
    if amount >= size:
        raise ValueError(f"reflection padding by {amount} needs more than {amount} pixels, the map has {size}")
    mirrored = (size - 1) - numpy.abs((size - 1) - numpy.abs(index))
    return numpy.eye(size)[mirrored]


def relu(x):
    return np.where(x > 0, x, 0.0)


def leaky_relu(x):
    return np.where(x > 0, x, 0.2 * x)


def upsample(x):
    """Nearest neighbour, twice the height and width."""
    return np.repeat(np.repeat(x, 2, axis=2), 2, axis=3)


def standardise(x, axes, biased):
    """(x - mean) / sqrt(var + eps), with the moments over `axes`; the unbiased variance divides by n - 1."""
    centred = x - np.mean(x, axis=axes, keepdims=True)
    count = numpy.prod([x.shape[axis] for axis in axes])
    variance = np.sum(centred**2, axis=axes, keepdims=True) / (count if biased else count - 1)
    return centred / np.sqrt(variance + EPS_NORM)


def instance_norm(x):
    return standardise(x, (2, 3), biased=True)


def adalin(x, rho, gamma, beta):
    """Eq. 1 of the paper: rho (C,) mixes instance and layer norm, gamma and beta (N, C) come from the attention map."""
    rho = rho[None, :, None, None]
    mixed = rho * standardise(x, (2, 3), biased=False) + (1 - rho) * standardise(x, (1, 2, 3), biased=False)
    return mixed * gamma[:, :, None, None] + beta[:, :, None, None]


def lin(x, rho, gamma, beta):
    """The same mixture with learned gamma and beta (C,)."""
    return adalin(x, rho, gamma[None], beta[None])


def linear(x, weight):
    return np.dot(x, weight.T)


def cam(x, gap_weight, gmp_weight, gap_scale, gmp_scale, conv_weight, conv_bias):
    """Class activation map: x (N, C, H, W) -> attended map before its activation, logits (N, 2) as [gap, gmp].

    The weights (1, C) make the logits, the scales (1, C) multiply the map; they differ only under spectral norm.
    """
    gap_logit = linear(np.mean(x, axis=(2, 3)), gap_weight)
    gmp_logit = linear(np.max(x, axis=(2, 3)), gmp_weight)
    both = np.concatenate([x * gap_scale[:, :, None, None], x * gmp_scale[:, :, None, None]], axis=1)
    attended = conv2d(both, conv_weight) + conv_bias[None, :, None, None]
    return attended, np.concatenate([gap_logit, gmp_logit], axis=1)


def power_iteration(weight, u):
    """One iteration on weight as a matrix (O, C k k): the next (u, v), constants for the gradient."""
    matrix = weight.reshape(weight.shape[0], -1)
    v = normalise(matrix.T @ u)
    return normalise(matrix @ v), v


def normalise(x):
    return x / max(numpy.linalg.norm(x), EPS_SPECTRAL)


def spectral_norm(weight, u, v):
    """weight / sigma, sigma = u^T W v, the estimate of the largest singular value."""
    return weight / np.dot(u, np.dot(np.reshape(weight, (weight.shape[0], -1)), v))


# Networks


def _count(p, pattern):
    return sum(pattern.format(i) in p for i in range(len(p)))


def generator(p, x, options):
    """Image (N, img_ch, H, W) -> translated image in [-1, 1], CAM logits (N, 2), heat map (N, 1, H/4, W/4)."""

    def conv(x, name, amount, stride=1):
        return conv2d(pad(x, amount, options.padding), p[name + ".weight"], stride)

    x = relu(instance_norm(conv(x, "down0", 3)))
    x = relu(instance_norm(conv(x, "down1", 1, stride=2)))
    x = relu(instance_norm(conv(x, "down2", 1, stride=2)))
    for i in range(_count(p, "res.{}.conv1.weight")):
        y = relu(instance_norm(conv(x, f"res.{i}.conv1", 1)))
        x = x + instance_norm(conv(y, f"res.{i}.conv2", 1))

    gap, gmp = p["cam.gap_fc.weight"], p["cam.gmp_fc.weight"]
    x, cam_logit = cam(x, gap, gmp, gap, gmp, p["cam.conv1x1.weight"], p["cam.conv1x1.bias"])
    x = relu(x)
    heatmap = np.sum(x, axis=1, keepdims=True)

    light = p["fc1.weight"].shape[1] == x.shape[1]  # a map of 1x1 is the same in both forms
    y = np.mean(x, axis=(2, 3)) if light else np.reshape(x, (x.shape[0], -1))
    y = relu(linear(relu(linear(y, p["fc1.weight"])), p["fc2.weight"]))
    gamma, beta = linear(y, p["gamma.weight"]), linear(y, p["beta.weight"])

    for i in range(_count(p, "adares.{}.conv1.weight")):
        y = relu(adalin(conv(x, f"adares.{i}.conv1", 1), p[f"adares.{i}.norm1.rho"], gamma, beta))
        x = x + adalin(conv(y, f"adares.{i}.conv2", 1), p[f"adares.{i}.norm2.rho"], gamma, beta)

    for up in ("up0", "up1"):
        x = conv(upsample(x), f"{up}.conv", 1)
        x = relu(lin(x, p[f"{up}.norm.rho"], p[f"{up}.norm.gamma"], p[f"{up}.norm.beta"]))
    return np.tanh(conv(x, "out", 3)), cam_logit, heatmap


def discriminator(p, vectors, x, options):
    """Image (N, img_ch, H, W) -> logits (N, 1, h, w), CAM logits (N, 2), heat map.

    `vectors`: layer name -> (u, v) for the spectral norm, unused (and may be None) without it.
    """

    def weight(name):
        raw = p[name + ".weight"]
        return spectral_norm(raw, *vectors[name]) if options.spectral_norm else raw

    num_convs = _count(p, "convs.{}.weight")
    for i in range(num_convs):
        x = conv2d(pad(x, 1, options.padding), weight(f"convs.{i}"), 2 if i < num_convs - 1 else 1)
        x = leaky_relu(x + p[f"convs.{i}.bias"][None, :, None, None])

    # The public code scales the map by the raw weight, and makes the logits with the normalised one.
    gap_scale, gmp_scale = p["cam.gap_fc.weight"], p["cam.gmp_fc.weight"]
    gap, gmp = weight("cam.gap_fc"), weight("cam.gmp_fc")
    x, cam_logit = cam(x, gap, gmp, gap_scale, gmp_scale, p["cam.conv1x1.weight"], p["cam.conv1x1.bias"])
    x = leaky_relu(x)
    heatmap = np.sum(x, axis=1, keepdims=True)
    return conv2d(pad(x, 1, options.padding), weight("conv")), cam_logit, heatmap
