"""Line charts as inline SVG: axes, legend, unit, a faint band of all values behind a smoothed line."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from ugatit_train.training.page.curves import Curve

WIDTH, HEIGHT = 360, 190  # units of the drawing; about the pixels of a phone, so that letters stay readable there
LEFT, RIGHT, TOP, BOTTOM = 46, 8, 10, 22
COLOURS = 6  # classes c0 to c5 in look.css


@dataclass(frozen=True, kw_only=True)
class Line:
    """A curve of a chart. With `raw`, all values stand behind it, faint; with `dots`, each value is one.

    `smooth` draws its smoothed form, which what is exact and what is scarce do not need. `colour` is 0 to 5, and goes
    round.
    """

    label: str
    curve: Curve
    colour: int = 0
    raw: bool = True
    smooth: bool = True
    dots: bool = False


@dataclass(frozen=True, kw_only=True)
class Level:
    """A horizontal line that means something, such as a loss at which nothing is known."""

    value: float
    label: str


def chart(
    title: str,
    lines: Sequence[Line],
    *,
    unit: str = "",
    note: str = "",
    levels: Sequence[Level] = (),
    last_step: int | None = None,
    may_be_log: bool = True,
) -> str:
    """A figure in HTML: title, newest value, drawing, legend where there are several lines, a note.

    The axis is logarithmic, where it may be, if all values are positive and the largest is 30 times the least.
    `last_step` is the end of the axis of steps; by default the last step of the lines.
    """
    lines = [line for line in lines if len(line.curve.steps)]
    if not lines:
        return ""
    across = _Axis(0, last_step or max(line.curve.steps[-1] for line in lines), LEFT, WIDTH - RIGHT)
    up = _value_axis(lines, levels, may_be_log)
    shapes = [
        _grid(across, up),
        *(_drawn(line, across, up) for line in lines),
        *(_level(level, up) for level in levels),
    ]
    newest = f"<b>{number(_line(lines[0])[-1])}{f' {escape(unit)}' if unit else ''}</b>" if len(lines) == 1 else ""
    said = "; ".join(f"{line.label} {number(_line(line)[-1])}" for line in lines)
    label = escape(f"{title} over {number(across.high)} steps: {said} {unit} at the end")
    legend = "".join(f'<li class="c{line.colour % COLOURS}">{escape(line.label)}</li>' for line in lines)
    return (
        f'<figure class="chart"><figcaption><span>{escape(title)}</span>{newest}</figcaption>'
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">{"".join(shapes)}</svg>'
        + (f'<ul class="legend">{legend}</ul>' if len(lines) > 1 else "")
        + (f'<p class="note">{escape(note)}</p>' if note else "")
        + "</figure>"
    )


def number(value: float) -> str:
    """A number in at most three digits: 0.0123, 4.56, 789, 12.3k, 4M, 3.4e-4."""
    size = abs(value)
    if value == 0 or 0.001 <= size < 999.5:
        return f"{value:.3g}"
    for unit, ending in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if size >= unit * 0.9995:
            return f"{value / unit:.3g}{ending}"
    mantissa, _, power = f"{value:.2e}".partition("e")
    return f"{float(mantissa):g}e{int(power)}"


@dataclass(frozen=True)
class _Axis:
    """Values from `low` to `high` on coordinates from `begin` to `end`."""

    low: float
    high: float
    begin: float
    end: float
    log: bool = False

    def place(self, values: np.ndarray | float) -> np.ndarray:
        """The coordinates; of values beyond the axis, its ends."""
        kept = np.clip(values, self.low, self.high)
        part = (
            np.log(kept / self.low) / math.log(self.high / self.low)
            if self.log
            else (kept - self.low) / (self.high - self.low)
        )
        return self.begin + part * (self.end - self.begin)

    def ticks(self, about: int) -> list[float]:
        if self.log:
            first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
            factors = (1, 2, 5) if last - first <= 2 else (1, 3) if last - first <= 3 else (1,)
            every = max(1, math.ceil((last - first) / 6))
            found = [factor * 10.0**power for power in range(first, last + 1, every) for factor in factors]
        else:
            rough = (self.high - self.low) / about
            power = 10.0 ** math.floor(math.log10(rough))
            step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
            found = [i * step for i in range(math.ceil(self.low / step), math.floor(self.high / step) + 1)]
        slack = 1e-9 * abs(self.high)
        return [tick for tick in found if self.low - slack <= tick <= self.high + slack]


def _line(line: Line) -> np.ndarray:
    return line.curve.smoothed() if line.smooth else line.curve.mean


def _value_axis(lines: Sequence[Line], levels: Sequence[Level], may_be_log: bool) -> _Axis:
    """Room for every smoothed line and level, and for all but the outermost hundredth of what stands behind."""
    seen = [_line(line) for line in lines] + [np.array([level.value for level in levels])]
    for line in lines:
        if line.raw:
            seen += [np.percentile(line.curve.low, [1, 99]), np.percentile(line.curve.high, [1, 99])]
    values = np.concatenate(seen)
    low, high = float(values.min()), float(values.max())
    if may_be_log and low > 0 and high / low >= 30:
        return _Axis(low / 1.1, high * 1.1, HEIGHT - BOTTOM, TOP, log=True)
    if low > 0 and low < 0.5 * high:
        low = 0.0
    margin = 0.05 * (high - low) or 0.1 * abs(high) or 1.0
    return _Axis(low if low == 0 else low - margin, high + margin, HEIGHT - BOTTOM, TOP)


def _grid(across: _Axis, up: _Axis) -> str:
    parts = []
    for tick in up.ticks(4):
        y = float(up.place(tick))
        parts.append(f'<path class="grid" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 3.5:.1f}" class="up">{number(tick)}</text>')
    parts.append(f'<path class="axis" d="M{LEFT} {HEIGHT - BOTTOM}H{WIDTH - RIGHT}"/>')
    for tick in across.ticks(4):
        x = float(across.place(tick))
        at_end = ' class="end"' if x > WIDTH - RIGHT - 12 else ""
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT - 7}"{at_end}>{number(tick)}</text>')
    return "".join(parts)


def _level(level: Level, up: _Axis) -> str:
    y = float(up.place(level.value))
    return (
        f'<path class="level" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>'
        f'<text class="end level" x="{WIDTH - RIGHT}" y="{y - 3:.1f}">{escape(level.label)}</text>'
    )


def _drawn(line: Line, across: _Axis, up: _Axis) -> str:
    x, curve, colour = across.place(line.curve.steps), line.curve, f"c{line.colour % COLOURS}"
    parts = []
    if line.raw:
        if (curve.high > curve.low).any():
            edge = _path(
                np.concatenate([x, x[::-1]]), np.concatenate([up.place(curve.high), up.place(curve.low[::-1])])
            )
            parts.append(f'<path class="band {colour}" d="{edge}Z"/>')
        parts.append(f'<path class="raw {colour}" d="{_path(x, up.place(curve.mean))}"/>')
    y = up.place(_line(line))
    parts.append(f'<path class="line {colour}" d="{_path(x, y)}"/>')
    if line.dots or len(x) == 1:
        parts += [f'<circle class="{colour}" cx="{i:.1f}" cy="{j:.1f}" r="2.5"/>' for i, j in zip(x, y, strict=True)]
    return "".join(parts)


def _path(x: np.ndarray, y: np.ndarray) -> str:
    return "M" + "L".join(f"{i:.1f} {j:.1f}" for i, j in zip(x, y, strict=True))
