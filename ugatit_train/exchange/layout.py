"""The names of our parameters beside those of the PyTorch implementation, and their shapes."""

import math
from collections.abc import Iterator

from ugatit_train.options import config
from ugatit_train.training import checkpoint

GENERATORS = tuple(checkpoint.GENERATORS.values())
DISCRIMINATORS = ("disGA", "disGB", "disLA", "disLB")
NETWORKS = GENERATORS + DISCRIMINATORS


def _generator_names(n_res: int) -> Iterator[tuple[str, str]]:
    """(our name, theirs) of every parameter; their numbers count all layers of an nn.Sequential."""
    for i in range(3):
        yield f"down{i}.weight", f"DownBlock.{4 * i + 1}.weight"
    for i in range(n_res):
        for j in (1, 2):
            yield f"res.{i}.conv{j}.weight", f"DownBlock.{12 + i}.conv_block.{4 * j - 3}.weight"
            yield f"adares.{i}.conv{j}.weight", f"UpBlock1_{i + 1}.conv{j}.weight"
            yield f"adares.{i}.norm{j}.rho", f"UpBlock1_{i + 1}.norm{j}.rho"
    yield from _cam_names("weight")
    for ours, theirs in {"fc1": "FC.0", "fc2": "FC.2", "gamma": "gamma", "beta": "beta"}.items():
        yield f"{ours}.weight", f"{theirs}.weight"
    for i in range(2):
        yield f"up{i}.conv.weight", f"UpBlock2.{5 * i + 2}.weight"
        for kind in ("rho", "gamma", "beta"):
            yield f"up{i}.norm.{kind}", f"UpBlock2.{5 * i + 3}.{kind}"
    yield "out.weight", "UpBlock2.11.weight"


def _cam_names(weight: str) -> Iterator[tuple[str, str]]:
    for kind in ("gap_fc", "gmp_fc"):
        yield f"cam.{kind}.weight", f"{kind}.{weight}"
    for kind in ("weight", "bias"):
        yield f"cam.conv1x1.{kind}", f"conv1x1.{kind}"


def _discriminator_names(n_layers: int) -> Iterator[tuple[str, str]]:
    spectral = {f"convs.{i}": f"model.{3 * i + 1}" for i in range(n_layers - 1)}
    for ours, theirs in spectral.items():
        yield f"{ours}.bias", f"{theirs}.bias"
    spectral["conv"] = "conv"
    for ours, theirs in spectral.items():
        yield f"{ours}.weight", f"{theirs}.weight_orig"
    yield from _cam_names("weight_orig")
    for ours, theirs in {**spectral, "cam.gap_fc": "gap_fc", "cam.gmp_fc": "gmp_fc"}.items():
        yield f"{ours}.u", f"{theirs}.weight_u"


def names(network: str, options: config.Options) -> Iterator[tuple[str, str]]:
    """(our name, the PyTorch implementation's) of every parameter of a network."""
    if network in GENERATORS:
        return _generator_names(options.n_res)
    return _discriminator_names(options.n_dis + (1 if network.startswith("disG") else -1))


def shapes(network: str, o: config.Options) -> dict[str, tuple[int, ...]]:
    """The shape of every parameter of a network, by our names."""
    c = 4 * o.ch
    fixed: dict[str, tuple[int, ...]]
    ends: dict[str, tuple[int, ...]] = {}
    if network in GENERATORS:
        fixed = {
            "down0.weight": (o.ch, o.img_ch, 7, 7),
            "down1.weight": (2 * o.ch, o.ch, 3, 3),
            "down2.weight": (c, 2 * o.ch, 3, 3),
            "fc1.weight": (c, c if o.light else c * math.prod(o.image_size) // 16),
            "up0.conv.weight": (2 * o.ch, c, 3, 3),
            "up1.conv.weight": (o.ch, 2 * o.ch, 3, 3),
            "out.weight": (o.img_ch, o.ch, 7, 7),
        }
        fixed |= {f"up{i}.norm.{kind}": (c // 2 ** (i + 1),) for i in range(2) for kind in ("rho", "gamma", "beta")}
        fixed |= {f"{name}.weight": (c, c) for name in ("fc2", "gamma", "beta")}
        ends = {".rho": (c,), "conv1.weight": (c, c, 3, 3), "conv2.weight": (c, c, 3, 3)}
    else:
        count = o.n_dis if network.startswith("disG") else o.n_dis - 2
        widths = [o.img_ch, *(o.ch * 2**i for i in range(count))]
        c = widths[-1]
        fixed = {"conv.weight": (1, c, 4, 4), "conv.u": (1,), "cam.gap_fc.u": (1,), "cam.gmp_fc.u": (1,)}
        for i in range(count):
            fixed |= {f"convs.{i}.weight": (widths[i + 1], widths[i], 4, 4)}
            fixed |= {f"convs.{i}.{kind}": (widths[i + 1],) for kind in ("bias", "u")}
    fixed |= {"cam.gap_fc.weight": (1, c), "cam.gmp_fc.weight": (1, c)}
    fixed |= {"cam.conv1x1.weight": (c, 2 * c, 1, 1), "cam.conv1x1.bias": (c,)}
    return {
        name: fixed[name] if name in fixed else next(shape for end, shape in ends.items() if name.endswith(end))
        for name, _ in names(network, o)
    }
