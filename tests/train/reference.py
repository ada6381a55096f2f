"""The whole U-GAT-IT training step in float64, written plainly from the paper: what the trainer is tested against.

It shares nothing with `ugatit_train`: NumPy and HIPS autograd, one function a layer (`reference_networks.py`), no
batching of passes, no folding of weights, and the generators run again for the G update as in the paper's code.
Sources: U-GAT-IT (ICLR 2020, arXiv 1907.10830) and the behaviour of its public PyTorch implementation.

Legend: N C H W batch, channels, height, width; all arrays float64; images in [-1, 1]. Domain a is translated by
genA2B; disGA and disLA judge images of domain a, that is real_a against the fakes of genB2A.

State: `params` and `u` are flat dicts, "genA2B.down0.weight", "disGA.convs.0.weight", "disGA.convs.0.u" and so on.

Losses returned by `train_step`, unweighted means over the batch, but for the last six, which are weighted sums:
    d_adv_ga d_adv_la d_adv_gb d_adv_lb, d_adv_cam_ga ... d_adv_cam_lb     real to 1 plus fake to 0
    g_adv_ga g_adv_la g_adv_gb g_adv_lb, g_adv_cam_ga ... g_adv_cam_lb     fake to 1
    g_cycle_a g_cycle_b g_identity_a g_identity_b g_cam_a g_cam_b          as named
    d_loss_a d_loss_b d_loss g_loss_a g_loss_b g_loss
"""

from dataclasses import dataclass
from typing import NamedTuple

import autograd.numpy as np
import numpy
from autograd import grad
from autograd.tracer import getval

from .reference_init import init_weights
from .reference_networks import discriminator, generator, power_iteration

GENERATORS = ("genA2B", "genB2A")
DISCRIMINATORS = ("disGA", "disGB", "disLA", "disLB")


@dataclass(frozen=True, kw_only=True)
class Options:
    """The numerics of one run; the defaults are the paper's, but for the power iterations, which are ours."""

    padding: str = "reflect"  # reflect | zero
    spectral_norm: bool = True
    sn_iterations: str = "per_step"  # per_step: once a step | per_pass: before every pass, as in the paper's code
    update_order: str = "d_first"  # d_first | g_first (the model zoo: G against the old D, then D with the same fakes)
    adv_weight: float = 1.0
    cycle_weight: float = 10.0
    identity_weight: float = 10.0
    cam_weight: float = 1000.0
    lr: float = 1e-4
    beta1: float = 0.5
    beta2: float = 0.999
    adam_eps: float = 1e-8
    weight_decay: float = 1e-4
    decay_flag: bool = True
    iteration: int = 1_000_000

    def __post_init__(self):
        choices = {
            "padding": ("reflect", "zero"),
            "sn_iterations": ("per_step", "per_pass"),
            "update_order": ("d_first", "g_first"),
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} is {getattr(self, name)!r}; choose one of {', '.join(allowed)}")


class State(NamedTuple):
    """Everything a step reads and writes; `t` counts Adam's updates, which are one a step for G and for D."""

    params: dict
    u: dict
    m: dict
    v: dict
    t: int


def init_state(rng, ch, n_res, n_dis, img_size, img_ch=3, light=True):
    """Random weights from a NumPy Generator, rho in [0.3, 0.7], Adam at rest."""
    params, u = init_weights(rng, ch, n_res, n_dis, img_size, img_ch, light)
    m, v = ({name: numpy.zeros(a.shape) for name, a in params.items()} for _ in "mv")
    return State(params, u, m, v, 0)


def scope(flat, network):
    """The entries of one network, without the prefix."""
    return {name[len(network) + 1 :]: flat[name] for name in flat if name.startswith(network + ".")}


def iterate(params, u):
    """One power iteration of every spectral-normed layer: flat u -> next flat u, and network -> layer -> (u, v)."""
    next_u, vectors = {}, {name: {} for name in DISCRIMINATORS}
    for name in u:
        network, layer = name.removesuffix(".u").split(".", 1)
        vectors[network][layer] = power_iteration(params[f"{network}.{layer}.weight"], u[name])
        next_u[name] = vectors[network][layer][0]
    return next_u, vectors


# Losses


def mse_to(logits, target):
    return np.mean((logits - target) ** 2)


def l1(x, y):
    return np.mean(np.abs(x - y))


def bce_with_logits(logits, target):
    """Mean of -target log s(x) - (1 - target) log(1 - s(x)), s the logistic function."""
    return np.mean(np.logaddexp(0.0, logits) - target * logits)


def discriminator_losses(params, images, vectors_real, vectors_fake, options):
    """The D update's losses; images: real_a, real_b, fake_a, fake_b, the fakes constant."""
    losses = {}
    for name in DISCRIMINATORS:
        p, key, domain = scope(params, name), name[3:].lower(), name[-1].lower()
        real, real_cam, _ = discriminator(p, vectors_real[name], images[f"real_{domain}"], options)
        fake, fake_cam, _ = discriminator(p, vectors_fake[name], images[f"fake_{domain}"], options)
        losses[f"d_adv_{key}"] = mse_to(real, 1.0) + mse_to(fake, 0.0)
        losses[f"d_adv_cam_{key}"] = mse_to(real_cam, 1.0) + mse_to(fake_cam, 0.0)
    for domain in "ab":
        losses[f"d_loss_{domain}"] = options.adv_weight * _adversarial(losses, "d", domain)
    losses["d_loss"] = losses["d_loss_a"] + losses["d_loss_b"]
    return losses


def generator_losses(params, dis_params, real_a, real_b, vectors, options):
    """The G update's losses, all six generator passes included; the discriminators are constant."""
    a2b, b2a = (scope(params, name) for name in GENERATORS)
    fake_b, fake_b_cam, _ = generator(a2b, real_a, options)
    fake_a, fake_a_cam, _ = generator(b2a, real_b, options)
    cycle_a, _, _ = generator(b2a, fake_b, options)
    cycle_b, _, _ = generator(a2b, fake_a, options)
    identity_a, identity_a_cam, _ = generator(b2a, real_a, options)
    identity_b, identity_b_cam, _ = generator(a2b, real_b, options)

    losses = {}
    for name in DISCRIMINATORS:
        fake, key = fake_a if name.endswith("A") else fake_b, name[3:].lower()
        logit, cam_logit, _ = discriminator(scope(dis_params, name), vectors[name], fake, options)
        losses[f"g_adv_{key}"] = mse_to(logit, 1.0)
        losses[f"g_adv_cam_{key}"] = mse_to(cam_logit, 1.0)
    losses["g_cycle_a"], losses["g_cycle_b"] = l1(cycle_a, real_a), l1(cycle_b, real_b)
    losses["g_identity_a"], losses["g_identity_b"] = l1(identity_a, real_a), l1(identity_b, real_b)
    losses["g_cam_a"] = bce_with_logits(fake_a_cam, 1.0) + bce_with_logits(identity_a_cam, 0.0)
    losses["g_cam_b"] = bce_with_logits(fake_b_cam, 1.0) + bce_with_logits(identity_b_cam, 0.0)
    for domain in "ab":
        losses[f"g_loss_{domain}"] = (
            options.adv_weight * _adversarial(losses, "g", domain)
            + options.cycle_weight * losses[f"g_cycle_{domain}"]
            + options.identity_weight * losses[f"g_identity_{domain}"]
            + options.cam_weight * losses[f"g_cam_{domain}"]
        )
    losses["g_loss"] = losses["g_loss_a"] + losses["g_loss_b"]
    return losses


def _adversarial(losses, side, domain):
    keys = [f"{side}_{term}_{scale}{domain}" for scale in "gl" for term in ("adv", "adv_cam")]
    return sum(losses[key] for key in keys)


# The step


def learning_rate(step, options):
    """Rate of step 1, 2, ...: constant in the first half of `iteration`, then linear to 0 at the last step."""
    if not options.decay_flag:
        return options.lr
    half = options.iteration // 2
    return options.lr * (1 - max(0, step - half) / half)


def adam(param, gradient, m, v, t, lr, options):
    """torch.optim.Adam with weight decay added to the gradient; t counts from 1. Returns param, m, v."""
    gradient = gradient + options.weight_decay * param
    m = options.beta1 * m + (1 - options.beta1) * gradient
    v = options.beta2 * v + (1 - options.beta2) * gradient**2
    root = numpy.sqrt(v) / numpy.sqrt(1 - options.beta2**t)
    return param - lr / (1 - options.beta1**t) * m / (root + options.adam_eps), m, v


def gradients(losses_of, params, total):
    """Values of all losses, and the gradient of the one named `total`, by parameter name."""
    values = {}

    def objective(params):
        losses = losses_of(params)
        values.update({name: float(getval(loss)) for name, loss in losses.items()})
        return losses[total]

    return grad(objective)(params), values


def networks(flat, names):
    """The entries of the named networks, prefixes kept."""
    return {name: value for name, value in flat.items() if name.split(".")[0] in names}


def train_step(state, real_a, real_b, step, options):
    """One update of D and of G: (new state, losses by name, gradients by parameter name, without weight decay).

    real_a, real_b: (N, img_ch, H, W); step counts from 1 and sets the learning rate.
    """
    per_pass = options.spectral_norm and options.sn_iterations == "per_pass"
    params, u, m, v = dict(state.params), dict(state.u), dict(state.m), dict(state.v)
    vectors = dict.fromkeys(DISCRIMINATORS)
    if options.spectral_norm and not per_pass:
        u, vectors = iterate(params, u)
    losses, grads = {}, {}

    def vectors_of_next_pass():
        nonlocal u
        if not per_pass:
            return vectors
        u, fresh = iterate(params, u)
        return fresh

    def update(names, losses_of, total):
        found, values = gradients(losses_of, networks(params, names), total)
        losses.update(values)
        grads.update(found)
        lr = learning_rate(step, options)
        for name, gradient in found.items():
            new = adam(params[name], gradient, m[name], v[name], state.t + 1, lr, options)
            params[name], m[name], v[name] = new

    def update_d():
        vectors_real, vectors_fake = vectors_of_next_pass(), vectors_of_next_pass()
        update(DISCRIMINATORS, lambda p: discriminator_losses(p, images, vectors_real, vectors_fake, options), "d_loss")

    def update_g():
        used = vectors_of_next_pass()
        update(GENERATORS, lambda p: generator_losses(p, params, real_a, real_b, used, options), "g_loss")
        for name in params:
            if name.endswith(".rho"):
                params[name] = numpy.clip(params[name], 0.0, 1.0)

    fake_b, _, _ = generator(scope(params, "genA2B"), real_a, options)
    fake_a, _, _ = generator(scope(params, "genB2A"), real_b, options)
    images = {"real_a": real_a, "real_b": real_b, "fake_a": fake_a, "fake_b": fake_b}
    for change in (update_d, update_g) if options.update_order == "d_first" else (update_g, update_d):
        change()
    return State(params, u, m, v, state.t + 1), losses, grads
