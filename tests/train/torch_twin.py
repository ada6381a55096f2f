"""U-GAT-IT in PyTorch for the tests, from the paper, under the parameter names of the public implementation.

It stands for that implementation in the suite; `public_pytorch.py` puts a clone of it in its place. `compare` takes
the two classes of either: it writes a checkpoint of random networks, has our tool import it, and compares all outputs.
"""

import itertools
from pathlib import Path

import mindspore as ms
import numpy as np
import torch
from mindspore import Tensor
from torch.nn.functional import pad
from torch.nn.utils import spectral_norm

from ugatit_train.forms import form_for
from ugatit_train.inference import models
from ugatit_train.networks.ugatit import Discriminator
from ugatit_train.training import checkpoint

from .judge import Judge

BOUND = 1e-4


class Named(torch.nn.Module):
    """Layers under the numbers that they have in the public code's sequences, called by them: self.DownBlock[4](x)."""

    def sequence(self, name, layers):
        holder = torch.nn.Module()
        for number, layer in layers.items():
            holder.add_module(str(number), layer)
        self.add_module(name, holder)

    def layer(self, name, number):
        return getattr(getattr(self, name), str(number))


def conv(c_in, c_out, k, stride=1, bias=False):
    return torch.nn.Conv2d(c_in, c_out, k, stride, bias=bias)


def linear(c_in, c_out):
    return torch.nn.Linear(c_in, c_out, bias=False)


def reflected(layer, x):
    p = 1 if layer.kernel_size[0] == 4 else layer.kernel_size[0] // 2
    return layer(pad(x, (p, p, p, p), mode="reflect"))


def standard(x, axes, unbiased):
    return (x - x.mean(axes, keepdim=True)) / (x.var(axes, keepdim=True, unbiased=unbiased) + 1e-5).sqrt()


def instance_norm(x):
    return standard(x, (2, 3), unbiased=False)


class Norm(torch.nn.Module):
    """Equation 1 of the paper, with gamma and beta of its own or given."""

    def __init__(self, c, own):
        super().__init__()
        for name in ("rho", "gamma", "beta") if own else ("rho",):
            setattr(self, name, torch.nn.Parameter(torch.rand(1, c, 1, 1)))

    def forward(self, x, gamma=None, beta=None):
        mixed = self.rho * standard(x, (2, 3), True) + (1 - self.rho) * standard(x, (1, 2, 3), True)
        gamma, beta = (self.gamma, self.beta) if gamma is None else (gamma[..., None, None], beta[..., None, None])
        return mixed * gamma + beta


class Block(Named):
    """Two convolutions with norms around a ReLU, and the input added."""

    def __init__(self, c, adaptive):
        super().__init__()
        if adaptive:
            for i in (1, 2):
                self.add_module(f"conv{i}", conv(c, c, 3))
                self.add_module(f"norm{i}", Norm(c, own=False))
        else:
            self.sequence("conv_block", {1: conv(c, c, 3), 5: conv(c, c, 3)})

    def forward(self, x, *style):
        if style:
            y = self.norm1(reflected(self.conv1, x), *style).relu()
            return x + self.norm2(reflected(self.conv2, y), *style)
        y = instance_norm(reflected(self.layer("conv_block", 1), x)).relu()
        return x + instance_norm(reflected(self.layer("conv_block", 5), y))


def cam(network, x, activation):
    """Class activation attention: (map, logits, heat map); the map is scaled by the weights as they are kept."""
    weights = [getattr(fc, "weight_orig", fc.weight) for fc in (network.gap_fc, network.gmp_fc)]
    logits = torch.cat([network.gap_fc(x.mean((2, 3))), network.gmp_fc(x.amax((2, 3)))], 1)
    both = torch.cat([x * weight[..., None, None] for weight in weights], 1)
    x = activation(network.conv1x1(both))
    return x, logits, x.sum(1, keepdim=True)


class Generator(Named):
    def __init__(self, input_nc, output_nc, ngf=64, n_blocks=4, img_size=256, light=False):
        super().__init__()
        c, self.light, self.n_blocks = 4 * ngf, light, n_blocks
        down = {1: conv(input_nc, ngf, 7), 5: conv(ngf, 2 * ngf, 3, 2), 9: conv(2 * ngf, c, 3, 2)}
        self.sequence("DownBlock", down | {12 + i: Block(c, adaptive=False) for i in range(n_blocks)})
        self.gap_fc, self.gmp_fc, self.conv1x1 = linear(c, 1), linear(c, 1), conv(2 * c, c, 1, bias=True)
        self.sequence("FC", {0: linear(c if light else c * (img_size // 4) ** 2, c), 2: linear(c, c)})
        self.gamma, self.beta = linear(c, c), linear(c, c)
        for i in range(n_blocks):
            self.add_module(f"UpBlock1_{i + 1}", Block(c, adaptive=True))
        up = {2: conv(c, c // 2, 3), 3: Norm(c // 2, own=True), 7: conv(c // 2, ngf, 3), 8: Norm(ngf, own=True)}
        self.sequence("UpBlock2", up | {11: conv(ngf, output_nc, 7)})

    def forward(self, x):
        for number in (1, 5, 9):
            x = instance_norm(reflected(self.layer("DownBlock", number), x)).relu()
        for i in range(self.n_blocks):
            x = self.layer("DownBlock", 12 + i)(x)
        x, logits, heatmap = cam(self, x, torch.relu)
        y = x.mean((2, 3)) if self.light else x.reshape(len(x), -1)
        for number in (0, 2):
            y = self.layer("FC", number)(y).relu()
        style = self.gamma(y), self.beta(y)
        for i in range(self.n_blocks):
            x = getattr(self, f"UpBlock1_{i + 1}")(x, *style)
        for number in (2, 7):
            x = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
            x = self.layer("UpBlock2", number + 1)(reflected(self.layer("UpBlock2", number), x)).relu()
        return reflected(self.layer("UpBlock2", 11), x).tanh(), logits, heatmap


class TwinDiscriminator(Named):
    def __init__(self, input_nc, ndf=64, n_layers=5):
        super().__init__()
        widths = [input_nc, *(ndf * 2**i for i in range(n_layers - 1))]
        self.count, c = n_layers - 1, widths[-1]
        layers = {
            3 * i + 1: spectral_norm(conv(c_in, c_out, 4, 2 if i < n_layers - 2 else 1, bias=True))
            for i, (c_in, c_out) in enumerate(itertools.pairwise(widths))
        }
        self.sequence("model", layers)
        self.gap_fc, self.gmp_fc = spectral_norm(linear(c, 1)), spectral_norm(linear(c, 1))
        self.conv1x1, self.conv = conv(2 * c, c, 1, bias=True), spectral_norm(conv(c, 1, 4))

    def forward(self, x):
        def leaky(y):
            return torch.where(y > 0, y, 0.2 * y)

        for i in range(self.count):
            x = leaky(reflected(self.layer("model", 3 * i + 1), x))
        x, logits, heatmap = cam(self, x, leaky)
        return reflected(self.conv, x), logits, heatmap


def random_networks(generator, discriminator, *, light, ch=8, n_res=2, img_size=32, n_dis=4, seed=0):
    """The six networks with random weights; those of the discriminators have moved on since u was made."""
    torch.manual_seed(seed)
    sizes = {"disGA": n_dis + 1, "disGB": n_dis + 1, "disLA": n_dis - 1, "disLB": n_dis - 1}
    networks = {
        name: generator(3, 3, ngf=ch, n_blocks=n_res, img_size=img_size, light=light) for name in ("genA2B", "genB2A")
    }
    networks |= {name: discriminator(3, ndf=ch, n_layers=n_layers) for name, n_layers in sizes.items()}
    with torch.no_grad():
        for network in networks.values():
            for name, parameter in network.named_parameters():
                if name.endswith("rho"):
                    parameter.uniform_(0, 1)
                elif name.endswith(("gamma", "beta")) and parameter.ndim == 4:
                    parameter.normal_(0.5, 0.5)
                elif name.endswith("weight_orig"):
                    parameter.add_(torch.randn_like(parameter) * parameter.std())
    return networks


def save(networks, path, **options):
    torch.save({name: network.state_dict() for name, network in networks.items()}, path, **options)


def compare(networks, run: Path, img_size: int) -> dict[str, float]:
    """The largest difference of each network's outputs, ours imported into `run`; heat maps to their largest value."""
    x = np.random.default_rng(1).uniform(-1, 1, (2, 3, img_size, img_size)).astype(np.float32)
    found = {}
    for direction, name in checkpoint.GENERATORS.items():
        with torch.no_grad():
            picture, _, heatmap = (part.numpy() for part in networks[name].eval()(torch.from_numpy(x)))
        made, heat = models.from_checkpoint(run, direction).run(x)
        found[name] = float(np.abs(made - picture).max())
        found[f"{name}'s heat map"] = float(np.abs(heat - heatmap).max() / np.abs(heatmap).max())
    judges = {}
    folder, meta = checkpoint.find(run)
    o = checkpoint.run_options(folder, meta)
    for name in ("disGA", "disGB", "disLA", "disLB"):
        layers = o.n_dis + (1 if name[3] == "G" else -1)
        if layers not in judges:  # compiled once for both domains
            judges[layers] = Judge(Discriminator(form_for("CPU"), o.ch, layers))
        own = {n.replace("discriminator", name): p for n, p in judges[layers].parameters_and_names()}
        for key, parameter in own.items():
            parameter.set_data(Tensor(read_tensor(folder / checkpoint.TRAINING_FILE, key), ms.float32))
        with torch.no_grad():  # in training mode, which makes one power iteration a pass
            expected = [part.numpy() for part in networks[name].train()(torch.from_numpy(x))[:2]]
        outputs = [part.asnumpy() for part in judges[layers](Tensor(x))]
        pairs = zip(outputs, expected, strict=True)
        found[name] = max(float(np.abs(ours - theirs).max()) for ours, theirs in pairs)
    return found


def read_tensor(path, key):
    from safetensors import safe_open

    with safe_open(path, framework="np") as file:
        return file.get_tensor(key)
