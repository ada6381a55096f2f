"""The generators' loss as a table: each term is a name, a weight and a function of what the step's passes gave.

The function runs inside the compiled step. It takes one dict and returns a float32 scalar:
    a, b                                             the real images (N, img_ch, H, W) in [-1, 1]
    fake_a, fake_b, identity_a, identity_b           what the generators made of them: fake_b of a, identity_b of b
    cycle_a, cycle_b                                 the fakes translated back: cycle_a of fake_b
    cam_fake_a, cam_fake_b, cam_identity_a, cam_identity_b       the generators' CAM logits (N, 2) of these images
    disGA, disGB, disLA, disLB                       a discriminator's (logits (N, 1, h, w), CAM logits (N, 2)) of the
                                                     fakes, G is global, L is local; with update_order d_first after
                                                     its update
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ugatit_train.training.losses import bce, l1, lsgan


@dataclass(frozen=True, kw_only=True)
class Term:
    """A summand of the generators' loss: weight * function(passes)."""

    name: str
    """The key of its value, without the weight, in the step's losses and in metrics.jsonl."""

    weight: str | float
    """A number, or the name of the field of `StepSettings` that holds it."""

    function: Callable[[dict[str, Any]], Any]


def adversarial(passes):
    """Least squares of every discriminator's logits to 1 (equation 2)."""
    loss = _fools(passes["disGA"]) + _fools(passes["disGB"])
    return loss + _fools(passes["disLA"]) + _fools(passes["disLB"])


def _fools(judgement):
    logit, cam = judgement
    return lsgan(logit, 1.0) + lsgan(cam, 1.0)


def cycle(passes):
    """L1 from an image to the cycled one (equation 3)."""
    return l1(passes["cycle_a"], passes["a"]) + l1(passes["cycle_b"], passes["b"])


def identity(passes):
    """L1 from an image to what the generator into its own domain makes of it (equation 4)."""
    return l1(passes["identity_a"], passes["a"]) + l1(passes["identity_b"], passes["b"])


def cam(passes):
    """The generators' classifiers tell images to translate, 1, from images of their target domain, 0 (equation 5)."""
    loss = bce(passes["cam_fake_b"], 1.0) + bce(passes["cam_identity_b"], 0.0)
    return loss + bce(passes["cam_fake_a"], 1.0) + bce(passes["cam_identity_a"], 0.0)


TERMS = (  # added up in this order
    Term(name="g_adv", weight="adv_weight", function=adversarial),
    Term(name="g_cycle", weight="cycle_weight", function=cycle),
    Term(name="g_identity", weight="identity_weight", function=identity),
    Term(name="g_cam", weight="cam_weight", function=cam),
)


def loss_names(terms: tuple[Term, ...]) -> tuple[str, ...]:
    """The names of what a step returns, in its order: the weighted sums of D and G, and each term without its weight.

    Raises:
        ValueError: two of them are equal.
    """
    names = ("d_loss", "g_loss", *(term.name for term in terms))
    if len(set(names)) < len(names):
        raise ValueError(f"loss terms {', '.join(names)}: give each another name")
    return names
