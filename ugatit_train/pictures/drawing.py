"""Pictures as networks take and give them, and what is drawn of them: sample grids, contact sheets, loss curves.

A network's pictures are float32 (N, C, H, W) in [-1, 1] with C 1 (gray) or 3 (RGB); a file's are uint8 (H, W, 3) RGB.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ugatit_data import BadInputError
from ugatit_data.files import write_whole
from ugatit_data.pixels.geometry import Size, sides
from ugatit_train.pictures.files import write_picture

# The rows of a sample grid for one direction, in the model zoo's order.
SAMPLE_ROWS = ("real_a", "heatmap_a2a", "fake_a2a", "heatmap_a2b", "fake_a2b", "heatmap_a2b2a", "fake_a2b2a")


def to_network(picture: np.ndarray, img_ch: int) -> np.ndarray:
    """uint8 (H, W, 3) RGB to float32 (1, img_ch, H, W) in [-1, 1]; one channel is BT.601 luma."""
    pixels = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)[..., None] if img_ch == 1 else picture
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)[None], np.float32) / np.float32(127.5) - np.float32(1)


def as_seen(picture: np.ndarray, img_ch: int) -> np.ndarray:
    """A picture, uint8 (H, W, 3) RGB, as a network of `img_ch` channels sees it: for one channel it is gray."""
    return picture if img_ch == 3 else to_uint8(to_network(picture, img_ch))[0]


def to_uint8(pictures: np.ndarray) -> np.ndarray:
    """float32 (N, C, H, W) in [-1, 1] to uint8 (N, H, W, 3) RGB; gray becomes three channels, values are clipped."""
    pixels = np.rint((np.clip(pictures, -1, 1) + 1) * 127.5).astype(np.uint8).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(np.broadcast_to(pixels, (*pixels.shape[:3], 3)))


def heatmap_to_uint8(heatmaps: np.ndarray, size: Size) -> np.ndarray:
    """float32 (N, 1, h, w) of any range to uint8 (N, H, W, 3) RGB of `size`.

    Each map's least value is blue, its largest red; a constant map is all blue.
    """
    low = heatmaps.min((1, 2, 3), keepdims=True)
    span = heatmaps.max((1, 2, 3), keepdims=True) - low
    unit = (heatmaps - low) / np.where(span > 0, span, 1)
    shape = sides(size)[::-1]
    large = [cv2.resize(image[0].astype(np.float32), shape, interpolation=cv2.INTER_LINEAR) for image in unit]
    coloured = [cv2.applyColorMap(np.rint(image * 255).astype(np.uint8), cv2.COLORMAP_JET) for image in large]
    return np.stack(coloured)[..., ::-1]


def sample_grid(rows: Mapping[str, np.ndarray]) -> np.ndarray:
    """One picture of all samples, uint8 (H, W, 3) RGB: a column for each image, a row for each entry of `rows`.

    `rows` maps names to arrays of the same N: pictures float32 (N, C, H, W) in [-1, 1], or heat maps float32
    (N, 1, h, w) if the name begins with `heatmap`; these are drawn at the pictures' size.

    Raises:
        ValueError: there is no picture among the rows.
    """
    sizes = [(array.shape[2], array.shape[3]) for name, array in rows.items() if not name.startswith("heatmap")]
    if not sizes:
        raise ValueError(f"sample_grid: no picture among the rows {list(rows)}: their size is the heat maps' size")
    drawn = [
        heatmap_to_uint8(array, sizes[0]) if name.startswith("heatmap") else to_uint8(array)
        for name, array in rows.items()
    ]
    return np.concatenate([np.concatenate(list(row), axis=1) for row in drawn], axis=0)


def contact_sheet(
    columns: Sequence[Sequence[np.ndarray | None]], titles: Sequence[str], out: Path, cell: int = 128
) -> None:
    """Write a table of pictures: under each title a column of uint8 (H, W, 3) RGB, each resized to `cell` pixels.

    None leaves its place empty.

    Raises:
        ValueError: the columns have different lengths, or there is not one title for each.
        BadInputError, OSError: see `write_picture`.
    """
    lengths = sorted({len(column) for column in columns})
    if len(columns) != len(titles) or len(lengths) != 1 or lengths[0] == 0:
        raise ValueError(f"contact_sheet: {len(titles)} titles for columns of {lengths} pictures: give equal columns")
    gap, head = 4, 24
    height = head + lengths[0] * (cell + gap)
    sheet = np.full((height, len(columns) * (cell + gap) + gap, 3), 255, np.uint8)
    for i, (column, title) in enumerate(zip(columns, titles, strict=True)):
        x = gap + i * (cell + gap)
        (width, _), _ = cv2.getTextSize(title, cv2.FONT_HERSHEY_SIMPLEX, 0.5, 1)
        scale = 0.5 * min(1, cell / width)
        cv2.putText(sheet, title, (x, 16), cv2.FONT_HERSHEY_SIMPLEX, scale, (0, 0, 0), 1, cv2.LINE_AA)
        for j, image in enumerate(column):
            if image is None:
                continue
            y = head + j * (cell + gap)
            way = cv2.INTER_AREA if image.shape[0] > cell else cv2.INTER_CUBIC
            sheet[y : y + cell, x : x + cell] = cv2.resize(image, (cell, cell), interpolation=way)
    write_picture(out, sheet)


def loss_curves(steps: Sequence[Mapping[str, Any]], out: Path) -> None:
    """Draw every loss of a run's steps, raw and smoothed, into a PNG, each in a panel of its own.

    Raises:
        BadInputError: there is no step.
        OSError: `out` cannot be written.
    """
    # Here, because matplotlib takes half a second to import. No pyplot: it keeps global state.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    if not steps:
        raise BadInputError(f"{out}: no step to draw: train first")
    names = [name for name in steps[0] if name not in ("step", "lr") and not name.endswith("_s")]
    x = np.array([line["step"] for line in steps])
    window = max(1, len(steps) // 30)

    across = min(4, math.ceil(math.sqrt(len(names))))
    down = math.ceil(len(names) / across)
    figure = Figure(figsize=(4 * across, 2.8 * down), layout="constrained")
    FigureCanvasAgg(figure)
    for i, name in enumerate(names):
        y = np.array([line.get(name, np.nan) for line in steps], float)
        axes = figure.add_subplot(down, across, i + 1)
        axes.plot(x, y, color="tab:blue", alpha=0.25, linewidth=0.8)
        axes.plot(x[window - 1 :], _moving_mean(y, window), color="tab:blue", linewidth=1.6)
        # The first steps are far above the rest (the CAM loss weighs 1000): a log axis keeps both readable.
        if np.nanmin(y) > 0:
            axes.set_yscale("log")
        axes.set_title(name.replace("_", " "))
        axes.grid(alpha=0.3)
        if i >= len(names) - across:
            axes.set_xlabel("step")
    figure.suptitle(f"Losses over {x[-1]} steps (line: mean of {window})")
    write_whole(out, lambda partial: figure.savefig(partial, format="png", dpi=100))


def _moving_mean(values: np.ndarray, window: int) -> np.ndarray:
    """The means of every `window` consecutive values, (n - window + 1,)."""
    return np.convolve(values, np.full(window, 1 / window), mode="valid")
