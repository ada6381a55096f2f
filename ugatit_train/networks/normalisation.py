"""Instance norm and AdaLIN (paper, equation 1), each in several forms.

Shapes: N samples, C channels, H x W pixels; all tensors float32 NCHW. A map is one channel of one sample.
"""

import math

import numpy as np
from mindspore import Parameter, Tensor, nn, ops
from mindspore import dtype as mstype
from mindspore.ops import operations as P
from mindspore.ops.auto_generate.gen_ops_prim import AddExt, GroupNorm, GroupNormGrad
from mindspore.ops.operations._grad_ops import BatchNormGrad

from ugatit_train.forms import Forms

EPS = 1e-5  # of every normalisation; the value of the paper's code

_mean_kept, _sum_kept = P.ReduceMean(keep_dims=True), P.ReduceSum(keep_dims=True)


def _unread(size: int):
    """A running mean or variance (size,) for `_batch_norm`, of a value that no other input has."""
    return -ops.ones((size,), mstype.float32)


def _batch_norm() -> P.BatchNorm:
    """The primitive for training, without a running mean and variance.

    With momentum 0 it does not change these two inputs. Its mark as an operator that writes is removed: the compiler
    would put it into one chain with all that write, and copy each weight again after every link. Give it `_unread` for
    them: it writes NaN there if x is not finite, and the compiler shares one constant among all equal inputs.
    """
    primitive = P.BatchNorm(is_training=True, epsilon=EPS, momentum=0.0)
    primitive.del_prim_attr("side_effect_mem")
    primitive.set_signatures(())
    return primitive


class _NormaliseMaps(nn.Cell):
    """(x - mean) / sqrt(var + eps) * scale + shift for every map (n, c), biased variance; scale, shift (N * C,).

    By separate means, or by the BatchNorm primitive over (1, N * C, H, W), which is right for any N.
    """

    def __init__(self, forms: Forms):
        super().__init__()
        self.by_moments = forms.instance_norm == "moments"
        self.batch_norm = _batch_norm()

    def construct(self, x, scale, shift):
        n, c, h, w = x.shape
        if self.by_moments:
            centred = x - x.mean((2, 3), True)
            rstd = ops.rsqrt((centred * centred).mean((2, 3), True) + EPS)
            return centred * (rstd * scale.reshape(n, c, 1, 1)) + shift.reshape(n, c, 1, 1)
        unread = _unread(n * c)
        return self.batch_norm(x.reshape(1, n * c, h, w), scale, shift, unread, unread)[0].reshape(n, c, h, w)


class InstanceNorm(nn.Cell):
    """Instance norm without parameters, biased variance."""

    def __init__(self, forms: Forms):
        super().__init__()
        self.by_groups = forms.instance_norm == "group_norm"
        self.group_norm = GroupNorm()
        self.normalise = _NormaliseMaps(forms)

    def construct(self, x):
        if self.by_groups:
            c = x.shape[1]
            ones, zeros = ops.ones((c,), mstype.float32), ops.zeros((c,), mstype.float32)
            return self.group_norm(x, c, ones, zeros, EPS)[0]
        maps = x.shape[0] * x.shape[1]
        return self.normalise(x, ops.ones((maps,), mstype.float32), ops.zeros((maps,), mstype.float32))


def _rstds(mean, variance, hw: int):
    """From the maps' means and biased variances (N, C): (mean - layer's mean, 1 / map's and 1 / layer's deviation).

    No difference of squares: it would lose its digits where a mean is far above its deviation.
    """
    pixels = mean.shape[1] * hw
    apart = mean - _mean_kept(mean, 1)
    layer_variance = _mean_kept(variance + apart * apart, 1)
    in_rstd = ops.rsqrt(variance * (hw / (hw - 1)) + EPS)
    return apart, in_rstd, ops.rsqrt(layer_variance * (pixels / (pixels - 1)) + EPS)


class _AdaLINOfMaps(nn.Cell):
    """AdaLIN of (x, gamma, beta, rho (1, C)) by the BatchNorm primitive: one call for the moments, one to apply them.

    The backward is written out, for the primitive's own ignores gradients of the moments; it keeps x only.
    """

    def __init__(self):
        super().__init__()
        self.batch_norm = _batch_norm()
        self.batch_norm_grad = BatchNormGrad(is_training=True, epsilon=EPS)

    def moments(self, maps):
        """maps (1, N * C, H, W) -> mean and biased variance (N * C,)."""
        count = maps.shape[1]
        ones, zeros, unread = ops.ones((count,), mstype.float32), ops.zeros((count,), mstype.float32), _unread(count)
        normalised = self.batch_norm(maps, ones, zeros, unread, unread)
        return normalised[3], normalised[4]

    def affine(self, maps, scale, shift):
        """(maps - mean) / sqrt(variance + EPS) * scale + shift, these two (N, C)."""
        unread = _unread(maps.shape[1])
        return self.batch_norm(maps, scale.reshape(-1), shift.reshape(-1), unread, unread)[0]

    def construct(self, x, gamma, beta, rho):
        n, c, h, w = x.shape
        maps = x.reshape(1, n * c, h, w)
        mean, variance = self.moments(maps)
        mean, variance = mean.reshape(n, c), variance.reshape(n, c)
        apart, in_rstd, ln_rstd = _rstds(mean, variance, h * w)
        in_weight = gamma * rho
        ln_part = (gamma - in_weight) * ln_rstd
        scale = in_weight * in_rstd + ln_part  # the result is (x - mean) * scale + shift
        return self.affine(maps, scale * ops.sqrt(variance + EPS), ln_part * apart + beta).reshape(n, c, h, w)

    def bprop(self, x, gamma, beta, rho, out, dout):
        n, c, h, w = x.shape
        hw = h * w
        maps = x.reshape(1, n * c, h, w)
        saved_mean, saved_variance = self.moments(maps)
        mean, variance = saved_mean.reshape(n, c), saved_variance.reshape(n, c)
        apart, in_rstd, ln_rstd = _rstds(mean, variance, hw)
        std = ops.sqrt(variance + EPS)
        in_weight = gamma * rho
        ln_weight = gamma - in_weight
        ln_part = ln_weight * ln_rstd
        scale = in_weight * in_rstd + ln_part
        # The gradient for constant scale and shift, and the sums over the pixels of dy * (x - mean) / std and of dy.
        dx, products, sums = self.batch_norm_grad(
            dout.reshape(1, n * c, h, w), maps, (scale * std).reshape(-1), saved_mean, saved_variance, saved_variance
        )
        products, dshift = products.reshape(n, c), sums.reshape(n, c)
        dscale = products * std
        din_weight, dln_weight = dscale * in_rstd, (dscale + dshift * apart) * ln_rstd
        apart_of_weights = din_weight - dln_weight
        dgamma, dbeta = dln_weight + rho * apart_of_weights, dshift
        drho = _sum_kept(gamma * apart_of_weights, 0)
        # What scale and shift depend on: twice the gradients of both variances, and the mean's distance from the
        # layer's; all three per pixel.
        per_layer = _sum_kept(ln_weight * dln_weight, 1) * (ln_rstd * ln_rstd) * (-1 / (c * hw - 1))
        per_map = in_weight * din_weight * (in_rstd * in_rstd) * (-1 / (hw - 1)) + per_layer
        dapart = ln_part * dshift / hw + per_layer * apart
        dmean = dapart - _mean_kept(dapart, 1)
        # The primitive's gradient contains the division by its own deviation; `scale * std` above took it back.
        dx = dx + self.affine(maps, per_map * std + scale * products / hw, dmean)
        if gamma.shape[0] < n:
            dgamma, dbeta = _sum_kept(dgamma, 0), _sum_kept(dbeta, 0)
        return dx.reshape(n, c, h, w), dgamma, dbeta, drho


class _AdaLINOfGroups(nn.Cell):
    """AdaLIN of (x, gamma, beta, rho (C,)) by two GroupNorms of (1, N * C, H, W), a group a map and a group a sample.

    GroupNorm's variance is biased: with `_biased`'s factor and eps it gives the unbiased norm. The affine map is in its
    weights, so a map is read and written three times. The backward is written out; it keeps x and the moments only.
    """

    def __init__(self):
        super().__init__()
        self.group_norm, self.group_norm_grad = GroupNorm(), GroupNormGrad()
        self.add = AddExt()

    def weights(self, gamma, rho, n: int, maps: int, layer: int):
        """What both norms are multiplied by, (N * C,) each: for `maps` values a map and `layer` a layer."""
        of_map = gamma * (rho * _biased(maps)[0])
        of_layer = self.add(gamma, gamma * rho, -1.0) * _biased(layer)[0]
        return _of_every_sample(of_map, n), _of_every_sample(of_layer, n)

    def norms(self, x, of_map, of_layer, beta):
        n, c, h, w = x.shape
        maps = x.reshape(1, n * c, h, w)
        zeros = ops.zeros((n * c,), mstype.float32)
        by_map = self.group_norm(maps, n * c, of_map, beta, _biased(h * w)[1])
        by_layer = self.group_norm(maps, n, of_layer, zeros, _biased(c * h * w)[1])
        return by_map, by_layer

    def construct(self, x, gamma, beta, rho):
        n, c, h, w = x.shape
        of_map, of_layer = self.weights(gamma, rho, n, h * w, c * h * w)
        by_map, by_layer = self.norms(x, of_map, of_layer, _of_every_sample(beta, n))
        return (by_map[0] + by_layer[0]).reshape(n, c, h, w)

    def bprop(self, x, gamma, beta, rho, out, dout):
        n, c, h, w = x.shape
        map_factor, layer_factor = _biased(h * w)[0], _biased(c * h * w)[0]
        of_map, of_layer = self.weights(gamma, rho, n, h * w, c * h * w)
        by_map, by_layer = self.norms(x, of_map, of_layer, _of_every_sample(beta, n))
        maps, dy = x.reshape(1, n * c, h, w), dout.reshape(1, n * c, h, w)
        dx, dof_map, dbeta = self.group_norm_grad(dy, maps, by_map[1], by_map[2], of_map, n * c, True, True, True)
        layer_dx, dof_layer, _ = self.group_norm_grad(
            dy, maps, by_layer[1], by_layer[2], of_layer, n, True, True, False
        )
        dof_map, dof_layer, dbeta = dof_map.reshape(n, c), dof_layer.reshape(n, c), dbeta.reshape(n, c)
        if gamma.shape[0] < n:
            # Not ReduceSum, which is an aclop on Ascend: slow to launch.
            dof_map, dof_layer, dbeta = dof_map.sum(0, True), dof_layer.sum(0, True), dbeta.sum(0, True)
        dof_layer = dof_layer * layer_factor
        apart = self.add(dof_layer, dof_map, -map_factor)
        drho = (gamma * apart * -1.0).sum(0)
        return (dx + layer_dx).reshape(n, c, h, w), self.add(dof_layer, rho * apart, -1.0), dbeta, drho


def _of_every_sample(values, n: int):
    """values (N, C) or (1, C) -> (N * C,)."""
    count = values.shape[1]
    return (values if values.shape[0] == n else ops.broadcast_to(values, (n, count))).reshape(n * count)


def _biased(count: int) -> tuple[float, float]:
    """(factor, eps) with which a norm over `count` values by the biased variance is that by the unbiased one."""
    return math.sqrt((count - 1) / count), EPS * (count - 1) / count


class AdaLIN(nn.Cell):
    """gamma * (rho * IN(x) + (1 - rho) * LN(x)) + beta, unbiased variances (paper, equation 1); rho (C,) is its own.

    The folded forms make the layer's moments from the maps' moments, and both normalisations and the affine map into
    one scale and one shift for every map.
    """

    def __init__(self, forms: Forms, c: int, rho: float = 0.9):
        super().__init__()
        self.rho = Parameter(Tensor(np.full((c,), rho, np.float32)), name="rho")
        self.is_unfolded, self.is_of_maps = forms.adalin == "unfolded", forms.adalin == "maps"
        self.is_of_groups = forms.adalin == "groups"
        self.of_maps, self.of_groups = _AdaLINOfMaps(), _AdaLINOfGroups()

    def construct(self, x, gamma, beta):
        """x (N, C, H, W); gamma, beta (N, C) or (1, C)."""
        n, c, h, w = x.shape
        if self.is_unfolded:
            return _equation_1(x, gamma, beta, self.rho)
        if self.is_of_groups:
            return self.of_groups(x, gamma, beta, self.rho)
        rho = self.rho.reshape(1, c)
        if self.is_of_maps:
            return self.of_maps(x, gamma, beta, rho)
        maps = x.reshape(n * c, h * w)
        mean = _mean_kept(maps, 1)
        centred = maps - mean
        variance = _mean_kept(centred * centred, 1).reshape(n, c)
        apart, in_rstd, ln_rstd = _rstds(mean.reshape(n, c), variance, h * w)
        scale = gamma * (rho * in_rstd + (1 - rho) * ln_rstd)
        shift = gamma * (1 - rho) * ln_rstd * apart + beta
        return (centred * scale.reshape(n * c, 1) + shift.reshape(n * c, 1)).reshape(n, c, h, w)


def _equation_1(x, gamma, beta, rho):
    """Both normalisations of the whole map, mixed by rho, then the affine map."""
    _, c, h, w = x.shape
    hw = h * w
    centred = x - x.mean((2, 3), True)
    in_variance = (centred * centred).sum((2, 3), True) / (hw - 1)
    layer_centred = x - x.mean((1, 2, 3), True)
    ln_variance = (layer_centred * layer_centred).sum((1, 2, 3), True) / (c * hw - 1)
    rho = rho.reshape(1, c, 1, 1)
    mixed = rho * centred * ops.rsqrt(in_variance + EPS)
    mixed = mixed + (1 - rho) * layer_centred * ops.rsqrt(ln_variance + EPS)
    return mixed * gamma.reshape(-1, c, 1, 1) + beta.reshape(-1, c, 1, 1)


class LIN(AdaLIN):
    """AdaLIN with gamma and beta (C,) of its own, as the up-sampling blocks use it; rho starts at 0."""

    def __init__(self, forms: Forms, c: int):
        super().__init__(forms, c, 0.0)
        self.gamma = Parameter(Tensor(np.ones((c,), np.float32)), name="gamma")
        self.beta = Parameter(Tensor(np.zeros((c,), np.float32)), name="beta")

    def construct(self, x):  # type: ignore[override]  # gamma and beta are its own
        return AdaLIN.construct(self, x, self.gamma.reshape(1, -1), self.beta.reshape(1, -1))
