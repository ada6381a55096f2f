"""The peer in `step_time.py` and `learning.py`: one U-GAT-IT step in PyTorch, written for them from the paper.

It does what the authors' code does, with PyTorch's own modules: each pass alone, first the discriminators' update, then
all passes of the generators again; spectral norm by `torch.nn.utils.spectral_norm` (one iteration for each pass); Adam
with weight decay; rho clipped after the step. With `detach`, the discriminators' loss does not run backwards through
the generators. In the authors' code it does: two more backward passes, whose gradients are thrown away.
Layers and sizes are ours: `ugatit_train.networks.ugatit` names the places in the paper. `name_of` gives the name that
each of our parameters has here.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import chain

import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils import spectral_norm
from torch.nn.utils.spectral_norm import SpectralNorm

EPS = 1e-5


def _padded(c_in: int, c_out: int, k: int, stride: int = 1) -> list[nn.Module]:
    return [nn.ReflectionPad2d(k // 2), nn.Conv2d(c_in, c_out, k, stride, bias=False)]


class AdaLIN(nn.Module):
    """Equation 1 of the paper; gamma and beta (N, C) are given."""

    def __init__(self, c: int, rho: float = 0.9):
        super().__init__()
        self.rho = nn.Parameter(torch.full((1, c, 1, 1), rho))

    def forward(self, x, gamma, beta):
        normalised = [
            (x - x.mean(axes, keepdim=True)) / torch.sqrt(x.var(axes, keepdim=True) + EPS)
            for axes in ((2, 3), (1, 2, 3))
        ]
        mixed = self.rho * normalised[0] + (1 - self.rho) * normalised[1]
        return mixed * gamma[:, :, None, None] + beta[:, :, None, None]


class LIN(AdaLIN):
    """AdaLIN with its own gamma and beta."""

    def __init__(self, c: int):
        super().__init__(c, 0.0)
        self.gamma, self.beta = nn.Parameter(torch.ones(1, c)), nn.Parameter(torch.zeros(1, c))

    def forward(self, x):  # type: ignore[override] # gamma and beta are its own
        return super().forward(x, self.gamma, self.beta)


class ResBlock(nn.Module):
    def __init__(self, c: int):
        super().__init__()
        norm = nn.InstanceNorm2d
        self.body = nn.Sequential(*_padded(c, c, 3), norm(c), nn.ReLU(), *_padded(c, c, 3), norm(c))

    def forward(self, x):
        return x + self.body(x)


class AdaResBlock(nn.Module):
    def __init__(self, c: int):
        super().__init__()
        self.conv1, self.conv2 = (nn.Sequential(*_padded(c, c, 3)) for _ in range(2))
        self.norm1, self.norm2 = AdaLIN(c), AdaLIN(c)

    def forward(self, x, gamma, beta):
        y = torch.relu(self.norm1(self.conv1(x), gamma, beta))
        return x + self.norm2(self.conv2(y), gamma, beta)


def _classify(x, gap_fc, gmp_fc):
    """CAM logits (N, 2) of the global average and maximum pooling of x."""
    pooled = (functional.adaptive_avg_pool2d(x, 1).flatten(1), functional.adaptive_max_pool2d(x, 1).flatten(1))
    return torch.cat([gap_fc(pooled[0]), gmp_fc(pooled[1])], 1)


def _attended(x, gap_weight, gmp_weight, conv1x1):
    return conv1x1(torch.cat([x * gap_weight[:, :, None, None], x * gmp_weight[:, :, None, None]], 1))


class Generator(nn.Module):
    def __init__(self, ch: int, n_res: int, img_size: int, img_ch: int, light: bool):
        super().__init__()
        c = 4 * ch
        self.light = light
        down = []
        for block in (_padded(img_ch, ch, 7), _padded(ch, 2 * ch, 3, 2), _padded(2 * ch, c, 3, 2)):
            down += [*block, nn.InstanceNorm2d(block[1].out_channels), nn.ReLU()]
        self.down = nn.Sequential(*down, *[ResBlock(c) for _ in range(n_res)])
        self.gap_fc, self.gmp_fc = (nn.Linear(c, 1, bias=False) for _ in range(2))
        self.conv1x1 = nn.Conv2d(2 * c, c, 1)
        pooled = c if light else c * (img_size // 4) ** 2
        self.fc = nn.Sequential(nn.Linear(pooled, c, bias=False), nn.ReLU(), nn.Linear(c, c, bias=False), nn.ReLU())
        self.gamma, self.beta = (nn.Linear(c, c, bias=False) for _ in range(2))
        self.adares = nn.ModuleList([AdaResBlock(c) for _ in range(n_res)])
        up = []
        for width in (c, c // 2):
            up += [nn.Upsample(scale_factor=2), *_padded(width, width // 2, 3), LIN(width // 2), nn.ReLU()]
        self.up = nn.Sequential(*up, *_padded(ch, img_ch, 7), nn.Tanh())

    def forward(self, x):
        x = self.down(x)
        logit = _classify(x, self.gap_fc, self.gmp_fc)
        x = torch.relu(_attended(x, self.gap_fc.weight, self.gmp_fc.weight, self.conv1x1))
        heatmap = x.sum(1, keepdim=True)
        features = self.fc(functional.adaptive_avg_pool2d(x, 1).flatten(1) if self.light else x.flatten(1))
        gamma, beta = self.gamma(features), self.beta(features)
        for block in self.adares:
            x = block(x, gamma, beta)
        return self.up(x), logit, heatmap


class Discriminator(nn.Module):
    def __init__(self, ch: int, n_layers: int, img_ch: int):
        super().__init__()
        body, c_in = [], img_ch
        for i in range(n_layers - 1):
            conv = nn.Conv2d(c_in, ch * 2**i, 4, stride=2 if i < n_layers - 2 else 1)
            body += [nn.ReflectionPad2d(1), spectral_norm(conv), nn.LeakyReLU(0.2)]
            c_in = ch * 2**i
        self.body = nn.Sequential(*body)
        self.gap_fc, self.gmp_fc = (spectral_norm(nn.Linear(c_in, 1, bias=False)) for _ in range(2))
        self.conv1x1 = nn.Conv2d(2 * c_in, c_in, 1)
        self.head = nn.Sequential(nn.ReflectionPad2d(1), spectral_norm(nn.Conv2d(c_in, 1, 4, bias=False)))

    def forward(self, x):
        x = self.body(x)
        logit = _classify(x, self.gap_fc, self.gmp_fc)
        # The raw weights, not the normalised ones, as in the authors' code.
        x = _attended(x, self.gap_fc.weight_orig, self.gmp_fc.weight_orig, self.conv1x1)
        return self.head(functional.leaky_relu(x, 0.2)), logit


class Step:
    """All networks and both optimizers. A call with a, b (N, C, H, W) does one update and returns (d_loss, g_loss).

    `factors` are those of the generators' loss that differ from the paper's: adv, cycle, identity, cam. With `ema`,
    `averages` are the average of the generators' weights, by our rule (`ugatit_train.training.average`), each under
    "network.name". Forms of the step: `compiled`; `bfloat16`, autocast, which rounds what convolutions take to 8 bits:
    other numbers. No channels_last: with it PyTorch 2.13's instance norm has wrong gradients at batch 1.
    """

    PAPER = {"adv": 1.0, "cycle": 10.0, "identity": 10.0, "cam": 1000.0}
    GENERATORS, DISCRIMINATORS = ("a2b", "b2a"), ("ga", "gb", "la", "lb")

    def __init__(
        self, *, ch, n_res, n_dis, img_size, img_ch, light, compiled=False, bfloat16=False, detach=True,
        lr=1e-4, weight_decay=1e-4, factors=None, ema=0.0,
    ):  # fmt: skip
        self.a2b, self.b2a = (Generator(ch, n_res, img_size, img_ch, light) for _ in range(2))
        layers = (n_dis + 1, n_dis + 1, n_dis - 1, n_dis - 1)
        self.ga, self.gb, self.la, self.lb = (Discriminator(ch, n, img_ch) for n in layers)
        generators, discriminators = (self.a2b, self.b2a), (self.ga, self.gb, self.la, self.lb)
        self.g_adam, self.d_adam = (
            torch.optim.Adam(
                chain(*(network.parameters() for network in networks)),
                lr=lr,
                betas=(0.5, 0.999),
                weight_decay=weight_decay,
            )
            for networks in (generators, discriminators)
        )
        self.factors = self.PAPER | (factors or {})
        self.ema, self.updates = ema, 0
        self.weights = {f"{name}.{own}": p for name in self.GENERATORS for own, p in self[name].named_parameters()}
        self.averages = {name: p.detach().clone() for name, p in self.weights.items()} if ema else {}
        self.rhos = [p for name, p in self.weights.items() if name.endswith("rho")]
        self.detach, self.bfloat16 = detach, bfloat16
        if compiled:
            # The power iteration overwrites buffers that the backward pass of an earlier call needs. Eager PyTorch
            # keeps copies; the compiled backward pass fails, so this part of the networks stays eager.
            SpectralNorm.compute_weight = torch.compiler.disable(SpectralNorm.compute_weight)
            for network in (*generators, *discriminators):
                network.compile()

    def __getitem__(self, name: str) -> nn.Module:
        """A network by its name."""
        return getattr(self, name)

    def set_rate(self, lr: float) -> None:
        """The learning rate from the next step on."""
        for group in (*self.g_adam.param_groups, *self.d_adam.param_groups):
            group["lr"] = lr

    def __call__(self, a, b) -> tuple[float, float]:
        self.d_adam.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bfloat16):
            d_loss = self.factors["adv"] * self._d_loss(a, b)
        d_loss.backward()
        self.d_adam.step()

        self.g_adam.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bfloat16):
            g_loss = self._g_loss(a, b)
        g_loss.backward()
        self.g_adam.step()
        with torch.no_grad():
            for rho in self.rhos:
                rho.clamp_(0, 1)
            if self.ema:
                self.updates += 1
                gain = max(1 - self.ema, 9 / (10 + self.updates))
                torch._foreach_lerp_([*self.averages.values()], [*self.weights.values()], gain)
        return d_loss.item(), g_loss.item()

    def _d_loss(self, a, b):
        with torch.set_grad_enabled(not self.detach):
            fake_b, fake_a = self.a2b(a)[0], self.b2a(b)[0]
        return sum(
            _lsgan(discriminator(real), 1.0) + _lsgan(discriminator(fake), 0.0)
            for discriminator, real, fake in self._judged(a, b, fake_a, fake_b)
        )

    def _g_loss(self, a, b):
        (fake_b, cam_fake_b, _), (fake_a, cam_fake_a, _) = self.a2b(a), self.b2a(b)
        cycle_a, cycle_b = self.b2a(fake_b)[0], self.a2b(fake_a)[0]
        (same_a, cam_same_a, _), (same_b, cam_same_b, _) = self.b2a(a), self.a2b(b)
        l1, factors = functional.l1_loss, self.factors
        loss = factors["adv"] * sum(_lsgan(judge(fake), 1.0) for judge, _, fake in self._judged(a, b, fake_a, fake_b))
        loss = loss + factors["cycle"] * (l1(cycle_a, a) + l1(cycle_b, b))
        loss = loss + factors["identity"] * (l1(same_a, a) + l1(same_b, b))
        cam = [_bce(cam_fake_a, 1.0), _bce(cam_same_a, 0.0), _bce(cam_fake_b, 1.0), _bce(cam_same_b, 0.0)]
        return loss + factors["cam"] * sum(cam)

    def _judged(self, a, b, fake_a, fake_b):
        return ((self.ga, a, fake_a), (self.gb, b, fake_b), (self.la, a, fake_a), (self.lb, b, fake_b))


def _lsgan(logits, target: float):
    return sum(functional.mse_loss(logit, torch.full_like(logit, target)) for logit in logits)


def _bce(logit, target: float):
    return functional.binary_cross_entropy_with_logits(logit, torch.full_like(logit, target))


def name_of(name: str) -> str:
    """The peer's name of a parameter of ours: `genA2B.res.0.conv2.weight` -> `a2b.down.12.body.5.weight`."""
    network, _, rest = name.partition(".")
    if network in _GENERATORS:
        for ours, peers in _LAYERS:
            rest = re.sub(f"^{ours}", peers, rest)
        return f"{_GENERATORS[network]}.{rest}"
    rest = re.sub(r"^convs\.(\d+)", lambda found: f"body.{1 + 3 * int(found[1])}", rest)
    rest = re.sub(r"^conv\.", "head.1.", rest).removeprefix("cam.")
    if not rest.startswith("conv1x1"):  # all others have spectral norm
        rest = re.sub(r"weight$", "weight_orig", rest)
    return f"{_DISCRIMINATORS[network]}.{re.sub(r'[.]u$', '.weight_u', rest)}"


_GENERATORS = {"genA2B": "a2b", "genB2A": "b2a"}
_DISCRIMINATORS = {"disGA": "ga", "disGB": "gb", "disLA": "la", "disLB": "lb"}
_LAYERS: tuple[tuple[str, str | Callable[[re.Match], str]], ...] = (
    (r"down(\d)", lambda found: f"down.{1 + 4 * int(found[1])}"),
    (r"res\.(\d+)\.conv(\d)", lambda found: f"down.{12 + int(found[1])}.body.{4 * int(found[2]) - 3}"),
    (r"adares\.(\d+)\.conv(\d)", r"adares.\1.conv\2.1"),
    (r"up(\d)\.conv", lambda found: f"up.{2 + 5 * int(found[1])}"),
    (r"up(\d)\.norm", lambda found: f"up.{3 + 5 * int(found[1])}"),
    (r"out\.", "up.11."),
    (r"fc1\.", "fc.0."),
    (r"fc2\.", "fc.2."),
    (r"cam\.", ""),
)
