"""Random states for the float64 reference, of a scale that keeps every layer alive."""

import numpy

from .reference_networks import normalise


def init_weights(rng, ch, n_res, n_dis, img_size, img_ch, light):
    """Flat params and u of the six networks, prefixed."""
    params, u = {}, {}
    for name in ("genA2B", "genB2A"):
        params.update({f"{name}.{k}": a for k, a in _init_generator(rng, ch, n_res, img_size, img_ch, light).items()})
    for name in ("disGA", "disGB", "disLA", "disLB"):
        own, own_u = _init_discriminator(rng, ch, n_dis + 1 if name[3] == "G" else n_dis - 1, img_ch)
        params.update({f"{name}.{k}": a for k, a in own.items()})
        u.update({f"{name}.{k}": a for k, a in own_u.items()})
    return params, u


def _weight(rng, *shape):  # keeps the variance through a ReLU
    return rng.standard_normal(shape) * numpy.sqrt(2 / numpy.prod(shape[1:]))


def _init_generator(rng, ch, n_res, img_size, img_ch, light):
    c = 4 * ch
    p = {"down0.weight": _weight(rng, ch, img_ch, 7, 7)}
    p["down1.weight"] = _weight(rng, 2 * ch, ch, 3, 3)
    p["down2.weight"] = _weight(rng, c, 2 * ch, 3, 3)
    for i in range(n_res):
        p[f"res.{i}.conv1.weight"], p[f"res.{i}.conv2.weight"] = (_weight(rng, c, c, 3, 3) for _ in "12")
        for k in "12":
            p[f"adares.{i}.conv{k}.weight"] = _weight(rng, c, c, 3, 3)
            p[f"adares.{i}.norm{k}.rho"] = rng.uniform(0.3, 0.7, c)
    p.update(_init_cam(rng, c))
    p["fc1.weight"] = _weight(rng, c, c if light else c * (img_size // 4) ** 2)
    for name in ("fc2", "gamma", "beta"):
        p[f"{name}.weight"] = _weight(rng, c, c)
    for up, cin in (("up0", c), ("up1", c // 2)):
        p[f"{up}.conv.weight"] = _weight(rng, cin // 2, cin, 3, 3)
        p[f"{up}.norm.rho"] = rng.uniform(0.3, 0.7, cin // 2)
        p[f"{up}.norm.gamma"] = rng.uniform(0.5, 1.5, cin // 2)
        p[f"{up}.norm.beta"] = 0.1 * rng.standard_normal(cin // 2)
    p["out.weight"] = 0.3 * _weight(rng, img_ch, ch, 7, 7)  # tanh stays off its ends
    return p


def _init_discriminator(rng, ch, n_layers, img_ch):
    p, cin = {}, img_ch
    for i in range(n_layers - 1):
        p[f"convs.{i}.weight"] = _weight(rng, ch * 2**i, cin, 4, 4)
        p[f"convs.{i}.bias"] = 0.1 * rng.standard_normal(ch * 2**i)
        cin = ch * 2**i
    normed = [*(f"convs.{i}" for i in range(n_layers - 1)), "cam.gap_fc", "cam.gmp_fc", "conv"]
    p.update(_init_cam(rng, cin))
    p["conv.weight"] = _weight(rng, 1, cin, 4, 4)
    return p, {f"{name}.u": normalise(rng.standard_normal(p[f"{name}.weight"].shape[0])) for name in normed}


def _init_cam(rng, c):
    return {
        "cam.gap_fc.weight": _weight(rng, 1, c),
        "cam.gmp_fc.weight": _weight(rng, 1, c),
        "cam.conv1x1.weight": _weight(rng, c, 2 * c, 1, 1),
        "cam.conv1x1.bias": 0.1 * rng.standard_normal(c),
    }
