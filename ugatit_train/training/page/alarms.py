"""What a run's figures and sample pictures give reason to look at, each with what to try. Pure functions of arrays."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

LAST_SAMPLES = 3  # an alarm about pictures must hold in so many samples, one after the other
FEWEST = 40  # points of a curve before it is judged
FALLEN = 1000  # steps after which some losses must have fallen
EARLY = 100  # steps before pictures are judged: every run begins with one fog for all inputs

# What least squares come to (training/losses.py, without weights), of four discriminators with two outputs each.
D_GUESSING = 4.0  # every output 0.5: real and made pictures cannot be told apart
G_GUESSING, G_BEATEN = 2.0, 8.0  # the generators' part then, and where every made picture is found out
CAM_GUESSING = 4 * math.log(2)


@dataclass(frozen=True, kw_only=True)
class Alarm:
    """What is wrong, with its figures, and what to try."""

    title: str
    what: str
    tries: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Seen:
    """The pictures of a sample, of one direction, as figures: see `look`."""

    step: int
    change: float
    variety: float


def look(step: int, inputs: np.ndarray, outputs: np.ndarray) -> Seen:
    """The figures of a sample: pictures (N, H, W, 3), uint8, and what the generator made of them.

    `change` is the root mean square of output - input, over that of input - the picture's own mean: 0 for a copy, about
    1 for another picture. `variety` is how far the outputs are from their mean, over how far the inputs are from
    theirs: 0 for outputs that are all one picture; infinite where there are not two different inputs to compare.
    """
    x, y = inputs.astype(np.float32), outputs.astype(np.float32)
    contrast = _rms(x - x.mean((1, 2), keepdims=True))
    apart = _rms(x - x.mean(0))
    return Seen(
        step=step,
        change=_rms(y - x) / max(contrast, 1.0),
        variety=_rms(y - y.mean(0)) / apart if apart > 2 else math.inf,
    )


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(values * values)))


def equals_input(direction: str, seen: Sequence[Seen]) -> Alarm | None:
    """Fires where the last samples are their inputs, `seen` in order: a change under 15%."""
    last = _judged(seen)
    if not last or max(sample.change for sample in last) >= 0.15:
        return None
    return Alarm(
        title=f"{direction}: the output equals the input",
        what=f"In the last {len(last)} samples the output differs from the input by {_percent(last[-1].change)} of the "
        "input's contrast: the generator copies.",
        tries=(
            "Give the cycle and the identity loss less weight: --cycle_weight 5 --identity_weight 1.",
            "Look whether the discriminators' loss stands at its line: then they see no difference between A and B, "
            "and the data may be too alike, or the images too small to show it.",
            "Give it more steps, if the learning rate has not fallen yet.",
        ),
    )


def all_alike(direction: str, seen: Sequence[Seen]) -> Alarm | None:
    """Fires where the outputs of the last samples are nearly one picture for all inputs: a variety under 15%."""
    last = _judged(seen)
    if not last or max(sample.variety for sample in last) >= 0.15:
        return None
    return Alarm(
        title=f"{direction}: the outputs are all alike",
        what=f"In the last {len(last)} samples the outputs differ from one another by {_percent(last[-1].variety)} of "
        "what their inputs do: the generator makes one picture of everything.",
        tries=(
            "Give the cycle loss more weight: --cycle_weight 20. One picture cannot be turned back into many.",
            "Begin a new run with a smaller --lr, or another --seed.",
            "Look whether trainA or trainB holds few different pictures, or one many times.",
        ),
    )


def _judged(seen: Sequence[Seen]) -> Sequence[Seen]:
    last = seen[-LAST_SAMPLES:]
    return last if len(last) == LAST_SAMPLES and last[0].step >= EARLY else ()


def _percent(part: float) -> str:
    return f"{100 * part:.0f}%"


def stuck(name: str, values: np.ndarray, steps: int) -> Alarm | None:
    """Fires where a loss does not move: its last quarter varies by less than 0.01%, or it should fall and has not.

    `values` are its means over the `steps` of the run, (n,). After 1000 steps the cycle, identity and CAM loss must
    have fallen: the last tenth lies below 97% of the first.
    """
    if len(values) < FEWEST:
        return None
    tenth, quarter = max(1, len(values) // 10), values[-max(2, len(values) // 4) :]
    first, last = float(values[:tenth].mean()), float(values[-tenth:].mean())
    still = float(quarter.std()) <= 1e-4 * abs(float(quarter.mean()))
    must_fall = name in ("g_cycle", "g_identity", "g_cam") and steps >= FALLEN
    if not still and not (must_fall and last >= 0.97 * first):
        return None
    what = "has been the same in the last quarter of the run" if still else "has not fallen since the run began"
    return Alarm(
        title=f"{name} is stuck",
        what=f"The loss {what}: {first:.4g} in its first tenth, {last:.4g} in the last.",
        tries=(
            "Look at the learning rate: is it 0, or much smaller than 1e-4? Give --lr 1e-4.",
            "In float16, look whether train.log tells of gradients that overflow; try --precision float32.",
            "Look at the weights in the options: a loss with weight 0 is not trained.",
        ),
    )


def exploding(name: str, values: np.ndarray) -> Alarm | None:
    """Fires where a loss has left the place where it began and where it mostly was, upwards.

    `values` are its means over the run, (n,): the last twentieth above twice the first, and above three times the
    median, or ten times the first.
    """
    if len(values) < FEWEST:
        return None
    twentieth = max(1, len(values) // 20)
    first, last = float(values[:twentieth].mean()), float(values[-twentieth:].mean())
    usual = float(np.median(values))
    if first <= 0 or last <= 2 * first or not (last > 3 * usual or last > 10 * first):
        return None
    return Alarm(
        title=f"{name} explodes",
        what=f"The loss began at {first:.4g}, was {usual:.4g} for half of the run, and is {last:.4g} now.",
        tries=(
            "Go on from a checkpoint before the rise with a smaller --lr (a half, or a tenth).",
            "Clip the gradients: --use_global_norm true.",
            "In float16, try --precision float32, or --loss_scale dynamic.",
        ),
    )


def discriminator_won(d_loss: np.ndarray, g_adv: np.ndarray, adv_weight: float) -> Alarm | None:
    """Fires where every made picture is found out: over the last tenth d_loss under a tenth of guessing, g_adv near 8.

    The two are means over the run, (n,); `d_loss` holds `adv_weight`, `g_adv` does not.
    """
    if min(len(d_loss), len(g_adv)) < FEWEST or adv_weight <= 0:
        return None
    tenth = max(1, len(d_loss) // 10)
    d, g = float(d_loss[-tenth:].mean()) / adv_weight, float(g_adv[-tenth:].mean())
    if d >= 0.1 * D_GUESSING or g <= 0.8 * G_BEATEN:
        return None
    return Alarm(
        title="The discriminators have won",
        what=f"Their loss is {d:.3g}, where {D_GUESSING:.0f} would be guessing, and g_adv is {g:.3g}, of at most "
        f"{G_BEATEN:.0f}: every made picture is found out, which gives the generators little to learn from.",
        tries=(
            "Look whether one thing gives every picture away: a border, a watermark, another resolution or JPEG "
            "quality in A than in B. Mend the data.",
            "Keep --spectral_norm true, and make the discriminators smaller: --n_dis 5.",
            "Add pictures: with a few hundred they are learned by heart.",
        ),
    )


def all_alarms(
    losses: Mapping[str, np.ndarray], steps: int, seen: Mapping[str, Sequence[Seen]], adv_weight: float
) -> list[Alarm]:
    """Every alarm that fires after `steps`.

    `losses` are the means of each loss over the run, by name; `seen` the samples in order, by direction ("A to B").
    """
    found = [discriminator_won(losses.get("d_loss", np.zeros(0)), losses.get("g_adv", np.zeros(0)), adv_weight)]
    for direction, samples in seen.items():
        found += [equals_input(direction, samples), all_alike(direction, samples)]
    for name, values in losses.items():
        found += [exploding(name, values), stuck(name, values, steps)]
    return [alarm for alarm in found if alarm]
