"""The page of one run: how far it is, what it looks like, its curves, its options, and what to look at."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, Literal

import numpy as np

from ugatit_train.options.config import Options
from ugatit_train.training import prospect
from ugatit_train.training.page import alarms, charts, markup
from ugatit_train.training.page.curves import Curve
from ugatit_train.training.page.reading import Run
from ugatit_train.training.page.strips import DIRECTIONS

State = Literal["running", "finished", "interrupted", "failed"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Status:
    """How the run is: `words` say why it stopped; `step_s` is the wall clock's, 0 where that is not known yet."""

    state: State
    iteration: int
    words: str = ""
    step_s: float = 0.0
    written: str = ""  # as people read it
    written_s: float = 0.0  # since 1970
    every_s: float = 0.0  # between two writings


# Rows of a sample, by their names in SAMPLE_ROWS for A to B; {x} is the domain of the input, {y} the other.
ROWS = {
    "real_a": ("Input", "pictures of {x}"),
    "fake_a2b": ("Translated", "{x} to {y}"),
    "heatmap_a2b": ("Heat map", "where it looks, red most"),
    "fake_a2b2a": ("Translated back", "should be the input"),
    "heatmap_a2b2a": ("Heat map", "of the way back"),
    "fake_a2a": ("Identity", "{x} made into {x}: should be the input"),
    "heatmap_a2a": ("Heat map", "of the identity"),
}

LOSSES = {  # name: title, note
    "d_loss": ("Discriminators", "How badly they tell real pictures from made ones."),
    "g_adv": ("Generators: adversarial", "How well the made pictures are found out."),
    "g_cycle": ("Generators: cycle", "From a picture to the one translated there and back."),
    "g_identity": ("Generators: identity", "From a picture to what its own domain's generator makes of it."),
    "g_cam": ("Generators: CAM", "How badly the attention tells the domains apart."),
    "g_loss": ("Generators: weighted sum", "What they minimise: all terms with their weights."),
}


def page(run: Run, status: Status) -> str:
    """The HTML of the page."""
    body = [
        _head(run, status),
        markup.section("To look at", _alarms(run.alarms())),
        _pictures(run),
        markup.section("Judged on test pictures", _evaluated(run)),
        markup.section(
            "Losses", _losses(run), "Faint: every step, or the range of many. Line: the mean of a twentieth of the run."
        ),
        markup.section("Rate and speed", _speed(run, status)),
        markup.section("Options", _options(run)),
        f'<footer>Written {escape(status.written)} <span id="age"></span><br>'
        "This page is one file: it loads nothing, and can be sent as it is.</footer>",
    ]
    return markup.document(f"{run.name}: {status.state}", "".join(body), _data(run, status), status.state)


def _head(run: Run, status: Status) -> str:
    step, whole = run.curves.step, status.iteration
    part = step / whole if whole else 0.0
    said = f'<p class="said">{escape(status.words)}</p>' if status.words else ""
    bar = (
        '<svg class="progress" viewBox="0 0 100 1" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect class="all" width="100" height="1"/><rect class="done" width="{100 * part:.2f}" height="1"/></svg>'
    )
    return (
        '<p class="kind">U-GAT-IT training run</p>'
        f'<div class="head"><h1>{escape(run.name)}</h1><span class="state">{status.state}</span></div>{said}{bar}'
        + markup.tiles(_figures(run, status, part))
    )


def _figures(run: Run, status: Status, part: float) -> list[tuple[str, str, str]]:
    step, left = run.curves.step, status.iteration - run.curves.step
    step_s = run.step_s()
    found = [("Steps", f"{step:,}", f"of {status.iteration:,}, {100 * part:.0f}%")]
    if left > 0 and (status.step_s or step_s):
        more = "at this pace" if status.state == "running" else f"for the other {left:,} steps"
        found.append(("Time left", prospect.duration(left * (status.step_s or step_s)), more))
    found.append(("Time spent", prospect.duration(run.spent_s()), "steps and compiling"))
    if step_s:
        found.append(("A step", seconds(step_s), "mean of the last tenth"))
    rate = run.curves.last("lr")
    if rate is not None:
        found.append(("Learning rate", charts.number(rate), f"began at {charts.number(run.options.lr)}"))
    for line in run.evaluations[-1:]:
        for direction, words in DIRECTIONS.items():
            untouched = f"untouched pictures {charts.number(line[direction]['identity'])}"
            found.append((f"{metric(line)}, {words}", charts.number(line[direction]["mean"]), untouched))
    return found


def seconds(time_s: float) -> str:
    """The time of a step: 85 ms, 1.42 s."""
    return f"{1000 * time_s:.0f} ms" if time_s < 0.9995 else f"{time_s:.2f} s"


def _alarms(found: list[alarms.Alarm]) -> str:
    if found:
        return markup.alarm_list(found)
    return (
        '<p class="quiet"><b>No alarm.</b> Looked for: outputs that equal their inputs, outputs that are all alike, '
        "losses that are stuck or explode, discriminators that have won.</p>"
    )


def _pictures(run: Run) -> str:
    """The newest sample in both directions, with the slider to the ones before."""
    if not run.samples:
        return markup.section("Samples", '<p class="quiet">None yet: --print_freq says how often they come.</p>')
    last = max(run.samples)
    slider = (
        f'<div class="slider"><input type="range" id="step" min="0" max="{len(run.samples) - 1}" '
        f'value="{len(run.samples) - 1}" aria-label="step of the sample"><output for="step">step <b id="shown">'
        f"{last:,}</b> of {run.curves.step:,}</output></div>"
    )
    blocks = "".join(
        f"<div><h3>{escape(words)}</h3>{_strips(run, last, direction)}</div>"
        for direction, words in DIRECTIONS.items()
        if direction in run.samples[last]
    )
    return markup.section(
        "Samples",
        f'{slider}<div class="directions">{blocks}</div>',
        "The same few pictures after each step shown; the slider goes back in time. Small letters: the row's name."
        + (" Made with the average of the weights (--ema)." if run.options.ema else ""),
    )


def _strips(run: Run, step: int, direction: str) -> str:
    """The rows of a sample, marked for page.js but for the input, which is the same in all."""
    x, y = direction.upper().split("2")
    found = run.samples[step][direction].strips
    parts = []
    for name, (title, about) in ROWS.items():
        kind, _, domains = name.partition("_")
        own = f"{kind}_{domains if direction == 'a2b' else domains.translate(str.maketrans('ab', 'ba'))}"
        key = f"{direction}.{name}" if name != "real_a" else ""
        parts.append(markup.strip(title, own, found[name], about.format(x=x, y=y), key))
    return "".join(parts)


def _data(run: Run, status: Status) -> str:
    """What page.js reads: the rows of all samples but the last, which stands in the page as do the inputs."""
    steps = list(run.samples)
    samples = [
        {
            f"{direction}.{name}": jpeg
            for direction, sample in run.samples[step].items()
            for name, jpeg in sample.strips.items()
            if name != "real_a"
        }
        for step in steps[:-1]
    ] + [{}]
    written = {"written_s": round(status.written_s), "every_s": round(status.every_s)}
    return json.dumps({"steps": steps, "samples": samples, **written})


def metric(line: dict[str, Any]) -> str:
    """What an evaluation measured, in words."""
    return {"kid": "KID", "smoke_mmd": "Smoke MMD"}.get(line["metric"], line["metric"])


def _evaluated(run: Run) -> str:
    """A chart for each direction: the distance to the other domain, beside that of the untouched pictures."""
    found = []
    if not run.evaluations:
        return ""
    measure = [(line["metric"], line["features"]) for line in run.evaluations]
    alike = [line for line, by in zip(run.evaluations, measure, strict=True) if by == measure[-1]]
    for direction, words in DIRECTIONS.items():
        curve = judged_curve(alike, direction)
        best = int(curve.mean.argmin())
        found.append(
            charts.chart(
                f"{metric(run.evaluations[-1])}, {words}",
                [charts.Line(label=words, curve=curve, raw=False, smooth=False, dots=True)],
                levels=[charts.Level(value=run.evaluations[-1][direction]["identity"], label="untouched pictures")],
                last_step=run.curves.step,
                note=f"Lower is nearer to the other domain. Lowest: {charts.number(curve.mean[best])} at step "
                f"{curve.steps[best]:,.0f}.",
            )
        )
    return f'<div class="charts">{"".join(found)}</div>'


def judged_curve(evaluations: Sequence[Mapping[str, Any]], direction: str) -> Curve:
    """The distance to the other domain over the steps."""
    values = np.array([line[direction]["mean"] for line in evaluations], float)
    return Curve(steps=np.array([line["step"] for line in evaluations], float), mean=values, low=values, high=values)


def in_order(names: Sequence[str]) -> list[str]:
    """Losses in the order of LOSSES; a user's own terms come last."""
    return [*(name for name in LOSSES if name in names), *(name for name in names if name not in LOSSES)]


def loss_levels(name: str, adv_weight: float) -> list[charts.Level]:
    """The values of a loss that mean something."""
    guessing = {
        "d_loss": alarms.D_GUESSING * adv_weight, "g_adv": alarms.G_GUESSING, "g_cam": alarms.CAM_GUESSING,
    }  # fmt: skip
    return [charts.Level(value=guessing[name], label="guessing")] if guessing.get(name) else []


def _losses(run: Run) -> str:
    names = run.loss_names()
    found = [_weighted(run, names)]
    alone = [name for name in names if name != "g_loss"]  # which stands beside its terms
    for name in in_order(alone):
        title, note = LOSSES.get(name, (name, ""))
        line = charts.Line(label=name, curve=run.curves.curve(name))
        levels = loss_levels(name, run.options.adv_weight)
        found.append(charts.chart(title, [line], note=f"{name}. {note}".strip(), levels=levels))
    return f'<div class="charts">{"".join(found)}</div>' if any(found) else ""


def _weighted(run: Run, names: list[str]) -> str:
    """The generators' loss, and what each term adds to it: its value times the option that is its weight."""
    lines = []
    if "g_loss" in names:
        lines.append(charts.Line(label="g_loss, their sum", curve=run.curves.curve("g_loss"), raw=False))
    for name in names:
        weight = getattr(run.options, f"{name.removeprefix('g_')}_weight", None)
        if not name.startswith("g_") or not weight:
            continue
        curve = run.curves.curve(name)
        scaled = Curve(steps=curve.steps, mean=curve.mean * weight, low=curve.low * weight, high=curve.high * weight)
        label = f"{name} × {charts.number(weight)}"
        lines.append(charts.Line(label=label, curve=scaled, colour=len(lines), raw=False))
    return charts.chart("Generators: each term's part", lines, note="The terms with their weights.")


def _speed(run: Run, status: Status) -> str:
    rate, scale = run.curves.curve("lr"), run.curves.curve("loss_scale")
    lines = [charts.Line(label="lr", curve=rate, raw=False, smooth=False)]
    times = [
        charts.Line(label="step on the device", curve=run.curves.curve("step_s")),
        charts.Line(label="wait for data", curve=run.curves.curve("data_wait_s"), colour=1),
    ]
    found = [
        charts.chart("Learning rate", lines, last_step=status.iteration, note="The axis goes to the end of the run."),
        charts.chart("Time of a step, seconds", times, unit="s", may_be_log=False),
    ]
    if len(scale.mean) and scale.high.max() > scale.low.min():
        line = charts.Line(label="loss scale", curve=scale, raw=False, smooth=False)
        found.append(charts.chart("Loss scale", [line]))
    return f'<div class="charts">{"".join(found)}</div>' if any(found) else ""


def _options(run: Run) -> str:
    """Those that were given first, the defaults behind a fold, each with what it means."""
    changed = run.changed()
    rest = [name for name in run.values if name not in changed]
    given = markup.table(("option", "value", ""), [_option_row(run, name) for name in changed], "options")
    others = markup.table(("option", "value", ""), [_option_row(run, name) for name in rest], "options")
    return f"{given}<details><summary>{len(rest)} options with their defaults</summary>{others}</details>"


def _option_row(run: Run, name: str) -> tuple[str, str, str]:
    """Name, value and meaning of an option."""
    help_text = next(field.metadata["help"] for field in dataclasses.fields(Options) if field.name == name)
    return name, shown(run.values[name]), help_text


def shown(value: object) -> str:
    """An option's value as a file of options has it."""
    return (
        "not given" if value is None or value == "" else str(value).lower() if isinstance(value, bool) else str(value)
    )
